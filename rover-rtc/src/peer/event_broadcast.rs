//! The events of a link, for any number of readers.
//!
//! Memory grows with what a reader has not read yet, and not before: most links are quiet,
//! and a peer may have many.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::event::Event;
use crate::util::spare::add;
use crate::util::watched::{Aside, Watch, Watched};

/// Where the driver puts events. Readers see the end when it is dropped.
#[derive(Debug)]
pub(super) struct EventBroadcast {
    subscription: Subscription,
}

/// Makes readers.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    ring: Arc<Watched<EventRing>>,
}

/// Reads all events from when it was made.
#[derive(Debug)]
pub(super) struct EventReader {
    ring: Arc<Watched<EventRing>>,
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
    aside: Aside<ReaderPosition>,
}

impl Watch for EventRing {
    type Item = ReaderPosition;

    fn aside(&mut self) -> &mut Aside<ReaderPosition> {
        &mut self.aside
    }
}

#[derive(Debug)]
struct ReaderPosition {
    id: u64,
    /// The number of the event that it reads next.
    next: u64,
    waiting: Option<Waker>,
}

impl EventBroadcast {
    pub(super) fn new() -> Self {
        Self { subscription: Subscription { ring: Arc::new(Watched::new(EventRing::default())) } }
    }

    pub(super) fn subscription(&self) -> Subscription {
        self.subscription.clone()
    }

    /// Tells all readers; the oldest event makes room if one of them lags far behind.
    pub(super) fn send(&self, event: Event) {
        self.subscription.ring.with(|ring| {
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
            ring.wake();
        });
    }
}

impl Drop for EventBroadcast {
    fn drop(&mut self) {
        self.subscription.ring.with(|ring| {
            ring.ended = true;
            ring.wake();
        });
    }
}

impl Subscription {
    /// A reader of the events from now on.
    pub(super) fn reader(&self) -> EventReader {
        let id = self.ring.with(|ring| {
            let id = ring.next_reader;
            ring.next_reader += 1;
            let next = ring.first + ring.events.len() as u64;
            add(&mut ring.readers, ReaderPosition { id, next, waiting: None });
            id
        });
        EventReader { ring: self.ring.clone(), id }
    }
}

impl EventReader {
    /// The next event. One task reads at a time: the one that has waited before waits no longer.
    pub(super) fn poll_recv(&self, cx: &Context<'_>) -> Poll<Result<Event, NoEvent>> {
        // Cloned and dropped without the lock.
        let mut waker = Some(cx.waker().clone());
        self.ring.with(|ring| {
            let polled = ring.poll_next(self.id);
            if polled.is_pending()
                && let Some(position) = ring.readers.iter_mut().find(|p| p.id == self.id)
            {
                std::mem::swap(&mut position.waiting, &mut waker);
            }
            polled
        })
    }
}

impl Drop for EventReader {
    fn drop(&mut self) {
        self.ring.with(|ring| {
            let gone = ring.readers.extract_if(.., |position| position.id == self.id);
            ring.aside.dropped.extend(gone);
            ring.forget_read();
        });
    }
}

impl EventRing {
    fn poll_next(&mut self, reader: u64) -> Poll<Result<Event, NoEvent>> {
        let Some(position) = self.readers.iter_mut().find(|p| p.id == reader) else {
            return Poll::Ready(Err(NoEvent::Ended));
        };
        if position.next < self.first {
            let missed = self.first - position.next;
            position.next = self.first;
            return Poll::Ready(Err(NoEvent::Lagged(missed)));
        }
        let index = usize::try_from(position.next - self.first).unwrap_or(usize::MAX);
        let Some(event) = self.events.get(index).cloned() else {
            return if self.ended { Poll::Ready(Err(NoEvent::Ended)) } else { Poll::Pending };
        };
        position.next += 1;
        self.forget_read();
        Poll::Ready(Ok(event))
    }

    /// Whether nobody has read the last event, and this one says all that it does: a large message
    /// that arrives while nobody looks must not push out what happened before.
    fn is_overtaken_by(&self, event: &Event) -> bool {
        let Event::Progress { channel, total, .. } = event else { return false };
        let end = self.first + self.events.len() as u64;
        matches!(self.events.back(), Some(Event::Progress { channel: c, total: t, .. })
            if c == channel && t == total)
            && self.readers.iter().all(|position| position.next < end)
    }

    /// Wakes all readers: a waker may be all that keeps one.
    fn wake(&mut self) {
        let Self { readers, aside, .. } = self;
        aside.woken.extend(readers.iter_mut().filter_map(|position| position.waiting.take()));
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

/// Events that the slowest reader may lag behind.
const MAX_EVENTS: usize = 1024;

/// Room for so many stays, so that a trickle of events does not allocate.
const KEPT_EVENTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::watched::testing::{in_time, waker};

    impl EventReader {
        async fn recv(&self) -> Result<Event, NoEvent> {
            std::future::poll_fn(|cx| self.poll_recv(cx)).await
        }
    }

    fn trouble(number: usize) -> Event {
        Event::Trouble(number.to_string())
    }

    /// Each poll brings another waker: a task for each, which gives up.
    #[test]
    fn a_reader_keeps_one_waker() {
        struct Task;
        impl std::task::Wake for Task {
            fn wake(self: Arc<Self>) {}
        }
        let broadcast = EventBroadcast::new();
        let reader = broadcast.subscription().reader();
        let tasks: Vec<_> = std::iter::repeat_with(|| Arc::new(Task)).take(100).collect();
        for task in &tasks {
            let polled = reader.poll_recv(&Context::from_waker(&task.clone().into()));
            assert!(polled.is_pending());
        }
        let kept = tasks.iter().filter(|task| Arc::strong_count(task) > 1).count();
        assert_eq!(kept, 1);
        drop(broadcast);
        assert!(tasks.iter().all(|task| Arc::strong_count(task) == 1), "all are done with");
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
        let kept = || broadcast.subscription.ring.with(|r| (r.events.len(), r.events.capacity()));
        assert_eq!(kept().0, 100);
        drop(lazy);
        assert!(kept().0 == 0 && kept().1 <= 2 * KEPT_EVENTS);
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

    /// A task that is let go of by its last waker lets go of what it reads.
    #[test]
    fn wakers_may_let_go_of_readers() {
        in_time(|| {
            let broadcast = EventBroadcast::new();
            let wait = || {
                let reader = broadcast.subscription().reader();
                let inner = broadcast.subscription();
                let (waker, _) = waker(move || drop(inner.reader()));
                assert!(reader.poll_recv(&Context::from_waker(&waker)).is_pending());
                reader
            };
            let readers = [wait(), wait()];
            // Another waker takes the position of the first, which is then dropped.
            for reader in &readers {
                let cx = Context::from_waker(Waker::noop());
                assert!(reader.poll_recv(&cx).is_pending());
            }
            broadcast.send(trouble(1));
            drop((wait(), readers));
            broadcast.send(trouble(2));
        });
    }
}
