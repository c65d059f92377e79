//! A channel's inbox: messages that wait for the application, and wakers of those who wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::channel::Received;
use crate::link::{Message, Mode};

/// Shared by the driver that fills it and the application that empties it.
#[derive(Debug, Clone)]
pub(super) struct Inbox {
    shared: Arc<Mutex<Queue>>,
}

#[derive(Debug)]
struct Queue {
    latest: bool,
    messages: VecDeque<Message>,
    bytes: usize,
    max_bytes: usize,
    closed: bool,
    /// Somebody has asked for messages.
    read: bool,
    /// While nobody has, the oldest make room: what nobody reads must not stop the link.
    forgetful: bool,
    /// The oldest make room at all times.
    lossy: bool,
    dropped: u64,
    waiting: Vec<Waker>,
}

impl Inbox {
    /// An inbox that asks the driver to stop at this many bytes. A `forgetful` one of a plain
    /// channel drops the oldest as long as nobody has ever asked for a message, as one of datagrams
    /// does at all times. One for `Latest` holds the newest message of each key.
    pub(super) fn new(max_bytes: usize, mode: Mode, forgetful: bool) -> Self {
        let queue = Queue {
            latest: mode == Mode::Latest,
            messages: VecDeque::new(),
            bytes: 0,
            max_bytes,
            closed: false,
            read: false,
            forgetful: forgetful && mode == Mode::Plain,
            lossy: mode == Mode::Datagram,
            dropped: 0,
            waiting: Vec::new(),
        };
        Self { shared: Arc::new(Mutex::new(queue)) }
    }

    /// Adds a message. It never refuses: the driver stops the transport when it is full.
    pub(super) fn push(&self, message: Message) {
        let mut queue = self.lock();
        queue.bytes += message.data.len() + OVERHEAD;
        if queue.latest
            && let Some(position) = queue.messages.iter().position(|m| m.key == message.key)
            && let Some(old) = queue.messages.remove(position)
        {
            queue.bytes -= old.data.len() + OVERHEAD;
        }
        queue.messages.push_back(message);
        while (queue.lossy || queue.forgetful && !queue.read) && queue.bytes > queue.max_bytes {
            let oldest = queue.messages.pop_front().map_or(0, |m| m.data.len() + OVERHEAD);
            queue.bytes -= oldest;
            queue.dropped += 1;
        }
        queue.wake();
    }

    /// Messages that nobody has read and that are gone.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Bytes that it takes.
    pub(super) fn room(&self) -> usize {
        let queue = self.lock();
        queue.max_bytes.saturating_sub(queue.bytes)
    }

    pub(super) fn is_full(&self) -> bool {
        let queue = self.lock();
        queue.bytes > queue.max_bytes
    }

    /// Whether there is room again, with some distance to being full.
    pub(super) fn has_room(&self) -> bool {
        let queue = self.lock();
        queue.bytes <= queue.max_bytes / 2
    }

    /// Takes a message; true with it if this made room in an inbox that had been full.
    pub(super) fn poll_pop(&self, cx: &Context<'_>) -> Poll<Option<(Message, bool)>> {
        let mut queue = self.lock();
        queue.read = true;
        match queue.pop() {
            Some(popped) => Poll::Ready(Some(popped)),
            None if queue.closed => Poll::Ready(None),
            None => {
                queue.note(cx);
                Poll::Pending
            }
        }
    }

    /// Takes a message of at most so many bytes; true with it if this made room in an inbox that
    /// had been full. NamedIdentity is told that there is nothing, or nothing more, is woken by the
    /// next one.
    pub(super) fn poll_take(&self, cx: &Context<'_>, max_bytes: usize) -> Poll<(Received, bool)> {
        let mut queue = self.lock();
        queue.read = true;
        let size = queue.messages.front().map_or(0, |m| m.data.len());
        if size > max_bytes {
            return Poll::Ready((Received::TooLarge(size), false));
        }
        match queue.pop() {
            Some((message, made_room)) => {
                let more = !queue.messages.is_empty() || queue.closed;
                if !more {
                    queue.note(cx);
                }
                Poll::Ready((Received::Message { message, more }, made_room))
            }
            None if queue.closed => Poll::Ready((Received::Closed, false)),
            None => {
                queue.note(cx);
                Poll::Pending
            }
        }
    }

    /// Whether there is anything to take, or never will be. Does not count as reading.
    pub(super) fn poll_filled(&self, cx: &Context<'_>) -> Poll<()> {
        let mut queue = self.lock();
        if !queue.messages.is_empty() || queue.closed {
            return Poll::Ready(());
        }
        queue.note(cx);
        Poll::Pending
    }

    pub(super) fn try_pop(&self) -> Option<(Message, bool)> {
        let mut queue = self.lock();
        queue.read = true;
        queue.pop()
    }

    /// Forgets what is in it.
    pub(super) fn clear(&self) {
        let mut queue = self.lock();
        queue.messages.clear();
        queue.bytes = 0;
    }

    /// Ends it: what is in it can still be taken.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code under the lock can panic halfway through a change.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn pop(&mut self) -> Option<(Message, bool)> {
        let message = self.messages.pop_front()?;
        let before = self.bytes;
        self.bytes -= message.data.len() + OVERHEAD;
        let half = self.max_bytes / 2;
        Some((message, before > half && self.bytes <= half))
    }

    fn note(&mut self, cx: &Context<'_>) {
        // Clones of a channel may wait at the same time.
        if !self.waiting.iter().any(|w| w.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
    }

    fn wake(&mut self) {
        // All of them: who is woken may have given up waiting.
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

/// What a message takes beside its content, so that empty ones count too.
const OVERHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_when_there_is_room_again() {
        let inbox = Inbox::new(1000, Mode::Plain, false);
        for _ in 0..8 {
            inbox.push(Message::binary(vec![0; 100]));
        }
        assert!(inbox.is_full() && !inbox.has_room());
        let room: Vec<_> = std::iter::from_fn(|| inbox.try_pop()).map(|(_, room)| room).collect();
        assert_eq!(room.iter().filter(|r| **r).count(), 1);
        assert!(inbox.has_room());
    }

    #[test]
    fn what_nobody_reads_makes_room_until_somebody_does() {
        let inbox = Inbox::new(1000, Mode::Plain, true);
        for _ in 0..100 {
            inbox.push(Message::binary(vec![0; 100]));
        }
        assert!(!inbox.is_full() && inbox.dropped() == 94, "{}", inbox.dropped());
        assert!(inbox.try_pop().is_some());
        for _ in 0..10 {
            inbox.push(Message::binary(vec![0; 100]));
        }
        assert!(inbox.is_full() && inbox.dropped() == 94);
    }

    #[test]
    fn all_who_wait_are_woken() {
        struct Flag(std::sync::atomic::AtomicBool);
        impl std::task::Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let inbox = Inbox::new(1000, Mode::Plain, false);
        let flags = [(); 2].map(|()| Arc::new(Flag(false.into())));
        for flag in &flags {
            let waker = Waker::from(flag.clone());
            assert!(inbox.poll_pop(&Context::from_waker(&waker)).is_pending());
        }
        inbox.close();
        assert!(flags.iter().all(|f| f.0.load(std::sync::atomic::Ordering::Relaxed)));
    }
}
