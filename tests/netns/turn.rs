//! Two rovers that only a TURN server connects, or also does.

use std::time::Duration;

use super::coturn::{Options, coturn};
use super::nat::{Host, Nat, World};
use super::nat_kinds::world;
use super::role;
use super::scene::{Scene, pause};

/// From the call until messages have come both ways.
const MAX_CONNECT: Duration = Duration::from_secs(2);

/// Until another way carries on.
const MAX_GAP: Duration = Duration::from_secs(1);

#[test]
fn turn_alone() {
    let Some(world) = world(&[Nat::Blocked], &[Nat::Blocked]) else { return };
    let (options, url) = server(&world);
    let _server = coturn!(options);
    let more = [(role::ICE, url.as_str()), (role::NO_RELAY, "1")];
    let mut scene = Scene::call("turn_alone", world, &more);
    let connected = scene.connect_time();
    pause(3000);
    let kinds = scene.paths().map(|p| p.selected);
    scene.say(&format!("connected in {connected:?}, carried by {kinds:?}"));
    scene.end_perfect();
    assert_eq!(kinds, ["turn", "turn"]);
    assert!(connected <= MAX_CONNECT, "{connected:?}");
}

#[test]
fn turn_and_hub() {
    let Some(world) = world(&[Nat::Blocked], &[Nat::Blocked]) else { return };
    let (options, url) = server(&world);
    let server = coturn!(options);
    let mut scene = Scene::calm("turn_and_hub", world, false, &[(role::ICE, url.as_str())]);
    let without_hub = scene.gap(2000, |s| s.lab.isolate(Host::Hub));
    assert_eq!(scene.paths().map(|p| p.selected), ["turn", "turn"]);
    scene.lab.rejoin(Host::Hub);
    scene.await_standby("hub", Duration::from_secs(15));
    pause(3000);
    assert_eq!(scene.paths().map(|p| p.selected), ["turn", "turn"]);
    let without_turn = scene.gap(2000, |_| drop(server));
    assert_eq!(scene.paths().map(|p| p.selected), ["hub", "hub"]);
    scene.end_perfect();
    assert!(without_hub <= MAX_GAP && without_turn <= MAX_GAP, "{without_hub:?} {without_turn:?}");
}

/// How to start the server, and how rovers name it.
fn server(world: &World) -> (Options, String) {
    let ip = world.address(Host::Turn).into();
    let prefix = world.at(Host::Turn).prefix();
    let options = Options { prefix, ip, port: 3478, ..Options::default() };
    (options, format!("turn:rover:secret@{ip}:3478"))
}
