//! How many bytes SCTP is given at a time: what the network holds, and a little more.
//!
//! What SCTP has cannot be overtaken by a more urgent message, and its cost per packet grows with
//! it; too little leaves the network empty while acknowledgements travel.

use std::time::{Duration, Instant};

/// Follows the measured rate of acknowledgement and the round-trip time.
#[derive(Debug)]
pub struct Admission {
    limit: usize,
    /// Bytes acknowledged since `since`.
    acked: usize,
    since: Option<Instant>,
    /// Whether the limit was reached since then.
    limited: bool,
    /// The highest rate of late in bytes per second, which fades.
    best: f64,
}

impl Default for Admission {
    fn default() -> Self {
        Self { limit: START, acked: 0, since: None, limited: false, best: 0.0 }
    }
}

impl Admission {
    /// Bytes that SCTP may hold.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Notes that there was more to send than the limit let through.
    pub fn reached(&mut self) {
        self.limited = true;
    }

    /// Notes that `bytes` were acknowledged, on a path with this round-trip time: the least one,
    /// for that of a queue that we fill ourselves would let us fill it more.
    pub fn acknowledged(&mut self, now: Instant, bytes: usize, rtt: Duration) {
        self.acked += bytes;
        let since = *self.since.get_or_insert(now);
        let elapsed = now.saturating_duration_since(since);
        if elapsed < rtt.max(MIN_ROUND) {
            return;
        }
        let rate = self.acked as f64 / elapsed.as_secs_f64();
        // Who sends less than it may says nothing of what the network can carry.
        if self.limited || rate > self.best {
            self.best = rate.max(self.best * FADE);
            let product = self.best * rtt.as_secs_f64();
            let limit = self.best * QUEUE.as_secs_f64() + GROWTH * product;
            // On a fast link the queue would only cost.
            let most = (GROWTH * product).max(ENOUGH as f64);
            let limit = (limit.min(most) as usize).clamp(MIN, MAX);
            self.limit = if self.limited { limit } else { limit.max(self.limit) };
        }
        (self.acked, self.since, self.limited) = (0, Some(now), false);
    }
}

/// At first, and on a fast and short link, where more would only cost: three containers.
const START: usize = ENOUGH;
const ENOUGH: usize = 52 * 1024;

const MIN: usize = 8 * 1024;
/// 50 Mbit/s with a round trip of 200 ms, and what growth takes.
const MAX: usize = 2 * 1024 * 1024;

/// What may wait before the slowest part of the way: it bridges the pauses between
/// acknowledgements, and commands wait behind it.
const QUEUE: Duration = Duration::from_millis(5);

/// More than the network holds, so that it is found out if it holds more.
const GROWTH: f64 = 1.25;

/// On a link of microseconds a round trip is too short to measure in.
const MIN_ROUND: Duration = Duration::from_millis(2);

/// What is left of the memory of the best rate after a round trip.
const FADE: f64 = 0.94;

#[cfg(test)]
mod tests {
    use super::*;

    /// A link of `rate` bytes per second that acknowledges all it is given.
    fn settle(rate: usize, rtt: Duration) -> usize {
        let start = crate::util::clock::now();
        let mut admission = Admission::default();
        for i in 1..200u32 {
            let window = admission.limit().min((rate as f64 * rtt.as_secs_f64()) as usize);
            admission.reached();
            admission.acknowledged(start + rtt * i, window, rtt);
        }
        admission.limit()
    }

    #[test]
    fn grows_to_what_the_network_holds_and_little_more() {
        let limit = settle(2_500_000, Duration::from_millis(100));
        assert!((250_000..330_000).contains(&limit), "{limit}");
        assert_eq!(settle(100_000_000, Duration::from_millis(200)), MAX);
    }

    #[test]
    fn stays_small_on_a_short_link() {
        assert_eq!(settle(100_000_000, Duration::from_millis(2)), 250_000);
        let slow = settle(2_500_000, Duration::from_millis(2));
        assert!((15_000..20_000).contains(&slow), "{slow}");
    }

    #[test]
    fn who_sends_little_learns_nothing() {
        let start = crate::util::clock::now();
        let mut admission = Admission::default();
        let rtt = Duration::from_millis(10);
        for i in 1..100u32 {
            admission.acknowledged(start + rtt * i, 100, rtt);
        }
        assert_eq!(admission.limit(), START);
    }
}
