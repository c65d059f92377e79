//! Numbers by which events name links and channels.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Gives a link or channel a number, unless it has one.
pub(crate) fn name_once(get: impl Fn() -> usize, set: impl Fn(usize)) {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    static NAMING: Mutex<()> = Mutex::new(());
    if get() == 0 {
        let _naming = NAMING.lock().unwrap_or_else(PoisonError::into_inner);
        if get() == 0 {
            set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
    }
}
