//! SIGINT and SIGTERM.

use std::time::Duration;

use crate::output::OPEN;
use crate::process::{Hub, Program};

const SOON: Duration = Duration::from_secs(3);

#[test]
fn a_server_ends_well_and_tells_its_clients() {
    for signal in ["INT", "TERM"] {
        let mut hub = Hub::start();
        let peers = [hub.peer(""), hub.peer("")];
        peers.iter().for_each(|p| drop(p.after(OPEN)));
        ends(&mut hub.program, signal);
        for peer in &peers {
            let why = peer.after("Event: Disconnected(");
            assert!(why.contains("said good-bye"), "{why}");
        }
    }
}

#[test]
fn a_peer_ends_well_and_tells_the_hub() {
    let hub = Hub::start();
    for (n, signal) in ["INT", "TERM"].into_iter().enumerate() {
        let mut peer = hub.peer("");
        peer.after(OPEN);
        ends(&mut peer, signal);
        // At the hub, long before it would find out by itself.
        hub.program.wait_for(n + 1, |l| l.error && l.text.contains(" gone "), "gone");
    }
}

#[test]
fn a_peer_without_hub_ends_too() {
    let nobody = crate::process::free_port();
    let mut peer = Program::start(&format!("peer --bind 127.0.0.1 --server http://{nobody}"));
    peer.after("Event: Trouble(");
    ends(&mut peer, "INT");
}

#[test]
fn a_server_that_was_just_started_ends() {
    let mut hub = Hub::start();
    ends(&mut hub.program, "INT");
}

fn ends(program: &mut Program, signal: &str) {
    program.signal(signal);
    let (code, after) = program.wait();
    assert_eq!(code, Some(0), "{signal}");
    assert!(after < SOON, "{signal}: {after:?}");
}
