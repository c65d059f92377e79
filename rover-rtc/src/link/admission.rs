//! How many bytes SCTP is given at a time: what the network holds, and a little more.
//!
//! What SCTP has cannot be overtaken by a more urgent message, and its cost per packet grows with
//! it; too little leaves the network empty while acknowledgements travel.

use std::time::{Duration, Instant};

/// Follows the measured rate of acknowledgement and the round-trip time.
#[derive(Debug)]
pub struct Admission {
    limit: usize,
    /// What is acknowledged in a round trip, and in a part of one.
    round: Meter,
    train: Meter,
    /// Whether the limit was reached in this round.
    limited: bool,
    /// Rounds since the last one that was faster; [`FULL`] ends the start for good.
    flat: u8,
    /// The rate of the round before.
    before: f64,
    /// The highest rate of a round of late in bytes per second, which fades.
    best: f64,
    /// That of a train: what is sent at once comes back as fast as the network can carry it, even
    /// if a round of it is far from filling it.
    peak: f64,
}

/// Bytes acknowledged, and since when.
#[derive(Debug, Default)]
struct Meter {
    bytes: usize,
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Meter {
    /// The rate in bytes per second, each time that `span` is over.
    fn rate(&mut self, now: Instant, bytes: usize, span: Duration) -> Option<f64> {
        let Some(since) = self.since else {
            // Nobody knows how long these have been on their way.
            self.since = Some(now);
            return None;
        };
        self.bytes += bytes;
        let elapsed = now.saturating_duration_since(since);
        (elapsed >= span).then(|| {
            self.since = Some(now);
            std::mem::take(&mut self.bytes) as f64 / elapsed.as_secs_f64()
        })
    }

    /// The same of what comes closely together: a pause does not count, and ends it early.
    fn burst(&mut self, now: Instant, bytes: usize, span: Duration) -> Option<f64> {
        let last = self.last.replace(now);
        let ended = last.filter(|last| now.saturating_duration_since(*last) >= span).map(|_| {
            self.since = Some(now);
            std::mem::take(&mut self.bytes) as f64 / span.as_secs_f64()
        });
        self.rate(now, bytes, span).or(ended)
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            limit: START,
            round: Meter::default(),
            train: Meter::default(),
            limited: false,
            flat: 0,
            before: 0.0,
            best: 0.0,
            peak: 0.0,
        }
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

    /// Notes that `bytes` were acknowledged, on a path with these round-trip times: the least one,
    /// for that of a queue that we fill ourselves would let us fill it more, and the latest, which
    /// tells of such a queue.
    pub fn acknowledged(&mut self, now: Instant, bytes: usize, least: Duration, latest: Duration) {
        if latest > least.mul_f64(QUEUED) + QUEUE {
            self.flat = FULL;
        }
        if let Some(rate) = self.train.burst(now, bytes, (least / TRAIN).max(MIN_ROUND)) {
            self.peak = self.peak.max(rate);
        }
        if self.is_starting() && self.limited {
            // As SCTP's window does, which grows only while there is more than it.
            self.limit = (self.limit + bytes).min(product(self.peak, least)).max(self.limit);
        }
        let Some(rate) = self.round.rate(now, bytes, least.max(MIN_ROUND)) else { return };
        // What was held up in one round comes in the next.
        let before = std::mem::replace(&mut self.before, rate);
        let rate = if self.is_starting() { rate } else { rate.min(before) };
        self.peak = (self.peak * FADE).max(rate);
        // Who sends less than it may says nothing of what the network can carry.
        if self.limited || rate > self.best {
            if self.is_starting() {
                self.flat = if rate > self.best * FASTER { 0 } else { self.flat + 1 };
            }
            self.best = rate.max(self.best * FADE);
            let floor = if self.is_starting() || !self.limited { self.limit } else { MIN };
            self.limit = product(self.best, least).clamp(floor, MAX);
        }
        self.limited = false;
    }

    /// Whether each round brings more than the one before, as when SCTP starts.
    fn is_starting(&self) -> bool {
        self.flat < FULL
    }
}

/// What the network holds at a rate, and a little more.
fn product(rate: f64, rtt: Duration) -> usize {
    let product = GROWTH * rate * rtt.as_secs_f64();
    let bytes = rate * QUEUE.as_secs_f64() + product;
    // On a fast link the queue would only cost.
    bytes.min(product.max(ENOUGH as f64)).min(MAX as f64) as usize
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

/// That part of a round trip: longer than most networks gather acknowledgements.
const TRAIN: u32 = 4;

/// A round that is faster by so much says that the network holds more.
const FASTER: f64 = 1.1;

/// So many rounds that are not say that it is full: what one let through is acknowledged in the
/// round after the next, and acknowledgements come in bursts at first (BBR waits as long).
const FULL: u8 = 3;

/// A round trip so much longer than the least says that a queue has begun, and [`QUEUE`] more.
const QUEUED: f64 = 1.25;

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
            admission.acknowledged(start + rtt * i, window, rtt, rtt);
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
            admission.acknowledged(start + rtt * i, 100, rtt, rtt);
        }
        assert_eq!(admission.limit(), START);
    }

    #[test]
    fn grows_with_each_acknowledgement_until_a_queue_begins() {
        let start = crate::util::clock::now();
        let mut admission = Admission::default();
        let rtt = Duration::from_millis(200);
        let mut window = START;
        for i in 1..5u32 {
            // A burst of 10 ms in each round trip.
            for j in 0..10u32 {
                admission.reached();
                let now = start + rtt * i + Duration::from_millis(1) * j;
                admission.acknowledged(now, window / 10, rtt, rtt);
            }
            window = admission.limit();
        }
        assert!(window > 6 * START, "{window}");
        let queued = rtt * 2;
        for i in 5..10u32 {
            admission.reached();
            admission.acknowledged(start + rtt * i, window, rtt, queued);
        }
        assert!(admission.limit() < window * 2, "{}", admission.limit());
    }

    #[test]
    fn what_was_held_up_is_no_faster_network() {
        let start = crate::util::clock::now();
        let mut admission = Admission::default();
        let rtt = Duration::from_millis(50);
        let round = 250_000;
        let mut settled = 0;
        for i in 1..100u32 {
            admission.reached();
            let bytes = match i {
                60 => round / 10,
                61 => round * 19 / 10,
                _ => round,
            };
            admission.acknowledged(start + rtt * i, bytes, rtt, rtt);
            if i == 59 {
                settled = admission.limit();
            }
            assert!(i < 60 || admission.limit() <= settled, "{} in round {i}", admission.limit());
        }
    }
}
