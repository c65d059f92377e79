//! A peer that is pulled from.

use std::future::poll_fn;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::ahead::Ahead;
use super::channel::Channel;
use super::link::Link;
use super::queue::{Of, Queue, Source};
use super::wait::wait_within;
use super::worker::Worker;
use crate::config::PeerConfig;
use crate::error::WebrtcError;
use crate::event;
use crate::peer::{self, PeerLink};
use crate::util::clock;

/// A peer, with a thread of its own. Dropping it closes it and waits: see [`Peer::stop`].
#[derive(Debug)]
pub struct Peer {
    peer: peer::Peer,
    worker: Arc<Worker>,
    queue: Arc<Queue>,
    home: Link,
    links: Mutex<Vec<Link>>,
    calls: Mutex<Ahead<PeerLink>>,
    source: Arc<Source>,
    on_call: Waker,
    hook: Mutex<Option<AbortHandle>>,
}

/// What [`Peer::next`] yields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Another peer has called.
    Called(Link),
    /// There are messages in a channel, or it has ended. Comes once; again after a
    /// [`Channel::recv`] that left some, and when a message comes after one that found nothing.
    Readable(Channel),
    /// There is room again for what a channel did not take.
    Room(Channel),
    /// Something happened on a link, maybe to one of its channels.
    Link(Link, Option<Channel>, event::Event),
}

impl Peer {
    /// Starts a peer of the hub in the settings. See [`Peer::connect`](peer::Peer::connect).
    ///
    /// # Errors
    ///
    /// As there, and [`WebrtcError::Network`] if there can be no thread.
    pub fn connect(config: PeerConfig) -> Result<Self, WebrtcError> {
        Ok(Self::new(|| Ok((peer::Peer::connect(config)?, ())))?.0)
    }

    /// Starts a peer that offers, and returns its offer. See [`Peer::offer`](peer::Peer::offer).
    ///
    /// # Errors
    ///
    /// As there, and [`WebrtcError::Network`] if there can be no thread.
    pub fn offer(config: PeerConfig) -> Result<(Self, String), WebrtcError> {
        Self::new(|| peer::Peer::offer(config))
    }

    /// Starts a peer that answers an offer, and returns its answer. See
    /// [`Peer::answer`](peer::Peer::answer).
    ///
    /// # Errors
    ///
    /// As there, and [`WebrtcError::Network`] if there can be no thread.
    pub fn answer(config: PeerConfig, offer: &str) -> Result<(Self, String), WebrtcError> {
        Self::new(|| peer::Peer::answer(config, offer))
    }

    /// A peer that is made on a thread of its own, and what else comes of making it.
    fn new<T>(
        make: impl FnOnce() -> Result<(peer::Peer, T), WebrtcError>,
    ) -> Result<(Self, T), WebrtcError> {
        let worker = Arc::new(Worker::start(THREAD)?);
        let entered = worker.enter();
        let (peer, more) = make()?;
        drop(entered);
        let queue = Queue::new();
        let home = Link::new(peer.hub_link().clone(), worker.clone(), queue.clone());
        let source = queue.source(Of::Calls);
        // Learns of the first call.
        source.mark();
        let on_call = source.clone().into();
        let (links, calls) = (Mutex::new(Vec::new()), Mutex::new(Ahead::new()));
        let hook = Mutex::new(None);
        Ok((Self { peer, worker, queue, home, links, calls, source, on_call, hook }, more))
    }

    /// The peer as asynchronous programs use it, for methods that both have.
    #[must_use]
    pub fn inner(&self) -> &peer::Peer {
        &self.peer
    }

    /// Takes the answer to the offer of [`Peer::offer`].
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Sdp`] if it is not usable, [`WebrtcError::Closed`].
    pub fn accept_answer(&self, answer: &str) -> Result<(), WebrtcError> {
        self.worker.leadership().ask(self.peer.accept_answer(answer))
    }

    /// The link with the hub, or, without a hub, with the other peer.
    #[must_use]
    pub fn hub_link(&self) -> &Link {
        &self.home
    }

    /// Calls another peer by its name and waits for nothing. See [`Peer::call`](peer::Peer::call).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn call(&self, name: &str) -> Result<Link, WebrtcError> {
        Ok(self.known(self.worker.leadership().ask(self.peer.call(name))?))
    }

    /// The links with other peers, but for those let go of.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        self.links_locked().clone()
    }

    /// What has happened next; `None` if nothing has, by now.
    pub fn next(&self) -> Option<Event> {
        loop {
            let source = self.queue.pop()?;
            let event = match source.of() {
                Of::Calls => self.next_call().map(Event::Called),
                Of::Link(link) => link.upgrade().and_then(|state| {
                    let link = Link { state };
                    let (event, channel) = link.next()?;
                    Some(Event::Link(link, channel, event))
                }),
                Of::Messages(channel) => {
                    channel.upgrade().map(|state| Event::Readable(Channel { state }))
                }
                Of::Room(channel) => channel.upgrade().map(|state| Event::Room(Channel { state })),
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// Waits until [`Peer::next`] may have something, for so long at most, or for ever. False if it
    /// has not, and once the peer is stopped.
    ///
    /// The library works on the thread that waits: what comes is there at once, without another
    /// thread in between. Let it have a stack of 256 KiB. On a thread of an asynchronous runtime it
    /// only waits.
    pub fn wait(&self, patience: Option<Duration>) -> bool {
        let filled = poll_fn(|cx| self.queue.poll_filled(cx));
        let end = patience.and_then(|patience| clock::now().checked_add(patience));
        self.worker.leadership().wait(filled, end).unwrap_or_default()
    }

    /// As [`Peer::wait`], or until a descriptor of the program's is readable; `true` only if
    /// [`Peer::next`] may have something. With an epoll descriptor it is the whole loop of a
    /// program that waits for other things too, and the quickest: the library works on this thread
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// If the descriptor cannot be polled, is being waited for here by another thread, or this
    /// thread belongs to an asynchronous runtime; not once the peer is stopped.
    #[cfg(unix)]
    pub fn wait_or(
        &self,
        fd: std::os::fd::BorrowedFd<'_>,
        patience: Option<Duration>,
    ) -> std::io::Result<bool> {
        if self.is_stopped() {
            return Ok(false);
        }
        let filled = poll_fn(|cx| self.queue.poll_filled(cx));
        let end = patience.and_then(|patience| clock::now().checked_add(patience));
        let waited = self.worker.leadership().wait_or(filled, fd, end);
        // It may have been stopped just now.
        waited
            .map(Option::unwrap_or_default)
            .or_else(|e| if self.is_stopped() { Ok(false) } else { Err(e) })
    }

    /// A descriptor that is readable exactly while [`Peer::next`] may have something, and once the
    /// peer is stopped. To be polled and nothing else; it is closed with the peer.
    ///
    /// # Errors
    ///
    /// If there are no descriptors left.
    #[cfg(unix)]
    pub fn fd(&self) -> std::io::Result<std::os::fd::RawFd> {
        self.queue.fd()
    }

    /// Sets what is called when [`Peer::next`] has something after it had nothing, and now, if it
    /// has something: on the thread on which the library works, which waits for it. That is its
    /// own, or one in [`Peer::wait`]. `None` ends that, but for a call that is under way;
    /// [`Peer::stop`] waits for that.
    pub fn set_hook(&self, hook: Option<impl Fn() + Send + 'static>) {
        let mut task = self.hook.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = task.take() {
            before.abort();
        }
        self.worker.leadership().set_hooked(hook.is_some());
        let Some(hook) = hook else {
            self.queue.tell(None);
            return;
        };
        let told = Arc::new(Notify::new());
        self.queue.tell(Some(told.clone()));
        *task = Some(self.worker.spawn(async move {
            loop {
                told.notified().await;
                hook();
            }
        }));
    }

    /// Whether it has been stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.queue.is_closed()
    }

    /// Begins to close all links: sends what is queued, for at most a second, and says good-bye.
    /// [`event::Event::Closed`] of the link with the hub follows.
    pub fn close(&self) {
        self.home.close();
    }

    /// Lets go of a link and closes it in the background. [`Peer::next`] tells nothing of it any
    /// more.
    pub fn let_go(&self, link: &Link) {
        self.links_locked().retain(|known| !known.is_same(link));
        link.forget();
        link.close();
    }

    /// Closes it, for at most a second and a half, and ends its thread. Who waits is told. Without
    /// effect the second time.
    pub fn stop(&self) {
        if self.queue.is_closed() {
            return;
        }
        self.queue.close();
        let _ = wait_within(self.peer.close(), CLOSE_TIME);
        self.worker.stop();
    }

    fn next_call(&self) -> Option<Link> {
        let mut cx = Context::from_waker(&self.on_call);
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let (link, more) = calls.take(|| self.peer.poll_accept(&mut cx))?;
        if more {
            self.source.mark();
        }
        drop(calls);
        Some(self.known(link))
    }

    fn known(&self, link: PeerLink) -> Link {
        let mut links = self.links_locked();
        if let Some(known) = links.iter().find(|known| known.inner().is_same(&link)) {
            return known.clone();
        }
        let link = Link::new(link, self.worker.clone(), self.queue.clone());
        links.push(link.clone());
        link
    }

    fn links_locked(&self) -> MutexGuard<'_, Vec<Link>> {
        // Nothing that is done under the lock can panic halfway through a change.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is the same for asynchronous programs.
impl Deref for Peer {
    type Target = peer::Peer;

    fn deref(&self) -> &peer::Peer {
        self.inner()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// As seen by debuggers; Linux shows 15 bytes.
const THREAD: &str = "rover-rtc";

/// Longer than what is queued has, so that the good-bye gets out.
const CLOSE_TIME: Duration = Duration::from_millis(1500);
