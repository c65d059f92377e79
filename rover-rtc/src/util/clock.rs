//! The one place that reads the system's clocks.
//!
//! The core takes time as an argument (that is what lets `tests/sim` run hours of bad network in
//! milliseconds); the drivers take it from here.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock that every deadline of the drivers is measured on.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since the Unix epoch, as the seed's [`Payload`](crate::model::payload::Payload)
/// carries them. Zero if the system's clock stands before 1970.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the place")]
pub fn unix_nanos() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A time that a setting puts off; one beyond the end of time is in ten years.
pub(crate) fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by).unwrap_or_else(|| now + FAR)
}

const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
