//! Who runs the library: its own thread, or whoever waits for it.
//!
//! A packet that comes while the program waits would wake the library's thread, which would wake the
//! program's: twice the way. So who waits takes the seat and works meanwhile. The library's thread
//! stands by, and takes the seat when nobody has waited for a moment.

#[cfg(unix)]
use std::io;
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[cfg(unix)]
use tokio::io::{Interest, unix::AsyncFd};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Notify;

use super::wait::{wait_until, wait_while};
use crate::net::FineTimer;
use crate::util::clock;

/// The place of who runs the runtime.
#[derive(Debug)]
pub(super) struct Seat {
    state: Mutex<State>,
    /// For the library's thread while it stands by.
    changed: Condvar,
    /// Asks the library's thread to get up.
    aside: Notify,
    /// Nobody sits, and there are turns left: a hint that costs no lock.
    vacant: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// Until it is stopped.
    runtime: Option<Arc<Runtime>>,
    /// The library's thread sits.
    owned: bool,
    /// It stands by until it is told.
    resting: bool,
    /// Threads that sit, or want to.
    guests: usize,
    /// How often one of them has left.
    visits: u64,
    /// When the last of them left.
    left: Instant,
    /// Turns that senders have taken since.
    turns: usize,
    stopped: bool,
    /// A timer that the last one left.
    timer: Option<FineTimer>,
}

/// Somebody who sits, or waits until another one gets up.
struct Guest<'a> {
    seat: &'a Seat,
    runtime: Option<Arc<Runtime>>,
    timer: FineTimer,
    /// It has come to wait, and may come again.
    waits: bool,
}

impl Seat {
    pub(super) fn new(runtime: Runtime) -> Self {
        let state = State {
            runtime: Some(Arc::new(runtime)),
            owned: false,
            resting: false,
            guests: 0,
            visits: 0,
            left: clock::now(),
            turns: 0,
            stopped: false,
            timer: None,
        };
        let (changed, aside) = (Condvar::new(), Notify::new());
        Self { state: Mutex::new(state), changed, aside, vacant: AtomicBool::new(false) }
    }

    /// Sits while nobody else wants to, until it is stopped; returns the runtime, which nobody uses
    /// any more. For the library's thread.
    pub(super) fn own(&self) -> Option<Runtime> {
        let mut state = self.lock();
        while let Some(runtime) = state.runtime.clone().filter(|_| !state.stopped) {
            state.owned = true;
            self.note(&state);
            drop(state);
            runtime.block_on(self.aside.notified());
            drop(runtime);
            state = self.lock();
            state.owned = false;
            state = self.stand_by(state);
        }
        // They do not stay: what they wait for is closed.
        state = wait_while(&self.changed, state, None, |state| state.guests > 0);
        state.timer = None;
        state.runtime.take().and_then(Arc::into_inner)
    }

    /// Waits until there have been no guests for a moment.
    fn stand_by<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut looks = 0;
        loop {
            self.note(&state);
            let end = if state.guests == 0 {
                state.left + LINGER
            } else if looks < LOOKS {
                clock::now() + LINGER
            } else {
                // To be told costs a guest the way that it came here to save: not the busy ones.
                state.resting = true;
                let busy = |state: &State| state.guests > 0 && !state.stopped;
                state = wait_while(&self.changed, state, None, busy);
                state.resting = false;
                looks = 0;
                continue;
            };
            let visits = state.visits;
            state = wait_while(&self.changed, state, Some(end), |state| !state.stopped);
            if state.stopped || state.guests == 0 && state.left + LINGER <= clock::now() {
                return state;
            }
            looks = if state.visits == visits { looks + 1 } else { 0 };
        }
    }

    /// Waits on this thread, and lets the library work on it: until then at most, or for ever. On a
    /// thread that belongs to a runtime already, or once it is stopped, it only waits.
    pub(super) fn wait<T>(
        &self,
        future: impl Future<Output = T>,
        end: Option<Instant>,
    ) -> Option<T> {
        let future = pin!(future);
        match self.guest(true) {
            Some(mut guest) => guest.run(future, end),
            None => wait_until(future, end),
        }
    }

    /// As [`Seat::wait`], or until a descriptor is readable.
    #[cfg(unix)]
    pub(super) fn wait_or<T>(
        &self,
        future: impl Future<Output = T>,
        fd: BorrowedFd<'_>,
        end: Option<Instant>,
    ) -> io::Result<Option<T>> {
        let Some(mut guest) = self.guest(true) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let either = async {
            #[allow(
                deprecated,
                reason = "its replacement is unsafe, for types that lie about their descriptor; a \
                          BorrowedFd cannot"
            )]
            let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
            tokio::select! {
                biased;
                done = future => Ok(Some(done)),
                readable = fd.readable() => readable.map(|_| None),
            }
        };
        guest.run(pin!(either), end).unwrap_or(Ok(None))
    }

    /// Lets the library do what there is to do, if nobody else does: what was sent is on its way then.
    pub(super) fn turn(&self) {
        if self.vacant.load(Ordering::Acquire)
            && let Some(guest) = self.guest(false)
            && let Some(runtime) = &guest.runtime
        {
            // Tasks that are woken run before it goes on.
            runtime.block_on(tokio::task::yield_now());
        }
    }

    fn guest(&self, waits: bool) -> Option<Guest<'_>> {
        if Handle::try_current().is_ok() {
            return None;
        }
        let mut state = self.lock();
        if state.stopped || !waits && !state.is_vacant() {
            return None;
        }
        state.guests += 1;
        state.turns += usize::from(!waits);
        self.note(&state);
        if state.owned {
            self.aside.notify_one();
        }
        let (runtime, timer) = (state.runtime.clone(), state.timer.take().unwrap_or_default());
        Some(Guest { seat: self, runtime, timer, waits })
    }

    /// Sends the library's thread home. Guests leave by themselves.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        self.note(&state);
        drop(state);
        self.aside.notify_one();
        self.changed.notify_all();
    }

    fn note(&self, state: &State) {
        self.vacant.store(state.is_vacant(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can panic halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_vacant(&self) -> bool {
        !self.owned && self.guests == 0 && self.turns < TURNS && !self.stopped
    }
}

impl Guest<'_> {
    fn run<T>(&mut self, future: impl Future<Output = T>, end: Option<Instant>) -> Option<T> {
        let Self { runtime: Some(runtime), timer, .. } = self else { return None };
        runtime.block_on(async {
            let over = async {
                match end {
                    Some(end) => timer.sleep_until(clock::now(), end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                done = future => Some(done),
                () = over => None,
            }
        })
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        let runtime = self.runtime.take();
        let mut state = self.seat.lock();
        // Whoever finds that there are no guests has the only one.
        drop(runtime);
        state.guests -= 1;
        state.timer = Some(std::mem::take(&mut self.timer));
        if self.waits {
            state.visits += 1;
            state.left = clock::now();
            state.turns = 0;
        }
        self.seat.note(&state);
        if state.resting || state.stopped {
            self.seat.changed.notify_one();
        }
    }
}

/// So long after the last guest the library's thread takes over.
const LINGER: Duration = Duration::from_millis(1);

/// So many times it looks whether a guest who sits has left, before it rests until it is told.
const LOOKS: usize = 3;

/// Senders take so many turns at most between two waits: what they send after that goes out with
/// the next wait, or when the library's thread takes over, many messages at once.
const TURNS: usize = 2;
