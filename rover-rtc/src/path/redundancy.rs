//! Duplicates of records: whether to send one, and those that wait some milliseconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::one::PathId;
use crate::util::spare::spare;

/// A token bucket in bytes, and the duplicates that leave a little later.
#[derive(Debug)]
pub(super) struct Duplicates {
    /// Bytes per second.
    rate: f64,
    tokens: f64,
    filled: Option<Instant>,
    waiting: VecDeque<(Instant, PathId, Vec<u8>)>,
    sent: u64,
    /// The numbers of the records that came last, and when one of them came twice.
    recent: [u64; RECENT],
    next: usize,
    coming: Option<Instant>,
}

impl Duplicates {
    pub(super) fn new(rate: u32) -> Self {
        let rate = f64::from(rate);
        Self {
            rate,
            tokens: rate * BURST,
            filled: None,
            waiting: VecDeque::new(),
            sent: 0,
            recent: [u64::MAX; RECENT],
            next: 0,
            coming: None,
        }
    }

    /// Takes `bytes` from the budget, if they are there.
    pub(super) fn afford(&mut self, now: Instant, bytes: usize) -> bool {
        let since = self.filled.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.filled = Some(now);
        self.tokens = (self.tokens + since.as_secs_f64() * self.rate).min(self.rate * BURST);
        let cost = bytes as f64;
        let enough = self.tokens >= cost;
        if enough {
            self.tokens -= cost;
        }
        enough
    }

    /// Queues a duplicate for later. A full queue sends none: a duplicate is worth less than
    /// memory.
    pub(super) fn delay(&mut self, due: Instant, path: PathId, record: &[u8]) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back((due, path, record.to_vec()));
        }
    }

    /// The next duplicate whose time has come.
    pub(super) fn poll(&mut self, now: Instant) -> Option<(PathId, Vec<u8>)> {
        if self.waiting.front()?.0 > now {
            return None;
        }
        self.waiting.pop_front().map(|(_, path, record)| (path, record))
    }

    /// Gives back memory that is of no use while nothing happens.
    pub(super) fn rest(&mut self) {
        spare(&mut self.waiting);
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.front().map(|(due, ..)| *due)
    }

    /// Notes a record of the other side.
    pub(super) fn came(&mut self, now: Instant, number: u64) {
        if self.recent.contains(&number) {
            self.coming = Some(now);
        } else {
            self.recent[self.next] = number;
            self.next = (self.next + 1) % RECENT;
        }
    }

    /// Whether the other side sends duplicates.
    pub(super) fn are_coming(&self, now: Instant) -> bool {
        self.coming.is_some_and(|at| now.saturating_duration_since(at) < COMING)
    }

    pub(super) fn count(&mut self) {
        self.sent += 1;
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }
}

/// Seconds of the rate that may be spent at once.
const BURST: f64 = 0.25;
const MAX_WAITING: usize = 64;

/// Records among which a duplicate is recognized: it comes some milliseconds later.
const RECENT: usize = 8;

/// How long a duplicate tells that more are to come: traffic is thin.
const COMING: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_comes_twice_is_a_copy() {
        let start = crate::util::clock::now();
        let mut duplicates = Duplicates::new(1000);
        (0..20).for_each(|number| duplicates.came(start, number));
        duplicates.came(start, 3);
        assert!(!duplicates.are_coming(start), "too long ago to be known");
        duplicates.came(start, 17);
        assert!(duplicates.are_coming(start) && !duplicates.are_coming(start + COMING));
    }

    #[test]
    fn the_budget_holds() {
        let start = crate::util::clock::now();
        let mut duplicates = Duplicates::new(1000);
        let sent = (0..1000u32)
            .filter(|i| duplicates.afford(start + Duration::from_millis(10) * *i, 100))
            .count();
        // 10 s at 1,000 B/s and a quarter of a second of burst.
        assert!((100..=103).contains(&sent), "{sent}");
    }
}
