//! The thread on which the library works.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::error::NetworkError;
use crate::util::clock;

/// A thread with a runtime of its own.
#[derive(Debug)]
pub(super) struct Worker {
    runtime: Handle,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Worker {
    pub(super) fn start(name: &str) -> Result<Self, NetworkError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let work = move || {
            // An error says that nobody is left to tell.
            let _ = runtime.block_on(stopped);
            // A look-up of a name may hang for longer than anybody wants to wait.
            runtime.shutdown_timeout(LEAVE_TIME);
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        let running = Mutex::new(Some(Running { stop, thread }));
        Ok(Self { runtime: handle, running })
    }

    /// Makes this thread one that may start tasks, for a while.
    pub(super) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Runs what needs the runtime, on this thread.
    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.runtime.spawn(future).abort_handle()
    }

    /// Ends the thread and waits for that. Without effect the second time.
    pub(super) fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { stop, thread }) = running {
            let _ = stop.send(());
            // A panic there has been reported already.
            let _ = thread.join();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

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

fn wait_until<T>(mut future: Pin<&mut impl Future<Output = T>>, end: Option<Instant>) -> Option<T> {
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

/// How long threads beside may take to end.
const LEAVE_TIME: Duration = Duration::from_secs(1);
