//! A channel's outbox: the bounded queue above the transport.
//!
//! SCTP gets only what it can send in about two round trips; the rest waits here, where it can be
//! counted, bounded, and carried over to a new transport. Applications push, the link takes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::error::SendError;

/// What a full outbox does with a new message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// `send().await` waits for room; `try_send` refuses.
    #[default]
    Wait,
    /// Both refuse with [`SendError::Full`].
    Refuse,
    /// The oldest messages make room; they are counted as dropped.
    DropOldest,
}

/// Limits of an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxConfig {
    /// Messages it holds. Default 4,096.
    pub max_messages: usize,
    /// Bytes it holds. Default 4 MiB. One message may always wait, however large.
    pub max_bytes: usize,
    /// Largest single message in bytes. Default 256 KiB, what a browser takes unasked.
    pub max_message: usize,
    /// What happens when it is full. Default [`WhenFull::Wait`].
    pub when_full: WhenFull,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self {
            max_messages: 4096,
            max_bytes: 4 * 1024 * 1024,
            max_message: crate::session::DEFAULT_MAX_MESSAGE_SIZE as usize,
            when_full: WhenFull::default(),
        }
    }
}

/// A message: binary or text, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whether it is binary; text is UTF-8.
    pub binary: bool,
    /// Its content.
    pub data: Bytes,
}

impl Message {
    /// A binary message.
    pub fn binary(data: impl Into<Bytes>) -> Self {
        Self { binary: true, data: data.into() }
    }

    /// A text message.
    pub fn text(text: impl Into<String>) -> Self {
        Self { binary: false, data: Bytes::from(text.into()) }
    }
}

/// The outbox of one channel, shared by the application that fills it and the link that empties it.
#[derive(Debug, Clone)]
pub struct Outbox {
    shared: Arc<Mutex<Queue>>,
}

#[derive(Debug)]
struct Queue {
    config: OutboxConfig,
    messages: VecDeque<Message>,
    bytes: usize,
    dropped: u64,
    closed: bool,
    waiting: Vec<Waker>,
    /// Those who wait until no more bytes than this are queued.
    drained: Vec<(usize, Waker)>,
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new(config: OutboxConfig) -> Self {
        let queue = Queue {
            config,
            messages: VecDeque::new(),
            bytes: 0,
            dropped: 0,
            closed: false,
            waiting: Vec::new(),
            drained: Vec::new(),
        };
        Self { shared: Arc::new(Mutex::new(queue)) }
    }

    /// Adds a message. True if the outbox was empty before, so that the link must be told.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] unless the oldest are dropped, [`SendError::TooLarge`], or
    /// [`SendError::Closed`].
    pub fn try_push(&self, message: Message) -> Result<bool, SendError> {
        self.lock().push(message)
    }

    /// As [`Outbox::try_push`], but pending while there is no room and the policy is to wait. The
    /// message is taken out of its place when it was added.
    pub fn poll_push(
        &self,
        cx: &Context<'_>,
        message: &mut Option<Message>,
    ) -> Poll<Result<bool, SendError>> {
        let mut queue = self.lock();
        let Some(next) = message.as_ref() else { return Poll::Ready(Ok(false)) };
        let waits = queue.config.when_full == WhenFull::Wait && !queue.closed;
        let fits = queue.has_room(next.data.len()) || next.data.len() > queue.config.max_message;
        if waits && !fits {
            if !queue.waiting.iter().any(|w| w.will_wake(cx.waker())) {
                queue.waiting.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        Poll::Ready(message.take().map_or(Ok(false), |m| queue.push(m)))
    }

    /// Pending while more than `bytes` wait and the outbox is open.
    pub fn poll_drained(&self, cx: &Context<'_>, bytes: usize) -> Poll<()> {
        let mut queue = self.lock();
        if queue.bytes <= bytes || queue.closed {
            return Poll::Ready(());
        }
        let waits = |(b, w): &(usize, Waker)| *b == bytes && w.will_wake(cx.waker());
        if !queue.drained.iter().any(waits) {
            queue.drained.push((bytes, cx.waker().clone()));
        }
        Poll::Pending
    }

    /// Takes the oldest message if it has at most `max_bytes`.
    #[must_use]
    pub fn pop_if(&self, max_bytes: usize) -> Option<Message> {
        let mut queue = self.lock();
        if queue.messages.front()?.data.len() > max_bytes {
            return None;
        }
        let message = queue.messages.pop_front()?;
        queue.bytes -= message.data.len();
        queue.wake();
        Some(message)
    }

    /// Puts a message back in front: the transport did not take it.
    pub fn unpop(&self, message: Message) {
        let mut queue = self.lock();
        queue.bytes += message.data.len();
        queue.messages.push_front(message);
    }

    /// Closes it: what is queued is still sent, new messages are refused.
    pub fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.wake();
    }

    /// Messages and bytes that wait.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        let queue = self.lock();
        (queue.messages.len(), queue.bytes)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().messages.is_empty()
    }

    /// Messages dropped because it was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code under the lock can panic halfway through a change.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, message: Message) -> Result<bool, SendError> {
        let size = message.data.len();
        if self.closed {
            return Err(SendError::Closed);
        }
        if size == 0 {
            return Err(SendError::Empty);
        }
        if size > self.config.max_message {
            return Err(SendError::TooLarge { size, limit: self.config.max_message });
        }
        while !self.has_room(size) {
            if self.config.when_full != WhenFull::DropOldest {
                return Err(SendError::Full);
            }
            if let Some(oldest) = self.messages.pop_front() {
                self.bytes -= oldest.data.len();
                self.dropped += 1;
            }
        }
        let was_empty = self.messages.is_empty();
        self.bytes += size;
        self.messages.push_back(message);
        Ok(was_empty)
    }

    fn wake(&mut self) {
        let (bytes, closed) = (self.bytes, self.closed);
        // Waking for every message would wake a thousand times for one full queue.
        let roomy = bytes <= self.config.max_bytes / 2
            && self.messages.len() <= self.config.max_messages / 2;
        if roomy || closed {
            self.waiting.drain(..).for_each(Waker::wake);
        }
        self.drained.retain(|(most, waker)| {
            let waits = bytes > *most && !closed;
            if !waits {
                waker.wake_by_ref();
            }
            waits
        });
    }

    fn has_room(&self, size: usize) -> bool {
        self.messages.is_empty()
            || (self.messages.len() < self.config.max_messages
                && self.bytes + size <= self.config.max_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(when_full: WhenFull) -> Outbox {
        Outbox::new(OutboxConfig { max_messages: 2, max_bytes: 10, max_message: 8, when_full })
    }

    fn message(size: usize) -> Message {
        Message::binary(vec![0; size])
    }

    #[test]
    fn refuses_when_full_by_messages_or_bytes() {
        let full = outbox(WhenFull::Refuse);
        assert_eq!(full.try_push(message(1)), Ok(true));
        assert_eq!(full.try_push(message(1)), Ok(false));
        assert_eq!(full.try_push(message(1)), Err(SendError::Full));
        let heavy = outbox(WhenFull::Refuse);
        heavy.try_push(message(8)).unwrap();
        assert_eq!(heavy.try_push(message(8)), Err(SendError::Full));
        assert_eq!(heavy.try_push(message(9)), Err(SendError::TooLarge { size: 9, limit: 8 }));
    }

    #[test]
    fn drops_the_oldest_and_counts_it() {
        let outbox = outbox(WhenFull::DropOldest);
        for size in 1..=4 {
            outbox.try_push(message(size)).unwrap();
        }
        assert_eq!(outbox.dropped(), 2);
        assert_eq!(outbox.pop_if(100).unwrap().data.len(), 3);
        assert_eq!(outbox.len(), (1, 4));
    }

    #[test]
    fn gives_only_what_fits() {
        let outbox = outbox(WhenFull::Wait);
        outbox.try_push(message(5)).unwrap();
        assert!(outbox.pop_if(4).is_none());
        let taken = outbox.pop_if(5).unwrap();
        outbox.unpop(taken);
        assert_eq!(outbox.len(), (1, 5));
    }

    #[test]
    fn waiting_senders_are_woken() {
        let outbox = outbox(WhenFull::Wait);
        let cx = Context::from_waker(Waker::noop());
        let mut waiting = Some(message(1));
        outbox.try_push(message(1)).unwrap();
        outbox.try_push(message(1)).unwrap();
        assert!(outbox.poll_push(&cx, &mut waiting).is_pending());
        let _ = outbox.pop_if(9);
        assert!(outbox.poll_push(&cx, &mut waiting).is_ready());
        assert!(waiting.is_none());
        waiting = Some(message(1));
        outbox.close();
        assert_eq!(outbox.poll_push(&cx, &mut waiting), Poll::Ready(Err(SendError::Closed)));
    }
}
