//! A link that is pulled from.

use std::future::Future as _;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};

use super::ahead::Ahead;
use super::channel::Channel;
use super::queue::{Of, Queue, Source};
use super::worker::Worker;
use crate::error::WebrtcError;
use crate::event::Event;
use crate::identity::Fingerprint;
use crate::link::LinkStats;
use crate::link::{ChannelConfig, ChannelId};
use crate::peer::{Events, PeerLink};

/// A link with another peer, or with the hub. Cheap to clone; clones are handles on the same one.
/// Its [`Peer`](super::Peer) keeps it, closed or not, until it is let go of.
#[derive(Debug, Clone)]
pub struct Link {
    pub(super) state: Arc<SharedLink>,
}

#[derive(Debug)]
pub(super) struct SharedLink {
    pub(super) link: PeerLink,
    worker: Arc<Worker>,
    queue: Arc<Queue>,
    events: Mutex<Reader>,
    source: Arc<Source>,
    on_event: Waker,
    channels: Mutex<Vec<Channel>>,
    tag: AtomicUsize,
}

#[derive(Debug)]
struct Reader {
    events: Events,
    ahead: Ahead<Event>,
}

impl Link {
    pub(super) fn new(link: PeerLink, worker: Arc<Worker>, queue: Arc<Queue>) -> Self {
        let events = Mutex::new(Reader { events: link.events(), ahead: Ahead::new() });
        let state = Arc::new_cyclic(|state: &Weak<SharedLink>| {
            let source = queue.source(Of::Link(state.clone()));
            let on_event = source.clone().into();
            let channels = Mutex::new(Vec::new());
            let tag = AtomicUsize::new(0);
            SharedLink { link, worker, queue, events, source, on_event, channels, tag }
        });
        // What has happened already is found by the first look.
        state.source.mark();
        Self { state }
    }

    /// The link as asynchronous programs use it, for methods that both have.
    #[must_use]
    pub fn inner(&self) -> &PeerLink {
        &self.state.link
    }

    /// The other peer's key as of now; `None` for the hub, and as long as it is not known.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Closed`].
    pub fn fingerprint(&self) -> Result<Option<Fingerprint>, WebrtcError> {
        self.state.worker.leadership().ask(self.state.link.known_fingerprint())
    }

    /// A channel by its label: one of the settings, or one that the other side has opened.
    #[must_use]
    pub fn channel(&self, label: &str) -> Option<Channel> {
        let channel = self.state.link.channel(label)?;
        Some(self.known(channel))
    }

    /// Opens a further channel. See [`PeerLink::open`].
    ///
    /// # Errors
    ///
    /// See [`PeerLink::open`].
    pub fn open(&self, config: ChannelConfig) -> Result<Channel, WebrtcError> {
        Ok(self.known(self.state.worker.leadership().ask(self.state.link.open(config))?))
    }

    /// Counters and paths as of now.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Closed`].
    pub fn stats(&self) -> Result<LinkStats, WebrtcError> {
        self.state.worker.leadership().ask(self.state.link.stats())
    }

    /// Begins to close it: sends what is queued, for at most a second, and says good-bye.
    /// [`Event::Closed`] follows.
    pub fn close(&self) {
        let link = self.state.link.clone();
        let mut closing = Box::pin(async move { link.close().await });
        // Asked for here and now: who calls the same peer next gets a new link.
        if closing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.state.worker.spawn(closing);
        }
    }

    /// A number of the program's own; 0 at first.
    #[must_use]
    pub fn tag(&self) -> usize {
        self.state.tag.load(Ordering::Acquire)
    }

    /// Sets it.
    pub fn set_tag(&self, tag: usize) {
        self.state.tag.store(tag, Ordering::Release);
    }

    /// All channels that the program may know of.
    #[must_use]
    pub fn channels(&self) -> Vec<Channel> {
        self.channels_locked().clone()
    }

    /// The next event, with the channel that it concerns.
    pub(super) fn next(&self) -> Option<(Event, Option<Channel>)> {
        let state = &*self.state;
        let cx = Context::from_waker(&state.on_event);
        let mut reader = state.events.lock().unwrap_or_else(PoisonError::into_inner);
        let Reader { events, ahead } = &mut *reader;
        let (event, more) = ahead.take(|| events.poll_recv(&cx))?;
        if more {
            state.source.mark();
        }
        drop(reader);
        let channel = match &event {
            Event::ChannelOpen(_, label) => self.channel(label),
            Event::ChannelClosed(id)
            | Event::Gap { channel: id, .. }
            | Event::Dropped { channel: id, .. }
            | Event::Progress { channel: id, .. } => self.of_id(*id),
            _ => None,
        };
        Some((event, channel))
    }

    /// Whether both are the same link.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }

    /// Takes it out of the queue, for good.
    pub(super) fn forget(&self) {
        self.state.source.retire();
        self.channels_locked().iter().for_each(|channel| channel.state.forget());
    }

    fn of_id(&self, id: ChannelId) -> Option<Channel> {
        self.channels_locked().iter().find(|channel| channel.id() == id).cloned()
    }

    fn known(&self, channel: crate::peer::Channel) -> Channel {
        let mut channels = self.channels_locked();
        if let Some(known) = channels.iter().find(|known| known.id() == channel.id()) {
            return known.clone();
        }
        let state = &self.state;
        let link = Arc::downgrade(state);
        let channel = Channel::new(channel, link, state.worker.clone(), &state.queue);
        channels.push(channel.clone());
        channel
    }

    fn channels_locked(&self) -> MutexGuard<'_, Vec<Channel>> {
        // Nothing that is done under the lock can panic halfway through a change.
        self.state.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is the same for asynchronous programs.
impl Deref for Link {
    type Target = PeerLink;

    fn deref(&self) -> &PeerLink {
        self.inner()
    }
}
