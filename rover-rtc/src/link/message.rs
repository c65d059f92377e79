//! A message, and how its receiver acknowledges it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use bytes::Bytes;

/// A message: binary or text, and its bytes.
#[derive(Clone, Default)]
pub struct Message {
    /// Whether it is binary; text is UTF-8.
    pub binary: bool,
    /// Its content.
    pub data: Bytes,
    /// What it is the newest value of, on a channel of mode `Latest`: up to 255 bytes. Empty
    /// elsewhere.
    pub key: Bytes,
    /// As received on a framed channel: its number, which rises from message to message as long as
    /// the sender keeps its state, and is the same when the message is delivered once more after
    /// this process was restarted. 0 otherwise.
    pub number: u64,
    pub(crate) origin: Option<Origin>,
    pub(crate) receipt: Option<Receipt>,
    pub(crate) guard: Option<Arc<Guard>>,
}

impl Message {
    /// A binary message.
    pub fn binary(data: impl Into<Bytes>) -> Self {
        Self { binary: true, data: data.into(), ..Self::default() }
    }

    /// A text message.
    pub fn text(text: impl Into<String>) -> Self {
        Self { data: Bytes::from(text.into()), ..Self::default() }
    }

    /// The same, as the newest value of a key.
    #[must_use]
    pub fn with_key(self, key: impl Into<Bytes>) -> Self {
        Self { key: key.into(), ..self }
    }

    /// Whether its writer keeps it until it is acknowledged.
    pub(crate) fn is_kept(&self) -> bool {
        self.receipt.is_some()
    }

    /// The same, to be passed on: acknowledged when no copy is left.
    pub(crate) fn passed_on(mut self) -> Self {
        self.guard = self.receipt.take().map(|receipt| {
            Arc::new(Guard { receipt: Some(receipt), has_readers: AtomicBool::new(false) })
        });
        self
    }

    /// Notes that somebody gets it that is passed on.
    pub(crate) fn note_readers(&self) {
        if let Some(guard) = &self.guard {
            guard.has_readers.store(true, Ordering::Relaxed);
        }
    }

    /// The same as before it was passed on, if nobody gets it, and no other copy may still find
    /// somebody.
    pub(crate) fn taken_back(mut self) -> Option<Self> {
        let mut guard = self.guard.take().and_then(Arc::into_inner)?;
        if !*guard.has_readers.get_mut() {
            self.receipt = guard.receipt.take();
        }
        self.receipt.is_some().then_some(self)
    }

    /// Acknowledges it, where the channel leaves that to the application
    /// ([`ChannelConfig::manual_ack`](super::ChannelConfig::manual_ack)); elsewhere nothing
    /// happens. The sender keeps a message until it, and all before it, have been acknowledged; on
    /// a durable channel a message that was not comes again after a restart of this process.
    pub fn ack(&self) {
        if let Some(receipt) = &self.receipt {
            receipt.give();
        }
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.binary == other.binary && self.data == other.data && self.key == other.key
    }
}

impl Eq for Message {}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.data.len();
        f.debug_struct("Message").field("binary", &self.binary).field("bytes", &bytes).finish()
    }
}

/// Where a message that a hub passes on comes from: the epoch of its writer's channel, and its
/// number there. Who gets it twice, from the hub before and after a restart, drops the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) epoch: u64,
    pub(crate) number: u64,
}

/// What acknowledges one message.
#[derive(Clone)]
pub(crate) struct Receipt {
    acks: Acks,
    number: u64,
}

impl Receipt {
    pub(super) fn new(acks: Acks, number: u64) -> Self {
        Self { acks, number }
    }

    pub(crate) fn give(&self) {
        self.acks.push(self.number);
    }
}

/// Acknowledges a message that was passed on when all copies of it have been acknowledged, or have
/// come to nothing.
pub(crate) struct Guard {
    /// Until the message is taken back.
    receipt: Option<Receipt>,
    has_readers: AtomicBool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(receipt) = &self.receipt {
            receipt.give();
        }
    }
}

/// Acknowledgements given, wherever a message has gone meanwhile; the link collects them.
#[derive(Debug, Clone, Default)]
pub(super) struct Acks {
    shared: Arc<Mutex<Given>>,
}

#[derive(Debug, Default)]
struct Given {
    numbers: Vec<u64>,
    waker: Option<Waker>,
}

impl Acks {
    /// Who is woken when there is one.
    pub(super) fn set_waker(&self, waker: Option<Waker>) {
        self.lock().waker = waker;
    }

    /// An empty one, which wakes the same.
    pub(super) fn renewed(&self) -> Self {
        let renewed = Self::default();
        renewed.set_waker(self.lock().waker.clone());
        renewed
    }

    pub(super) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.lock().numbers)
    }

    fn push(&self, number: u64) {
        let mut given = self.lock();
        given.numbers.push(number);
        // Once until they are collected.
        if given.numbers.len() == 1
            && let Some(waker) = &given.waker
        {
            waker.wake_by_ref();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Given> {
        // No code under the lock can panic halfway through a change.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
