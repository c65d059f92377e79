//! Peers behind NATs exchange messages by the hub, whatever the NATs are and do.

use std::process::Child;
use std::time::Duration;

use super::count::Log;
use super::nat::{Host, Nat, World};
use super::nat_kinds::world;
use super::programs::start_peer;
use super::role::{self, time};
use super::scene::{Flow, Scene, pause};

#[test]
fn forgotten_mappings() {
    let Some(world) = world(&[Nat::Symmetric], &[Nat::Blocked]) else { return };
    let mut scene = Scene::set("forgotten_mappings", world, |world, directory| {
        let hub = &world.address(Host::Hub).to_string();
        [(Host::A, "a"), (Host::B, "b")]
            .map(|(host, name)| (name, start_peer(world.at(host), hub, name, &[], directory)))
    });
    scene.wait("channels", Duration::from_secs(10), |s| {
        Flow::BOTH.into_iter().all(|flow| s.received(flow).when("ChannelOpen").is_some())
    });
    scene.command("go");
    scene.wait("messages", Duration::from_secs(10), |s| {
        Flow::BOTH.into_iter().all(|flow| s.received(flow).received.len() > 50)
    });
    let gap = scene.gap(1000, |s| {
        s.lab.flush_nat(Host::A, 0);
        s.lab.flush_nat(Host::B, 0);
    });
    scene.end_perfect();
    assert!(gap <= Duration::from_millis(400), "{gap:?}");
}

#[test]
fn hub_is_gone_for_long() {
    // Longer than all timers that end something: ICE's grace of 15 s, a session's of 10 s.
    let long = std::env::var("ROVER_RTC_LONG").is_ok();
    let seconds = if long { 60 } else { 20 };
    let Some(world) = world(&[Nat::Cone, Nat::None], &[Nat::Cone]) else { return };
    let mut scene = Scene::calm("hub_gone", world, true, &[]);
    let killed = time();
    scene.stop_hub(false);
    pause(4000);
    // The rover loses a network and gets another one, and then has that one only. A NAT in front of
    // that would have to be seen by somebody else, and there is nobody.
    let first = scene.selected(Host::A).expect("a direct path carries");
    scene.lab.link_down(Host::A, first);
    pause(3000);
    let (new, _) = scene.lab.new_uplink(Host::A, Nat::None);
    pause(4000);
    scene.lab.link_down(Host::A, 1 - first);
    pause(1000);
    let selected = scene.selected(Host::A);
    assert_eq!(selected, Some(new), "{:?}, see {:?}", scene.paths(), scene.directory());
    pause((seconds - 12) * 1000);
    let gaps = scene.gaps(killed);
    let started = time();
    scene.start_hub();
    let callers = [("c", "a"), ("d", "b")].map(|(name, to)| Caller::start(&scene, name, to));
    scene.wait("calls to both rovers", Duration::from_secs(60), |_| {
        callers.iter().all(|c| c.log(&scene).when("Up").is_some())
    });
    let up = callers.each_ref().map(|c| c.log(&scene).when("Up").unwrap());
    let up = up.map(|up| Duration::from_micros(up - started));
    let relay = scene.await_standby("hub", Duration::from_secs(5));
    scene.say(&format!("gaps {gaps:?}; calls {up:?}, relay {relay:?} after the hub is back"));
    pause(500);
    let cut = scene.gap(1500, |s| s.lab.cut_direct());
    scene.settle(false, Duration::ZERO);
    drop(callers);
    scene.end_perfect();
    assert!(gaps.iter().all(|gap| *gap <= Duration::from_millis(400)), "{gaps:?}");
    assert!(cut <= Duration::from_millis(500), "{cut:?}");
}

/// The default route of one rover leads into a network that is dead without a word: UDP goes by the
/// other one at once, and signaling has to find that way, too.
#[test]
fn hub_is_back_but_the_default_route_is_dead() {
    let Some(world) = world(&[Nat::Cone, Nat::Cone], &[Nat::Cone]) else { return };
    let mut scene = Scene::calm("dead_route", world, true, &[]);
    scene.lab.cut(Host::A, 0);
    pause(1000);
    scene.stop_hub(false);
    pause(2000);
    let started = time();
    scene.start_hub();
    let caller = Caller::start(&scene, "c", "a");
    scene.wait("a call to the rover", Duration::from_secs(30), |s| {
        caller.log(s).when("Up").is_some()
    });
    let up = Duration::from_micros(caller.log(&scene).when("Up").unwrap() - started);
    scene.say(&format!("a call comes through {up:?} after the hub is back"));
    drop(caller);
    scene.end_perfect();
}

/// One more peer, which calls a rover; killed when this is dropped.
struct Caller(&'static str, Child);

impl Caller {
    fn start(scene: &Scene<World>, name: &'static str, to: &str) -> Self {
        let hub = scene.lab.address(Host::Hub).to_string();
        let at = scene.lab.at(Host::Turn);
        Self(name, start_peer(at, &hub, name, &[(role::TO, to)], scene.directory()))
    }

    fn log(&self, scene: &Scene<World>) -> Log {
        Log::read(&scene.directory().join(format!("{}.log", self.0)))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ = self.1.kill();
        let _ = self.1.wait();
    }
}
