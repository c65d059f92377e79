//! What its writer is told of a message, whatever becomes of its readers.

use std::time::Duration;

use super::{SECOND, commands};
use crate::link::{ChannelConfig, Mode};
use crate::model::client::ClientId;
use crate::model::propagated::Propagated;
use crate::server::shard::tests::harness::{Harness, numbers};
use crate::signal::hub_messages::{CHANNEL, FromHub};

fn up_to(count: u64) -> Vec<u64> {
    (0..count).collect()
}

/// A writer, and a reader to whom nothing gets through, though the hub has sent it 20 messages.
fn cut_off(harness: &mut Harness) -> [usize; 2] {
    let [a, b] = [(); 2].map(|()| harness.join(&[commands()]));
    harness.run(SECOND);
    harness.nodes[b].cut = true;
    (0..20).for_each(|n| harness.send(a, "commands", n));
    harness.run(SECOND);
    assert!(!harness.nodes[a].link.is_flushed());
    [a, b]
}

/// The next reader gets all that was not read, and then the writer knows.
fn next_gets_all(harness: &mut Harness, writer: usize, count: u64) {
    let next = harness.join(&[commands()]);
    harness.run(SECOND);
    assert_eq!(numbers(&harness.nodes[next], "commands"), up_to(count));
    assert_eq!(harness.nodes[next].lost, 0);
    assert!(harness.nodes[writer].link.is_flushed());
}

#[test]
fn what_no_reader_had_when_it_was_forgotten_waits_for_the_next() {
    for shards in [1, 2, 3] {
        let mut harness = Harness::new(shards, |_| ());
        let [a, b] = cut_off(&mut harness);
        harness.forget(b);
        harness.run(SECOND);
        (20..30).for_each(|n| harness.send(a, "commands", n));
        harness.run(SECOND);
        assert!(!harness.nodes[a].link.is_flushed(), "nobody has read it");
        next_gets_all(&mut harness, a, 30);
    }
}

#[test]
fn what_a_reader_had_that_panics_waits_for_the_next() {
    for shards in [1, 2] {
        let mut harness = Harness::new(shards, |_| ());
        let [a, b] = cut_off(&mut harness);
        let (id, now) = (harness.client(b), harness.now);
        let hub = &mut harness.hubs[harness.nodes[b].shard];
        assert!(hub.with_client(now, id, |_, _| panic!("a bug")).is_none_or(|()| false));
        harness.run(SECOND);
        assert!(!harness.nodes[a].link.is_flushed(), "nobody has read it");
        next_gets_all(&mut harness, a, 20);
    }
}

/// It says that it has the channel, and is gone before it gets what waits.
#[test]
fn what_waits_for_a_reader_that_is_gone_already_waits_on() {
    let mut harness = Harness::new(1, |_| ());
    let a = harness.join(&[commands()]);
    harness.run(SECOND);
    (0..10).for_each(|n| harness.send(a, "commands", n));
    harness.run(SECOND);
    let opened = Propagated::Opened { by: ClientId::of_number(u64::MAX), label: "commands".into() };
    harness.hubs[0].propagated.push_back(opened);
    harness.run(SECOND);
    assert!(!harness.nodes[a].link.is_flushed(), "nobody has read it");
    next_gets_all(&mut harness, a, 10);
}

/// One has it, or gets it: the other one that has left holds up nobody.
#[test]
fn a_reader_that_is_gone_holds_up_nobody_if_another_one_has_it() {
    for shards in [1, 3] {
        for early in [true, false] {
            let mut harness = Harness::new(shards, |_| ());
            let [a, b] = cut_off(&mut harness);
            let c = harness.join(&[commands()]);
            harness.run(SECOND);
            harness.nodes[c].cut = early;
            (20..40).for_each(|n| harness.send(a, "commands", n));
            harness.run(SECOND);
            harness.forget(b);
            harness.nodes[c].cut = false;
            harness.run(5 * SECOND);
            assert_eq!(numbers(&harness.nodes[c], "commands"), (20..40).collect::<Vec<_>>());
            // What it would have got out of order, it does not get, and knows.
            assert_eq!(harness.nodes[c].lost, 20);
            assert!(harness.nodes[a].link.is_flushed());
        }
    }
}

/// A shard says good-bye while others still serve.
#[test]
fn a_good_bye_is_no_acknowledgement() {
    let mut harness = Harness::new(2, |_| ());
    let [a, b] = cut_off(&mut harness);
    assert_eq!([a, b].map(|p| harness.nodes[p].shard), [0, 1]);
    let now = harness.now;
    harness.hubs[1].close(now);
    drop(harness.hubs.pop());
    harness.run(SECOND);
    assert!(!harness.nodes[a].link.is_flushed());
    // One that serves its own clients only, too.
    let mut harness = Harness::new(1, |_| ());
    let [a, _] = cut_off(&mut harness);
    let now = harness.now;
    harness.hubs[0].close(now);
    harness.run(SECOND);
    assert!(!harness.nodes[a].link.is_flushed());
}

#[test]
fn nothing_waits_for_a_writer_that_has_left() {
    for shards in [1, 2] {
        let mut harness = Harness::new(shards, |_| ());
        let [a, b] = cut_off(&mut harness);
        harness.leave(a);
        harness.run(SECOND);
        harness.forget(b);
        harness.run(SECOND);
        let c = harness.join(&[commands()]);
        harness.run(SECOND);
        assert!(numbers(&harness.nodes[c], "commands").is_empty());
        assert!(harness.hubs.iter_mut().all(|hub| hub.broker.take_waiting("commands").is_empty()));
    }
}

/// It goes on on another session, and so does what waits.
#[test]
fn what_comes_back_is_its_writers_on_whatever_session() {
    for shards in [1, 2] {
        let mut harness = Harness::new(shards, |_| ());
        let [a, b] = cut_off(&mut harness);
        harness.redial(a);
        harness.run(SECOND);
        harness.forget(b);
        harness.run(SECOND);
        assert!(!harness.nodes[a].link.is_flushed());
        next_gets_all(&mut harness, a, 20);
    }
}

/// The smaller one is told that it misses something; if there is no other, the writer is told so.
#[test]
fn what_is_too_large_for_a_reader_is_a_gap_for_it() {
    for shards in [1, 2] {
        let mut harness = Harness::new(shards, |_| ());
        let channels = [ChannelConfig::plain(CHANNEL), commands()];
        let a = harness.try_join(Some("rover"), &channels, None).unwrap();
        let large = harness.join(&[commands()]);
        harness.max_message = 1000;
        let small = harness.join(&[commands()]);
        harness.run(SECOND);
        let _ = harness.texts(a);
        harness.send(a, "commands", 0);
        harness.send_bytes(a, "commands", 5000);
        harness.send(a, "commands", 1);
        harness.run(SECOND);
        assert_eq!([large, small].map(|p| harness.nodes[p].lost), [0, 1]);
        assert_eq!([large, small].map(|p| numbers(&harness.nodes[p], "commands")), [[0, 1]; 2]);
        assert!(harness.nodes[a].link.is_flushed() && harness.texts(a).is_empty());
        harness.leave(large);
        harness.run(SECOND);
        // The last of all: the gap is told although nothing comes after it.
        harness.send(a, "commands", 2);
        harness.send_bytes(a, "commands", 6000);
        harness.run(SECOND);
        assert_eq!(harness.nodes[small].lost, 2);
        assert_eq!(numbers(&harness.nodes[small], "commands"), [0, 1, 2]);
        assert!(harness.nodes[a].link.is_flushed(), "it is not waited for without end");
        let texts = harness.texts(a);
        let [FromHub::Undelivered { label, size: 6000, .. }] = &texts[..] else {
            panic!("{texts:?}")
        };
        assert_eq!(label, "commands");
        let counted: u64 = harness.hubs.iter().map(|hub| hub.not_relayed).sum();
        assert_eq!(counted, 2);
    }
}

/// It comes back and takes less than before: what waits for it and is too large is a gap.
#[test]
fn a_reader_that_comes_back_may_take_less() {
    let mut harness = Harness::new(1, |_| ());
    let [a, b] = [(); 2].map(|()| harness.join(&[commands()]));
    harness.run(SECOND);
    harness.nodes[b].cut = true;
    harness.send(a, "commands", 0);
    harness.send_bytes(a, "commands", 5000);
    harness.send(a, "commands", 1);
    harness.run(SECOND);
    harness.nodes[b].cut = false;
    harness.nodes[b].link.set_max_message(1000);
    harness.redial(b);
    harness.run(5 * SECOND);
    assert_eq!(numbers(&harness.nodes[b], "commands"), [0, 1]);
    // Two pieces.
    assert_eq!(harness.nodes[b].lost, 2);
    assert!(harness.nodes[a].link.is_flushed());
}

/// A reader of another mode, which has no acknowledgements, or no gaps.
#[test]
fn readers_of_other_modes_hold_up_nobody() {
    for mode in [Mode::Plain, Mode::Datagram, Mode::Latest] {
        let mut harness = Harness::new(1, |_| ());
        let a = harness.join(&[commands()]);
        let b = harness.join(&[ChannelConfig::of_mode("commands", mode)]);
        harness.run(SECOND);
        for n in 0..20 {
            harness.send(a, "commands", n);
            harness.run(Duration::from_millis(10));
        }
        // More than fits a datagram, or a plain message; and what SCTP cannot carry.
        harness.send_bytes(a, "commands", 300_000);
        harness.send_bytes(a, "commands", 0);
        harness.run(2 * SECOND);
        assert_eq!(numbers(&harness.nodes[b], "commands"), up_to(20), "{mode:?}");
        assert!(harness.nodes[a].link.is_flushed(), "{mode:?}");
    }
}

/// What SCTP does not take of a message stands in the way of no other.
#[test]
fn a_plain_reader_that_takes_less_gets_what_it_takes() {
    let mut harness = Harness::new(1, |_| ());
    let a = harness.join(&[ChannelConfig::plain("commands")]);
    harness.plain_message = 32 * 1024;
    let b = harness.join(&[ChannelConfig::plain("commands")]);
    harness.run(SECOND);
    for (from, to) in [(a, b), (b, a)] {
        harness.send(from, "commands", 0);
        harness.send_bytes(from, "commands", 30_000);
        harness.send_bytes(from, "commands", 40_000);
        harness.send(from, "commands", 1);
        harness.run(SECOND);
        assert_eq!(numbers(&harness.nodes[to], "commands"), [0, 1]);
    }
    assert_eq!(harness.hubs[0].not_relayed, 1);
}

/// A reader that has no longer the channel keeps nobody else from what was for it.
#[test]
fn what_waits_on_a_channel_that_is_given_up_goes_to_others() {
    let mut harness = Harness::new(1, |_| ());
    let [a, b] = cut_off(&mut harness);
    let (id, now) = (harness.client(b), harness.now);
    let channel = harness.hubs[0].clients.get_mut(&id).unwrap().link().channel("commands").unwrap();
    harness.hubs[0].subscriptions.close(id, "commands");
    harness.hubs[0].with_client(now, id, |client, _| client.link().release(channel));
    harness.run(SECOND);
    assert!(!harness.nodes[a].link.is_flushed());
    next_gets_all(&mut harness, a, 20);
}
