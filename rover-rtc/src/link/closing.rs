//! What is said of messages before the transports say good-bye.
//!
//! An acknowledgement waits for company, and a link that is closed meanwhile would take it along:
//! the other side would hold messages for lost that have arrived. So whoever closes a link hastens
//! its acknowledgements first, and a signal message that says good-bye has them all, for what is on
//! its way in SCTP may not arrive any more.

use std::time::Instant;

use super::{FinalAck, Link};

impl Link {
    /// Acknowledges at once, from now on, what the other side may forget: the link is about to be
    /// closed. To be followed by [`Link::pump`].
    pub fn hasten_acks(&mut self, now: Instant) {
        self.mux.hasten_acks(now);
    }

    /// Whether the other side is still to be told that it may forget something: with the next pump,
    /// or when the journal has it. What was told is on its way until [`Link::is_flushed`].
    #[must_use]
    pub fn owes_acks(&self) -> bool {
        self.mux.owes_acks()
    }

    /// Whether the journal has not yet kept all that the application has acknowledged.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.mux.is_recording()
    }

    /// What the other side may forget as of now, for the good-bye.
    #[must_use]
    pub fn final_acks(&self) -> Vec<FinalAck> {
        self.mux.final_acks()
    }

    /// Takes what the other side's good-bye says of the messages of this one. Those of which it
    /// says nothing stay unacknowledged.
    pub fn on_final_acks(&mut self, now: Instant, acks: &[FinalAck]) {
        self.mux.on_final_acks(now, acks);
    }
}
