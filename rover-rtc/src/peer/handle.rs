//! The application's handle on a link.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::sync::{Notify, mpsc, oneshot};

use super::channel::Channel;
use super::driver::{Command, LinkId, Request};
use super::event_broadcast::{EventReader, NoEvent, Subscription};
use crate::error::WebrtcError;
use crate::event::Event;
use crate::identity::Fingerprint;
use crate::link::LinkStats;
use crate::link::{ChannelConfig, LinkState};
use crate::util::clock;
use crate::util::limiter::Limiter;
use crate::util::spare::add;

/// A link with another peer, or with the hub. It stays the same across path switches, restarts
/// and new transports.
///
/// Cheap to clone; the link is closed in the background when the last clone is dropped, and
/// [`PeerLink::close`] waits until that is done.
#[derive(Debug, Clone)]
pub struct PeerLink {
    pub(super) owner: LinkId,
    pub(super) name: Arc<str>,
    pub(super) fingerprint: Option<Fingerprint>,
    /// Boxed, as room is kept for many.
    pub(super) commands: mpsc::Sender<Box<Command>>,
    pub(super) events: Subscription,
    pub(super) directory: Directory,
    /// Tells the driver when the last clone is gone.
    pub(super) _guard: Arc<HandleGuard>,
}

impl PeerLink {
    /// The other peer's name; empty for the hub.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The other peer's key, as it was when this handle was made.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// The other peer's key as of now; `None` for the hub, and as long as it is not known.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Closed`].
    pub async fn known_fingerprint(&self) -> Result<Option<Fingerprint>, WebrtcError> {
        self.ask(Request::Fingerprint).await
    }

    /// Whether both are handles on the same link.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.owner == other.owner && self.commands.same_channel(&other.commands)
    }

    /// Whether messages can flow now. Asks nobody.
    #[must_use]
    pub fn state(&self) -> LinkState {
        self.directory.state()
    }

    /// A channel by its label: one of the settings, or one that the other side has opened.
    #[must_use]
    pub fn channel(&self, label: &str) -> Option<Channel> {
        self.directory.find(label)
    }

    /// Opens a further channel. It can be used at once: what is sent waits until it is open.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Reserved`] for a label of the library's own, [`WebrtcError::Closed`].
    pub async fn open(&self, config: ChannelConfig) -> Result<Channel, WebrtcError> {
        config.check()?;
        self.ask(|reply| Request::Open(config, reply)).await?
    }

    /// Events from now on; the first call gets them from the start. A reader that falls more than
    /// 1,024 events behind misses the oldest.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.directory.take_first().unwrap_or_else(|| self.events.reader()))
    }

    /// Counters and paths as of now.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Closed`].
    pub async fn stats(&self) -> Result<LinkStats, WebrtcError> {
        self.ask(Request::Stats).await
    }

    /// Sends what is queued, for at most a second, acknowledges what has arrived, says good-bye and
    /// ends.
    pub async fn close(&self) {
        // An error says that it is closed already.
        let _ = self.ask(Request::Close).await;
    }

    pub(super) async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, WebrtcError> {
        let (reply, answer) = oneshot::channel();
        let command = Command { owner: self.owner, request: request(reply) };
        self.commands.send(Box::new(command)).await.map_err(|_| WebrtcError::Closed)?;
        answer.await.map_err(|_| WebrtcError::Closed)
    }
}

/// Events of a link, from the time it was asked for.
#[derive(Debug)]
pub struct Events {
    reader: EventReader,
    /// The last event has been given out.
    ended: bool,
    warnings: Limiter,
}

impl Events {
    pub(super) fn new(reader: EventReader) -> Self {
        Self { reader, ended: false, warnings: Limiter::default() }
    }

    /// The next event; `None` after [`Event::Closed`], or when the link is gone.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`Events::recv`], for callers with a waker of their own.
    pub fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Option<Event>> {
        while !self.ended {
            match ready!(self.reader.poll_recv(cx)) {
                Ok(event) => {
                    self.ended = event == Event::Closed;
                    return Poll::Ready(Some(event));
                }
                Err(NoEvent::Lagged(missed)) => {
                    if let Some(withheld) = self.warnings.admit(clock::now()) {
                        tracing::warn!(missed, withheld, "events missed");
                    }
                }
                Err(NoEvent::Ended) => self.ended = true,
            }
        }
        Poll::Ready(None)
    }
}

/// Wakes the driver when the application lets go of a link.
#[derive(Debug)]
pub(super) struct HandleGuard(pub(super) Arc<Notify>);

impl Drop for HandleGuard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// What handles see of a link without asking the driver: its channels, by label, its state, and its
/// first events.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    channels: Vec<Channel>,
    state: LinkState,
    /// Subscribed before anything happened, so that nothing is missed.
    first_events: Option<EventReader>,
}

impl Directory {
    pub(super) fn new(first_events: EventReader) -> Self {
        let (channels, state) = (Vec::new(), LinkState::default());
        let shared = Shared { channels, state, first_events: Some(first_events) };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    pub(super) fn extend(&self, channel: Option<Channel>) {
        if let Some(channel) = channel {
            add(&mut self.lock().channels, channel);
        }
    }

    pub(super) fn state(&self) -> LinkState {
        self.lock().state
    }

    pub(super) fn set_state(&self, state: LinkState) {
        self.lock().state = state;
    }

    fn find(&self, label: &str) -> Option<Channel> {
        self.lock().channels.iter().find(|c| c.label() == label).cloned()
    }

    fn take_first(&self) -> Option<EventReader> {
        self.lock().first_events.take()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Pushing, taking and cloning leave nothing half done.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
