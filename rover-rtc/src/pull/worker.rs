//! The thread on which the library works.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::sync::oneshot;

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

    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(future);
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

/// Waits for what other threads do, for so long at most, or for ever. Needs no runtime.
pub(super) fn wait_for<T>(
    future: impl Future<Output = T>,
    patience: Option<Duration>,
) -> Option<T> {
    let end = patience.and_then(|patience| clock::now().checked_add(patience));
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(done);
        }
        match end.map(|end| end.saturating_duration_since(clock::now())) {
            Some(Duration::ZERO) => return None,
            Some(left) => std::thread::park_timeout(left),
            None => std::thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// How long threads beside may take to end.
const LEAVE_TIME: Duration = Duration::from_secs(1);
