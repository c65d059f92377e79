//! A hub that is not there yet, not there any more, or nowhere.

use crate::output::{CONNECTED, OPEN};
use crate::process::{Hub, Program, free_port};

#[test]
fn a_peer_waits_for_its_hub() {
    let address = free_port();
    let peer = Program::start(&format!("peer --bind 127.0.0.1 --server http://{address}"));
    let trouble = peer.after("Event: Trouble(");
    assert!(trouble.contains(&format!("no answer from http://{address}")), "{trouble}");
    let _hub = Hub::start_on(address, &[]);
    peer.after(OPEN);
}

#[test]
fn a_peer_finds_a_restarted_hub() {
    let mut hub = Hub::start();
    let peers = [hub.peer("--every 50"), hub.peer("--every 50")];
    peers.iter().for_each(|p| drop(p.after("Payload: ")));
    for (n, signal) in ["TERM", "KILL"].into_iter().enumerate() {
        hub.program.signal(signal);
        hub.program.wait();
        hub = Hub::start_on(hub.http, &[]);
        for peer in &peers {
            peer.nth_after(n + 2, OPEN);
            peer.nth_after(n + 1, "Event: Recovered ");
            // And messages flow again.
            let seen = peer.lines().iter().filter(|l| l.text.starts_with("Payload: ")).count();
            peer.nth_after(seen + 5, "Payload: ");
        }
    }
    // Connected as often as the hub was there.
    peers.iter().for_each(|p| drop(p.nth_after(3, CONNECTED)));
}

#[test]
fn an_unknown_host_is_trouble_and_no_end() {
    // Longer than DNS allows, so that no resolver has to be asked.
    let host = "h".repeat(70);
    let mut peer = Program::start(&format!("peer --bind 127.0.0.1 --server http://{host}:3000"));
    for n in 1..=3 {
        let trouble = peer.nth_after(n, "Event: Trouble(");
        assert!(trouble.contains(&host), "{trouble}");
    }
    peer.signal("INT");
    assert_eq!(peer.wait().0, Some(0));
}
