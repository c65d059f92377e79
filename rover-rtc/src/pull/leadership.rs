//! Which thread runs the library: its own, or one that waits for it (leader and follower).
//!
//! A packet that comes while the program waits would wake the library's thread, which would wake
//! the program's: twice the way. So a thread that waits leads meanwhile: it runs the runtime. The
//! library's thread follows, and leads when no thread has waited for a moment.

#[cfg(unix)]
use std::io;
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

#[cfg(unix)]
use tokio::io::{Interest, unix::AsyncFd};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Notify;

use super::wait::{wait_for, wait_until, wait_while};
use crate::net::FineTimer;
use crate::util::clock;

/// Which thread leads: it alone runs the runtime.
#[derive(Debug)]
pub(super) struct Leadership {
    state: Mutex<State>,
    /// For the library's thread while it stands by.
    changed: Condvar,
    /// Asks the library's thread to step aside.
    aside: Notify,
    /// No thread leads: a hint that costs no lock.
    vacant: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// Until it is stopped.
    runtime: Option<Arc<Runtime>>,
    /// The library's thread leads.
    library_leads: bool,
    /// It follows until it is told otherwise.
    resting: bool,
    /// Threads of the program that lead, or want to.
    candidates: usize,
    /// How often one of them has ended to.
    terms: u64,
    /// When the last of them left.
    left: Instant,
    /// Its thread: what it does next may be done on it, too, for it has the stack for that.
    last: Option<ThreadId>,
    /// Turns that it has taken since.
    turns: usize,
    /// The program is called back while the library works, which must not be within a send.
    hooked: bool,
    stopped: bool,
    /// A timer that the last one left.
    timer: Option<FineTimer>,
}

/// A thread of the program that leads, or waits until another one ends to.
struct Leader<'a> {
    leadership: &'a Leadership,
    runtime: Option<Arc<Runtime>>,
    timer: FineTimer,
    purpose: Purpose,
}

/// What a thread leads for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To wait, maybe again and again.
    Wait,
    /// To have an answer, if nobody else is there to give it.
    Ask,
    /// To get done what there is to do, the same way.
    Turn,
}

impl Leadership {
    pub(super) fn new(runtime: Runtime) -> Self {
        let state = State {
            runtime: Some(Arc::new(runtime)),
            library_leads: false,
            resting: false,
            candidates: 0,
            terms: 0,
            left: clock::now(),
            last: None,
            turns: 0,
            hooked: false,
            stopped: false,
            timer: None,
        };
        let (changed, aside) = (Condvar::new(), Notify::new());
        Self { state: Mutex::new(state), changed, aside, vacant: AtomicBool::new(false) }
    }

    /// Leads while no other thread wants to, until it is stopped; returns the runtime, which nobody uses
    /// any more. For the library's thread.
    pub(super) fn follow(&self) -> Option<Runtime> {
        let mut state = self.lock();
        while let Some(runtime) = state.runtime.clone().filter(|_| !state.stopped) {
            state.library_leads = true;
            self.note(&state);
            drop(state);
            runtime.block_on(self.aside.notified());
            drop(runtime);
            state = self.lock();
            state.library_leads = false;
            state = self.stand_by(state);
        }
        // They do not stay: what they wait for is closed.
        state = wait_while(&self.changed, state, None, |state| state.candidates > 0);
        state.timer = None;
        state.runtime.take().and_then(Arc::into_inner)
    }

    /// Waits until no thread of the program has led for a moment.
    fn stand_by<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut looks = 0;
        loop {
            self.note(&state);
            let end = if state.candidates == 0 {
                state.left + LINGER
            } else if looks < LOOKS {
                clock::now() + LINGER
            } else {
                // To be told costs a leader the way that it came here to save: not the busy ones.
                state.resting = true;
                let busy = |state: &State| state.candidates > 0 && !state.stopped;
                state = wait_while(&self.changed, state, None, busy);
                state.resting = false;
                looks = 0;
                continue;
            };
            let terms = state.terms;
            state = wait_while(&self.changed, state, Some(end), |state| !state.stopped);
            if state.stopped || state.candidates == 0 && state.left + LINGER <= clock::now() {
                return state;
            }
            looks = if state.terms == terms { looks + 1 } else { 0 };
        }
    }

    /// Waits on this thread, and lets the library work on it: until then at most, or for ever. On a
    /// thread that belongs to a runtime already, or once it is stopped, it only waits.
    pub(super) fn wait<T>(
        &self,
        future: impl Future<Output = T>,
        end: Option<Instant>,
    ) -> Option<T> {
        let mut future = pin!(future);
        match look(future.as_mut(), end) {
            Look::Done(done) => Some(done),
            Look::Late => None,
            Look::Wait => match self.leader(Purpose::Wait) {
                Some(mut leader) => leader.run(future, end),
                None => wait_until(future, end),
            },
        }
    }

    /// As [`Leadership::wait`], or until a descriptor is readable.
    #[cfg(unix)]
    pub(super) fn wait_or<T>(
        &self,
        future: impl Future<Output = T>,
        fd: BorrowedFd<'_>,
        end: Option<Instant>,
    ) -> io::Result<Option<T>> {
        let mut future = pin!(future);
        match look(future.as_mut(), end) {
            Look::Done(done) => return Ok(Some(done)),
            Look::Late => return Ok(None),
            Look::Wait => {}
        }
        let leader = self.leader(Purpose::Wait);
        let Some(mut leader) = leader else { return Err(io::ErrorKind::Unsupported.into()) };
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
        leader.run(pin!(either), end).unwrap_or(Ok(None))
    }

    /// Waits for an answer of the library, which gives it on this thread if that has waited just
    /// now.
    pub(super) fn ask<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        if let Some(mut leader) = self.leader(Purpose::Ask)
            && let Some(done) = leader.run(future.as_mut(), None)
        {
            return done;
        }
        wait_for(future)
    }

    /// Lets the library do what there is to do, if this thread has waited just now and nobody else
    /// does it: what was sent is on its way then.
    pub(super) fn turn(&self) {
        if self.vacant.load(Ordering::Acquire)
            && let Some(leader) = self.leader(Purpose::Turn)
            && let Some(runtime) = &leader.runtime
        {
            // Tasks that are woken run before it goes on.
            runtime.block_on(tokio::task::yield_now());
        }
    }

    fn leader(&self, purpose: Purpose) -> Option<Leader<'_>> {
        // Neither on a thread of a runtime, nor on one that is ending.
        if !Handle::try_current().is_err_and(|error| error.is_missing_context()) {
            return None;
        }
        let mut state = self.lock();
        if state.stopped || purpose != Purpose::Wait && !state.is_free_for_last() {
            return None;
        }
        if purpose == Purpose::Turn {
            if state.turns == TURNS {
                return None;
            }
            state.turns += 1;
        }
        state.candidates += 1;
        self.note(&state);
        if state.library_leads {
            self.aside.notify_one();
        }
        let (runtime, timer) = (state.runtime.clone(), state.timer.take().unwrap_or_default());
        Some(Leader { leadership: self, runtime, timer, purpose })
    }

    /// Says whether the program is called back while the library works.
    pub(super) fn set_hooked(&self, hooked: bool) {
        let mut state = self.lock();
        state.hooked = hooked;
        self.note(&state);
    }

    /// Ends the library's thread. Leaders end by themselves.
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
        !self.library_leads && self.candidates == 0 && !self.hooked && !self.stopped
    }

    /// Whether no thread leads, and this is the one that did last.
    fn is_free_for_last(&self) -> bool {
        self.is_vacant() && self.last == Some(std::thread::current().id())
    }
}

enum Look<T> {
    Done(T),
    /// The time is over.
    Late,
    Wait,
}

/// Whether there is anything to wait for. Who has no need to lead must not: it would keep the
/// library's thread away, and do nothing.
fn look<T>(future: Pin<&mut impl Future<Output = T>>, end: Option<Instant>) -> Look<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Look::Done(done),
        Poll::Pending if end.is_some_and(|end| end <= clock::now()) => Look::Late,
        Poll::Pending => Look::Wait,
    }
}

impl Leader<'_> {
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

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let runtime = self.runtime.take();
        let mut state = self.leadership.lock();
        // Whoever finds that there are no candidates has the only one.
        drop(runtime);
        state.candidates -= 1;
        state.timer = Some(std::mem::take(&mut self.timer));
        if self.purpose == Purpose::Wait {
            state.terms += 1;
            state.left = clock::now();
            state.last = Some(std::thread::current().id());
            state.turns = 0;
        }
        self.leadership.note(&state);
        if state.resting || state.stopped {
            self.leadership.changed.notify_one();
        }
    }
}

/// So long after the last leader the library's thread takes over.
const LINGER: Duration = Duration::from_millis(1);

/// So many times it looks whether a leader has ended, before it rests until it is told.
const LOOKS: usize = 3;

/// Who sends takes so many turns at most between two waits: what is sent after that goes out with
/// the next wait, or when the library's thread takes over, many messages at once.
const TURNS: usize = 2;
