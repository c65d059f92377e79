//! A message, and how its receiver acknowledges it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use bytes::Bytes;

use super::delivery::Delivery;

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
    /// Of a copy that a hub has made for a reader: what it owes the writer.
    pub(crate) delivery: Option<Delivery>,
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

    /// What a copy owes its writer, by itself: the content stays.
    pub(in crate::link) fn take_delivery(&mut self) -> Option<Self> {
        let delivery = Some(self.delivery.take()?);
        Some(Self { delivery, ..Self::default() })
    }

    /// Whether its writer keeps it until it is acknowledged.
    pub(crate) fn is_kept(&self) -> bool {
        self.receipt.is_some()
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
    pub(in crate::link) fn new(acks: Acks, number: u64) -> Self {
        Self { acks, number }
    }

    pub(crate) fn give(&self) {
        self.acks.push(self.number);
    }
}

/// Acknowledgements given, wherever a message has gone meanwhile; the link collects them.
#[derive(Debug, Clone, Default)]
pub(in crate::link) struct Acks {
    shared: Arc<Mutex<Given>>,
}

#[derive(Debug, Default)]
struct Given {
    numbers: Vec<u64>,
    waker: Option<Waker>,
}

impl Acks {
    /// Who is woken when there is one.
    pub(in crate::link) fn set_waker(&self, waker: Option<Waker>) {
        // Not dropped under the lock either: that may run code of whoever made it.
        let before = std::mem::replace(&mut self.lock().waker, waker);
        drop(before);
    }

    /// An empty one, which wakes the same.
    pub(in crate::link) fn renewed(&self) -> Self {
        let renewed = Self::default();
        renewed.set_waker(self.lock().waker.clone());
        renewed
    }

    pub(in crate::link) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.lock().numbers)
    }

    fn push(&self, number: u64) {
        let waker = {
            let mut given = self.lock();
            given.numbers.push(number);
            // Once until they are collected.
            if given.numbers.len() == 1 { given.waker.clone() } else { None }
        };
        // Without the lock: a waker may come back here.
        waker.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Given> {
        // No code under the lock can panic halfway through a change.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    /// Collects at once, in the place of a driver that would do so a moment later.
    #[derive(Default)]
    struct Collector {
        acks: Mutex<Option<Acks>>,
        got: Mutex<Vec<u64>>,
    }

    impl Wake for Collector {
        fn wake(self: Arc<Self>) {
            let acks = self.acks.lock().unwrap().clone().unwrap();
            self.got.lock().unwrap().extend(acks.take());
            acks.set_waker(None);
        }
    }

    #[test]
    fn whoever_is_woken_can_collect() {
        let (acks, collector) = (Acks::default(), Arc::new(Collector::default()));
        *collector.acks.lock().unwrap() = Some(acks.clone());
        acks.set_waker(Some(collector.clone().into()));
        let (done, waiting) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            Receipt::new(acks, 7).give();
            done.send(()).unwrap();
        });
        let time = std::time::Duration::from_secs(10);
        waiting.recv_timeout(time).expect("no lock is held while it is woken");
        assert_eq!(*collector.got.lock().unwrap(), [7]);
    }
}
