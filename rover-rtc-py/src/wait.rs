//! Something to wait for that is no event of a peer.

use std::future::Future;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use pyo3::prelude::*;
use rover_rtc::PeerLink;
use rover_rtc::pull::EventNotifier;

use crate::error::Failure;
use crate::fork::Here;

/// What comes of it.
pub(crate) enum Outcome {
    /// It has happened.
    Done,
    /// A link is up. It is held until who waits has it.
    Link { _held: PeerLink },
}

type Waited = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send>>;

/// Something that will have happened: `fileno()` is readable when `poll()` may say so. Letting go
/// of it ends the wait.
#[pyclass(frozen, module = "rover_rtc._native")]
pub(crate) struct Wait {
    inner: Here<Inner>,
}

struct Inner {
    state: Mutex<State>,
    notifier: Arc<EventNotifier>,
}

enum State {
    Waiting(Waited),
    Over { _outcome: Option<Outcome> },
}

impl Wait {
    pub(crate) fn new(
        future: impl Future<Output = Result<Outcome, Failure>> + Send + 'static,
    ) -> Self {
        let state = Mutex::new(State::Waiting(Box::pin(future)));
        Self { inner: Here::new(Inner { state, notifier: Arc::default() }) }
    }
}

#[pymethods]
impl Wait {
    /// A descriptor to be polled and nothing else.
    fn fileno(&self) -> Result<RawFd, Failure> {
        self.inner.get()?.notifier.fd().map_err(|error| Failure::io(&error))
    }

    /// Whether it has happened. An error says that it never will.
    fn poll(&self) -> Result<bool, Failure> {
        let Inner { state, notifier } = self.inner.get()?;
        notifier.clear();
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Waiting(future) = &mut *state else { return Ok(true) };
        let waker = Waker::from(notifier.clone());
        let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) else {
            return Ok(false);
        };
        let (outcome, failure) = match done {
            Ok(outcome) => (Some(outcome), None),
            Err(failure) => (None, Some(failure)),
        };
        *state = State::Over { _outcome: outcome };
        failure.map_or(Ok(true), Err)
    }
}
