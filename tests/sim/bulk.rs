//! How soon and how far a bulk transfer fills a link, and that it does not overfill it.

use std::time::Duration;

use rover_rtc::PathConfig;
use rover_rtc::link::{ChannelConfig, Message, Mode};

use crate::net::Edge;
use crate::pair::{ANSWERER, MS, OFFERER, Pair, SECOND};

/// 50 Mbit/s.
const RATE: f64 = 6_250_000.0;

/// A link whose bottleneck has a queue of one round trip.
fn link(delay: Duration) -> Edge {
    Edge { delay, rate: RATE, queue: 2 * delay, ..Edge::default() }
}

/// The share of the link that a transfer has from `warm` on, for two seconds.
fn share(pair: &mut Pair, mode: Mode, warm: Duration) -> f64 {
    let (_, bulk) = pair.ends[OFFERER].link.open(pair.now, ChannelConfig::of_mode("bulk", mode));
    let data = bytes::Bytes::from(vec![0; 16 * 1024]);
    let start = pair.now;
    while pair.now < start + warm + 2 * SECOND {
        while bulk.try_push(pair.now, Message::binary(data.clone())).is_ok() {}
        pair.run_for(10 * MS);
    }
    let messages = &pair.ends[ANSWERER].messages;
    let bytes: usize =
        messages.iter().filter(|m| m.0 >= start + warm).map(|m| m.2.data.len()).sum();
    bytes as f64 / 2.0 / RATE
}

#[test]
fn fills_a_link_soon_whatever_its_round_trip() {
    // SCTP's window of 1 MiB is 84 % of the longest of these.
    for (delay, warm, least) in [(5, 1, 0.85), (25, 1, 0.85), (50, 2, 0.85), (100, 3, 0.7)] {
        for mode in [Mode::Reliable, Mode::Plain] {
            let mut pair = Pair::connected(3, 1, &PathConfig::default(), &link(delay * MS));
            let share = share(&mut pair, mode, warm * SECOND);
            println!("{} ms, {mode:?}: {:.0} %", 2 * delay, share * 100.0);
            assert!(share >= least, "{share} of the link at {} ms, {mode:?}", 2 * delay);
            let stats = pair.ends[OFFERER].link.stats();
            assert_eq!(stats.warps, 0, "its own queue is no dead path");
        }
    }
}

#[test]
fn a_handshake_that_waited_does_not_slow_what_follows() {
    let edge = link(25 * MS);
    let mut pair = Pair::unconnected(5, 1, &PathConfig::default(), &edge);
    pair.negotiate();
    pair.change(0, |edge| edge.cut = true);
    pair.run_for(2 * SECOND);
    pair.change(0, |edge| edge.cut = false);
    assert!(pair.run(20 * SECOND, Pair::is_open), "no connection");
    let share = share(&mut pair, Mode::Plain, SECOND);
    println!("{:.0} %", share * 100.0);
    assert!(share >= 0.85, "{share} of the link");
}
