//! Thin drivers of frames and channels, for `benches/` (see `bench_support`).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::frame::{DataWriter, Frame, PIECE, PieceRef, Reader};
use super::{Mux, Out, Room};
use crate::link::channel::event::LinkEvent;
use crate::link::channel::outbox::{Outbox, OutboxConfig};
use crate::link::channel::{ChannelConfig, Message, Mode};

/// Appends a data frame with this many whole messages to a container.
pub fn encode(container: &mut Vec<u8>, count: usize, message: &[u8]) {
    let mut writer = DataWriter::new(container, 1, 1);
    for _ in 0..count {
        let data = &message[..message.len().min(PIECE)];
        let (begin, end) = (true, true);
        let (key, origin, total, asks) = (&[][..], None, 0, false);
        writer.push(&PieceRef { text: false, begin, end, key, origin, total, asks, data });
    }
    writer.finish();
}

/// Reads all frames of a container; returns the bytes of their pieces.
pub fn decode(container: Bytes) -> usize {
    let mut reader = Reader::new(container);
    let mut bytes = 0;
    while let Some(Ok(frame)) = reader.next() {
        if let Frame::Data(data) = frame {
            bytes += data.pieces().map(|(_, piece)| piece.data.len()).sum::<usize>();
        }
    }
    bytes
}

/// Two ends of a reliable channel; what one writes is handed to the other.
#[derive(Debug)]
pub struct MuxPair {
    now: Instant,
    muxes: [Mux; 2],
    outbox: Outbox,
}

impl MuxPair {
    /// Two ends that know each other.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let limits = OutboxConfig {
            max_messages: usize::MAX,
            max_bytes: usize::MAX,
            ..OutboxConfig::default()
        };
        let [(a, outbox), (b, _)] = [(); 2].map(|()| {
            let mut mux = Mux::new(limits, 8);
            let mut config = ChannelConfig::of_mode("data", Mode::Reliable);
            config.outbox = limits;
            let (_, outbox) = mux.open(now, config);
            mux.attach();
            (mux, outbox)
        });
        let mut pair = Self { now, muxes: [a, b], outbox };
        pair.exchange(1, &Bytes::from_static(b"hello"));
        pair
    }

    /// Sends messages from one end to the other, until all are acknowledged; returns the bytes that
    /// came.
    pub fn exchange(&mut self, count: usize, data: &Bytes) -> usize {
        for _ in 0..count {
            let _ = self.outbox.try_push(self.now, Message::binary(data.clone()));
        }
        let mut bytes = 0;
        for _ in 0..MAX_TURNS {
            if self.outbox.is_empty() && self.outbox.held().0 == 0 {
                break;
            }
            for side in 0..2 {
                self.hand_over(side);
            }
            for event in self.muxes[1].events.drain(..) {
                if let LinkEvent::Message(_, message) = event {
                    bytes += message.data.len();
                    message.ack();
                }
            }
            self.muxes[0].events.clear();
            // Longer than an acknowledgement waits for company.
            self.now += Duration::from_millis(150);
        }
        bytes
    }

    fn hand_over(&mut self, from: usize) {
        let room = Room { open: (true, true), bytes: ROOM, limit: ROOM };
        self.muxes[from].keep(self.now);
        while let Some(out) = self.muxes[from].poll_out(self.now, room, |_, _| false) {
            if let Out::Control(container) | Out::Frames(container) = out {
                self.muxes[1 - from].on_container(self.now, container.into());
            }
        }
    }
}

/// What SCTP takes on a fast link.
const ROOM: usize = 512 * 1024;

/// A guard: what does not come to an end is no measurement.
const MAX_TURNS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::clock;

    #[test]
    fn what_is_measured_is_whole() {
        let mut container = Vec::new();
        encode(&mut container, 10, &[7; 100]);
        encode(&mut container, 2, &[7; 5000]);
        assert_eq!(decode(container.into()), 10 * 100 + 2 * PIECE);

        let mut pair = MuxPair::new(clock::now());
        for (count, size) in [(1000, 64), (100, 1200), (64, 16384), (1000, 16384)] {
            assert_eq!(pair.exchange(count, &vec![1; size].into()), count * size);
        }
    }
}
