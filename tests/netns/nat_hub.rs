//! Peers behind NATs exchange messages by the hub, whatever the NATs are and do.

use std::time::Duration;

use super::nat::{Host, Nat};
use super::nat_kinds::world;
use super::programs::start_peer;
use super::scene::{Flow, Scene};

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
