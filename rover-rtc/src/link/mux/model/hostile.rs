//! Containers that no honest link writes: nothing panics, nothing grows, and a new transport to an
//! honest link works.

use bytes::Bytes;

use super::super::frame::{DataWriter, Entry, Frame, PieceRef};
use super::pair::{Pair, mux};
use crate::link::{ChannelConfig, LinkEvent, MAX_MESSAGE, Message, Mode};

struct Dice(u64);

impl Dice {
    fn roll(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % most.max(1)
    }

    /// Something like one of these.
    fn spoil(&mut self, good: &[Bytes]) -> Bytes {
        let mut bytes = good[self.roll(good.len())].to_vec();
        for _ in 0..1 + self.roll(4) {
            let at = self.roll(bytes.len());
            match self.roll(6) {
                0 => bytes.truncate(at),
                1 => bytes.extend_from_slice(&good[self.roll(good.len())]),
                2 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0xff][self.roll(4)],
                3 => bytes.splice(at..at, [self.roll(256) as u8]).for_each(drop),
                4 => {
                    let end = bytes.len().min(at + 8);
                    bytes[at..end].fill([0, 0xff][self.roll(2)]);
                }
                _ if at < bytes.len() => bytes[at] ^= 1 << self.roll(8),
                _ => {}
            }
        }
        bytes.into()
    }
}

/// A pair, and what it has written while it talked.
fn talk(mode: Mode) -> (Pair, Vec<Bytes>) {
    let mut pair = Pair::new(mode);
    let mut said = Vec::new();
    for round in 0..4 {
        for side in 0..2 {
            let size = [0, 10, 4096, 9000][round];
            let key = if mode == Mode::Latest { vec![b'k'; round] } else { Vec::new() };
            let message = Message::binary(vec![round as u8; size]).with_key(key);
            pair.outboxes[side].try_push(pair.now, message).unwrap();
            let written = pair.writes(side);
            said.extend(written.iter().cloned());
            pair.hand(1 - side, written);
        }
        pair.now += std::time::Duration::from_millis(50);
    }
    (pair, said)
}

#[test]
fn spoiled_containers_do_no_lasting_harm() {
    for case in 0..CASES {
        let mut dice = Dice(case * 2 + 1);
        let mode = [Mode::Reliable, Mode::Latest, Mode::Datagram][dice.roll(3)];
        let (mut pair, said) = talk(mode);
        if dice.roll(2) == 0 {
            pair.attach();
        }
        for _ in 0..dice.roll(30) {
            let spoiled = dice.spoil(&said);
            pair.hand(1, [spoiled]);
            let _ = pair.writes(1);
        }
        assert!(pair.muxes[1].channels().len() <= 8);
        let _ = pair.texts(1);
        // An honest link takes the place of the one that sent this.
        (pair.muxes[0], pair.outboxes[0]) = mux(pair.now, mode);
        pair.attach();
        let sent = Message::text("well").with_key(if mode == Mode::Latest { "k" } else { "" });
        pair.outboxes[0].try_push(pair.now, sent).unwrap();
        pair.settle_in(12);
        assert_eq!(pair.texts(1), ["well"], "case {case}, {mode:?}");
    }
}

#[test]
fn frames_of_unknown_channels_are_bounded() {
    let (mut pair, _) = talk(Mode::Reliable);
    // A data frame of channel 9 with one piece of 60 KiB.
    let mut frame = vec![3, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 6, 0xf0, 0];
    frame.resize(frame.len() + 0xf000, 0);
    let frame = Bytes::from(frame);
    for _ in 0..2000 {
        pair.hand(1, [frame.clone()]);
    }
    let exchange = pair.muxes[1].exchange.as_mut().unwrap();
    let early = exchange.take_early();
    assert!(early.iter().map(|f| f.body_size()).sum::<usize>() <= MAX_MESSAGE);
}

/// A data frame of the pair's channel.
fn data(first: u64, pieces: &[(&[u8], bool)]) -> Bytes {
    let mut frame = Vec::new();
    let mut writer = DataWriter::new(&mut frame, 0, first);
    for (key, end) in pieces {
        let (text, begin, origin, asks) = (true, true, None, false);
        writer.push(&PieceRef { text, begin, end: *end, key, origin, total: 9, asks, data: b"x" });
    }
    writer.finish();
    frame.into()
}

/// What waits is paid by what it takes, not by what it holds: half a million pieces of a byte, each
/// alone, would take a hundred megabytes.
#[test]
fn pieces_that_wait_alone_are_bounded() {
    for end in [true, false] {
        let mut pair = Pair::new(Mode::Reliable);
        pair.settle();
        let alone = (1..400_000).map(|n| data(2 * n, &[(b"", end)]));
        pair.hand(1, alone);
        let refused = pair.muxes[1].stats.frames_refused;
        assert!((200_000..300_000).contains(&refused), "{refused}");
        // On a new transport it all comes again.
        pair.attach();
        pair.push(0, "well");
        pair.settle();
        assert_eq!(pair.texts(1), ["well"]);
    }
}

#[test]
fn skips_that_wait_are_bounded() {
    let mut pair = Pair::new(Mode::Reliable);
    pair.settle();
    for number in 1..500_000 {
        let mut frame = Vec::new();
        let (from, through) = (3 * number, 3 * number + 1);
        Frame::Skip { channel: 0, from, through, lost: true }.write(&mut frame);
        pair.hand(1, [frame.into()]);
    }
    let refused = pair.muxes[1].stats.frames_refused;
    assert!((50_000..200_000).contains(&refused), "{refused}");
}

/// The number of a key that waits for no turn has to be remembered. Where that takes too much, the
/// message waits after all.
#[test]
fn keys_of_messages_that_do_not_wait_are_bounded() {
    let mut pair = Pair::new(Mode::Latest);
    pair.settle();
    let key = |n: u64| [&n.to_be_bytes()[..], &[7; 192]].concat();
    let many = 100_000;
    pair.hand(1, (2..many).map(|n| data(n, &[(&key(n), true)])));
    let early = pair.got(1).len();
    assert!((20_000..40_000).contains(&early), "{early}");
    pair.hand(1, [data(1, &[(&key(1), true)])]);
    assert_eq!(early + pair.got(1).len(), many as usize - 1);
    assert_eq!(pair.muxes[1].stats.frames_refused, 0);
    // Nothing is left of them.
    pair.hand(1, (many + 1..many + 20_000).map(|n| data(n, &[(&key(n), true)])));
    assert_eq!(pair.got(1).len(), 19_999);
}

/// Gaps, troubles and calls for another transport that one container causes.
#[test]
fn one_container_causes_few_events() {
    let frames = |frame: &dyn Fn(u64) -> Frame| {
        let mut container = Vec::new();
        (0..2000).for_each(|number| frame(number).write(&mut container));
        Bytes::from(container)
    };
    let mut pair = Pair::new(Mode::Reliable);
    pair.settle();
    let _ = pair.got(1);
    let skip = |n: u64| Frame::Skip { channel: 0, from: n + 1, through: n + 1, lost: true };
    pair.hand(1, [frames(&skip)]);
    let gaps: Vec<_> = pair.muxes[1].events.drain(..).collect();
    assert!(matches!(gaps[..], [LinkEvent::Gap { lost: Some(2000), .. }]), "{}", gaps.len());

    let plain = ChannelConfig::plain("plain");
    pair.muxes[1].open(pair.now, plain);
    let entry = |channel: u64, label: String| Entry {
        channel: channel as u16,
        mode: Mode::Reliable.code(),
        priority: 1,
        keeps: false,
        epoch: 1,
        base: 1,
        theirs: 0,
        received: 0,
        acked: 0,
        window: 0,
        label,
    };
    pair.hand(1, [frames(&|n| Frame::Open(entry(9 + n, "plain".to_owned())))]);
    let troubles: Vec<_> = pair.muxes[1].events.drain(..).collect();
    assert!(troubles.len() <= 5, "{}", troubles.len());
    pair.now += std::time::Duration::from_secs(10);
    pair.hand(1, [frames(&|n| Frame::Open(entry(9 + n, "plain".to_owned())))]);
    let Some(LinkEvent::Trouble(what)) = pair.muxes[1].events.pop_front() else { panic!() };
    assert!(what.ends_with("(and 1995 more before)"), "{what}");
    pair.muxes[1].events.clear();

    // More than there may be: the first is told, the transport is of no more use.
    (0..5).for_each(|_| {
        pair.hand(
            1,
            [frames(&|n| Frame::Skip { channel: 5000, from: n + 1, through: n + 1, lost: false })],
        )
    });
    assert!(matches!(pair.muxes[1].events.make_contiguous(), [LinkEvent::Stuck]));
}

/// Conversations that are spoiled.
const CASES: u64 = 2000;
