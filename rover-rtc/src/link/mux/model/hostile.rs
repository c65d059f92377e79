//! Containers that no honest link writes: nothing panics, nothing grows, and a new transport to an
//! honest link works.

use bytes::Bytes;

use super::pair::{Pair, mux};
use crate::link::{MAX_MESSAGE, Message, Mode};

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

/// Conversations that are spoiled.
const CASES: u64 = 2000;
