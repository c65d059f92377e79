//! Drivers without threads: their notes are carried by the test.

mod town;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use town::{Town, numbers};

use crate::link::{ChannelConfig, Message};
use crate::model::client::ClientId;
use crate::signal::letter::Sealed;
use crate::signal::post::{FromHub, ToHub};

const SECOND: Duration = Duration::from_secs(1);

fn commands() -> ChannelConfig {
    ChannelConfig::new("commands")
}

#[test]
fn a_message_is_acknowledged_when_all_have_it_wherever_they_are() {
    let mut town = Town::new(3, |_| ());
    let [a, b, c] = [(); 3].map(|()| town.join(&[commands()]));
    assert_eq!([a, b, c].map(|p| town.people[p].driver), [0, 1, 2]);
    town.run(SECOND);
    (0..50).for_each(|n| town.send(a, "commands", n));
    town.run(SECOND);
    assert!(town.people[a].link.is_flushed());
    town.people[c].cut = true;
    (50..60).for_each(|n| town.send(a, "commands", n));
    town.run(SECOND);
    assert_eq!(numbers(&town.people[b], "commands"), (0..60).collect::<Vec<_>>());
    assert!(!town.people[a].link.is_flushed(), "one of them has not got it");
    town.people[c].cut = false;
    town.run(5 * SECOND);
    assert_eq!(numbers(&town.people[c], "commands"), (0..60).collect::<Vec<_>>());
    assert!(town.people[a].link.is_flushed());
    assert!(numbers(&town.people[a], "commands").is_empty(), "nobody gets its own");
    // Only who has the channel is told anything.
    let d = town.join(&[ChannelConfig::new("others")]);
    town.run(SECOND);
    let before = town.carried;
    town.send(d, "others", 1);
    town.run(SECOND);
    assert_eq!(town.carried, before);
}

#[test]
fn what_nobody_gets_waits_for_another_drivers_client() {
    let mut town = Town::new(2, |_| ());
    let a = town.join(&[commands()]);
    town.run(SECOND);
    (0..20).for_each(|n| town.send(a, "commands", n));
    town.run(SECOND);
    assert!(!town.people[a].link.is_flushed());
    let b = town.join(&[commands()]);
    assert_ne!(town.people[a].driver, town.people[b].driver);
    town.run(SECOND);
    (20..40).for_each(|n| town.send(a, "commands", n));
    town.run(SECOND);
    assert_eq!(numbers(&town.people[b], "commands"), (0..40).collect::<Vec<_>>());
    assert!(town.people[a].link.is_flushed());
    // The last one goes: what comes then waits again.
    town.leave(b);
    town.run(SECOND);
    (40..50).for_each(|n| town.send(a, "commands", n));
    town.run(SECOND);
    assert!(!town.people[a].link.is_flushed());
    let c = town.join(&[commands()]);
    let d = town.join(&[commands()]);
    town.run(SECOND);
    let got = [c, d].map(|p| numbers(&town.people[p], "commands"));
    assert!(got.contains(&(40..50).collect::<Vec<_>>()), "{got:?}");
    assert!(town.people[a].link.is_flushed());
}

#[test]
fn what_comes_too_late_for_the_last_reader_waits_for_the_next() {
    let mut town = Town::new(3, |_| ());
    let [a, b, c] = [(); 3].map(|()| town.join(&[commands()]));
    town.run(SECOND);
    // On its way to both when they leave; and more, when that is known.
    town.full = true;
    (0..20).for_each(|n| town.send(a, "commands", n));
    town.run(SECOND);
    [b, c].into_iter().for_each(|reader| town.leave(reader));
    town.run(SECOND);
    town.redial(a);
    town.run(SECOND);
    town.full = false;
    town.run(SECOND);
    (20..40).for_each(|n| town.send(a, "commands", n));
    town.run(SECOND);
    assert!(!town.people[a].link.is_flushed(), "nobody has read it");
    let d = town.join(&[commands()]);
    town.run(SECOND);
    assert_eq!(numbers(&town.people[d], "commands"), (0..40).collect::<Vec<_>>());
    assert!(town.people[a].link.is_flushed());
}

/// One of two readers leaves: what the other one has read is not kept for the next.
#[test]
fn what_somebody_has_read_does_not_come_back() {
    for first in [true, false] {
        let mut town = Town::new(3, |_| ());
        let [a, b, c] = [(); 3].map(|()| town.join(&[commands()]));
        town.run(SECOND);
        let (leaves, stays) = if first { (b, c) } else { (c, b) };
        (0..20).for_each(|n| town.send(a, "commands", n));
        town.leave(leaves);
        town.run(SECOND);
        assert_eq!(numbers(&town.people[stays], "commands"), (0..20).collect::<Vec<_>>());
        assert!(town.people[a].link.is_flushed());
        town.leave(stays);
        town.run(SECOND);
        let d = town.join(&[commands()]);
        town.run(SECOND);
        assert!(numbers(&town.people[d], "commands").is_empty());
    }
}

#[test]
fn who_is_expected_to_have_a_channel_is_not_asked_again_and_again() {
    let mut town = Town::new(2, |_| ());
    let a = town.join(&[commands()]);
    town.join(&[ChannelConfig::new("others")]);
    town.run(SECOND);
    let expected = *town.hubs[1].clients.keys().next().unwrap();
    assert!(town.hubs[1].members.open(expected, "commands"));
    town.hubs[1].place.set_interest("commands", true);
    town.run(SECOND);
    (0..10).for_each(|n| town.send(a, "commands", n));
    let before = town.carried;
    town.run(SECOND);
    assert!(town.carried - before < 30, "{}", town.carried - before);
    assert!(!town.people[a].link.is_flushed());
    let [c, d] = [(); 2].map(|()| town.join(&[commands()]));
    town.run(SECOND);
    let got = [c, d].map(|p| numbers(&town.people[p], "commands"));
    assert!(got.contains(&(0..10).collect::<Vec<_>>()), "{got:?}");
    assert!(town.people[a].link.is_flushed());
}

/// Readers come and go while messages are on their way to them: each gets some in order, and the
/// writer waits for nothing that cannot come.
#[test]
fn readers_that_come_and_go_get_nothing_out_of_order() {
    for seed in 1..=4_u64 {
        let mut town = Town::new(3, |_| ());
        let a = town.join(&[commands()]);
        town.run(SECOND);
        let (mut random, mut count, mut all) = (seed, 0, Vec::new());
        for _ in 0..60 {
            random = u64::wrapping_mul(random, 6_364_136_223_846_793_005).wrapping_add(1);
            let dice = random >> 33;
            let reader = town.join(&[commands()]);
            town.run(Duration::from_millis(100));
            for step in 0..dice % 30 {
                town.send(a, "commands", count);
                count += 1;
                town.full ^= dice >> (step % 20) & 1 == 1;
                town.run(Duration::from_millis(step % 3));
            }
            town.leave(reader);
            all.push(reader);
            town.full = false;
            town.run(Duration::from_millis(dice / 32 % 3));
        }
        let last = town.join(&[commands()]);
        town.run(5 * SECOND);
        assert!(town.people[a].link.is_flushed(), "seed {seed}");
        all.push(last);
        for reader in all {
            let got = numbers(&town.people[reader], "commands");
            assert!(got.is_sorted_by(|a, b| a < b), "{got:?}, seed {seed}");
        }
    }
}

/// A driver that panics is forgotten as it is; so are the notes that it was just reading.
#[test]
fn what_a_driver_has_not_read_when_it_panics_is_not_acknowledged() {
    let mut town = Town::new(2, |_| ());
    let [a, b] = [(); 2].map(|()| town.join(&[commands()]));
    town.run(SECOND);
    assert_eq!([a, b].map(|p| town.people[p].driver), [0, 1]);
    town.full = true;
    (0..20).for_each(|n| town.send(a, "commands", n));
    town.run(SECOND);
    let mut notes = town.hubs[0].place.poll(1);
    assert_eq!(notes.len(), 20);
    notes.insert(0, super::Note::Panic);
    let mut hub = town.hubs.pop().unwrap();
    let read = AssertUnwindSafe(|| hub.handle_notes(town.now, 0, notes));
    catch_unwind(read).unwrap_err();
    std::mem::forget(hub);
    town.run(SECOND);
    assert!(!town.people[a].link.is_flushed());
}

#[test]
fn who_comes_back_on_a_new_transport_misses_and_repeats_nothing() {
    let mut town = Town::new(2, |_| ());
    let [a, b] = [(); 2].map(|()| town.join(&[commands()]));
    // So that there is a while between a new transport and its channels.
    town.delay = Duration::from_millis(20);
    town.run(SECOND);
    let mut next = 0;
    for _ in 0..5 {
        town.redial(b);
        for _ in 0..200 {
            town.send(a, "commands", next);
            next += 1;
            town.run(Duration::from_millis(2));
        }
        town.run(SECOND);
    }
    assert_eq!(town.people[b].driver, 1, "where its session was");
    assert_eq!(numbers(&town.people[b], "commands"), (0..next).collect::<Vec<_>>());
    // The writer, too.
    for _ in 0..3 {
        town.redial(a);
        for _ in 0..200 {
            town.send(a, "commands", next);
            next += 1;
            town.run(Duration::from_millis(2));
        }
        town.run(SECOND);
    }
    assert_eq!(numbers(&town.people[b], "commands"), (0..next).collect::<Vec<_>>());
    assert!(town.people[a].link.is_flushed());
    let clients: usize = town.hubs.iter().map(|hub| hub.count().0).sum();
    assert_eq!(clients, 2);
}

fn assert_all_got(town: &mut Town, people: &[usize], count: u64, seed: u64) {
    town.run(10 * SECOND);
    for person in people {
        let got = numbers(&town.people[*person], "commands");
        assert_eq!(got, (0..count).collect::<Vec<_>>(), "{person}, seed {seed}");
        assert!(town.people[*person].link.is_flushed(), "{person}, seed {seed}");
    }
}

/// Both change their transports at any time, while queues have room or have none.
#[test]
fn whatever_happens_all_arrive_once_and_in_order() {
    for seed in 1..=6_u64 {
        let mut town = Town::new(3, |_| ());
        let people = [(); 2].map(|()| town.join(&[commands()]));
        town.delay = Duration::from_millis(seed * 4 % 23);
        town.run(SECOND);
        let (mut random, mut count, mut quiet) = (seed, 0, [0; 2]);
        for step in 0..1_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let dice = random >> 33;
            people.iter().for_each(|p| town.send(*p, "commands", count));
            count += 1;
            let who = (dice % 2) as usize;
            if dice / 2 % 100 == 0 && quiet[who] + 150 < step {
                quiet[who] = step;
                town.redial(people[who]);
            }
            if dice / 200 % 40 == 0 {
                town.full = !town.full;
            }
            town.run(Duration::from_millis(dice / 8_000 % 8));
        }
        town.full = false;
        assert_all_got(&mut town, &people, count, seed);
    }
}

/// Several change their transports at once, in one driver or in different ones.
#[test]
fn each_of_many_gets_what_was_sent_while_it_was_changing_transports() {
    for seed in 1..=6_u64 {
        let mut town = Town::new(1 + seed as usize % 3, |_| ());
        let [writer, readers @ ..] = [(); 5].map(|()| town.join(&[commands()]));
        town.delay = Duration::from_millis(5 + seed * 4 % 23);
        town.run(SECOND);
        let (mut random, mut count) = (seed, 0);
        for step in 0..600 {
            town.send(writer, "commands", count);
            count += 1;
            if step % 150 == 20 {
                random = u64::wrapping_mul(random, 6_364_136_223_846_793_005).wrapping_add(1);
                let chosen =
                    readers.iter().enumerate().filter(|(n, _)| random >> (40 + n) & 1 == 1);
                chosen.for_each(|(_, reader)| town.redial(*reader));
            }
            town.run(Duration::from_millis(3));
        }
        assert_all_got(&mut town, &readers, count, seed);
        assert!(town.people[writer].link.is_flushed(), "seed {seed}");
    }
}

#[test]
fn who_comes_back_without_a_channel_is_not_waited_for_without_end() {
    let mut town = Town::new(2, |_| ());
    let [a, b] = [(); 2].map(|()| town.join(&[commands()]));
    town.run(SECOND);
    let session = town.people[b].session.clone();
    // So many that it takes none of the hub's.
    let others: Vec<_> = (0..16).map(|n| ChannelConfig::new(format!("other-{n}"))).collect();
    town.try_join(None, &others, Some(&session)).unwrap();
    town.run(SECOND);
    (0..10).for_each(|n| town.send(a, "commands", n));
    town.run(10 * SECOND);
    assert!(!town.people[a].link.is_flushed(), "it may be back");
    town.run(60 * SECOND);
    assert!(town.people[a].link.is_flushed());
    // Nobody has the channel any more.
    town.send(a, "commands", 10);
    town.run(SECOND);
    assert!(!town.people[a].link.is_flushed());
    let c = town.join(&[commands()]);
    town.run(SECOND);
    assert_eq!(numbers(&town.people[c], "commands"), [10]);
}

#[test]
fn what_cannot_be_lost_waits_for_room() {
    let mut town = Town::new(2, |_| ());
    let channels = [commands(), ChannelConfig::plain("test")];
    let [a, b] = [(); 2].map(|()| town.join(&channels));
    town.run(SECOND);
    town.full = true;
    (0..100).for_each(|n| town.send(a, "commands", n));
    (0..100).for_each(|n| town.send(a, "test", n));
    town.run(SECOND);
    assert!(numbers(&town.people[b], "commands").is_empty() && !town.people[a].link.is_flushed());
    // Nobody waits for those: only so many are kept.
    for _ in 0..8 {
        (0..100).for_each(|_| town.send_bytes(a, "test", 10_000));
        town.run(SECOND);
    }
    let dropped: u64 = town.hubs.iter().map(|hub| hub.place.dropped).sum();
    assert!(dropped > 300, "{dropped}");
    town.full = false;
    town.run(5 * SECOND);
    assert_eq!(numbers(&town.people[b], "commands"), (0..100).collect::<Vec<_>>());
    assert_eq!(numbers(&town.people[b], "test")[..100], (0..100).collect::<Vec<_>>());
    assert!(town.people[a].link.is_flushed());
}

#[test]
fn who_is_told_that_a_channel_is_open_before_other_drivers_are_misses_nothing_kept() {
    let mut town = Town::new(2, |_| ());
    let a = town.join(&[commands()]);
    town.run(SECOND);
    (0..10).for_each(|n| town.send(a, "commands", n));
    town.full = true;
    let b = town.join(&[commands()]);
    town.run(SECOND);
    let id = town.people[b].link.channel("commands").unwrap();
    assert!(town.people[b].link.is_open(id));
    // Its own messages come after the note that has it get those of others.
    (10..20).for_each(|n| town.send(a, "commands", n));
    (20..30).for_each(|n| town.send(b, "commands", n));
    town.run(SECOND);
    assert!(!town.people[a].link.is_flushed() && numbers(&town.people[b], "commands").is_empty());
    town.full = false;
    town.run(SECOND);
    assert_eq!(numbers(&town.people[b], "commands"), (0..20).collect::<Vec<_>>());
    assert_eq!(numbers(&town.people[a], "commands"), (20..30).collect::<Vec<_>>());
    assert!([a, b].iter().all(|p| town.people[*p].link.is_flushed()));
}

#[test]
fn peers_of_two_drivers_find_each_other() {
    let mut town = Town::new(2, |_| ());
    let [one, two] = town.names();
    let x = town.join_named(&one);
    town.run(SECOND);
    assert_eq!(town.texts(x), [FromHub::Registered { name: one.clone() }]);
    // Not there, then there.
    town.say(x, &send(&two, "early"));
    town.run(SECOND);
    let absent = FromHub::Absent { name: two.clone(), call: "early".into() };
    assert_eq!(town.texts(x), [absent]);
    let y = town.join_named(&two);
    assert_ne!(town.people[x].driver, town.people[y].driver);
    town.run(SECOND);
    assert_eq!(town.texts(x), [FromHub::Present { name: two.clone() }]);
    assert_eq!(town.texts(y), [FromHub::Registered { name: two.clone() }]);
    // A call, offered twice: the same channels.
    let mut ends = Vec::new();
    for _ in 0..2 {
        town.say(x, &send(&two, "call"));
        town.run(SECOND);
        let (ours, theirs) = (town.texts(x), town.texts(y));
        let [FromHub::Channel { number: ours, .. }] = ours[..] else { panic!("{ours:?}") };
        let [FromHub::Channel { number: theirs, .. }, FromHub::Deliver { .. }] = theirs[..] else {
            panic!("{theirs:?}")
        };
        ends.push((ours, theirs));
    }
    assert_eq!(ends[0], ends[1]);
    let (ours, theirs) = ends[0];
    for (from, number, to, other) in [(x, ours, y, theirs), (y, theirs, x, ours)] {
        (0..30u8).for_each(|n| town.frame(from, number, &[n; 100]));
        town.run(SECOND);
        let got = std::mem::take(&mut town.people[to].frames);
        assert_eq!(got, (0..30).map(|n| (other, vec![n; 100])).collect::<Vec<_>>());
    }
    assert_eq!(town.hubs.iter().map(|hub| hub.relay.len()).sum::<usize>(), 1);
    // The other side asks for its channel again, then ends the call.
    town.say(y, &ToHub::Relay { to: one.clone(), call: "call".into() });
    town.run(SECOND);
    assert_eq!(town.texts(x), [FromHub::Channel { call: "call".into(), number: ours }]);
    assert_eq!(town.texts(y), [FromHub::Channel { call: "call".into(), number: theirs }]);
    town.say(y, &ToHub::End { call: "call".into() });
    town.run(SECOND);
    assert!(town.hubs.iter().all(|hub| hub.relay.len() == 0));
    town.frame(x, ours, b"late");
    town.run(SECOND);
    assert!(town.people[y].frames.is_empty());
    // Too many calls are rejected where the other one is, and leave no channel behind.
    for n in 0..6 {
        town.say(x, &send(&two, &format!("more-{n}")));
    }
    town.run(SECOND);
    let texts = town.texts(x);
    let rejected = texts.iter().filter(|text| matches!(text, FromHub::Rejected { .. })).count();
    let calls = texts.iter().filter(|text| matches!(text, FromHub::Channel { .. })).count();
    assert_eq!(calls, town.hubs.iter().map(|hub| hub.relay.len()).sum::<usize>());
    assert!(rejected > 0 && rejected + calls == 6, "{texts:?}");
    // Nobody needs them when one of the two is forgotten.
    town.leave(x);
    town.run(70 * SECOND);
    assert!(town.hubs.iter().all(|hub| hub.relay.len() == 0));
}

#[test]
fn datagrams_do_not_wait_for_room() {
    let mut town = Town::new(2, |_| ());
    let [one, two] = town.names();
    let [x, y] = [&one, &two].map(|name| town.join_named(name));
    town.run(SECOND);
    town.say(x, &send(&two, "call"));
    town.run(SECOND);
    let texts = town.texts(x);
    let Some(FromHub::Channel { number, .. }) = texts.last() else { panic!("{texts:?}") };
    town.full = true;
    (0..10).for_each(|_| town.frame(x, *number, b"datagram"));
    town.run(SECOND);
    town.full = false;
    town.run(SECOND);
    assert!(town.people[y].frames.is_empty());
    let status = town.status();
    assert_eq!((&status["between_dropped"], &status["drivers"]), (&10.into(), &2.into()));
}

#[test]
fn numbers_are_those_of_all_drivers() {
    let mut town = Town::new(3, |config| config.max_clients = 4);
    let [one, two] = town.names();
    let named = [&one, &two].map(|name| town.join_named(name));
    let unnamed = [(); 2].map(|()| town.join(&[commands()]));
    town.run(2 * SECOND);
    let status = town.status();
    let mut names = [one, two];
    names.sort();
    for (field, value) in [("clients", 4), ("connected", 4), ("registered", 2)] {
        assert_eq!(status[field], value, "{field}: {status}");
    }
    assert_eq!(status["names"], serde_json::json!(names));
    assert_eq!(town.try_join(None, &[commands()], None), Err(503), "all together are enough");
    town.leave(unnamed[0]);
    town.run(SECOND);
    assert!(town.try_join(None, &[commands()], None).is_ok());
    assert!(named.iter().all(|p| town.people[*p].link.is_alive()));
}

fn send(to: &str, call: &str) -> ToHub {
    let letter = Sealed {
        certificate: "certificate".into(),
        text: call.to_owned(),
        signature: "signature".into(),
    };
    ToHub::Send { to: to.to_owned(), call: call.to_owned(), offer: true, letter: Box::new(letter) }
}

#[test]
fn notes_are_bounded() {
    let mut place = super::Place::among(0, super::Shared::new(2).into());
    let message = Message::binary(vec![0; 100_000]);
    let writer = ClientId::of_test(0);
    (0..1000).for_each(|_| place.pass(1, writer, "a".into(), message.clone()));
    assert!(place.dropped > 950, "{}", place.dropped);
    let batch = place.poll(1);
    assert_eq!((batch.len() as u64, place.poll(1).len()), (1000 - place.dropped, 0));
    place.put_back(1, batch);
    place.pass(1, writer, "a".into(), message.clone());
    assert_eq!(place.poll(1).len() as u64, 1001 - place.dropped);
    place.pass(1, writer, "a".into(), message);
    assert_eq!((place.poll(1).len(), place.waiting().count()), (1, 0), "there is room again");
}
