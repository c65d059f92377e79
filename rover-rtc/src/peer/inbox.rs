//! A channel's inbox: messages that wait for the application, and wakers of those who wait.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::channel::Received;
use crate::link::{Message, Mode};
use crate::util::keyed::{Keyed, KeyedQueue};
use crate::util::watched::{Aside, Wakers, Watch, Watched};

/// Shared by the driver that fills it and the application that empties it.
#[derive(Debug, Clone)]
pub(super) struct Inbox {
    shared: Arc<Watched<Queue>>,
}

#[derive(Debug)]
struct Queue {
    /// On `Latest` with their keys.
    messages: KeyedQueue<Message>,
    /// What a message takes beside its content.
    overhead: usize,
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
    waiting: Wakers,
    aside: Aside<Message>,
}

impl Keyed for Message {
    fn key(&self) -> &Bytes {
        &self.key
    }
}

impl Watch for Queue {
    type Item = Message;

    fn aside(&mut self) -> &mut Aside<Message> {
        &mut self.aside
    }
}

impl Inbox {
    /// An inbox that asks the driver to stop at this many bytes. A `forgetful` one of a plain
    /// channel drops the oldest as long as nobody has ever asked for a message, as one of datagrams
    /// does at all times. One for `Latest` holds the newest message of each key.
    pub(super) fn new(max_bytes: usize, mode: Mode, forgetful: bool) -> Self {
        let keyed = mode == Mode::Latest;
        let queue = Queue {
            messages: KeyedQueue::new(keyed),
            overhead: OVERHEAD + if keyed { KEY_OVERHEAD } else { 0 },
            bytes: 0,
            max_bytes,
            closed: false,
            read: false,
            forgetful: forgetful && mode == Mode::Plain,
            lossy: mode == Mode::Datagram,
            dropped: 0,
            waiting: Wakers::default(),
            aside: Aside::default(),
        };
        Self { shared: Arc::new(Watched::new(queue)) }
    }

    /// Adds a message. It never refuses: the driver stops the transport when it is full.
    pub(super) fn push(&self, message: Message) {
        self.shared.with(|queue| {
            if let Some(old) = queue.messages.remove(&message.key) {
                queue.bytes -= queue.cost(&old);
                queue.aside.dropped.push(old);
            }
            queue.bytes += queue.cost(&message);
            queue.messages.push_back(message);
            while (queue.lossy || queue.forgetful && !queue.read)
                && queue.bytes > queue.max_bytes
                && let Some(oldest) = queue.messages.pop_front()
            {
                queue.bytes -= queue.cost(&oldest);
                queue.aside.dropped.push(oldest);
                queue.dropped += 1;
            }
            queue.wake();
        });
    }

    /// Messages that nobody has read and that are gone.
    pub(super) fn dropped(&self) -> u64 {
        self.shared.with(|queue| queue.dropped)
    }

    /// Bytes that it takes.
    pub(super) fn room(&self) -> usize {
        self.shared.with(|queue| queue.max_bytes.saturating_sub(queue.bytes))
    }

    pub(super) fn is_full(&self) -> bool {
        self.shared.with(|queue| queue.bytes > queue.max_bytes)
    }

    /// Whether there is room again, with some distance to being full.
    pub(super) fn has_room(&self) -> bool {
        self.shared.with(|queue| queue.bytes <= queue.max_bytes / 2)
    }

    /// Takes a message; true with it if this made room in an inbox that had been full.
    pub(super) fn poll_pop(&self, cx: &Context<'_>) -> Poll<Option<(Message, bool)>> {
        self.poll(cx, |queue| {
            queue.read = true;
            match queue.pop() {
                Some(popped) => Poll::Ready(Some(popped)),
                None if queue.closed => Poll::Ready(None),
                None => Poll::Pending,
            }
        })
    }

    /// Takes a message of at most so many bytes; true with it if this made room in an inbox that
    /// had been full. Who is told that there is nothing, or nothing more, is woken by the
    /// next one.
    pub(super) fn poll_take(&self, cx: &Context<'_>, max_bytes: usize) -> Poll<(Received, bool)> {
        let taken = self.poll(cx, |queue| {
            queue.read = true;
            let size = queue.messages.front().map_or(0, |m| m.data.len());
            if size > max_bytes {
                return Poll::Ready((Received::TooLarge(size), false));
            }
            match queue.pop() {
                Some((message, made_room)) => {
                    let more = queue.is_readable();
                    Poll::Ready((Received::Message { message, more }, made_room))
                }
                None if queue.closed => Poll::Ready((Received::Closed, false)),
                None => Poll::Pending,
            }
        });
        match taken {
            Poll::Ready((Received::Message { message, more: false }, made_room)) => {
                // It may have come meanwhile.
                let more = self.poll_filled(cx).is_ready();
                Poll::Ready((Received::Message { message, more }, made_room))
            }
            taken => taken,
        }
    }

    /// Whether there is anything to take, or never will be. Does not count as reading.
    pub(super) fn poll_filled(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll(cx, |queue| if queue.is_readable() { Poll::Ready(()) } else { Poll::Pending })
    }

    pub(super) fn try_pop(&self) -> Option<(Message, bool)> {
        self.shared.with(|queue| {
            queue.read = true;
            queue.pop()
        })
    }

    /// Forgets what is in it.
    pub(super) fn clear(&self) {
        self.shared.with(|queue| {
            let messages = std::iter::from_fn(|| queue.messages.pop_front());
            queue.aside.dropped.extend(messages);
            queue.bytes = 0;
        });
    }

    /// Ends it: what is in it can still be taken.
    pub(super) fn close(&self) {
        self.shared.with(|queue| {
            queue.closed = true;
            queue.wake();
        });
    }

    fn poll<T>(&self, cx: &Context<'_>, act: impl FnMut(&mut Queue) -> Poll<T>) -> Poll<T> {
        // Clones of a channel may wait at the same time.
        self.shared.poll(cx, |queue| &mut queue.waiting, act)
    }
}

impl Queue {
    fn pop(&mut self) -> Option<(Message, bool)> {
        let message = self.messages.pop_front()?;
        let before = self.bytes;
        self.bytes -= self.cost(&message);
        let half = self.max_bytes / 2;
        Some((message, before > half && self.bytes <= half))
    }

    /// What a message counts for.
    fn cost(&self, message: &Message) -> usize {
        message.data.len() + message.key.len() + self.overhead
    }

    fn is_readable(&self) -> bool {
        !self.messages.is_empty() || self.closed
    }

    fn wake(&mut self) {
        self.aside.woken.append(&mut self.waiting);
    }
}

/// What a message takes beside its content, so that empty ones count, too: its place in the queue,
/// and what the allocator has for a few bytes.
const OVERHEAD: usize = size_of::<Message>() + 32;

/// And its key: what finds it, in a table that is half empty after it has grown.
const KEY_OVERHEAD: usize = 2 * size_of::<(Bytes, i64)>() + 32;

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::util::watched::testing::{in_time, waker};

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
        let fit = (1000 / (100 + OVERHEAD)) as u64;
        assert!(!inbox.is_full() && inbox.dropped() == 100 - fit, "{}", inbox.dropped());
        assert!(inbox.try_pop().is_some());
        for _ in 0..10 {
            inbox.push(Message::binary(vec![0; 100]));
        }
        assert!(inbox.is_full() && inbox.dropped() == 100 - fit);
    }

    #[test]
    fn all_who_wait_are_woken() {
        let inbox = Inbox::new(1000, Mode::Plain, false);
        let wakers = [(); 2].map(|()| waker(|| ()));
        for (waker, _) in &wakers {
            assert!(inbox.poll_pop(&Context::from_waker(waker)).is_pending());
        }
        inbox.close();
        assert!(wakers.iter().all(|(_, count)| count.load(Ordering::Relaxed) == 1));
    }

    /// Who is woken may use the inbox, and let go of it.
    #[test]
    fn wakers_may_use_the_inbox() {
        in_time(|| {
            let inbox = Inbox::new(1000, Mode::Latest, false);
            let run = {
                let inbox = inbox.clone();
                move || drop((inbox.try_pop(), inbox.room()))
            };
            let (waker, count) = waker(run);
            let cx = Context::from_waker(&waker);
            assert!(inbox.poll_pop(&cx).is_pending());
            inbox.push(Message::text("1"));
            // It has been taken by the waker.
            assert!(inbox.poll_filled(&cx).is_pending());
            inbox.push(Message::text("2"));
            assert!(matches!(inbox.poll_take(&cx, 9), Poll::Pending));
            inbox.close();
            assert_eq!(count.load(Ordering::Relaxed), 3);
        });
    }

    #[test]
    fn the_newest_of_each_key_is_in_the_order_of_arrival() {
        let inbox = Inbox::new(10_000, Mode::Latest, false);
        for (key, text) in [("a", "1"), ("b", "2"), ("c", "3"), ("a", "4"), ("", "5"), ("b", "6")] {
            inbox.push(Message::text(text).with_key(key));
        }
        let texts = std::iter::from_fn(|| inbox.try_pop()).map(|(m, _)| m.data);
        assert_eq!(texts.collect::<Vec<_>>(), ["3", "4", "5", "6"]);
        assert_eq!(inbox.room(), 10_000);
    }

    /// What a sender makes up costs it something: keys, and messages of nothing else.
    #[test]
    fn keys_count_against_the_limit() {
        let inbox = Inbox::new(1_000_000, Mode::Latest, false);
        let most = std::iter::repeat_with(|| ())
            .enumerate()
            .take_while(|(number, ())| {
                let mut key = vec![0; 255];
                key[..8].copy_from_slice(&number.to_le_bytes());
                inbox.push(Message::binary(Bytes::new()).with_key(key));
                !inbox.is_full()
            })
            .count();
        let real = 255 + size_of::<Message>() + size_of::<(Bytes, i64)>();
        assert!(most * real <= 1_000_000, "{most}");
    }

    /// With a search for each arrival this takes minutes.
    #[test]
    fn many_keys_do_not_stall_the_driver() {
        let inbox = Inbox::new(usize::MAX, Mode::Latest, false);
        in_time(move || {
            for round in 0..3u64 {
                for number in 0..100_000u64 {
                    let key = number.wrapping_mul(0x9e37_79b9).to_le_bytes().to_vec();
                    inbox.push(Message::binary(round.to_le_bytes().to_vec()).with_key(key));
                }
            }
            let left = std::iter::from_fn(|| inbox.try_pop());
            let newest = left.filter(|(m, _)| m.data[..] == 2u64.to_le_bytes()).count();
            assert_eq!((newest, inbox.room()), (100_000, usize::MAX));
        });
    }
}
