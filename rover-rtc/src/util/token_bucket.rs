//! Token buckets: how much of something may happen in a time.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// A bucket that fills at a steady rate up to its size. What is taken from it may happen.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    level: f64,
    size: f64,
    /// Per second.
    rate: f64,
    at: Instant,
}

impl TokenBucket {
    /// A full one. Without a rate it never fills again.
    pub(crate) fn new(now: Instant, size: f64, rate: f64) -> Self {
        Self { level: size, size, rate, at: now }
    }

    /// One that allows this many in a minute, all of them at once if need be.
    pub(crate) fn per_minute(now: Instant, count: u32) -> Self {
        Self::new(now, f64::from(count), f64::from(count) / 60.0)
    }

    /// Takes so much; or nothing, and says how long until there would be enough.
    pub(crate) fn take(&mut self, now: Instant, amount: f64) -> Result<(), Duration> {
        self.fill(now);
        if self.level >= amount {
            self.level -= amount;
            return Ok(());
        }
        let seconds = (amount - self.level) / self.rate;
        Err(Duration::try_from_secs_f64(seconds).map_or(LONGEST, |wait| wait.min(LONGEST)))
    }

    /// Whether forgetting it would change nothing.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level >= self.size
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        self.level = self.size.min(self.level + elapsed.as_secs_f64() * self.rate);
    }
}

/// A bucket for each of many. Those that are full are forgotten, two looked at with each call;
/// where there are too many all the same, the one goes that was looked at longest ago.
#[derive(Debug)]
pub(crate) struct TokenBuckets<K> {
    buckets: HashMap<K, TokenBucket>,
    /// In this order they are looked at.
    order: VecDeque<K>,
}

impl<K: Clone + Eq + Hash> TokenBuckets<K> {
    /// Takes one from the bucket of `key`, which begins as `new`; or says how long until there
    /// would be one.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        key: K,
        new: impl FnOnce() -> TokenBucket,
    ) -> Result<(), Duration> {
        for _ in 0..2 {
            let Some(next) = self.order.pop_front() else { break };
            if self.buckets.get_mut(&next).is_some_and(|bucket| bucket.is_full(now)) {
                self.buckets.remove(&next);
            } else {
                self.order.push_back(next);
            }
        }
        if !self.buckets.contains_key(&key) {
            if self.buckets.len() >= MAX_BUCKETS
                && let Some(oldest) = self.order.pop_front()
            {
                self.buckets.remove(&oldest);
            }
            self.order.push_back(key.clone());
        }
        self.buckets.entry(key).or_insert_with(new).take(now, 1.0)
    }
}

impl<K> Default for TokenBuckets<K> {
    fn default() -> Self {
        Self { buckets: HashMap::new(), order: VecDeque::new() }
    }
}

/// Of one kind, at the same time.
const MAX_BUCKETS: usize = 65_536;

/// Told to those who would have to wait for ever, because nothing is allowed at all.
const LONGEST: Duration = Duration::from_secs(3600);

/// A wait in whole seconds, as `Retry-After` has it: at least one.
pub(crate) fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_a_burst_then_the_rate() {
        let start = crate::util::clock::now();
        let mut bucket = TokenBucket::per_minute(start, 5);
        assert!((0..5).all(|_| bucket.take(start, 1.0).is_ok()));
        let wait = bucket.take(start, 1.0).unwrap_err();
        assert_eq!(wait.as_millis(), 12_000);
        assert!(!bucket.is_full(start) && bucket.take(start + wait, 1.0).is_ok());
        assert!(bucket.is_full(start + Duration::from_secs(120)));
        // Time that runs backwards fills nothing.
        assert!(bucket.take(start, 5.0).is_ok() && bucket.take(start, 1.0).is_err());
    }

    #[test]
    fn many_are_bounded_and_forgotten_when_they_are_full() {
        let (mut many, start) = (TokenBuckets::default(), crate::util::clock::now());
        let second = Duration::from_secs(1);
        let new = |now| move || TokenBucket::new(now, 2.0, 1.0);
        for key in 0..3 * MAX_BUCKETS {
            many.take(start, key, new(start)).unwrap();
        }
        assert_eq!((many.buckets.len(), many.order.len()), (MAX_BUCKETS, MAX_BUCKETS));
        let last = 3 * MAX_BUCKETS - 1;
        many.take(start, last, new(start)).unwrap();
        assert_eq!(many.take(start, last, new(start)), Err(second));
        // All others are full by then; with each call two of them go.
        let later = start + second;
        (0..MAX_BUCKETS).for_each(|_| _ = many.take(later, last, new(later)));
        assert_eq!((many.buckets.len(), many.order.len()), (1, 1));
        assert!(many.take(later + 9 * second, 0, new(later)).is_ok());
    }

    #[test]
    fn nothing_at_all() {
        let start = crate::util::clock::now();
        assert_eq!(TokenBucket::per_minute(start, 0).take(start, 1.0), Err(LONGEST));
    }
}
