//! Waiting for what other threads do, without a runtime.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::util::clock;

/// Waits for what other threads do. Needs no runtime.
pub(super) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Some(done) = wait_until(future.as_mut(), None) {
            return done;
        }
    }
}

/// The same, for so long at most.
pub(super) fn wait_within<T>(future: impl Future<Output = T>, patience: Duration) -> Option<T> {
    wait_until(pin!(future), clock::now().checked_add(patience))
}

/// The same, until then at most, or for ever.
pub(super) fn wait_until<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
    end: Option<Instant>,
) -> Option<T> {
    // The same each time, so that who is asked again and again in vain remembers it once. A thread
    // that is ending has none any more.
    let parker = PARKER.try_with(Arc::clone).unwrap_or_default();
    let waker = Waker::from(parker.clone());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(done);
        }
        if !parker.park(end) {
            return None;
        }
    }
}

/// Waits while a state is as told, until then at most, or for ever; returns the state.
pub(super) fn wait_while<'a, T>(
    changed: &Condvar,
    mut state: MutexGuard<'a, T>,
    end: Option<Instant>,
    holds: impl Fn(&T) -> bool,
) -> MutexGuard<'a, T> {
    while holds(&state) {
        state = match end.map(|end| end.saturating_duration_since(clock::now())) {
            Some(Duration::ZERO) => break,
            Some(left) => {
                changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            }
            None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
    }
    state
}

/// Lets one thread wait for others.
#[derive(Default)]
struct Parker {
    woken: Mutex<bool>,
    wake: Condvar,
}

thread_local! {
    static PARKER: Arc<Parker> = Arc::default();
}

impl Parker {
    /// Waits until it is woken, or was before; false if that has not happened by then.
    fn park(&self, end: Option<Instant>) -> bool {
        let woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *wait_while(&self.wake, woken, end, |woken| !woken))
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_one();
    }
}
