//! What a receiver tells its sender: how far it has come, and how much room there is.

use std::time::Instant;

use super::{REOPEN, Receiver, Unacked};
use crate::link::mux::frame::{Frame, PIECE};
use crate::link::mux::sender::PIECE_COST;

impl Receiver {
    /// Takes acknowledgements of the application.
    pub(in crate::link::mux) fn collect_acks(&mut self, now: Instant) {
        if !self.manual {
            return;
        }
        let given = self.acks.take();
        if given.is_empty() && self.former.is_empty() {
            return;
        }
        for number in given {
            if let Ok(position) = self.unacked.binary_search_by_key(&number, |u| u.number) {
                self.unacked[position].acked = true;
            }
        }
        for (acks, open) in &mut self.former {
            for number in acks.take() {
                let Some(position) = open.iter().position(|o| o.0 == number) else { continue };
                let (_, origin) = open.swap_remove(position);
                let copies = self.unacked.iter_mut().filter(|u| u.origin == Some(origin));
                copies.for_each(|copy| copy.acked = true);
            }
        }
        self.former.retain(|(_, open)| !open.is_empty());
        self.settle();
        if self.acked > self.told.acked {
            self.due = Some(now);
        }
    }

    /// Finds up to where all has been taken.
    pub(super) fn settle(&mut self) {
        if !self.manual {
            self.acked = self.received;
            return;
        }
        while let Some(Unacked { number, cost, acked: true, .. }) = self.unacked.front() {
            self.unacked_bytes -= cost;
            self.taken = self.taken.max(*number);
            self.unacked.pop_front();
        }
        if self.unacked.is_empty() && self.partial.is_none() {
            self.taken = self.received;
        }
        if !self.keeps {
            self.acked = self.acked.max(self.taken);
        } else if self.taken > self.recorded {
            self.recorded = self.taken;
            self.recording = true;
        }
    }

    /// What the journal is to keep: the epoch, and up to where all was taken.
    pub(in crate::link::mux) fn poll_record(&mut self) -> Option<(u64, u64)> {
        std::mem::take(&mut self.recording).then_some((self.epoch, self.recorded))
    }

    /// The journal has it.
    pub(in crate::link::mux) fn stored(&mut self, now: Instant, epoch: u64, through: u64) {
        if epoch == self.epoch && through > self.acked {
            self.acked = through;
            self.due = Some(now);
        }
    }

    /// The journal could not keep it.
    pub(in crate::link::mux) fn not_stored(&mut self) {
        // With the next message, or when the link tries again.
        self.recorded = self.acked;
    }

    /// Tries again what the journal could not keep.
    pub(in crate::link::mux) fn record_again(&mut self) {
        self.settle();
    }

    /// Says how many bytes the application takes.
    pub(in crate::link::mux) fn set_room(&mut self, now: Instant, room: usize) {
        self.room = room;
        let (before, after) = (self.told.window, self.window());
        let opens = |least| before < least && after >= least;
        if opens(PIECE + PIECE_COST) || opens(REOPEN) {
            self.due = Some(now);
        }
    }

    /// Bytes that the other side may send beyond what is here.
    pub(super) fn window(&self) -> usize {
        let partial = self.partial.as_ref().map_or(0, |p| p.data.len());
        let taken = if self.manual { self.unacked_bytes } else { 0 };
        // Nobody is ahead by more than what may wait for its turn.
        let free = self.room.min(self.max_message).saturating_sub(partial + taken);
        if self.unacked.is_empty() && (partial > 0 || self.room > 0) {
            // What has begun can be brought to its end, and where there is any room at all, some
            // message can begin.
            return free.max(2 * PIECE);
        }
        free
    }

    /// When the other side is to be told.
    pub(in crate::link::mux) fn ack_due(&self) -> Option<Instant> {
        self.due
    }

    /// What it is to be told, if there is news.
    pub(in crate::link::mux) fn poll_ack(&mut self, channel: u16) -> Option<Frame> {
        self.due.take()?;
        if self.is_datagrams() {
            return None;
        }
        (self.fresh, self.fresh_bytes) = (0, 0);
        let serial = self.told.serial.saturating_add(1);
        let window = self.tell(serial);
        let (received, acked) = (self.received, self.acked);
        Some(Frame::Ack { channel, serial, received, acked, window })
    }

    /// Forgets what came before its turn: on a new transport it comes again.
    pub(in crate::link::mux) fn forget_early(&mut self) {
        self.early.clear();
        self.asked = 0;
    }
}
