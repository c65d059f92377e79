//! What the other side is to be told before a link is closed.

use std::time::Instant;

use super::{FinalAck, Receiver};

impl Receiver {
    /// Tells at once what would be told later.
    pub(in crate::link::mux) fn hasten(&mut self, now: Instant) {
        if self.owes_ack() {
            self.due = Some(now);
        }
    }

    /// Whether the other side keeps messages because it has not been told that it may forget them.
    pub(in crate::link::mux) fn owes_ack(&self) -> bool {
        !self.is_datagrams() && self.acked > self.told.acked
    }

    /// Whether the journal has not yet kept what the application has acknowledged.
    pub(in crate::link::mux) fn is_recording(&self) -> bool {
        self.keeps && self.recorded > self.acked
    }

    /// How far it has come, if there is anything that the other side may forget.
    pub(in crate::link::mux) fn final_ack(&self) -> Option<FinalAck> {
        let any = self.epoch != 0 && self.acked > 0 && !self.is_datagrams();
        any.then_some(FinalAck { epoch: self.epoch, received: self.received, acked: self.acked })
    }
}
