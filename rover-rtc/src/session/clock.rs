//! The pace clock: a transport's time is ours to choose.
//!
//! SCTP inside str0m waits 3 s, 1 s or up to 60 s for a retransmission and has no setting for it.
//! But str0m knows no clock except the `Instant` it is given, so it runs on one of ours, which
//! is affine in pieces:
//!
//! ```text
//! transport_time = transport_base + (now - real_base) * pace
//! ```
//!
//! At pace 5 an RTO of 1 s is 200 ms long. [`PaceClock::warp_to`] steps the transport's time
//! forward at once, so that a retransmission need not be waited for at all.

use std::time::{Duration, Instant};

/// Maps real time to a transport's time and back.
#[derive(Debug, Clone)]
pub struct PaceClock {
    real_base: Instant,
    transport_base: Instant,
    pace: f64,
}

impl PaceClock {
    /// A clock on which `now` is `now`, and which runs `pace` times as fast.
    #[must_use]
    pub fn new(now: Instant, pace: f64) -> Self {
        Self { real_base: now, transport_base: now, pace: pace.max(MIN_PACE) }
    }

    /// The transport's time at `now`. Never runs backwards.
    #[must_use]
    pub fn at(&self, now: Instant) -> Instant {
        self.transport_base + scale(now.saturating_duration_since(self.real_base), self.pace)
    }

    /// The first real instant at which the transport's time has reached `deadline`.
    #[must_use]
    pub fn real(&self, deadline: Instant) -> Instant {
        let wait = deadline.saturating_duration_since(self.transport_base).min(FAR);
        // One more nanosecond: rounding down would fire just before the deadline, and spin.
        self.real_base + scale(wait, 1.0 / self.pace) + Duration::from_nanos(1)
    }

    /// How many times faster than real time the clock runs.
    #[must_use]
    pub fn pace(&self) -> f64 {
        self.pace
    }

    /// Changes the pace from `now` on; the time reached so far stays.
    pub fn set_pace(&mut self, now: Instant, pace: f64) {
        self.rebase(now);
        self.pace = pace.max(MIN_PACE);
    }

    /// Steps the transport's time forward to `deadline`; no effect if it is there already.
    pub fn warp_to(&mut self, now: Instant, deadline: Instant) {
        self.rebase(now);
        self.transport_base = self.transport_base.max(deadline);
    }

    fn rebase(&mut self, now: Instant) {
        self.transport_base = self.at(now);
        self.real_base = self.real_base.max(now);
    }
}

fn scale(d: Duration, by: f64) -> Duration {
    d.mul_f64(by)
}

/// Below this a clock would stand still.
const MIN_PACE: f64 = 0.01;

/// str0m says "never" with an instant centuries away, which no arithmetic should meet.
const FAR: Duration = Duration::from_secs(100 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Instant {
        crate::util::clock::now()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn runs_at_its_pace_and_back() {
        let t = now();
        let clock = PaceClock::new(t, 5.0);
        assert_eq!(clock.at(t + SECOND), t + 5 * SECOND);
        let real = clock.real(t + 5 * SECOND);
        assert!(clock.at(real) >= t + 5 * SECOND);
        assert!(real < t + SECOND + Duration::from_micros(1));
    }

    #[test]
    fn a_changed_pace_keeps_the_time_reached() {
        let t = now();
        let mut clock = PaceClock::new(t, 5.0);
        clock.set_pace(t + SECOND, 1.0);
        assert_eq!(clock.at(t + 2 * SECOND), t + 6 * SECOND);
    }

    #[test]
    fn a_warp_only_goes_forward() {
        let t = now();
        let mut clock = PaceClock::new(t, 2.0);
        clock.warp_to(t, t + 10 * SECOND);
        assert_eq!(clock.at(t), t + 10 * SECOND);
        clock.warp_to(t, t + SECOND);
        assert_eq!(clock.at(t + SECOND), t + 12 * SECOND);
    }

    #[test]
    fn never_stays_far_away() {
        let t = now();
        let clock = PaceClock::new(t, 5.0);
        assert!(clock.real(t + 1000 * FAR) > t + SECOND);
    }
}
