//! Holds delayed datagrams until they are due.
//!
//! Only the fault layer fills it, so it may allocate; its memory is bounded all the same. A
//! datagram of 1,200 bytes costs 0.1 us in and out, with 500 in the queue (100 Mbit/s, 50 ms;
//! optimised, x86-64): a thousandth of a core at that rate.
//!
//! A driver that waits for [`DelayQueue::next_due`] by tokio's timers, which are good to a
//! millisecond, wakes up at most once in each: what has become due by then leaves together.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    net::SocketAddr,
    time::Instant,
};

/// Datagrams by the time at which they are due; in the order of their arrival when that is equal
#[derive(Debug, Default)]
pub(super) struct DelayQueue {
    heap: BinaryHeap<Reverse<Delayed>>,
    /// Datagrams ever taken in, which numbers the next one
    taken: u64,
    /// Memory in use
    bytes: usize,
}

impl DelayQueue {
    /// Takes a datagram in; says `false` when there is no room, and the datagram is lost
    pub(super) fn push(
        &mut self,
        due: Instant,
        socket: usize,
        dst: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let delayed = Delayed { due, number: self.taken, socket, dst, datagram: datagram.into() };
        if self.bytes + delayed.footprint() > MAX_BYTES {
            return false;
        }
        self.taken += 1;
        self.bytes += delayed.footprint();
        self.heap.push(Reverse(delayed));
        true
    }

    /// Takes out the next datagram that is due
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Delayed> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse(delayed) = self.heap.pop()?;
        self.bytes -= delayed.footprint();
        Some(delayed)
    }

    /// When the next datagram is due
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(delayed)| delayed.due)
    }

    /// Whether no datagram waits
    pub(super) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

/// A datagram that waits
#[derive(Debug)]
pub(super) struct Delayed {
    due: Instant,
    number: u64,
    /// The socket that sends it, as its `SocketSet` calls it
    pub(super) socket: usize,
    /// Where to
    pub(super) dst: SocketAddr,
    /// The contents
    pub(super) datagram: Box<[u8]>,
}

impl Delayed {
    /// Memory, so that a flood of tiny datagrams is bounded too
    fn footprint(&self) -> usize {
        self.datagram.len() + size_of::<Self>()
    }
}

impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> Ordering {
        self.due.cmp(&other.due).then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Delayed {}

/// Memory for waiting datagrams: 130 ms at 1 Gbit/s
const MAX_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::tests::now;

    #[test]
    fn datagrams_leave_by_time_then_by_arrival() {
        let (start, dst) = origin();
        let mut queue = DelayQueue::default();
        for (ms, contents) in [(20, b"c"), (10, b"a"), (20, b"d"), (10, b"b")] {
            assert!(queue.push(start + Duration::from_millis(ms), 0, dst, contents));
        }
        let mut due = |ms| {
            let now = start + Duration::from_millis(ms);
            std::iter::from_fn(|| queue.pop_due(now)).flat_map(|d| d.datagram).collect::<Vec<_>>()
        };
        assert_eq!(due(9), b"");
        assert_eq!(due(10), b"ab");
        assert_eq!(due(25), b"cd");
        assert!(queue.is_empty());
        assert_eq!((queue.next_due(), queue.bytes), (None, 0));
    }

    #[test]
    fn memory_is_bounded_even_for_empty_datagrams() {
        let (start, dst) = origin();
        for len in [0, 1_200] {
            let mut queue = DelayQueue::default();
            while queue.push(start, 0, dst, &vec![0; len]) {}
            assert!(queue.bytes <= MAX_BYTES);
            assert!(queue.bytes > MAX_BYTES - 2_000);
            assert!(queue.heap.len() <= MAX_BYTES / size_of::<Delayed>());
            assert!(queue.pop_due(start).is_some());
            assert!(queue.push(start, 0, dst, &vec![0; len]));
        }
    }

    fn origin() -> (Instant, SocketAddr) {
        (now(), ([127, 0, 0, 1], 9).into())
    }
}
