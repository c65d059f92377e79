//! Durations counted in classes: small, of fixed size, and good to a tenth.

use std::fmt;
use std::time::Duration;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

/// Counts durations from a microsecond to days, in classes each 19 % wider than the one before.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// By class, from the least that has occurred.
    counts: Vec<u64>,
    first: usize,
    count: u64,
    longest: Duration,
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&mut self, duration: Duration) {
        let class = class(duration);
        if self.counts.is_empty() {
            self.first = class;
        }
        if class < self.first {
            let missing = self.first - class;
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = class;
        }
        let index = class - self.first;
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += 1;
        self.count += 1;
        self.longest = self.longest.max(duration);
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// What this share of them (0 to 1) did not exceed, good to a tenth; `None` without any.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = (share.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let index = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(middle(self.first + index).min(self.longest))
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, longest, .. } = self;
        let (p50, p99) = (self.quantile(0.5), self.quantile(0.99));
        write!(f, "{count} (p50 {p50:?}, p99 {p99:?}, longest {longest:?})")
    }
}

/// Count, quantiles and the longest, in seconds.
impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seconds = |share| self.quantile(share).map(|duration| duration.as_secs_f64());
        let mut map = serializer.serialize_struct("Histogram", 4)?;
        map.serialize_field("count", &self.count)?;
        map.serialize_field("p50", &seconds(0.5))?;
        map.serialize_field("p99", &seconds(0.99))?;
        map.serialize_field("longest", &self.longest.as_secs_f64())?;
        map.end()
    }
}

/// Four classes for each doubling, from a microsecond.
fn class(duration: Duration) -> usize {
    let micros = duration.as_secs_f64() * 1e6;
    ((micros.max(1.0).log2() * 4.0) as usize).min(CLASSES - 1)
}

/// The middle of a class.
fn middle(class: usize) -> Duration {
    Duration::from_secs_f64(2f64.powf((class as f64 + 0.5) / 4.0) / 1e6)
}

/// Up to some 12 days.
const CLASSES: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_good_to_a_tenth() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for millis in (1..=1000).rev() {
            histogram.record(Duration::from_millis(millis));
        }
        for (share, millis) in [(0.01, 10.0), (0.5, 500.0), (0.99, 990.0)] {
            let found = histogram.quantile(share).unwrap().as_secs_f64() * 1e3;
            assert!((found / millis - 1.0).abs() < 0.1, "{share}: {found} ms");
        }
        assert_eq!(histogram.count(), 1000);
        assert_eq!(histogram.longest(), Duration::from_secs(1));
    }

    #[test]
    fn extremes_have_a_class() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::MAX);
        assert_eq!(histogram.count(), 2);
        assert!(histogram.quantile(0.1).unwrap() < Duration::from_micros(2));
    }
}
