//! A channel's inbox: messages that wait for the application, and wakers of those who wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::link::Message;

/// Shared by the driver that fills it and the application that empties it.
#[derive(Debug, Clone)]
pub(super) struct Inbox {
    shared: Arc<Mutex<Queue>>,
}

#[derive(Debug)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
    max_bytes: usize,
    closed: bool,
    waiting: Option<Waker>,
}

impl Inbox {
    pub(super) fn new(max_bytes: usize) -> Self {
        let queue =
            Queue { messages: VecDeque::new(), bytes: 0, max_bytes, closed: false, waiting: None };
        Self { shared: Arc::new(Mutex::new(queue)) }
    }

    /// Adds a message. It never refuses: the driver stops the transport when it is full.
    pub(super) fn push(&self, message: Message) {
        let mut queue = self.lock();
        queue.bytes += message.data.len() + OVERHEAD;
        queue.messages.push_back(message);
        queue.wake();
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
        match queue.pop() {
            Some(popped) => Poll::Ready(Some(popped)),
            None if queue.closed => Poll::Ready(None),
            None => {
                queue.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn try_pop(&self) -> Option<(Message, bool)> {
        self.lock().pop()
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

    fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

/// What a message takes beside its content, so that empty ones count too.
const OVERHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_when_there_is_room_again() {
        let inbox = Inbox::new(1000);
        for _ in 0..8 {
            inbox.push(Message::binary(vec![0; 100]));
        }
        assert!(inbox.is_full() && !inbox.has_room());
        let room: Vec<_> = std::iter::from_fn(|| inbox.try_pop()).map(|(_, room)| room).collect();
        assert_eq!(room.iter().filter(|r| **r).count(), 1);
        assert!(inbox.has_room());
    }
}
