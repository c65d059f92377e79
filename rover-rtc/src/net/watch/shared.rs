//! One socket for all watches of a runtime: each would cost a descriptor, and all hear the same.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::{Handle, Id};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::warn;

use super::kernel::Messages;

/// Hears of messages. The socket is closed when the last one of its runtime is dropped.
#[derive(Debug)]
pub(super) struct Ear {
    heard: watch::Receiver<()>,
    _listener: Arc<Listener>,
}

impl Ear {
    /// Hears what comes from now on
    pub(super) fn new() -> io::Result<Self> {
        // What is registered with one runtime is of no use in another one.
        let runtime = Handle::current().id();
        let mut listeners = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|(_, listener)| listener.strong_count() > 0);
        let known = listeners.iter().filter(|(id, _)| *id == runtime);
        let known = known.filter_map(|(_, listener)| listener.upgrade()).find(|l| l.listens());
        let listener = match known {
            Some(listener) => listener,
            None => {
                let listener = Arc::new(Listener::new()?);
                listeners.push((runtime, Arc::downgrade(&listener)));
                listener
            }
        };
        let mut heard = listener.heard.clone();
        heard.mark_unchanged();
        Ok(Self { heard, _listener: listener })
    }

    /// Waits for a message; an error means that there will be none
    pub(super) async fn arrived(&mut self) -> io::Result<()> {
        self.heard.changed().await.map_err(io::Error::other)
    }

    /// Forgets what has come
    pub(super) fn forget(&mut self) {
        self.heard.mark_unchanged();
    }
}

/// The task with the socket
#[derive(Debug)]
struct Listener {
    heard: watch::Receiver<()>,
    task: AbortHandle,
}

impl Listener {
    fn new() -> io::Result<Self> {
        let messages = Messages::subscribe()?;
        let (tell, heard) = watch::channel(());
        let task = tokio::spawn(listen(messages, tell)).abort_handle();
        Ok(Self { heard, task })
    }

    fn listens(&self) -> bool {
        self.heard.has_changed().is_ok()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(messages: Messages, tell: watch::Sender<()>) {
    loop {
        if let Err(error) = messages.arrived().await {
            warn!(%error, "changes of interfaces are noticed late from now on");
            return;
        }
        messages.drain();
        tell.send_replace(());
    }
}

/// Those of all runtimes
static LISTENERS: Mutex<Vec<(Id, Weak<Listener>)>> = Mutex::new(Vec::new());

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_has_one_socket_as_long_as_somebody_listens() {
        let both = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let (one, two) = (Ear::new().unwrap(), Ear::new().unwrap());
                assert!(Arc::ptr_eq(&one._listener, &two._listener));
                let first = Arc::downgrade(&one._listener);
                drop(one);
                assert!(first.upgrade().is_some_and(|listener| listener.listens()));
                drop(two);
                assert!(first.upgrade().is_none());
                Ear::new().unwrap()
            })
        };
        // One that outlives its runtime is deaf, and in nobody's way.
        let (mut deaf, other) = (both(), both());
        assert!(!deaf._listener.listens() && !Arc::ptr_eq(&deaf._listener, &other._listener));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(runtime.block_on(deaf.arrived()).is_err());
    }
}
