//! Shards without threads: their messages are carried by the test.

pub(super) mod harness;
pub(super) mod settled;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use harness::{Harness, numbers};

use crate::link::{ChannelConfig, Message};
use crate::server::Hub;
use crate::signal::hub_messages::{FromHub, ToHub};
use crate::signal::signed::SignedMessage;

const SECOND: Duration = Duration::from_secs(1);

fn commands() -> ChannelConfig {
    ChannelConfig::new("commands")
}

#[test]
fn a_message_is_acknowledged_when_all_have_it_wherever_they_are() {
    let mut harness = Harness::new(3, |_| ());
    let [a, b, c] = [(); 3].map(|()| harness.join(&[commands()]));
    assert_eq!([a, b, c].map(|p| harness.nodes[p].shard), [0, 1, 2]);
    harness.run(SECOND);
    (0..50).for_each(|n| harness.send(a, "commands", n));
    harness.run(SECOND);
    assert!(harness.nodes[a].link.is_flushed());
    harness.nodes[c].cut = true;
    (50..60).for_each(|n| harness.send(a, "commands", n));
    harness.run(SECOND);
    assert_eq!(numbers(&harness.nodes[b], "commands"), (0..60).collect::<Vec<_>>());
    assert!(!harness.nodes[a].link.is_flushed(), "one of them has not got it");
    harness.nodes[c].cut = false;
    harness.run(5 * SECOND);
    assert_eq!(numbers(&harness.nodes[c], "commands"), (0..60).collect::<Vec<_>>());
    assert!(harness.nodes[a].link.is_flushed());
    assert!(numbers(&harness.nodes[a], "commands").is_empty(), "nobody gets its own");
    // Only who has the channel is told anything.
    let d = harness.join(&[ChannelConfig::new("others")]);
    harness.run(SECOND);
    let before = harness.carried;
    harness.send(d, "others", 1);
    harness.run(SECOND);
    assert_eq!(harness.carried, before);
}

/// One address, or some, with offers and nothing more: nobody else notices.
#[test]
fn who_only_offers_keeps_nobody_out() {
    let mut harness = Harness::new(2, |_| ());
    let attack = |harness: &mut Harness, last: u8| {
        (0..100).filter(|_| harness.offer([10, 9, 0, last], None) == 201).count()
    };
    assert_eq!(attack(&mut harness, 1), 32);
    let rover = harness.join(&[commands()]);
    harness.run(SECOND);
    assert!(harness.nodes[rover].link.is_alive());
    // Enough of them to fill all: who comes from elsewhere takes the place of theirs.
    let got: Vec<_> = (2..6).map(|last| attack(&mut harness, last)).collect();
    assert!(got.iter().all(|got| *got > 0), "{got:?}");
    for _ in 0..30 {
        (1..6).for_each(|last| _ = harness.offer([10, 9, 0, last], None));
        let rover = harness.join(&[commands()]);
        harness.run(SECOND);
        assert!(harness.nodes[rover].link.is_alive());
        assert!(harness.half_open() <= 64, "{}", harness.half_open());
    }
    // They are gone after a while, and nothing is left of them.
    harness.run(20 * SECOND);
    assert_eq!((harness.half_open(), attack(&mut harness, 1)), (0, 32));
}

#[test]
fn all_rovers_behind_one_nat_come_back_at_once() {
    let mut harness = Harness::new(2, |_| ());
    let mut waiting = 50;
    for _ in 0..3 {
        waiting =
            (0..waiting).filter(|_| harness.try_join(None, &[commands()], None).is_err()).count();
        harness.run(SECOND);
    }
    assert_eq!((waiting, harness.half_open()), (0, 0));
    // A thousand offers at once: all of them answered, one way or the other.
    let mut statuses: Vec<_> = (0..1_200).map(|_| harness.offer([10, 1, 0, 1], None)).collect();
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses, [201, 429]);
}

#[test]
fn who_has_a_token_comes_in_before_strangers() {
    let mut harness =
        Harness::new(2, |config| config.tokens = vec!["open sesame".parse().unwrap()]);
    for last in 1..=48 {
        assert_eq!(harness.offer([10, 9, 0, last], None), 201);
    }
    assert_eq!(harness.offer([10, 9, 0, 49], None), 503);
    assert_eq!(harness.offer([10, 9, 0, 49], Some("open barley")), 503);
    for _ in 0..64 {
        assert_eq!(harness.offer([10, 9, 0, 49], Some("open sesame")), 201);
    }
    harness.run(SECOND);
    assert_eq!(harness.half_open(), 64);
    assert_eq!(harness.offer([10, 9, 0, 50], Some("open sesame")), 201);
    assert_eq!(harness.offer([10, 9, 0, 49], Some("open sesame")), 429);
}

/// What anybody can send in a client's address is no sign of life of it.
#[test]
fn what_nobody_has_signed_keeps_no_client() {
    let record = |kind: u8, epoch: u8| {
        let header = [kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 9, 0, 40];
        [&header[..], &[7; 40]].concat()
    };
    let mut frame = Vec::new();
    crate::path::frame::write(&mut frame, 0, b"for another peer");
    for forged in [record(23, 1), record(21, 1), record(22, 0), record(60, 1), frame] {
        let mut harness = Harness::new(1, |config| config.health.gone_after = 20 * SECOND);
        let a = harness.join(&[commands()]);
        harness.run(SECOND);
        harness.nodes[a].cut = true;
        for _ in 0..26 {
            harness.forge(a, &forged);
            harness.run(SECOND);
        }
        assert_eq!(harness.hubs[0].count(), (0, 0), "{}", forged[0]);
    }
}

/// The good-byes of a hub let go of what its clients have not got.
#[test]
fn a_hub_that_ends_acknowledges_what_has_arrived_and_no_more() {
    let mut harness = Harness::new(3, |_| ());
    let [a, b, c] = [(); 3].map(|()| harness.join(&[commands()]));
    harness.run(SECOND);
    harness.send(a, "commands", 0);
    harness.run(SECOND);
    harness.nodes[c].cut = true;
    harness.send(a, "commands", 1);
    harness.run(SECOND);
    let now = harness.now;
    for end in [Hub::hasten_acks, Hub::close] {
        harness.hubs.iter_mut().for_each(|hub| end(hub, now));
    }
    harness.run(SECOND);
    assert_eq!(numbers(&harness.nodes[b], "commands"), [0, 1]);
    let outbox = harness.nodes[a].link.channels().next().unwrap().2;
    assert_eq!(outbox.held().0, 1, "one of them has not got the second one");
}

#[test]
fn what_nobody_gets_waits_for_another_shards_client() {
    let mut harness = Harness::new(2, |_| ());
    let a = harness.join(&[commands()]);
    harness.run(SECOND);
    (0..20).for_each(|n| harness.send(a, "commands", n));
    harness.run(SECOND);
    assert!(!harness.nodes[a].link.is_flushed());
    let b = harness.join(&[commands()]);
    assert_ne!(harness.nodes[a].shard, harness.nodes[b].shard);
    harness.run(SECOND);
    (20..40).for_each(|n| harness.send(a, "commands", n));
    harness.run(SECOND);
    assert_eq!(numbers(&harness.nodes[b], "commands"), (0..40).collect::<Vec<_>>());
    assert!(harness.nodes[a].link.is_flushed());
    // The last one goes: what comes then waits again.
    harness.leave(b);
    harness.run(SECOND);
    (40..50).for_each(|n| harness.send(a, "commands", n));
    harness.run(SECOND);
    assert!(!harness.nodes[a].link.is_flushed());
    let c = harness.join(&[commands()]);
    let d = harness.join(&[commands()]);
    harness.run(SECOND);
    let got = [c, d].map(|p| numbers(&harness.nodes[p], "commands"));
    assert!(got.contains(&(40..50).collect::<Vec<_>>()), "{got:?}");
    assert!(harness.nodes[a].link.is_flushed());
}

#[test]
fn what_comes_too_late_for_the_last_reader_waits_for_the_next() {
    let mut harness = Harness::new(3, |_| ());
    let [a, b, c] = [(); 3].map(|()| harness.join(&[commands()]));
    harness.run(SECOND);
    // On its way to both when they leave; and more, when that is known.
    harness.full = true;
    (0..20).for_each(|n| harness.send(a, "commands", n));
    harness.run(SECOND);
    [b, c].into_iter().for_each(|reader| harness.leave(reader));
    harness.run(SECOND);
    harness.redial(a);
    harness.run(SECOND);
    harness.full = false;
    harness.run(SECOND);
    (20..40).for_each(|n| harness.send(a, "commands", n));
    harness.run(SECOND);
    assert!(!harness.nodes[a].link.is_flushed(), "nobody has read it");
    let d = harness.join(&[commands()]);
    harness.run(SECOND);
    assert_eq!(numbers(&harness.nodes[d], "commands"), (0..40).collect::<Vec<_>>());
    assert!(harness.nodes[a].link.is_flushed());
}

/// One of two readers leaves: what the other one has read is not kept for the next.
#[test]
fn what_somebody_has_read_does_not_come_back() {
    for first in [true, false] {
        let mut harness = Harness::new(3, |_| ());
        let [a, b, c] = [(); 3].map(|()| harness.join(&[commands()]));
        harness.run(SECOND);
        let (leaves, stays) = if first { (b, c) } else { (c, b) };
        (0..20).for_each(|n| harness.send(a, "commands", n));
        harness.leave(leaves);
        harness.run(SECOND);
        assert_eq!(numbers(&harness.nodes[stays], "commands"), (0..20).collect::<Vec<_>>());
        assert!(harness.nodes[a].link.is_flushed());
        harness.leave(stays);
        harness.run(SECOND);
        let d = harness.join(&[commands()]);
        harness.run(SECOND);
        assert!(numbers(&harness.nodes[d], "commands").is_empty());
    }
}

#[test]
fn who_is_expected_to_have_a_channel_is_not_asked_again_and_again() {
    let mut harness = Harness::new(2, |_| ());
    let a = harness.join(&[commands()]);
    harness.join(&[ChannelConfig::new("others")]);
    harness.run(SECOND);
    let expected = *harness.hubs[1].clients.keys().next().unwrap();
    assert!(harness.hubs[1].subscriptions.open(expected, "commands"));
    harness.hubs[1].router.set_interest("commands", true);
    harness.run(SECOND);
    (0..10).for_each(|n| harness.send(a, "commands", n));
    let before = harness.carried;
    harness.run(SECOND);
    assert!(harness.carried - before < 30, "{}", harness.carried - before);
    assert!(!harness.nodes[a].link.is_flushed());
    let [c, d] = [(); 2].map(|()| harness.join(&[commands()]));
    harness.run(SECOND);
    let got = [c, d].map(|p| numbers(&harness.nodes[p], "commands"));
    assert!(got.contains(&(0..10).collect::<Vec<_>>()), "{got:?}");
    assert!(harness.nodes[a].link.is_flushed());
}

/// Readers come and go while messages are on their way to them: each gets some in order, and the
/// writer waits for nothing that cannot come.
#[test]
fn readers_that_come_and_go_get_nothing_out_of_order() {
    for seed in 1..=4_u64 {
        let mut harness = Harness::new(3, |_| ());
        let a = harness.join(&[commands()]);
        harness.run(SECOND);
        let (mut random, mut count, mut all) = (seed, 0, Vec::new());
        for _ in 0..60 {
            random = u64::wrapping_mul(random, 6_364_136_223_846_793_005).wrapping_add(1);
            let dice = random >> 33;
            let reader = harness.join(&[commands()]);
            harness.run(Duration::from_millis(100));
            for step in 0..dice % 30 {
                harness.send(a, "commands", count);
                count += 1;
                harness.full ^= dice >> (step % 20) & 1 == 1;
                harness.run(Duration::from_millis(step % 3));
            }
            harness.leave(reader);
            all.push(reader);
            harness.full = false;
            harness.run(Duration::from_millis(dice / 32 % 3));
        }
        let last = harness.join(&[commands()]);
        harness.run(5 * SECOND);
        assert!(harness.nodes[a].link.is_flushed(), "seed {seed}");
        all.push(last);
        for reader in all {
            let got = numbers(&harness.nodes[reader], "commands");
            assert!(got.is_sorted_by(|a, b| a < b), "{got:?}, seed {seed}");
        }
    }
}

/// A shard that panics, and with it the messages that it was just reading.
#[test]
fn what_a_shard_has_not_read_when_it_panics_is_not_acknowledged() {
    let mut harness = Harness::new(2, |_| ());
    let [a, b] = [(); 2].map(|()| harness.join(&[commands()]));
    harness.run(SECOND);
    assert_eq!([a, b].map(|p| harness.nodes[p].shard), [0, 1]);
    harness.full = true;
    (0..20).for_each(|n| harness.send(a, "commands", n));
    harness.run(SECOND);
    let mut messages = harness.hubs[0].router.poll(1);
    assert_eq!(messages.len(), 20);
    messages.insert(0, crate::server::shard::router::ShardMessage::Panic);
    let mut hub = harness.hubs.pop().unwrap();
    let read = AssertUnwindSafe(|| hub.handle_shard_messages(harness.now, 0, messages));
    catch_unwind(read).unwrap_err();
    drop(hub);
    harness.run(SECOND);
    assert!(!harness.nodes[a].link.is_flushed());
}

#[test]
fn who_comes_back_on_a_new_transport_misses_and_repeats_nothing() {
    let mut harness = Harness::new(2, |_| ());
    let [a, b] = [(); 2].map(|()| harness.join(&[commands()]));
    // So that there is a while between a new transport and its channels.
    harness.delay = Duration::from_millis(20);
    harness.run(SECOND);
    let mut next = 0;
    for _ in 0..5 {
        harness.redial(b);
        for _ in 0..200 {
            harness.send(a, "commands", next);
            next += 1;
            harness.run(Duration::from_millis(2));
        }
        harness.run(SECOND);
    }
    assert_eq!(harness.nodes[b].shard, 1, "where its session was");
    assert_eq!(numbers(&harness.nodes[b], "commands"), (0..next).collect::<Vec<_>>());
    // The writer, too.
    for _ in 0..3 {
        harness.redial(a);
        for _ in 0..200 {
            harness.send(a, "commands", next);
            next += 1;
            harness.run(Duration::from_millis(2));
        }
        harness.run(SECOND);
    }
    assert_eq!(numbers(&harness.nodes[b], "commands"), (0..next).collect::<Vec<_>>());
    assert!(harness.nodes[a].link.is_flushed());
    let clients: usize = harness.hubs.iter().map(|hub| hub.count().0).sum();
    assert_eq!(clients, 2);
}

fn assert_all_got(harness: &mut Harness, nodes: &[usize], count: u64, seed: u64) {
    harness.run(10 * SECOND);
    for node in nodes {
        let got = numbers(&harness.nodes[*node], "commands");
        assert_eq!(got, (0..count).collect::<Vec<_>>(), "{node}, seed {seed}");
        assert!(harness.nodes[*node].link.is_flushed(), "{node}, seed {seed}");
    }
}

/// Both change their transports at any time, while queues have room or have none.
#[test]
fn whatever_happens_all_arrive_once_and_in_order() {
    for seed in 1..=6_u64 {
        let mut harness = Harness::new(3, |_| ());
        let nodes = [(); 2].map(|()| harness.join(&[commands()]));
        harness.delay = Duration::from_millis(seed * 4 % 23);
        harness.run(SECOND);
        let (mut random, mut count, mut quiet) = (seed, 0, [0; 2]);
        for step in 0..1_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let dice = random >> 33;
            nodes.iter().for_each(|p| harness.send(*p, "commands", count));
            count += 1;
            let who = (dice % 2) as usize;
            if dice / 2 % 100 == 0 && quiet[who] + 150 < step {
                quiet[who] = step;
                harness.redial(nodes[who]);
            }
            if dice / 200 % 40 == 0 {
                harness.full = !harness.full;
            }
            harness.run(Duration::from_millis(dice / 8_000 % 8));
        }
        harness.full = false;
        assert_all_got(&mut harness, &nodes, count, seed);
    }
}

/// Several change their transports at once, in one shard or in different ones.
#[test]
fn each_of_many_gets_what_was_sent_while_it_was_changing_transports() {
    for seed in 1..=6_u64 {
        let mut harness = Harness::new(1 + seed as usize % 3, |_| ());
        let [writer, readers @ ..] = [(); 5].map(|()| harness.join(&[commands()]));
        harness.delay = Duration::from_millis(5 + seed * 4 % 23);
        harness.run(SECOND);
        let (mut random, mut count) = (seed, 0);
        for step in 0..600 {
            harness.send(writer, "commands", count);
            count += 1;
            if step % 150 == 20 {
                random = u64::wrapping_mul(random, 6_364_136_223_846_793_005).wrapping_add(1);
                let chosen =
                    readers.iter().enumerate().filter(|(n, _)| random >> (40 + n) & 1 == 1);
                chosen.for_each(|(_, reader)| harness.redial(*reader));
            }
            harness.run(Duration::from_millis(3));
        }
        assert_all_got(&mut harness, &readers, count, seed);
        assert!(harness.nodes[writer].link.is_flushed(), "seed {seed}");
    }
}

#[test]
fn who_comes_back_without_a_channel_is_not_waited_for_without_end() {
    let mut harness = Harness::new(2, |_| ());
    let [a, b] = [(); 2].map(|()| harness.join(&[commands()]));
    harness.run(SECOND);
    let session = harness.nodes[b].session.clone();
    // So many that it takes none of the hub's.
    let others: Vec<_> = (0..16).map(|n| ChannelConfig::new(format!("other-{n}"))).collect();
    harness.try_join(None, &others, Some(&session)).unwrap();
    harness.run(SECOND);
    (0..10).for_each(|n| harness.send(a, "commands", n));
    harness.run(10 * SECOND);
    assert!(!harness.nodes[a].link.is_flushed(), "it may be back");
    harness.run(60 * SECOND);
    // Nobody has the channel any more, and nobody has got those.
    harness.send(a, "commands", 10);
    harness.run(SECOND);
    assert!(!harness.nodes[a].link.is_flushed());
    let c = harness.join(&[commands()]);
    harness.run(SECOND);
    assert_eq!(numbers(&harness.nodes[c], "commands"), (0..=10).collect::<Vec<_>>());
    assert!(harness.nodes[a].link.is_flushed());
}

#[test]
fn what_cannot_be_lost_waits_for_room() {
    let mut harness = Harness::new(2, |_| ());
    let channels = [commands(), ChannelConfig::plain("test")];
    let [a, b] = [(); 2].map(|()| harness.join(&channels));
    harness.run(SECOND);
    harness.full = true;
    (0..100).for_each(|n| harness.send(a, "commands", n));
    (0..100).for_each(|n| harness.send(a, "test", n));
    harness.run(SECOND);
    assert!(
        numbers(&harness.nodes[b], "commands").is_empty() && !harness.nodes[a].link.is_flushed()
    );
    // Nobody waits for those: only so many are kept.
    for _ in 0..8 {
        (0..100).for_each(|_| harness.send_bytes(a, "test", 10_000));
        harness.run(SECOND);
    }
    let dropped: u64 = harness.hubs.iter().map(|hub| hub.router.dropped).sum();
    assert!(dropped > 300, "{dropped}");
    harness.full = false;
    harness.run(5 * SECOND);
    assert_eq!(numbers(&harness.nodes[b], "commands"), (0..100).collect::<Vec<_>>());
    assert_eq!(numbers(&harness.nodes[b], "test")[..100], (0..100).collect::<Vec<_>>());
    assert!(harness.nodes[a].link.is_flushed());
}

#[test]
fn who_is_told_that_a_channel_is_open_before_other_shards_are_misses_nothing_kept() {
    let mut harness = Harness::new(2, |_| ());
    let a = harness.join(&[commands()]);
    harness.run(SECOND);
    (0..10).for_each(|n| harness.send(a, "commands", n));
    harness.full = true;
    let b = harness.join(&[commands()]);
    harness.run(SECOND);
    let id = harness.nodes[b].link.channel("commands").unwrap();
    assert!(harness.nodes[b].link.is_open(id));
    // Its own messages come after the message that has it get those of others.
    (10..20).for_each(|n| harness.send(a, "commands", n));
    (20..30).for_each(|n| harness.send(b, "commands", n));
    harness.run(SECOND);
    assert!(
        !harness.nodes[a].link.is_flushed() && numbers(&harness.nodes[b], "commands").is_empty()
    );
    harness.full = false;
    harness.run(SECOND);
    assert_eq!(numbers(&harness.nodes[b], "commands"), (0..20).collect::<Vec<_>>());
    assert_eq!(numbers(&harness.nodes[a], "commands"), (20..30).collect::<Vec<_>>());
    assert!([a, b].iter().all(|p| harness.nodes[*p].link.is_flushed()));
}

#[test]
fn peers_of_two_shards_find_each_other() {
    let mut harness = Harness::new(2, |_| ());
    let [one, two] = harness.names();
    let x = harness.join_named(&one);
    harness.run(SECOND);
    assert_eq!(harness.texts(x), [FromHub::Registered { name: one.clone() }]);
    // Not there, then there.
    harness.say(x, &send(&two, "early"));
    harness.run(SECOND);
    let absent = FromHub::Absent { name: two.clone(), call: "early".into() };
    assert_eq!(harness.texts(x), [absent]);
    let y = harness.join_named(&two);
    assert_ne!(harness.nodes[x].shard, harness.nodes[y].shard);
    harness.run(SECOND);
    assert_eq!(harness.texts(x), [FromHub::Present { name: two.clone() }]);
    assert_eq!(harness.texts(y), [FromHub::Registered { name: two.clone() }]);
    // A call, offered twice: the same channels.
    let mut ends = Vec::new();
    for _ in 0..2 {
        harness.say(x, &send(&two, "call"));
        harness.run(SECOND);
        let (ours, theirs) = (harness.texts(x), harness.texts(y));
        let [FromHub::Channel { number: ours, .. }] = ours[..] else { panic!("{ours:?}") };
        let [FromHub::Channel { number: theirs, .. }, FromHub::Deliver { .. }] = theirs[..] else {
            panic!("{theirs:?}")
        };
        ends.push((ours, theirs));
    }
    assert_eq!(ends[0], ends[1]);
    let (ours, theirs) = ends[0];
    for (from, number, to, other) in [(x, ours, y, theirs), (y, theirs, x, ours)] {
        (0..30u8).for_each(|n| harness.frame(from, number, &[n; 100]));
        harness.run(SECOND);
        let got = std::mem::take(&mut harness.nodes[to].frames);
        assert_eq!(got, (0..30).map(|n| (other, vec![n; 100])).collect::<Vec<_>>());
    }
    assert_eq!(harness.hubs.iter().map(|hub| hub.relay.len()).sum::<usize>(), 1);
    // The other side asks for its channel again, then ends the call.
    harness.say(y, &ToHub::Relay { to: one.clone(), call: "call".into() });
    harness.run(SECOND);
    assert_eq!(harness.texts(x), [FromHub::Channel { call: "call".into(), number: ours }]);
    assert_eq!(harness.texts(y), [FromHub::Channel { call: "call".into(), number: theirs }]);
    harness.say(y, &ToHub::End { call: "call".into() });
    harness.run(SECOND);
    assert!(harness.hubs.iter().all(|hub| hub.relay.len() == 0));
    harness.frame(x, ours, b"late");
    harness.run(SECOND);
    assert!(harness.nodes[y].frames.is_empty());
    // Too many calls are rejected where the other one is, and leave no channel behind.
    for n in 0..6 {
        harness.say(x, &send(&two, &format!("more-{n}")));
    }
    harness.run(SECOND);
    let texts = harness.texts(x);
    let rejected = texts.iter().filter(|text| matches!(text, FromHub::Rejected { .. })).count();
    let calls = texts.iter().filter(|text| matches!(text, FromHub::Channel { .. })).count();
    assert_eq!(calls, harness.hubs.iter().map(|hub| hub.relay.len()).sum::<usize>());
    assert!(rejected > 0 && rejected + calls == 6, "{texts:?}");
    // Nobody needs them when one of the two is forgotten.
    harness.leave(x);
    harness.run(70 * SECOND);
    assert!(harness.hubs.iter().all(|hub| hub.relay.len() == 0));
}

#[test]
fn datagrams_do_not_wait_for_room() {
    let mut harness = Harness::new(2, |_| ());
    let [one, two] = harness.names();
    let [x, y] = [&one, &two].map(|name| harness.join_named(name));
    harness.run(SECOND);
    harness.say(x, &send(&two, "call"));
    harness.run(SECOND);
    let texts = harness.texts(x);
    let Some(FromHub::Channel { number, .. }) = texts.last() else { panic!("{texts:?}") };
    harness.full = true;
    (0..10).for_each(|_| harness.frame(x, *number, b"datagram"));
    harness.run(SECOND);
    harness.full = false;
    harness.run(SECOND);
    assert!(harness.nodes[y].frames.is_empty());
    let status = harness.status();
    assert_eq!((&status["between_dropped"], &status["drivers"]), (&10.into(), &2.into()));
}

#[test]
fn numbers_are_those_of_all_shards() {
    let mut harness = Harness::new(3, |config| config.max_clients = 4);
    let [one, two] = harness.names();
    let named = [&one, &two].map(|name| harness.join_named(name));
    let unnamed = [(); 2].map(|()| harness.join(&[commands()]));
    harness.run(2 * SECOND);
    let status = harness.status();
    let mut names = [one, two];
    names.sort();
    for (field, value) in [("clients", 4), ("connected", 4), ("registered", 2)] {
        assert_eq!(status[field], value, "{field}: {status}");
    }
    assert_eq!(status["names"], serde_json::json!(names));
    assert_eq!(harness.try_join(None, &[commands()], None), Err(503), "all together are enough");
    harness.leave(unnamed[0]);
    harness.run(SECOND);
    assert!(harness.try_join(None, &[commands()], None).is_ok());
    assert!(named.iter().all(|p| harness.nodes[*p].link.is_alive()));
}

fn send(to: &str, call: &str) -> ToHub {
    let signal = SignedMessage {
        certificate: "certificate".into(),
        text: call.to_owned(),
        signature: "signature".into(),
    };
    ToHub::Send { to: to.to_owned(), call: call.to_owned(), offer: true, signal: Box::new(signal) }
}

#[test]
fn notes_are_bounded() {
    let mut router = crate::server::shard::router::ShardRouter::among(
        0,
        crate::server::shard::router::HubShared::new(2).into(),
    );
    let message = Message::binary(vec![0; 100_000]);
    (0..1000).for_each(|_| router.pass(1, "a".into(), message.clone()));
    assert!(router.dropped > 950, "{}", router.dropped);
    let batch = router.poll(1);
    assert_eq!((batch.len() as u64, router.poll(1).len()), (1000 - router.dropped, 0));
    router.put_back(1, batch);
    router.pass(1, "a".into(), message.clone());
    assert_eq!(router.poll(1).len() as u64, 1001 - router.dropped);
    router.pass(1, "a".into(), message);
    assert_eq!((router.poll(1).len(), router.waiting().count()), (1, 0), "there is room again");
}
