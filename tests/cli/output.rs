//! The lines that the seed promises, in its form.

use std::net::SocketAddr;
use std::time::Instant;

use crate::process::{Hub, Line};

/// What a peer prints when its link is up.
pub const CONNECTED: &str = "Event: IceConnectionStateChange(Connected)";
pub const OPEN: &str = "Event: ChannelOpen(ChannelId(0), \"test\")";

#[test]
fn the_server_prints_where_it_is() {
    let hub = Hub::start();
    let udp: SocketAddr = hub.program.after("Bound UDP port: ").parse().unwrap();
    assert!(udp.ip().is_loopback() && udp.port() != 0, "{udp}");
    assert!(hub.http.ip().is_loopback() && hub.http.port() != 0, "{}", hub.http);
    let out: Vec<_> = hub.program.lines().into_iter().filter(|l| !l.error).collect();
    let want =
        [format!("Bound UDP port: {udp}"), format!("Connect a browser to http://{}", hub.http)];
    assert_eq!(out.iter().map(|l| &*l.text).collect::<Vec<_>>(), want);
}

#[test]
fn a_peer_prints_how_it_connects() {
    let hub = Hub::start();
    let peer = hub.peer("");
    peer.after(OPEN);
    let out = peer.lines().into_iter().filter(|l| !l.error);
    let out: Vec<_> = out.map(|l| l.text).collect();
    let expected =
        ["Starting modern str0m peer...", "Offer SDP: v=0", "Answer SDP: v=0", CONNECTED, OPEN];
    // All there, in this order.
    let mut rest = out.iter();
    for start in expected {
        assert!(rest.any(|l| l.starts_with(start)), "no {start:?} in its place: {out:#?}");
    }
}

#[test]
fn payloads_flow_between_two_peers() {
    let hub = Hub::start();
    let (one, two) = (hub.peer("--every 50"), hub.peer("--every 50"));
    for peer in [&one, &two] {
        peer.after(OPEN);
        // Each from the other: the hub sends nobody its own.
        let numbers: Vec<u64> = (1..=20)
            .map(|n| {
                let line = peer.nth_after(n, "Payload: message ");
                let (number, age) = line.split_once(' ').unwrap();
                assert!(age.starts_with('(') && age.ends_with(" ms old)"), "{line}");
                number.parse().unwrap()
            })
            .collect();
        assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "lost or reordered: {numbers:?}");
    }
}

#[test]
fn status_comes_every_five_seconds() {
    let hub = Hub::start();
    let peer = hub.peer("--every 0 --name rover-1");
    let status = |n| {
        let text = peer.nth_after(n, "Status: ");
        (serde_json::from_str::<serde_json::Value>(&text).unwrap(), Instant::now())
    };
    let ((first, seen), (second, then)) = (status(1), status(2));
    for field in ["uptime_s", "clients", "connected", "relayed"] {
        assert!(first[field].is_u64(), "{field}: {first}");
    }
    assert_eq!((&first["type"], &first["clients"]), (&"status".into(), &1.into()));
    let uptime = |s: &serde_json::Value| s["uptime_s"].as_u64().unwrap();
    // The hub's own clock: this process may be late to look.
    assert!((4..=6).contains(&(uptime(&second) - uptime(&first))), "{first} {second}");
    assert!(then.duration_since(seen).as_secs() < 10);
}

#[test]
fn quiet_leaves_messages_out() {
    let hub = Hub::start();
    let (quiet, other) = (hub.peer("--quiet --every 50"), hub.peer("--every 50"));
    other.nth_after(5, "Payload: ");
    quiet.after(OPEN);
    let message = |l: &Line| l.text.starts_with("Payload: ") || l.text.starts_with("Status: ");
    assert!(!quiet.lines().iter().any(message));
}
