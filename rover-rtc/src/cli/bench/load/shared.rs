//! What all threads of a run share.

use std::sync::atomic::{AtomicU64, AtomicUsize};

use super::options::LoadOptions;
use super::pace::Pace;

/// The run's settings, and what has been counted so far.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: LoadOptions,
    pub(super) pace: Pace,
    /// Tells the channels of this run from those of others on the same hub.
    pub(super) run: u64,
    pub(super) joined: AtomicUsize,
    /// Messages so far.
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
}
