//! Something to wait for that is no event of a peer.

use std::future::Future;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use pyo3::prelude::*;
use rover_rtc::PeerLink;

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
    bell: Arc<Bell>,
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
        Self { inner: Here::new(Inner { state, bell: Arc::default() }) }
    }
}

#[pymethods]
impl Wait {
    /// A descriptor to be polled and nothing else.
    fn fileno(&self) -> Result<RawFd, Failure> {
        self.inner.get()?.bell.fd().map_err(|error| Failure::io(&error))
    }

    /// Whether it has happened. An error says that it never will.
    fn poll(&self) -> Result<bool, Failure> {
        let Inner { state, bell } = self.inner.get()?;
        bell.hush();
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Waiting(future) = &mut *state else { return Ok(true) };
        let waker = Waker::from(bell.clone());
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

/// Makes a descriptor readable from whichever thread.
#[derive(Default)]
struct Bell {
    state: Mutex<Rung>,
}

#[derive(Default)]
struct Rung {
    rung: bool,
    /// Holds a byte exactly while it is rung. Made when somebody asks for it.
    pipe: Option<(PipeReader, PipeWriter)>,
}

impl Bell {
    fn fd(&self) -> std::io::Result<RawFd> {
        let mut state = self.lock();
        if state.pipe.is_none() {
            let (reader, mut writer) = std::io::pipe()?;
            if state.rung {
                writer.write_all(&[1])?;
            }
            state.pipe = Some((reader, writer));
        }
        state.pipe.as_ref().map(|pipe| pipe.0.as_raw_fd()).ok_or(std::io::ErrorKind::Other.into())
    }

    fn hush(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.rung)
            && let Some((reader, _)) = &mut state.pipe
        {
            // There is one byte in it.
            let _ = reader.read(&mut [0]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rung> {
        // Nothing that is done under the lock can panic halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.rung, true)
            && let Some((_, writer)) = &mut state.pipe
        {
            // The pipe is empty, so this neither blocks nor fails.
            let _ = writer.write(&[1]);
        }
    }
}
