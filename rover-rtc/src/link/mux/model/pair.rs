//! Two links without a network: what one writes is handed over by the test.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::{Mux, Out, Room};
use crate::link::{ChannelConfig, ChannelId, LinkEvent, Message, Mode, Outbox, OutboxConfig};
use crate::util::clock;

pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) muxes: [Mux; 2],
    pub(super) outboxes: [Outbox; 2],
    pub(super) gaps: usize,
}

pub(super) fn mux(now: Instant, mode: Mode) -> (Mux, Outbox) {
    let mut mux = Mux::new(OutboxConfig::default(), 8);
    let (_, outbox) = mux.open(now, ChannelConfig::of_mode("data", mode));
    (mux, outbox)
}

impl Pair {
    /// Two links with a channel of this mode, on a transport.
    pub(super) fn new(mode: Mode) -> Self {
        let now = clock::now();
        let [a, b] = [mux(now, mode), mux(now, mode)];
        let mut pair = Self { now, muxes: [a.0, b.0], outboxes: [a.1, b.1], gaps: 0 };
        pair.attach();
        pair
    }

    pub(super) fn attach(&mut self) {
        self.muxes.iter_mut().for_each(Mux::attach);
    }

    pub(super) fn push(&self, side: usize, text: &str) {
        self.outboxes[side].try_push(self.now, Message::text(text)).unwrap();
    }

    /// What a side writes now.
    pub(super) fn writes(&mut self, side: usize) -> Vec<Bytes> {
        let (open, limit) = ((true, true), 100_000);
        let room = Room { open, bytes: limit, limit };
        self.muxes[side].keep(self.now);
        let mux = &mut self.muxes[side];
        let out = std::iter::from_fn(|| mux.poll_out(self.now, room, |_, _| false));
        out.map(|out| match out {
            Out::Control(bytes) | Out::Frames(bytes) | Out::Datagrams(bytes) => bytes.into(),
            Out::Plain(_) => Bytes::new(),
        })
        .collect()
    }

    /// Hands over what a side has written.
    pub(super) fn hand(&mut self, to: usize, containers: impl IntoIterator<Item = Bytes>) {
        for container in containers {
            self.muxes[to].on_container(self.now, container);
        }
    }

    /// Carries everything both ways until both are silent.
    pub(super) fn settle(&mut self) {
        self.settle_in(60);
    }

    pub(super) fn settle_in(&mut self, turns: usize) {
        for _ in 0..turns {
            self.now += Duration::from_millis(50);
            for side in 0..2 {
                let written = self.writes(side);
                self.hand(1 - side, written);
            }
        }
    }

    /// What a side has got since it was last asked: numbers and texts.
    pub(super) fn got(&mut self, side: usize) -> Vec<(u64, String)> {
        let mut got = Vec::new();
        while let Some(event) = self.muxes[side].events.pop_front() {
            match event {
                LinkEvent::Message(ChannelId(0), message) => {
                    let text = String::from_utf8_lossy(&message.data).into_owned();
                    got.push((message.number, text));
                    message.ack();
                }
                LinkEvent::Gap { .. } => self.gaps += 1,
                _ => {}
            }
        }
        got
    }

    pub(super) fn texts(&mut self, side: usize) -> Vec<String> {
        self.got(side).into_iter().map(|(_, text)| text).collect()
    }
}
