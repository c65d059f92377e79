//! The thread on which the library works.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::task::AbortHandle;

use super::leadership::Leadership;
use crate::net::NetworkError;

/// A thread with a runtime of its own, on which it works unless somebody else does.
#[derive(Debug)]
pub(super) struct Worker {
    runtime: Handle,
    leadership: Arc<Leadership>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    pub(super) fn start(name: &str) -> Result<Self, NetworkError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let leadership = Arc::new(Leadership::new(runtime));
        let follower = leadership.clone();
        let work = move || {
            if let Some(runtime) = follower.follow() {
                // A look-up of a name may hang for longer than anybody wants to wait.
                runtime.shutdown_timeout(LEAVE_TIME);
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self { runtime: handle, leadership, thread: Mutex::new(Some(thread)) })
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

    /// Where its work can be waited for.
    pub(super) fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    /// Ends the thread and waits for that, unless it is what works here. Without effect the second
    /// time.
    pub(super) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            self.leadership.stop();
            // Within a task of its own it would wait for itself.
            if Handle::try_current().is_ok_and(|here| here.id() == self.runtime.id()) {
                return;
            }
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

/// How long threads beside may take to end.
const LEAVE_TIME: Duration = Duration::from_secs(1);
