//! Storage that tells how large it is and how long its syncs take.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redb::{BackendError, StorageBackend};

use crate::util::clock;

/// What was measured, over all openings of a file.
#[derive(Debug, Default)]
pub(super) struct Meter {
    len: AtomicU64,
    last_sync: AtomicU64,
    longest_sync: AtomicU64,
}

impl Meter {
    /// The file's length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// How long the last sync took.
    pub(super) fn last_sync(&self) -> Duration {
        Duration::from_nanos(self.last_sync.load(Ordering::Relaxed))
    }

    /// How long the longest sync took.
    pub(super) fn longest_sync(&self) -> Duration {
        Duration::from_nanos(self.longest_sync.load(Ordering::Relaxed))
    }
}

/// Storage under a meter.
#[derive(Debug)]
pub(super) struct Metered<B> {
    inner: B,
    meter: Arc<Meter>,
}

impl<B: StorageBackend> Metered<B> {
    pub(super) fn new(inner: B, meter: Arc<Meter>) -> Self {
        Self { inner, meter }
    }
}

impl<B: StorageBackend> StorageBackend for Metered<B> {
    fn len(&self) -> io::Result<u64> {
        let len = self.inner.len()?;
        self.meter.len.store(len, Ordering::Relaxed);
        Ok(len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)?;
        self.meter.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let start = clock::now();
        let done = self.inner.sync_data();
        let took = clock::now().saturating_duration_since(start);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.meter.last_sync.store(nanos, Ordering::Relaxed);
        self.meter.longest_sync.fetch_max(nanos, Ordering::Relaxed);
        done
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
