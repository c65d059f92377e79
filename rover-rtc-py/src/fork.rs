//! What was made before a fork is dead in the child: the library's threads stay with the parent.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;

use crate::error::Failure;

/// Forks that led to this process.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Notes that this process is a child that was just forked.
pub(crate) fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Forks that led to this process.
#[pyfunction]
pub(crate) fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Something that lives in the process that made it. In a child its locks may be held for ever by
/// threads that are not there, so it is neither used nor dropped.
#[derive(Debug)]
pub(crate) struct Here<T> {
    thing: ManuallyDrop<T>,
    forks: u64,
}

impl<T> Here<T> {
    pub(crate) fn new(thing: T) -> Self {
        Self { thing: ManuallyDrop::new(thing), forks: forks() }
    }

    /// It, in the process that made it.
    #[inline]
    pub(crate) fn get(&self) -> Result<&T, Failure> {
        if self.is_here() { Ok(self.thing.deref()) } else { Err(elsewhere()) }
    }

    #[inline]
    fn is_here(&self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed)
    }
}

impl<T> Drop for Here<T> {
    fn drop(&mut self) {
        if self.is_here() {
            #[allow(unsafe_code, reason = "there is no safe way to leave out a drop at run time")]
            // SAFETY: it is dropped once, here, and not used after that.
            unsafe {
                ManuallyDrop::drop(&mut self.thing);
            }
        }
    }
}

fn elsewhere() -> Failure {
    let text = "made before a fork: connect again in the child, or use the 'spawn' start method";
    Failure::new("BAD_HANDLE", text)
}
