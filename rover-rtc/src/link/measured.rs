//! Thin drivers of what is private here, for `benches/` (see `bench_support`).

use std::time::Instant;

use super::{Message, Outbox};

pub use super::mux::measured::{MuxPair, decode, encode};

/// Queues this many messages, and takes them out again as a link does; returns how many came.
pub fn push_and_pop(outbox: &Outbox, now: Instant, message: &Message, count: usize) -> usize {
    for _ in 0..count {
        let _ = outbox.try_push(now, message.clone());
    }
    std::iter::from_fn(|| outbox.pop_if(now, usize::MAX)).count()
}
