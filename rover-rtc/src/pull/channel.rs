//! A channel that is pulled from.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::link::{Link, SharedLink};
use super::queue::{Of, Queue, Source};
use super::wait::wait_within;
use super::worker::Worker;
use crate::link::{Message, SendError, Settled};
use crate::peer::{self, Received};

/// A channel. Cheap to clone; clones are handles on the same one.
#[derive(Debug, Clone)]
pub struct Channel {
    pub(super) state: Arc<SharedChannel>,
}

#[derive(Debug)]
pub(super) struct SharedChannel {
    channel: peer::Channel,
    link: Weak<SharedLink>,
    worker: Arc<Worker>,
    /// There are messages.
    messages: Arc<Source>,
    on_message: Waker,
    /// There is room again for what did not fit.
    room: Arc<Source>,
    on_room: Waker,
    tag: AtomicUsize,
}

impl Channel {
    pub(super) fn new(
        channel: peer::Channel,
        link: Weak<SharedLink>,
        worker: Arc<Worker>,
        queue: &Arc<Queue>,
    ) -> Self {
        let state = Arc::new_cyclic(|state: &Weak<SharedChannel>| {
            let messages = queue.source(Of::Messages(state.clone()));
            let room = queue.source(Of::Room(state.clone()));
            let (on_message, on_room) = (messages.clone().into(), room.clone().into());
            let tag = AtomicUsize::new(0);
            SharedChannel { channel, link, worker, messages, on_message, room, on_room, tag }
        });
        if state.channel.poll_readable(&Context::from_waker(&state.on_message)).is_ready() {
            state.messages.mark();
        }
        Self { state }
    }

    /// The channel as asynchronous programs use it, for methods that both have.
    #[must_use]
    pub fn inner(&self) -> &peer::Channel {
        &self.state.channel
    }

    /// The link that it belongs to; `None` when that has been let go of.
    #[must_use]
    pub fn link(&self) -> Option<Link> {
        self.state.link.upgrade().map(|state| Link { state })
    }

    /// Queues a message if there is room now. The message is queued; the thread on which the
    /// library works sends it. That is this one, if it came from [`Peer::wait`](super::Peer::wait)
    /// just now.
    ///
    /// # Errors
    ///
    /// [`SendError`], among them [`SendError::Full`].
    pub fn try_send(&self, message: Message) -> Result<(), SendError> {
        match self.send(message) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Err(SendError::Full),
        }
    }

    /// As [`Channel::try_send`]; pending where there is no room and the policy is to wait:
    /// [`Event::Room`](super::Event::Room) follows when half of the outbox is free. The message is
    /// gone then, for who sends it again may have a newer one.
    pub fn send(&self, message: Message) -> Poll<Result<(), SendError>> {
        let state = &*self.state;
        let sent =
            state.channel.poll_send(&Context::from_waker(&state.on_room), &mut Some(message));
        state.worker.leadership().turn();
        sent
    }

    /// The next message.
    #[must_use]
    pub fn try_recv(&self) -> Option<Message> {
        match self.recv(usize::MAX) {
            Poll::Ready(Received::Message { message, .. }) => Some(message),
            _ => None,
        }
    }

    /// The next message if it has at most so many bytes. Pending: there is none, and
    /// [`Event::Readable`](super::Event::Readable) follows when there is.
    pub fn recv(&self, max_bytes: usize) -> Poll<Received> {
        let state = &*self.state;
        let cx = Context::from_waker(&state.on_message);
        let received = state.channel.poll_recv(&cx, max_bytes);
        let more = match &received {
            Poll::Ready(Received::Message { more: true, .. } | Received::TooLarge(_)) => true,
            Poll::Ready(Received::Closed) => {
                state.messages.unmark();
                false
            }
            // What has come in the meantime has marked it: that must not be undone.
            _ => state.messages.unmark() && state.channel.poll_readable(&cx).is_ready(),
        };
        if more {
            state.messages.mark();
        }
        received
    }

    /// Waits until all messages queued so far are on disk, on a durable channel. See
    /// [`Channel::stored`](peer::Channel::stored).
    ///
    /// # Errors
    ///
    /// As there; [`SendError::Full`] if it takes longer.
    pub fn stored(&self, patience: Duration) -> Result<(), SendError> {
        wait_within(self.state.channel.stored(), patience).unwrap_or(Err(SendError::Full))
    }

    /// Waits until nothing is queued that the other side has not acknowledged; `None` if it takes
    /// longer. See [`Channel::acknowledged`](peer::Channel::acknowledged).
    #[must_use]
    pub fn acknowledged(&self, patience: Duration) -> Option<bool> {
        wait_within(self.state.channel.acknowledged(), patience)
    }

    /// Waits as [`Channel::acknowledged`] does, and says what became of it. See
    /// [`Channel::settled`](peer::Channel::settled).
    #[must_use]
    pub fn settled(&self, patience: Duration) -> Option<Settled> {
        wait_within(self.state.channel.settled(), patience)
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
}

/// What is the same for asynchronous programs.
impl Deref for Channel {
    type Target = peer::Channel;

    fn deref(&self) -> &peer::Channel {
        self.inner()
    }
}

impl SharedChannel {
    pub(super) fn forget(&self) {
        self.messages.retire();
        self.room.retire();
    }
}
