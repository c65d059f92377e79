//! What handles stand for: peers, their links and the channels of those, which are told apart here
//! from what is done with them. Each has one handle, which is noted as its tag.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use rover_rtc::{Message, pull};

use crate::handle::{self, Kind};
use crate::status::{Failure, ROVER_RTC_CLOSED};

/// A peer: its thread, its event queue, its link with the hub, and its links with other peers. A
/// handle that is used after it was freed is refused with `ROVER_RTC_BAD_HANDLE`.
#[derive(Debug)]
pub struct rover_rtc_peer {
    _private: [u8; 0],
}

#[derive(Debug)]
pub(crate) struct PeerHandle {
    pub(crate) peer: pull::Peer,
    /// The offer or answer that it was made with.
    pub(crate) description: Option<String>,
    freed: AtomicBool,
}

impl Kind for PeerHandle {
    const KIND: usize = 1;
    const NAME: &'static str = "peer";
}

impl PeerHandle {
    pub(crate) fn new(peer: pull::Peer, description: Option<String>) -> Self {
        Self { peer, description, freed: AtomicBool::new(false) }
    }

    /// The peer of a handle.
    pub(crate) fn find(peer: *const rover_rtc_peer) -> Result<Arc<Self>, Failure> {
        handle::get(peer.addr())
    }

    /// From now on there are no new handles of what belongs to it.
    pub(crate) fn set_freed(&self) {
        self.freed.store(true, Ordering::Release);
    }

    /// Whether there may be new handles of what belongs to it.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.freed.load(Ordering::Acquire) { Err(freed()) } else { Ok(()) }
    }

    /// Makes its links' and channels' handles invalid.
    pub(crate) fn forget(&self) {
        let home = self.peer.hub_link().clone();
        self.peer.links().iter().chain([&home]).for_each(LinkHandle::forget);
    }
}

/// The lasting relation with another peer, or with the hub. It stays the same across path changes,
/// outages and restarts. It belongs to its peer, and is invalid when that has been freed.
#[derive(Debug)]
pub struct rover_rtc_link {
    _private: [u8; 0],
}

#[derive(Debug)]
pub(crate) struct LinkHandle {
    pub(crate) link: pull::Link,
    peer: Weak<PeerHandle>,
}

impl Kind for LinkHandle {
    const KIND: usize = 2;
    const NAME: &'static str = "link";
}

impl LinkHandle {
    /// The link of a handle.
    pub(crate) fn find(link: *const rover_rtc_link) -> Result<Arc<Self>, Failure> {
        handle::get(link.addr())
    }

    /// The handle of a link, made if there is none.
    pub(crate) fn of(
        peer: &Arc<PeerHandle>,
        link: &pull::Link,
    ) -> Result<*mut rover_rtc_link, Failure> {
        let mut handle = usable(link.tag())?;
        if handle == 0 {
            let object = Self { link: link.clone(), peer: Arc::downgrade(peer) };
            let known = || peer.check().and_then(|()| usable(link.tag()));
            let set = |handle| link.set_tag(handle);
            handle = handle::insert_once(Arc::new(object), known, set)?;
        }
        Ok(std::ptr::without_provenance_mut(handle))
    }

    /// Makes the handles of a link and of its channels invalid.
    pub(crate) fn forget(link: &pull::Link) {
        let handle = link.tag();
        link.set_tag(FREED);
        // Removing waits for who is just making a handle; from then on nobody makes one.
        let _ = handle::remove::<Self>(handle);
        for channel in link.channels() {
            let _ = handle::remove::<ChannelHandle>(channel.tag());
        }
    }

    /// The peer that it belongs to.
    pub(crate) fn peer(&self) -> Result<Arc<PeerHandle>, Failure> {
        self.peer.upgrade().ok_or_else(freed)
    }
}

/// A channel of a link. It stays the same across path changes, outages and restarts: while there is
/// no connection, what is sent waits. It belongs to its link, and is invalid when that, or its
/// peer, has been freed. Several threads may use it at the same time.
#[derive(Debug)]
pub struct rover_rtc_channel {
    _private: [u8; 0],
}

#[derive(Debug)]
pub(crate) struct ChannelHandle {
    pub(crate) channel: pull::Channel,
    /// What was received and is to be acknowledged by the program.
    unacked: Mutex<BTreeMap<u64, Message>>,
}

impl Kind for ChannelHandle {
    const KIND: usize = 3;
    const NAME: &'static str = "channel";
}

impl ChannelHandle {
    /// The channel of a handle.
    pub(crate) fn find(channel: *const rover_rtc_channel) -> Result<Arc<Self>, Failure> {
        handle::get(channel.addr())
    }

    /// The handle of a channel, made if there is none.
    pub(crate) fn of(
        peer: &Arc<PeerHandle>,
        channel: &pull::Channel,
    ) -> Result<*mut rover_rtc_channel, Failure> {
        let mut handle = channel.tag();
        if handle == 0 {
            let object = Self { channel: channel.clone(), unacked: Mutex::default() };
            let known = || {
                peer.check()?;
                usable(channel.link().ok_or_else(freed)?.tag())?;
                Ok(channel.tag())
            };
            let set = |handle| channel.set_tag(handle);
            handle = handle::insert_once(Arc::new(object), known, set)?;
        }
        Ok(std::ptr::without_provenance_mut(handle))
    }

    /// Keeps a message that the program is to acknowledge, without its bytes.
    pub(crate) fn keep_unacked(&self, mut message: Message) {
        if self.channel.is_manual_ack() {
            let number = message.number;
            message.data = Bytes::new();
            self.unacked().insert(number, message);
        }
    }

    /// The message of a number, if it waits to be acknowledged; once.
    pub(crate) fn take_unacked(&self, number: u64) -> Option<Message> {
        self.unacked().remove(&number)
    }

    fn unacked(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Message>> {
        // Inserting and removing leave nothing half done.
        self.unacked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a link may have new handles: what its tag is, unless it has been freed.
fn usable(tag: usize) -> Result<usize, Failure> {
    if tag == FREED { Err(Failure::new(ROVER_RTC_CLOSED, "the link was freed")) } else { Ok(tag) }
}

/// The tag of a link that has been freed; no handle is as large.
const FREED: usize = usize::MAX;

pub(crate) fn freed() -> Failure {
    Failure::new(ROVER_RTC_CLOSED, "the peer was freed")
}
