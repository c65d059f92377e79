//! Whether a link is in use, which decides how often its paths are probed.

use std::time::{Duration, Instant};

/// A steady flow of messages keeps a link in use; a single one asks for a single probe.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    last: Option<Instant>,
    until: Option<Instant>,
    /// Something that was sent is not acknowledged.
    pub(super) outstanding: bool,
}

impl Usage {
    /// Notes a message. True if it is part of a steady flow.
    pub(super) fn note(&mut self, now: Instant) -> bool {
        let steady = self.last.is_some_and(|last| now.saturating_duration_since(last) < STEADY);
        if steady {
            self.until = Some(now + STEADY);
        }
        self.last = Some(now);
        steady
    }

    pub(super) fn is_active(&self, now: Instant) -> bool {
        self.outstanding || self.until.is_some_and(|until| now < until)
    }
}

/// Messages closer together than this are a flow. A hub's status message every 5 s is none, or a
/// thousand idle clients would be probed twenty times a second.
const STEADY: Duration = Duration::from_millis(1500);
