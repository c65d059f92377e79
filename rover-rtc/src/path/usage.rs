//! Whether a link is in use, which decides how often its paths are probed.

use std::time::{Duration, Instant};

/// A steady flow of messages keeps a link in use; a single one asks for a single probe.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    last: Option<Instant>,
    until: Option<Instant>,
    /// Between messages, on average.
    gap: Duration,
    /// Something that was sent is not acknowledged.
    pub(super) outstanding: bool,
}

impl Usage {
    /// Notes a message. True if it is part of a steady flow.
    pub(super) fn note(&mut self, now: Instant) -> bool {
        let since = self.last.map_or(STEADY, |last| now.saturating_duration_since(last));
        let steady = since < STEADY;
        self.gap = (self.gap * 7 + since.min(STEADY)) / 8;
        if steady {
            self.until = Some(now + STEADY);
        }
        self.last = Some(now);
        steady
    }

    pub(super) fn is_active(&self, now: Instant) -> bool {
        self.outstanding || self.until.is_some_and(|until| now < until)
    }

    /// Whether messages are so rare that none has to wait for the one before.
    pub(super) fn is_thin(&self) -> bool {
        self.gap >= THIN
    }
}

/// Messages closer together than this are a flow. A hub's status message every 5 s is none, or a
/// thousand idle clients would be probed twenty times a second.
const STEADY: Duration = Duration::from_millis(1500);

/// Twenty-five messages a second, both ways together.
const THIN: Duration = Duration::from_millis(40);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_flow_is_thin_or_dense() {
        let (mut usage, mut now) = (Usage::default(), crate::util::clock::now());
        let mut flow = |usage: &mut Usage, gaps: [u32; 2]| {
            for gap in gaps.into_iter().cycle().take(40) {
                now += gap * MS;
                usage.note(now);
            }
            usage.is_thin()
        };
        assert!(flow(&mut usage, [50, 50]), "ten a second each way");
        assert!(flow(&mut usage, [1, 99]), "at nearly the same time");
        assert!(!flow(&mut usage, [10, 30]));
        assert!(flow(&mut usage, [100, 100]));
    }
}
