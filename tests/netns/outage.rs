//! All networks fail, lose much, or become others.

use std::time::Duration;

use super::lab::{Lab, Side};
use super::role::time;
use super::scene::{Flow, Scene, pause, random_pause};

#[test]
fn outages() {
    // After 11 s the rover begins to dial, which works where only UDP is lost.
    let udp = |lab: &mut Lab| lab.drop_udp(None, None);
    std::thread::scope(|scope| {
        scope.spawn(|| outage("outage_5s_udp", 5, udp));
        scope.spawn(|| outage("outage_5s_all", 5, Lab::drop_all));
        scope.spawn(|| outage("outage_15s_udp", 15, udp));
    });
}

fn outage(name: &'static str, seconds: u64, cut: impl Fn(&mut Lab)) {
    let Some(mut scene) = Scene::begin(name) else { return };
    random_pause();
    cut(&mut scene.lab);
    pause(seconds * 1000);
    let healing = time();
    scene.lab.heal();
    let healed = time();
    pause(2000);
    let first = Flow::BOTH.map(|flow| scene.received(flow).next_after(healing));
    let took = Duration::from_micros(healed - healing);
    scene.say(&format!("first message up {:?}, down {:?} (heal {took:?})", first[0], first[1]));
    let counts = scene.end();
    assert!(counts.iter().all(|c| c.is_perfect()), "{name} {counts:?}");
    let limit = Duration::from_millis(300);
    assert!(first.iter().all(|f| f.is_some_and(|f| f <= limit)), "{name} {first:?}");
}

#[test]
fn loss_of_20_percent() {
    let Some(mut scene) = Scene::begin("loss_20") else { return };
    let start = time();
    scene.lab.lose_udp(20, None, None);
    pause(20_000);
    let gap = Flow::BOTH.map(|flow| scene.received(flow).longest_gap(start, time()));
    scene.lab.heal();
    let switches = |flow| {
        let log = scene.received(flow);
        log.events.iter().filter(|(t, e)| *t > start && e.starts_with("PathSwitch")).count()
    };
    let switches = switches(Flow::Down);
    scene.say(&format!("longest gap up {:?}, down {:?}, {switches} switches", gap[0], gap[1]));
    let counts = scene.end();
    assert!(counts.iter().all(|c| c.is_perfect()), "{counts:?}");
    assert!(gap.iter().all(|g| *g <= Duration::from_secs(3)), "{gap:?}");
}

#[test]
fn new_address() {
    let Some(scene) = Scene::begin("new_address") else { return };
    scene.lab.link_down(2, Side::Rover);
    pause(1000);
    let start = time();
    scene.lab.flush_addresses(1, Side::Rover);
    scene.lab.add_address(1, Side::Rover, "10.78.1.7");
    let flows = |s: &Scene| Flow::BOTH.map(|f| s.received(f).longest_gap(start, time()));
    pause(300);
    scene.wait("messages at the new address", Duration::from_secs(15), |s| {
        Flow::BOTH.iter().all(|f| s.received(*f).next_after(time() - 50_000).is_some())
    });
    pause(1000);
    let gap = flows(&scene);
    scene.say(&format!("gap up {:?}, down {:?}", gap[0], gap[1]));
    // The socket is bound to its interface, not to the address alone.
    let sockets = scene.lab.output(Side::Rover, &["ss", "-Huan"]);
    let counts = scene.end();
    assert!(sockets.contains("10.78.1.7%rv1:"), "{sockets}");
    assert!(counts.iter().all(|c| c.is_perfect()), "{counts:?}");
    assert!(gap.iter().all(|g| *g <= Duration::from_secs(5)), "{gap:?}");
}

#[test]
fn late_network() {
    let Some(mut scene) = Scene::begin("late_network") else { return };
    // The second network gets its address only once the first is in use.
    scene.lab.flush_addresses(2, Side::Rover);
    pause(500);
    scene.lab.add_address(2, Side::Rover, "10.78.2.7");
    pause(3000);
    let start = time();
    scene.lab.drop_udp(Some(1), None);
    pause(5000);
    let gap = Flow::BOTH.map(|f| scene.received(f).longest_gap(start, time()));
    scene.say(&format!("gap up {:?}, down {:?}", gap[0], gap[1]));
    let counts = scene.end();
    assert!(counts.iter().all(|c| c.is_perfect()), "{counts:?}");
    assert!(gap.iter().all(|g| *g <= Duration::from_secs(5)), "{gap:?}");
}
