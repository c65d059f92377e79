//! The events of a link, for any number of readers.
//!
//! JournalLookup grows with what a reader has not read yet, and not before: most links are quiet,
//! and a peer may have many.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::event::Event;
use crate::util::spare::add;

/// Where the driver puts events. Readers see the end when it is dropped.
#[derive(Debug)]
pub(super) struct EventBroadcast {
    subscription: Subscription,
}

/// Makes readers.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    ring: Arc<Mutex<EventRing>>,
}

/// Reads all events from when it was made.
#[derive(Debug)]
pub(super) struct EventReader {
    ring: Arc<Mutex<EventRing>>,
    id: u64,
}

/// Why there is no event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoEvent {
    /// So many were dropped, for the reader was too slow.
    Lagged(u64),
    /// There will be no more.
    Ended,
}

#[derive(Debug, Default)]
struct EventRing {
    events: VecDeque<Event>,
    /// The number of the oldest of them.
    first: u64,
    readers: Vec<ReaderPosition>,
    next_reader: u64,
    ended: bool,
}

#[derive(Debug)]
struct ReaderPosition {
    id: u64,
    /// The number of the event that it reads next.
    next: u64,
    waker: Option<Waker>,
}

impl EventBroadcast {
    pub(super) fn new() -> Self {
        Self { subscription: Subscription { ring: Arc::default() } }
    }

    pub(super) fn subscription(&self) -> Subscription {
        self.subscription.clone()
    }

    /// Tells all readers; the oldest event makes room if one of them lags far behind.
    pub(super) fn send(&self, event: Event) {
        let mut ring = lock(&self.subscription.ring);
        if ring.readers.is_empty() {
            ring.first += 1;
            return;
        }
        if ring.is_overtaken_by(&event)
            && let Some(last) = ring.events.back_mut()
        {
            *last = event;
            return;
        }
        if ring.events.len() == MAX_EVENTS {
            ring.events.pop_front();
            ring.first += 1;
        }
        ring.events.push_back(event);
        let waiting = ring.take_waiting();
        drop(ring);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Drop for EventBroadcast {
    fn drop(&mut self) {
        let mut ring = lock(&self.subscription.ring);
        ring.ended = true;
        let waiting = ring.take_waiting();
        drop(ring);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Subscription {
    /// A reader of the events from now on.
    pub(super) fn reader(&self) -> EventReader {
        let mut ring = lock(&self.ring);
        let id = ring.next_reader;
        ring.next_reader += 1;
        let next = ring.first + ring.events.len() as u64;
        add(&mut ring.readers, ReaderPosition { id, next, waker: None });
        EventReader { ring: self.ring.clone(), id }
    }
}

impl EventReader {
    /// The next event.
    pub(super) fn poll_recv(&self, cx: &Context<'_>) -> Poll<Result<Event, NoEvent>> {
        let mut guard = lock(&self.ring);
        let EventRing { events, first, readers, ended, .. } = &mut *guard;
        let Some(position) = readers.iter_mut().find(|p| p.id == self.id) else {
            return Poll::Ready(Err(NoEvent::Ended));
        };
        if position.next < *first {
            let missed = *first - position.next;
            position.next = *first;
            return Poll::Ready(Err(NoEvent::Lagged(missed)));
        }
        let index = usize::try_from(position.next - *first).unwrap_or(usize::MAX);
        let Some(event) = events.get(index).cloned() else {
            if *ended {
                return Poll::Ready(Err(NoEvent::Ended));
            }
            position.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        position.next += 1;
        guard.forget_read();
        Poll::Ready(Ok(event))
    }
}

impl Drop for EventReader {
    fn drop(&mut self) {
        let mut ring = lock(&self.ring);
        ring.readers.retain(|position| position.id != self.id);
        ring.forget_read();
    }
}

impl EventRing {
    /// Whether nobody has read the last event, and this one says all that it does: a large message
    /// that arrives while nobody looks must not push out what happened before.
    fn is_overtaken_by(&self, event: &Event) -> bool {
        let Event::Progress { channel, total, .. } = event else { return false };
        let end = self.first + self.events.len() as u64;
        matches!(self.events.back(), Some(Event::Progress { channel: c, total: t, .. })
            if c == channel && t == total)
            && self.readers.iter().all(|position| position.next < end)
    }

    /// Those to be woken, without the lock: a waker may be all that keeps a reader.
    fn take_waiting(&mut self) -> Vec<Waker> {
        self.readers.iter_mut().filter_map(|position| position.waker.take()).collect()
    }

    /// Drops what all readers have read.
    fn forget_read(&mut self) {
        let end = self.first + self.events.len() as u64;
        let oldest = self.readers.iter().map(|position| position.next).min().unwrap_or(end);
        while self.first < oldest && self.events.pop_front().is_some() {
            self.first += 1;
        }
        if self.events.is_empty() {
            self.events.shrink_to(KEPT_EVENTS);
        }
    }
}

fn lock(ring: &Mutex<EventRing>) -> MutexGuard<'_, EventRing> {
    // Nothing that is done under the lock leaves it half changed.
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Events that the slowest reader may lag behind.
const MAX_EVENTS: usize = 1024;

/// Room for so many stays, so that a trickle of events does not allocate.
const KEPT_EVENTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    impl EventReader {
        async fn recv(&self) -> Result<Event, NoEvent> {
            std::future::poll_fn(|cx| self.poll_recv(cx)).await
        }
    }

    fn trouble(number: usize) -> Event {
        Event::Trouble(number.to_string())
    }

    #[tokio::test]
    async fn each_reader_gets_all_from_when_it_was_made() {
        let broadcast = EventBroadcast::new();
        let one = broadcast.subscription().reader();
        broadcast.send(trouble(1));
        let two = broadcast.subscription().reader();
        broadcast.send(trouble(2));
        drop(broadcast);
        assert_eq!(two.recv().await, Ok(trouble(2)));
        assert_eq!(two.recv().await, Err(NoEvent::Ended));
        assert_eq!(one.recv().await, Ok(trouble(1)));
        assert_eq!(one.recv().await, Ok(trouble(2)));
        assert_eq!(one.recv().await, Err(NoEvent::Ended));
    }

    #[tokio::test]
    async fn a_slow_reader_misses_the_oldest_and_is_told() {
        let broadcast = EventBroadcast::new();
        let reader = broadcast.subscription().reader();
        (0..MAX_EVENTS + 3).for_each(|n| broadcast.send(trouble(n)));
        assert_eq!(reader.recv().await, Err(NoEvent::Lagged(3)));
        assert_eq!(reader.recv().await, Ok(trouble(3)));
    }

    #[tokio::test]
    async fn progress_that_nobody_looks_at_is_told_once() {
        let broadcast = EventBroadcast::new();
        let (reader, lazy) = (broadcast.subscription().reader(), broadcast.subscription().reader());
        let id = crate::link::ChannelId::from_index(0);
        let progress = |bytes| Event::Progress { channel: id, bytes, total: 1 << 24 };
        broadcast.send(trouble(1));
        (0..3 * MAX_EVENTS).for_each(|n| broadcast.send(progress(n)));
        assert_eq!(reader.recv().await, Ok(trouble(1)));
        assert_eq!(reader.recv().await, Ok(progress(3 * MAX_EVENTS - 1)));
        // It has read that, so the next is another one; for the lazy one, too.
        broadcast.send(progress(7));
        assert_eq!(reader.recv().await, Ok(progress(7)));
        for expected in [trouble(1), progress(3 * MAX_EVENTS - 1), progress(7)] {
            assert_eq!(lazy.recv().await, Ok(expected));
        }
    }

    #[tokio::test]
    async fn what_all_have_read_is_forgotten() {
        let broadcast = EventBroadcast::new();
        let reader = broadcast.subscription().reader();
        let lazy = broadcast.subscription().reader();
        (0..100).for_each(|n| broadcast.send(trouble(n)));
        for n in 0..100 {
            assert_eq!(reader.recv().await, Ok(trouble(n)));
        }
        assert_eq!(lock(&broadcast.subscription.ring).events.len(), 100);
        drop(lazy);
        let ring = lock(&broadcast.subscription.ring);
        assert!(ring.events.is_empty() && ring.events.capacity() <= 2 * KEPT_EVENTS);
    }

    #[tokio::test]
    async fn a_reader_is_woken() {
        let broadcast = EventBroadcast::new();
        let reader = broadcast.subscription().reader();
        let waiting = tokio::spawn(async move { reader.recv().await });
        tokio::task::yield_now().await;
        broadcast.send(trouble(7));
        assert_eq!(waiting.await.unwrap(), Ok(trouble(7)));
    }
}
