//! How many bytes SCTP is given at a time: about two bandwidth-delay products.
//!
//! SCTP's cost per packet grows with what it holds, and what it holds cannot be overtaken by a
//! more urgent message; too little leaves the network empty while acknowledgements travel.

use std::time::{Duration, Instant};

/// Follows the measured rate of acknowledgement and the round-trip time.
#[derive(Debug)]
pub struct Admission {
    limit: usize,
    /// Bytes acknowledged since `since`.
    acked: usize,
    since: Option<Instant>,
    /// The largest amount acknowledged in one round trip, which fades.
    best: usize,
}

impl Default for Admission {
    fn default() -> Self {
        Self { limit: MIN, acked: 0, since: None, best: 0 }
    }
}

impl Admission {
    /// Bytes that SCTP may hold.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
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
        // What a full round trip acknowledges is the product itself.
        let share = rtt.as_secs_f64() / elapsed.as_secs_f64();
        let product = (self.acked as f64 * share.min(1.0)) as usize;
        self.best = product.max(self.best - self.best / FADE);
        self.limit = (2 * self.best).clamp(MIN, MAX);
        self.acked = 0;
        self.since = Some(now);
    }
}

/// With less a message of 16 KiB would wait for the one before (`design.md` 4).
const MIN: usize = 48 * 1024;
const MAX: usize = 512 * 1024;

/// On a link of microseconds a round trip is too short to measure in.
const MIN_ROUND: Duration = Duration::from_millis(1);

/// Per round trip the memory of the best one fades by this part.
const FADE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// A link of `rate` bytes per second that acknowledges all it is given.
    fn settle(rate: usize, rtt: Duration) -> usize {
        let start = crate::util::clock::now();
        let mut admission = Admission::default();
        for i in 1..200u32 {
            let window = admission.limit().min((rate as f64 * rtt.as_secs_f64()) as usize);
            admission.acknowledged(start + rtt * i, window, rtt);
        }
        admission.limit()
    }

    #[test]
    fn grows_to_two_products() {
        let limit = settle(2_500_000, Duration::from_millis(50));
        assert!((200_000..300_000).contains(&limit), "{limit}");
        assert_eq!(settle(100_000_000, Duration::from_millis(200)), MAX);
    }

    #[test]
    fn stays_small_on_a_short_link() {
        assert_eq!(settle(100_000_000, Duration::from_micros(200)), MIN);
    }
}
