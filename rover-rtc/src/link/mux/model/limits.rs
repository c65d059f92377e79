//! The largest messages, the slowest readers, the most keys.

use std::task::{Context, Poll, Waker};

use super::super::{Mux, Saved, SavedOutgoing};
use super::pair::Pair;
use crate::link::SendError;
use crate::link::{
    ChannelConfig, ChannelId, LinkEvent, MAX_MESSAGE, Message, Mode, OutboxConfig, Settled,
};

const DATA: ChannelId = ChannelId(0);

fn arrives(mut pair: Pair, size: usize) {
    let message = Message::binary(vec![7; size]);
    pair.outboxes[0].try_push(pair.now, message).unwrap();
    pair.settle_in(4 * MAX_MESSAGE / 4096);
    assert_eq!(pair.got(1).iter().map(|(_, text)| text.len()).collect::<Vec<_>>(), [size]);
    assert_eq!(pair.outboxes[0].held(), (0, 0));
    assert_eq!(pair.muxes[1].stats.frames_refused, 0);
}

#[test]
fn a_message_of_the_largest_size_arrives() {
    arrives(Pair::new(Mode::Reliable), MAX_MESSAGE);
}

#[test]
fn a_large_message_comes_to_a_reader_that_takes_little_at_a_time() {
    let mut pair = Pair::new(Mode::Reliable);
    pair.muxes[1].set_room(pair.now, DATA, 1);
    arrives(pair, MAX_MESSAGE);
}

#[test]
fn a_side_that_takes_small_messages_gets_those() {
    let mut pair = Pair::new(Mode::Reliable);
    let now = pair.now;
    for (limit, size) in [(1000, 1000), (5000, 5000)] {
        pair.muxes[1] = taking(&pair, Mode::Reliable, limit);
        pair.attach();
        pair.settle();
        let large = Message::binary(vec![0; limit + 1]);
        let refused = pair.outboxes[0].try_push(now, large);
        assert_eq!(refused, Err(SendError::TooLarge { size: limit + 1, limit }));
        pair.outboxes[0].try_push(now, Message::text("x".repeat(size))).unwrap();
        pair.settle();
        assert_eq!(pair.texts(1).iter().map(String::len).collect::<Vec<_>>(), [size]);
    }
}

/// The first of as many small messages as a window holds is lost: all others wait for it.
#[test]
fn a_window_of_tiny_messages_waits_for_the_first() {
    let mut pair = Pair::new(Mode::Reliable);
    let limits = OutboxConfig { max_messages: 1_000_000, ..OutboxConfig::default() };
    for side in 0..2 {
        let mut mux = Mux::new(limits, 8);
        let config = ChannelConfig { outbox: limits, ..ChannelConfig::new("data") };
        pair.outboxes[side] = mux.open(pair.now, config).1;
        pair.muxes[side] = mux;
    }
    pair.attach();
    pair.settle();
    (0..500_000).for_each(|_| pair.push(0, "x"));
    let written = pair.writes(0);
    let (first, rest) = written.split_first().unwrap();
    // In pairs the other way round, so that few lie side by side when they come.
    pair.hand(1, rest.chunks(2).flat_map(|pair| pair.iter().rev().cloned()));
    assert_eq!(pair.got(1).len(), 0);
    pair.hand(1, [first.clone()]);
    let sent = written.len();
    let got = pair.got(1);
    assert!(got.len() > 400_000, "{} of {sent} containers", got.len());
    assert!(got.iter().map(|(number, _)| *number).eq(1..=got.len() as u64));
    assert_eq!(pair.muxes[1].stats.frames_refused, 0);
}

#[test]
fn the_last_value_of_each_of_many_keys_wins_in_any_order() {
    let mut pair = Pair::new(Mode::Latest);
    pair.settle();
    let mut written = Vec::new();
    for round in ["old", "new"] {
        for key in 0..3000u32 {
            let message =
                Message::text(format!("{round} {key}")).with_key(key.to_be_bytes().to_vec());
            pair.outboxes[0].try_push(pair.now, message).unwrap();
        }
        written.extend(pair.writes(0));
    }
    // What was written first comes last.
    pair.hand(1, written.into_iter().rev());
    pair.settle();
    let texts = pair.texts(1);
    assert_eq!(texts.len(), 3000);
    assert!(texts.iter().all(|t| t.starts_with("new")));
    assert_eq!(pair.outboxes[0].held(), (0, 0));
}

#[test]
fn more_keys_than_are_remembered() {
    let mut pair = Pair::new(Mode::Latest);
    pair.settle();
    for part in 0..4u32 {
        for key in 0..4000u32 {
            let key = (part * 4000 + key).to_be_bytes().to_vec();
            pair.outboxes[0].try_push(pair.now, Message::text("x").with_key(key)).unwrap();
        }
        let written = pair.writes(0);
        let (first, rest) = written.split_first().unwrap();
        pair.hand(1, rest.to_vec());
        pair.hand(1, [first.clone()]);
    }
    pair.settle();
    assert_eq!((pair.got(1).len(), pair.outboxes[0].held()), (16_000, (0, 0)));
}

/// A side that takes messages of so many bytes.
fn taking(pair: &Pair, mode: Mode, limit: usize) -> Mux {
    let mut mux = Mux::new(OutboxConfig::default(), 8);
    mux.max_message = limit;
    mux.open(pair.now, ChannelConfig::of_mode("data", mode));
    mux
}

fn settled(pair: &Pair) -> Poll<Settled> {
    pair.outboxes[0].poll_settled(&Context::from_waker(Waker::noop()))
}

/// How many messages the sending side says it has dropped.
fn dropped(pair: &mut Pair) -> u64 {
    let events = pair.muxes[0].events.drain(..);
    events.map(|e| if let LinkEvent::Dropped { messages, .. } = e { messages } else { 0 }).sum()
}

fn large(byte: u8) -> Message {
    Message::binary(vec![byte; 10_000]).with_key("")
}

#[test]
fn what_waits_and_is_too_large_is_dropped_told_and_counted() {
    for (mode, gap) in [(Mode::Reliable, true), (Mode::Latest, false), (Mode::Datagram, false)] {
        let mut pair = Pair::new(mode);
        let key = |text: &'static str| if mode == Mode::Latest { text } else { "" };
        pair.outboxes[0].try_push(pair.now, large(1).with_key(key("large"))).unwrap();
        pair.muxes[1] = taking(&pair, mode, 1000);
        pair.attach();
        pair.settle();
        assert_eq!(settled(&pair), Poll::Ready(Settled::Dropped), "{mode:?}");
        assert_eq!((pair.texts(1).len(), pair.gaps > 0), (0, gap), "{mode:?}: at once");
        assert_eq!((dropped(&mut pair), pair.outboxes[0].drops().too_large), (1, 1));
        let small = Message::text("small").with_key(key("small"));
        pair.outboxes[0].try_push(pair.now, small).unwrap();
        pair.settle();
        assert_eq!(pair.texts(1), ["small"]);
        assert_eq!(settled(&pair), Poll::Ready(Settled::Acknowledged), "that was told");
        let refused = pair.outboxes[0].try_push(pair.now, large(2).with_key(key("large")));
        assert!(matches!(refused, Err(SendError::TooLarge { limit: 1000, .. })), "{mode:?}");
        assert_eq!(pair.muxes[1].stats.frames_refused, 0, "{mode:?}: none was sent");
    }
}

/// It was on its way, in part, when the other side was restarted with a smaller limit.
#[test]
fn what_is_on_its_way_and_is_too_large_now_is_dropped() {
    for cut in [true, false] {
        let mut pair = Pair::new(Mode::Reliable);
        pair.settle();
        let large = Message::binary(vec![7; 60_000]);
        pair.outboxes[0].try_push(pair.now, large).unwrap();
        pair.push(0, "small");
        let mut written = pair.writes(0);
        written.truncate(if cut { 1 } else { 0 });
        pair.hand(1, written);
        if cut {
            // The same process, which takes less on its next transport.
            pair.muxes[1].max_message = 1000;
        } else {
            pair.muxes[1] = taking(&pair, Mode::Reliable, 1000);
        }
        pair.attach();
        pair.settle();
        let sizes: Vec<_> = pair.texts(1).iter().map(String::len).collect();
        assert_eq!((sizes, pair.gaps, dropped(&mut pair)), (vec![5], 1, 1));
        assert_eq!(pair.outboxes[0].held(), (0, 0));
        assert_eq!(settled(&pair), Poll::Ready(Settled::Dropped));
    }
}

/// What the other side has got already is not dropped, however little it takes now.
#[test]
fn what_has_been_received_is_delivered() {
    let mut pair = Pair::new(Mode::Reliable);
    pair.settle();
    pair.outboxes[0].try_push(pair.now, large(1)).unwrap();
    let written = pair.writes(0);
    pair.hand(1, written);
    pair.muxes[1].max_message = 1000;
    pair.attach();
    pair.settle();
    assert_eq!((pair.got(1).len(), pair.gaps, dropped(&mut pair)), (1, 0, 0));
    assert_eq!(settled(&pair), Poll::Ready(Settled::Acknowledged));
}

/// Those of a journal have their numbers, which are skipped; when that is acknowledged, it forgets
/// them.
#[test]
fn a_journal_forgets_what_is_too_large() {
    let mut pair = Pair::new(Mode::Durable);
    let mut mux = Mux::new(OutboxConfig::default(), 8);
    let messages = vec![(5, Message::text("one")), (6, large(1)), (9, Message::text("two"))];
    let outgoing = Some(SavedOutgoing { epoch: 77, acked: 4, messages });
    mux.set_journal(vec![Saved { label: "data".into(), outgoing, incoming: None }]);
    let (_, outbox) = mux.open(pair.now, ChannelConfig::of_mode("data", Mode::Durable));
    pair.muxes = [mux, taking(&pair, Mode::Durable, 1000)];
    pair.outboxes[0] = outbox;
    pair.attach();
    // Before the other side has said what it takes.
    pair.outboxes[0].try_push(pair.now, large(2)).unwrap();
    let (mut forgotten, mut got) = (0, Vec::new());
    for _ in 0..60 {
        pair.settle_in(1);
        got.extend(pair.got(1));
        while let Some(record) = pair.muxes[0].poll_record() {
            if let crate::link::Record::Acked { through, .. } = record {
                forgotten = through;
            }
            pair.muxes[0].recorded(pair.now, Ok(()));
        }
    }
    // The last one too, though nothing comes behind it.
    assert_eq!(got, [(5, "one".to_owned()), (9, "two".to_owned())]);
    assert_eq!((forgotten, dropped(&mut pair), pair.gaps), (12, 2, 2));
    assert_eq!(pair.outboxes[0].held(), (0, 0));
    assert_eq!(settled(&pair), Poll::Ready(Settled::Dropped));
}

/// A sender that does not keep to the limit: nothing is acknowledged and not told.
#[test]
fn what_is_too_large_and_comes_all_the_same_is_a_gap() {
    for mode in [Mode::Reliable, Mode::Durable] {
        for size in [2000, 10_000] {
            let mut pair = Pair::new(mode);
            pair.muxes[1] = taking(&pair, mode, 1000);
            pair.attach();
            // It says that it takes anything, and does not.
            pair.muxes[1].max_message = MAX_MESSAGE;
            pair.outboxes[0].try_push(pair.now, Message::binary(vec![1; size])).unwrap();
            pair.push(0, "small");
            pair.settle();
            assert_eq!((pair.texts(1), pair.gaps), (vec!["small".to_owned()], 1), "{size}");
        }
    }
    let mut pair = Pair::new(Mode::Datagram);
    pair.muxes[1] = taking(&pair, Mode::Datagram, 1000);
    pair.attach();
    pair.muxes[1].max_message = MAX_MESSAGE;
    pair.outboxes[0].try_push(pair.now, Message::binary(vec![1; 2000])).unwrap();
    pair.push(0, "small");
    pair.settle();
    assert_eq!(pair.texts(1), ["small"]);
    assert_eq!(pair.muxes[1].channels()[0].counters.missed, 1);
}
