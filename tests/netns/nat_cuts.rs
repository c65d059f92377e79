//! Two rovers have a link, and something happens to the networks between them.

use std::thread;
use std::time::Duration;

use super::call::can_be_direct;
use super::nat::{Host, Nat};
use super::nat_kinds::world;
use super::role::{self, time};
use super::scene::{Flow, Scene, pause, random_pause};

/// From a cut, or new mappings, to the next message, where the way that is left is direct.
const MAX_GAP: Duration = Duration::from_millis(400);

/// The same where it is the hub's.
const MAX_RELAY_GAP: Duration = Duration::from_millis(500);

/// From the time when a rover's only network is back until messages flow.
const MAX_RETURN: Duration = Duration::from_secs(1);

/// From the end of a cut until a direct path carries again.
const MAX_DIRECT: Duration = Duration::from_secs(2);

/// When a working path is left for a better one.
const MAX_SWITCH_GAP: Duration = Duration::from_millis(100);

#[test]
fn one_of_two_networks_dies() {
    in_parallel(&[
        ("networks_open", &|name| {
            // A cut soon after another one would meet copies on the other path.
            let more = [(role::NO_COPIES, "1")];
            lose_networks(name, [Nat::None; 2], [Nat::None; 2], &more);
        }),
        ("networks_nat", &|name| {
            lose_networks(name, [Nat::Cone, Nat::Symmetric], [Nat::Cone, Nat::None], &[]);
        }),
    ]);
}

fn lose_networks(
    name: &'static str,
    nat_a: [Nat; 2],
    nat_b: [Nat; 2],
    more: &[(&'static str, &str)],
) {
    let Some(world) = world(&nat_a, &nat_b) else { return };
    let mut scene = Scene::calm(name, world, true, more);
    let mut gaps = Vec::new();
    for host in [Host::A, Host::B, Host::A, Host::B, Host::A, Host::B] {
        let uplink = scene.selected(host).expect("a direct path carries");
        random_pause();
        gaps.push(scene.gap(1200, |s| s.lab.cut(host, uplink)));
        scene.lab.restore(host, uplink);
        pause(1500);
    }
    // Two default routes: each socket sends by its own interface nevertheless.
    let sockets = scene.lab.at(Host::A).output(&["ss", "-Huan"]);
    scene.end_perfect();
    assert!(gaps.iter().all(|gap| *gap <= MAX_GAP), "{gaps:?}");
    assert!(["%up0:", "%up1:"].iter().all(|device| sockets.contains(device)), "{sockets}");
}

#[test]
fn direct_paths_die() {
    in_parallel(&[
        ("direct_open", &|name| lose_direct(name, Nat::None, Nat::None)),
        ("direct_nat", &|name| lose_direct(name, Nat::Cone, Nat::Cone)),
    ]);
}

fn lose_direct(name: &'static str, nat_a: Nat, nat_b: Nat) {
    let Some(world) = world(&[nat_a], &[nat_b]) else { return };
    let mut scene = Scene::calm(name, world, true, &[]);
    for _ in 0..2 {
        random_pause();
        let cut = scene.gap(3000, |s| s.lab.cut_direct());
        scene.settle(false, Duration::ZERO);
        let start = time();
        scene.lab.restore_direct();
        let back = scene.settle(true, MAX_DIRECT);
        pause(1500);
        let gaps = scene.gaps(start);
        scene.say(&format!("direct again after {back:?}, gaps {gaps:?}"));
        assert!(cut <= MAX_RELAY_GAP, "{cut:?}");
        assert!(gaps.iter().all(|gap| *gap <= MAX_SWITCH_GAP), "{gaps:?}");
    }
    scene.end_perfect();
}

#[test]
fn only_network_is_another() {
    in_parallel(&[
        ("another_open", &|name| change_network(name, Nat::None, Nat::Cone)),
        ("another_nat", &|name| change_network(name, Nat::Cone, Nat::Cone)),
        ("another_relayed", &|name| change_network(name, Nat::Cone, Nat::Blocked)),
    ]);
}

fn change_network(name: &'static str, nat_a: Nat, nat_b: Nat) {
    let Some(world) = world(&[nat_a], &[nat_b]) else { return };
    let mut scene = Scene::calm(name, world, can_be_direct(nat_a, nat_b), &[]);
    let mut returns = Vec::new();
    for round in 0..2 {
        random_pause();
        scene.lab.link_down(Host::A, round);
        pause(1000);
        let (_, took) = scene.lab.new_uplink(Host::A, nat_a);
        let usable = time();
        pause(2000);
        let first = Flow::BOTH.map(|flow| scene.received(flow).next_after(usable));
        let first = first.map(|f| f.unwrap_or(Duration::MAX));
        scene.say(&format!("messages {first:?} after the network is usable ({took:?})"));
        returns.extend(first);
        scene.settle(can_be_direct(nat_a, nat_b), Duration::from_secs(3));
    }
    scene.end_perfect();
    assert!(returns.iter().all(|after| *after <= MAX_RETURN), "{returns:?}");
}

#[test]
fn mappings_are_forgotten() {
    in_parallel(&[
        ("flush_cone_none", &|name| forget_mappings(name, Nat::Cone, Nat::None)),
        ("flush_cone_cone", &|name| forget_mappings(name, Nat::Cone, Nat::Cone)),
        ("flush_symmetric_none", &|name| forget_mappings(name, Nat::Symmetric, Nat::None)),
        ("flush_symmetric_cone", &|name| forget_mappings(name, Nat::Symmetric, Nat::Cone)),
    ]);
}

fn forget_mappings(name: &'static str, nat_a: Nat, nat_b: Nat) {
    let Some(world) = world(&[nat_a], &[nat_b]) else { return };
    let direct = can_be_direct(nat_a, nat_b);
    let mut scene = Scene::calm(name, world, direct, &[]);
    let mut gaps = Vec::new();
    for _ in 0..3 {
        random_pause();
        gaps.push(scene.gap(1500, |s| s.lab.flush_nat(Host::A, 0)));
        scene.settle(direct, Duration::from_secs(3));
    }
    scene.end_perfect();
    assert!(gaps.iter().all(|gap| *gap <= MAX_GAP), "{gaps:?}");
}

/// Runs scenes side by side: they mostly wait.
fn in_parallel(scenes: &[(&'static str, &(dyn Fn(&'static str) + Sync))]) {
    thread::scope(|scope| {
        scenes.iter().for_each(|(name, run)| drop(scope.spawn(|| run(name))));
    });
}
