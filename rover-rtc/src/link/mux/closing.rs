//! The last acknowledgements of a link that is being closed.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{Channel, Mux};

/// How far one side has come with a channel of the other's when it closes the link: what an
/// acknowledgement says, by the name of the sequence, which holds on any transport and none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalAck {
    /// Names the sequence of the sender's pieces.
    pub epoch: u64,
    /// All pieces up to this one have been received.
    pub received: u64,
    /// Messages that end here or before may be forgotten.
    pub acked: u64,
}

impl Mux {
    /// Takes what the application has acknowledged, and tells the other side at once what it may
    /// forget, now and from now on.
    pub(in crate::link) fn hasten_acks(&mut self, now: Instant) {
        self.hasty = true;
        self.keep(now);
        for framed in self.channels.iter_mut().filter_map(|c| c.framed.as_mut()) {
            framed.receiver.hasten(now);
        }
    }

    /// Whether the other side can still be told of something that it may forget, at once or when
    /// the journal has it.
    pub(in crate::link) fn owes_acks(&self) -> bool {
        let Some(exchange) = &self.exchange else { return false };
        let told = |index: &usize| {
            let framed = self.channels[*index].framed.as_ref();
            framed.is_none_or(|f| !f.receiver.owes_ack())
        };
        self.is_recording() || !exchange.theirs.values().all(told)
    }

    /// Whether the journal has not yet kept all that the application has acknowledged.
    pub(in crate::link) fn is_recording(&self) -> bool {
        let mut framed = self.channels.iter().filter_map(|c| c.framed.as_ref());
        framed.any(|f| f.receiver.is_recording())
    }

    /// What the other side may forget, channel by channel.
    pub(in crate::link) fn final_acks(&self) -> Vec<FinalAck> {
        let framed = self.channels.iter().filter_map(|c| c.framed.as_ref());
        framed.filter_map(|f| f.receiver.final_ack()).take(MAX_FINAL_ACKS).collect()
    }

    /// Takes what the other side has said of all channels when it closed the link.
    pub(in crate::link) fn on_final_acks(&mut self, now: Instant, acks: &[FinalAck]) {
        for index in 0..self.channels.len() {
            let Channel { framed: Some(framed), outbox, counters, .. } = &mut self.channels[index]
            else {
                continue;
            };
            let Some(ack) = acks.iter().find(|a| a.epoch == framed.sender.epoch()) else {
                continue;
            };
            let before = framed.sender.acked();
            let taken = framed.sender.on_final_ack(now, ack, outbox, counters);
            self.note_acked(index, before);
            if taken.is_err() {
                self.distrust("an acknowledgement of what was not sent");
            }
        }
    }
}

/// Channels that a good-bye speaks of: some 25 KB of a signal message, which has 64 KiB at most.
const MAX_FINAL_ACKS: usize = 256;
