//! Peers.

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rover_rtc::util::clock;
use rover_rtc::{WebrtcError, pull};

use crate::config;
use crate::error::Failure;
use crate::event::Event;
use crate::fork::Here;
use crate::link::Link;
use crate::wait::{Outcome, Wait};

/// A peer, with a thread of its own. Letting go of it closes it and waits for that.
#[pyclass(frozen, module = "rover_rtc._native")]
pub(crate) struct Peer {
    peer: Here<Arc<pull::Peer>>,
}

impl Peer {
    /// Made without the interpreter: the journal may take its time.
    fn start<T: Send>(
        py: Python<'_>,
        make: impl FnOnce() -> Result<(pull::Peer, T), WebrtcError> + Send,
    ) -> Result<(Self, T), Failure> {
        let (peer, more) = py.detach(make)?;
        Ok((Self { peer: Here::new(Arc::new(peer)) }, more))
    }
}

#[pymethods]
impl Peer {
    /// A peer of the hub in the settings. It does not wait for the hub.
    #[staticmethod]
    fn connect(py: Python<'_>, config: &Bound<'_, PyDict>) -> Result<Self, Failure> {
        let config = config::peer(config)?;
        Ok(Self::start(py, || Ok((pull::Peer::connect(config)?, ())))?.0)
    }

    /// A peer without a hub that offers, and its offer.
    #[staticmethod]
    fn offer(py: Python<'_>, config: &Bound<'_, PyDict>) -> Result<(Self, String), Failure> {
        let config = config::peer(config)?;
        Self::start(py, || pull::Peer::offer(config))
    }

    /// A peer without a hub that answers an offer, and its answer.
    #[staticmethod]
    fn answer(
        py: Python<'_>,
        config: &Bound<'_, PyDict>,
        offer: &str,
    ) -> Result<(Self, String), Failure> {
        let config = config::peer(config)?;
        Self::start(py, || pull::Peer::answer(config, offer))
    }

    /// Takes the answer to the offer.
    fn accept_answer(&self, py: Python<'_>, answer: &str) -> Result<(), Failure> {
        let peer = self.peer.get()?;
        Ok(py.detach(|| peer.accept_answer(answer))?)
    }

    /// A descriptor that is readable exactly while `next_events` may have something, and once the
    /// peer is stopped. It is closed with the peer.
    fn fileno(&self) -> Result<RawFd, Failure> {
        self.peer.get()?.fd().map_err(|error| Failure::io(&error))
    }

    /// What has happened, in order, but not more than so much. Empty: nothing (any more).
    fn next_events(&self, max: usize) -> Result<Vec<Event>, Failure> {
        let peer = self.peer.get()?;
        let mut events = Vec::new();
        while events.len() < max
            && let Some(event) = peer.next()
        {
            events.extend(Event::of(event));
        }
        Ok(events)
    }

    /// Waits until `next_events` may have something, or this descriptor is readable, for so many
    /// seconds at most, and lets the library work on this thread meanwhile. Other Python threads
    /// run.
    #[pyo3(signature = (fd, seconds))]
    fn wait_or(&self, py: Python<'_>, fd: RawFd, seconds: Option<f64>) -> PyResult<()> {
        let peer = self.peer.get()?;
        let patience = seconds.and_then(|s| Duration::try_from_secs_f64(s.max(0.0)).ok());
        let end = patience.and_then(|patience| clock::now().checked_add(patience));
        loop {
            let since = clock::now();
            let left = end.map_or(SIGNALS, |end| end.saturating_duration_since(since).min(SIGNALS));
            #[allow(unsafe_code, reason = "Python has descriptors as numbers")]
            // SAFETY: it is the caller's, who waits here.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            let there = py.detach(|| peer.wait_or(fd, Some(left)));
            let there = there.map_err(|error| Failure::io(&error))? || peer.is_stopped();
            py.check_signals()?;
            let now = clock::now();
            // Before the time is over it was the descriptor.
            if there || now.saturating_duration_since(since) < left || end.is_some_and(|t| t <= now)
            {
                return Ok(());
            }
        }
    }

    /// The link with the hub, or, without a hub, with the other peer.
    fn home(&self) -> Result<Link, Failure> {
        Ok(Link::new(self.peer.get()?.hub_link().clone()))
    }

    /// The link with another peer, which comes up when that is there.
    fn call(&self, py: Python<'_>, name: &str) -> Result<Link, Failure> {
        let peer = self.peer.get()?;
        Ok(Link::new(py.detach(|| peer.call(name))?))
    }

    /// Waits until the link with another peer is up; then `call` has it.
    fn dial(&self, name: String, timeout_ms: u64) -> Result<Wait, Failure> {
        let peer = self.peer.get()?.clone();
        let patience = Duration::from_millis(timeout_ms);
        Ok(Wait::new(async move {
            let link = peer.dial_within(&name, patience).await?;
            Ok(Outcome::Link { _held: link })
        }))
    }

    /// The key by which others know this peer, if it has a name.
    fn fingerprint(&self) -> Result<Option<String>, Failure> {
        Ok(self.peer.get()?.fingerprint().map(|fingerprint| fingerprint.to_string()))
    }

    /// Lets go of a link with another peer, and closes it in the background.
    fn let_go(&self, py: Python<'_>, link: &Link) -> Result<(), Failure> {
        let (peer, link) = (self.peer.get()?, link.inner()?);
        py.detach(|| peer.let_go(link));
        Ok(())
    }

    /// Begins to close all links; the event CLOSED of the home link follows.
    fn close(&self, py: Python<'_>) -> Result<(), Failure> {
        let peer = self.peer.get()?;
        py.detach(|| peer.close());
        Ok(())
    }

    /// Closes it, for at most a second and a half, and ends its thread. Without effect the second
    /// time.
    fn stop(&self, py: Python<'_>) -> Result<(), Failure> {
        let peer = self.peer.get()?;
        py.detach(|| peer.stop());
        Ok(())
    }
}

/// So often who waits looks for signals, Ctrl-C among them: the library's wait is not ended by
/// them.
const SIGNALS: Duration = Duration::from_millis(50);
