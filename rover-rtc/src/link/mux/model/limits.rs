//! The largest messages, the slowest readers, the most keys.

use super::pair::Pair;
use crate::link::SendError;
use crate::link::mux::Mux;
use crate::link::{ChannelConfig, ChannelId, MAX_MESSAGE, Message, Mode, OutboxConfig};

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
        let mut small = Mux::new(OutboxConfig::default(), 8);
        small.max_message = limit;
        small.open(now, ChannelConfig::new("data"));
        pair.muxes[1] = small;
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
