//! What the modes of channels promise, over the emulated network.

use std::time::Duration;

use rover_rtc::link::{ChannelConfig, LinkEvent, Message, Mode, OutboxConfig, Priority};
use rover_rtc::{PathConfig, WhenFull};

use crate::net::Edge;
use crate::pair::{ANSWERER, MS, OFFERER, Pair, SECOND};

/// A bulk transfer fills the link, and commands go beside it.
fn commands_beside_bulk(edge: &Edge) -> (Duration, f64) {
    let mut pair = Pair::connected(7, 1, &PathConfig::default(), edge);
    let limits = OutboxConfig { max_bytes: 1 << 20, ..OutboxConfig::default() };
    let link = &mut pair.ends[OFFERER].link;
    let bulk =
        ChannelConfig { priority: Priority::Low, outbox: limits, ..ChannelConfig::new("bulk") };
    let (_, bulk) = link.open(pair.now, bulk);
    let commands = ChannelConfig { priority: Priority::High, ..ChannelConfig::new("commands") };
    let (command, commands) = link.open(pair.now, commands);
    let start = pair.now;
    let mut sent = Vec::new();
    for tick in 0..1000u32 {
        while bulk.try_push(pair.now, Message::binary(vec![0; 16 * 1024])).is_ok() {}
        if tick % 2 == 0 {
            let number = (sent.len() as u64).to_le_bytes().to_vec();
            commands.try_push(pair.now, Message::binary(number)).unwrap();
            sent.push(pair.now);
        }
        pair.run_for(10 * MS);
    }
    let warm = start + 3 * SECOND;
    let (mut delays, mut bytes) = (Vec::new(), 0);
    for (at, id, message) in pair.ends[ANSWERER].messages.iter().filter(|m| m.0 >= warm) {
        if *id == command {
            let number = u64::from_le_bytes(message.data[..].try_into().unwrap());
            delays.push(*at - sent[number as usize]);
        } else {
            bytes += message.data.len();
        }
    }
    delays.sort_unstable();
    let share = bytes as f64 / (pair.now - warm).as_secs_f64() / edge.rate;
    (delays[delays.len() * 99 / 100], share)
}

#[test]
fn commands_do_not_wait_for_bulk() {
    for (delay, rate) in [(50 * MS, 2_500_000.0), (MS / 5, 2_500_000.0), (20 * MS, 250_000.0)] {
        let edge = Edge { delay, rate, ..Edge::default() };
        let (p99, share) = commands_beside_bulk(&edge);
        println!(
            "{delay:?} each way, {rate} B/s: command p99 {p99:?}, bulk {:.0} %",
            share * 100.0
        );
        // Three round trips and 20 ms more than the way itself takes.
        assert!(p99 <= delay + 2 * delay + 20 * MS, "{p99:?}");
        assert!(share >= 0.85, "{share}");
    }
}

#[test]
fn an_hour_of_outage_with_100_000_messages() {
    let edge = Edge { delay: 10 * MS, ..Edge::default() };
    let mut pair = Pair::connected(3, 2, &PathConfig::default(), &edge);
    let limits = OutboxConfig {
        max_messages: 100_000,
        max_bytes: 64 << 20,
        when_full: WhenFull::Refuse,
        ..OutboxConfig::default()
    };
    let log = ChannelConfig { outbox: limits, ..ChannelConfig::new("log") };
    let (_, log) = pair.ends[OFFERER].link.open(pair.now, log);
    pair.run_for(SECOND);
    pair.net.change_all(|e| e.cut = true);
    for number in 0..100_000u64 {
        let mut data = number.to_le_bytes().to_vec();
        data.resize(100, 0);
        log.try_push(pair.now, Message::binary(data)).unwrap();
        if number % 1000 == 0 {
            pair.run_for(36 * SECOND);
        }
    }
    pair.net.change_all(|e| e.cut = false);
    pair.replace();
    let arrived = |pair: &mut Pair| pair.ends[ANSWERER].messages.len() == 100_000;
    assert!(pair.run(60 * SECOND, arrived), "{}", pair.ends[ANSWERER].messages.len());
    let numbers = pair.ends[ANSWERER].messages.iter().map(|m| m.2.data[..8].try_into().unwrap());
    assert!(numbers.map(u64::from_le_bytes).eq(0..100_000));
}

#[test]
fn what_a_transport_had_in_flight_is_sent_again() {
    for seed in 0..50u64 {
        let edge = Edge { delay: 30 * MS, loss: 0.02, ..Edge::default() };
        let mut pair = Pair::connected(seed, 2, &PathConfig::default(), &edge);
        pair.send_every(Some(5 * MS));
        for round in 0..4u32 {
            // At another phase of what is under way each time.
            pair.run_for(SECOND + (seed as u32 * 4 + round) * MS);
            pair.replace();
            let replaced = |pair: &mut Pair| {
                let count = u64::from(round) + 2;
                pair.ends.iter_mut().all(|e| e.link.stats().transports == count)
            };
            assert!(pair.run(20 * SECOND, replaced), "seed {seed}");
        }
        pair.run_for(SECOND);
        pair.settle(20 * SECOND);
        pair.check().assert_whole();
    }
}

#[test]
fn a_stuck_association_is_found_within_5_s() {
    let edge = Edge { delay: 20 * MS, ..Edge::default() };
    let mut pair = Pair::connected(1, 1, &PathConfig::default(), &edge);
    pair.send_every(Some(10 * MS));
    pair.run_for(2 * SECOND);
    pair.deaf = true;
    let since = pair.now;
    let stuck = |pair: &mut Pair| {
        pair.ends[OFFERER].link_events.iter().any(|e| matches!(e.1, LinkEvent::Stuck))
    };
    assert!(pair.run(10 * SECOND, stuck));
    let after = pair.now - since;
    println!("stuck, found after {after:?}");
    assert!(after <= 5 * SECOND, "{after:?}");
    pair.deaf = false;
    pair.replace();
    pair.run_for(SECOND);
    pair.settle(5 * SECOND);
    pair.check().assert_whole();
}

#[test]
fn the_newest_value_arrives() {
    let edge = Edge { delay: 50 * MS, loss: 0.1, rate: 20_000.0, ..Edge::default() };
    let mut pair = Pair::connected(5, 1, &PathConfig::default(), &edge);
    let pose = ChannelConfig::of_mode("pose", Mode::Latest);
    let (id, pose) = pair.ends[OFFERER].link.open(pair.now, pose);
    for value in 0..1000u32 {
        for key in ["x", "y"] {
            let mut data = value.to_le_bytes().to_vec();
            data.resize(1000, 0);
            pose.try_push(pair.now, Message::binary(data).with_key(key)).unwrap();
        }
        pair.run_for(10 * MS);
    }
    let sent_until = pair.now;
    pair.run_for(10 * SECOND);
    for key in ["x", "y"] {
        let of_key = pair.ends[ANSWERER].messages.iter().filter(|m| m.1 == id && m.2.key == key);
        let values: Vec<_> =
            of_key.map(|m| (m.0, u32::from_le_bytes(m.2.data[..4].try_into().unwrap()))).collect();
        assert!(values.is_sorted_by(|a, b| a.1 < b.1));
        assert_eq!(values.last().unwrap().1, 999);
        let last = values.last().unwrap().0.saturating_duration_since(sent_until);
        println!("{key}: {} of 1000 values, the last {last:?} after it was sent", values.len());
        assert!(values.len() < 500 && last < 2 * SECOND);
    }
}

/// Who has little room waits for round trips, not for the other side's leisure to acknowledge.
#[test]
fn a_small_outbox_goes_on_after_a_round_trip() {
    let edge = Edge { delay: 10 * MS, ..Edge::default() };
    let mut pair = Pair::connected(3, 1, &PathConfig::default(), &edge);
    let outbox = OutboxConfig { max_messages: 8, ..OutboxConfig::default() };
    let (id, few) = pair.ends[OFFERER]
        .link
        .open(pair.now, ChannelConfig { outbox, ..ChannelConfig::new("few") });
    pair.run_for(SECOND);
    let since = pair.now;
    for number in 0..400u32 {
        let taken = |pair: &mut Pair| {
            few.try_push(pair.now, Message::binary(number.to_le_bytes().to_vec())).is_ok()
        };
        assert!(pair.run(SECOND, taken), "no room for message {number}");
    }
    let all =
        |pair: &mut Pair| pair.ends[ANSWERER].messages.iter().filter(|m| m.1 == id).count() == 400;
    assert!(pair.run(SECOND, all));
    let took = pair.now - since;
    println!("400 messages, 8 at a time, took {took:?}");
    // 50 outboxes, each a round trip of 20 ms; at leisure it would be 100 ms and more.
    assert!(took < 2 * SECOND, "{took:?}");
}
