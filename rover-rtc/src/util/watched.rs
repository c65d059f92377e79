//! What a lock guards and tasks wait for.
//!
//! A waker is code of whoever waits: to wake, clone or drop one may run a task, or end it, and with
//! that use, or let go of, the very thing that it waited for. What a message holds may be code of
//! the program's, too, when it is dropped. So none of that happens under the lock: whatever is to
//! be woken or dropped is put aside, and has its turn when the lock is released.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A value behind a lock, which tasks wait for.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    mutex: Mutex<T>,
}

/// What can be watched.
pub(crate) trait Watch {
    /// What it holds that must not be dropped under the lock.
    type Item;

    /// What is put aside until the lock is released.
    fn aside(&mut self) -> &mut Aside<Self::Item>;
}

/// What is put aside under a lock.
#[derive(Debug)]
pub(crate) struct Aside<T> {
    /// To be woken.
    pub(crate) woken: Wakers,
    /// To be dropped.
    pub(crate) dropped: Few<T>,
}

/// Those who wait for the same thing, each once.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Few<Waker>);

/// Items of which there is hardly ever more than one: that takes no allocation.
#[derive(Debug)]
pub(crate) struct Few<T> {
    first: Option<T>,
    more: Vec<T>,
}

impl<T: Watch> Watched<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { mutex: Mutex::new(value) }
    }

    /// Does something under the lock. What that wakes or drops, it does afterwards.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.lock();
        let result = act(&mut value);
        let aside = value.aside();
        // Mostly there is nothing, and that is to cost nothing.
        let aside = (!aside.is_empty()).then(|| std::mem::take(aside));
        drop(value);
        if let Some(Aside { woken, dropped }) = aside {
            woken.wake();
            drop(dropped);
        }
        result
    }

    /// The same for what may be pending: the task is among those who wait then.
    pub(crate) fn poll<R>(
        &self,
        cx: &Context<'_>,
        waiting: impl Fn(&mut T) -> &mut Wakers,
        mut act: impl FnMut(&mut T) -> Poll<R>,
    ) -> Poll<R> {
        let (polled, waits) = self.with(|value| {
            let polled = act(value);
            let waits = polled.is_pending() && waiting(value).contains(cx.waker());
            (polled, waits)
        });
        if polled.is_ready() || waits {
            return polled;
        }
        // It may have become ready meanwhile.
        let mut waker = Some(cx.waker().clone());
        self.with(|value| {
            let polled = act(value);
            if polled.is_pending() {
                waiting(value).add(&mut waker);
            }
            polled
        })
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        // No code under the lock can panic halfway through a change.
        self.mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wakers {
    fn contains(&self, waker: &Waker) -> bool {
        self.0.iter().any(|known| known.will_wake(waker))
    }

    /// Takes a clone of a waker out of its place, unless there is one already. `contains` may not
    /// have known the original: a clone can have another virtual table, and clones have the same.
    /// Without this, who is polled often and never woken would be listed once for each time.
    fn add(&mut self, clone: &mut Option<Waker>) {
        if clone.as_ref().is_some_and(|waker| !self.contains(waker)) {
            self.0.extend(clone.take());
        }
    }

    /// Takes over all of another list.
    pub(crate) fn append(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }

    /// Wakes all of them: who is woken may have given up waiting.
    pub(crate) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

impl<T> Few<T> {
    pub(crate) fn push(&mut self, item: T) {
        match &self.first {
            None => self.first = Some(item),
            Some(_) => self.more.push(item),
        }
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn append(&mut self, other: &mut Self) {
        other.first.take().into_iter().for_each(|first| self.push(first));
        self.more.append(&mut other.more);
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.more)
    }

    fn into_iter(self) -> impl Iterator<Item = T> {
        self.first.into_iter().chain(self.more)
    }
}

impl Extend<Waker> for Wakers {
    fn extend<I: IntoIterator<Item = Waker>>(&mut self, wakers: I) {
        self.0.extend(wakers);
    }
}

impl<T> Extend<T> for Few<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self { first: None, more: Vec::new() }
    }
}

impl<T> Aside<T> {
    fn is_empty(&self) -> bool {
        self.woken.0.is_empty() && self.dropped.is_empty()
    }
}

impl<T> Default for Aside<T> {
    fn default() -> Self {
        Self { woken: Wakers::default(), dropped: Few::default() }
    }
}

/// For tests of what is watched: a waker that runs some code when it is woken, and when it is
/// dropped.
#[cfg(test)]
pub(crate) mod testing {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    struct Runs(Box<dyn Fn() + Send + Sync>, Arc<AtomicUsize>);

    impl Wake for Runs {
        fn wake(self: Arc<Self>) {
            (self.0)();
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Drop for Runs {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    /// The waker, and how often it has been woken.
    pub(crate) fn waker(run: impl Fn() + Send + Sync + 'static) -> (Waker, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        (Waker::from(Arc::new(Runs(Box::new(run), count.clone()))), count)
    }

    /// Runs a test that may hang.
    pub(crate) fn in_time(test: impl FnOnce() + Send + 'static) {
        let (done, over) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            test();
            let _ = done.send(());
        });
        let patience = std::time::Duration::from_secs(10);
        let over = over.recv_timeout(patience);
        assert_ne!(over, Err(std::sync::mpsc::RecvTimeoutError::Timeout), "it hangs");
        thread.join().expect("the test has not failed");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::testing::{in_time, waker};
    use super::*;

    #[derive(Default)]
    struct State {
        open: bool,
        waiting: Wakers,
        aside: Aside<Waker>,
    }

    impl Watch for State {
        type Item = Waker;

        fn aside(&mut self) -> &mut Aside<Waker> {
            &mut self.aside
        }
    }

    fn poll(watched: &Watched<State>, waker: &Waker) -> Poll<()> {
        let cx = Context::from_waker(waker);
        watched.poll(
            &cx,
            |s| &mut s.waiting,
            |s| if s.open { Poll::Ready(()) } else { Poll::Pending },
        )
    }

    #[test]
    fn who_is_polled_often_is_listed_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let watched = Watched::new(State::default());
        runtime.block_on(std::future::poll_fn(|cx| {
            for _ in 0..1000 {
                assert!(poll(&watched, cx.waker()).is_pending());
                assert!(poll(&watched, &cx.waker().clone()).is_pending());
            }
            Poll::Ready(())
        }));
        let listed = watched.with(|state| state.waiting.0.iter().count());
        // As itself, and as its clone.
        assert!(listed <= 2, "{listed}");
    }

    #[test]
    fn wakers_run_when_the_lock_is_released() {
        in_time(|| {
            let watched = Arc::new(Watched::new(State::default()));
            let run = || {
                let watched = watched.clone();
                move || watched.with(|_| ())
            };
            let wakers = [(); 3].map(|()| waker(run()));
            for (waker, _) in &wakers {
                assert!(poll(&watched, waker).is_pending());
                assert!(poll(&watched, waker).is_pending());
            }
            watched.with(|state| {
                state.open = true;
                state.aside.woken.append(&mut state.waiting);
            });
            let counts: Vec<_> = wakers.iter().map(|(_, count)| count.clone()).collect();
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            assert!(poll(&watched, &wakers[0].0).is_ready());
            // The last of them is dropped there.
            watched.with(|state| state.aside.dropped.extend(wakers.map(|(waker, _)| waker)));
        });
    }
}
