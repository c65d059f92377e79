//! How often something is said that the other side causes.

use std::time::{Duration, Instant};

/// Lets the first few of each interval through, and counts the rest.
///
/// What a stranger can cause thousands of times with one datagram must fill neither the log nor an
/// application's queue of events.
#[derive(Debug, Clone)]
pub(crate) struct Limiter {
    few: u32,
    interval: Duration,
    /// When the interval began; absent before anything has come.
    since: Option<Instant>,
    said: u32,
    withheld: u64,
}

impl Limiter {
    /// So many in each interval, all of them at once if need be.
    pub(crate) const fn new(few: u32, interval: Duration) -> Self {
        Self { few, interval, since: None, said: 0, withheld: 0 }
    }

    /// Whether it may be said now; and if so, how many were withheld since the last that was.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<u64> {
        let lasts = |since| now.saturating_duration_since(since) < self.interval;
        if !self.since.is_some_and(lasts) {
            (self.since, self.said) = (Some(now), 0);
        }
        if self.said >= self.few {
            self.withheld = self.withheld.saturating_add(1);
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.withheld))
    }
}

impl Default for Limiter {
    /// Five in 10 s: the first ones tell what it is, and more of them nothing new.
    fn default() -> Self {
        Self::new(5, Duration::from_secs(10))
    }
}

/// A text for people, with how many like it were withheld.
pub(crate) fn with_withheld(what: String, withheld: u64) -> String {
    if withheld == 0 { what } else { format!("{what} (and {withheld} more before)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_few_of_an_interval_and_how_many_more() {
        let (mut limiter, start) = (Limiter::new(2, 10 * SECOND), crate::util::clock::now());
        let mut at = |seconds: u32| limiter.admit(start + seconds * SECOND);
        assert_eq!([at(0), at(0), at(1), at(9)], [Some(0), Some(0), None, None]);
        assert_eq!([at(10), at(11), at(12)], [Some(2), Some(0), None]);
        assert_eq!([at(60), at(61)], [Some(1), Some(0)]);
        // Time that runs backwards begins nothing.
        assert_eq!(at(0), None);
    }

    #[test]
    fn people_are_told_how_many() {
        let told = |withheld| with_withheld("no".to_owned(), withheld);
        assert_eq!((told(0), told(7)), ("no".to_owned(), "no (and 7 more before)".to_owned()));
    }
}
