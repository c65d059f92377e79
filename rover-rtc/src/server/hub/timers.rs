//! When each client wants to be called next.
//!
//! A deadline moves with nearly each datagram, and nearly always to later. So an entry stays in the
//! queue until it fires, and only then is it looked at whether the client wants to be called yet.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Instant;

use crate::model::client::ClientId;

/// The deadlines of all clients.
#[derive(Debug, Default)]
pub(in crate::server) struct Timers {
    /// Entries that no slot names are void; there are never more of them than of the others.
    queue: BinaryHeap<Reverse<(Instant, ClientId)>>,
    slots: HashMap<ClientId, Slot>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// When the client wants to be called.
    due: Option<Instant>,
    /// Its entry in the queue, which is never later.
    queued: Option<Instant>,
}

impl Timers {
    /// A client wants to be called then, and not before; or not at all.
    pub(in crate::server) fn set(&mut self, client: ClientId, due: Option<Instant>) {
        let slot = self.slots.entry(client).or_default();
        slot.due = due;
        let Some(due) = due else { return };
        if slot.queued.is_none_or(|queued| queued > due) {
            slot.queued = Some(due);
            self.queue.push(Reverse((due, client)));
            self.sweep();
        }
    }

    pub(in crate::server) fn remove(&mut self, client: ClientId) {
        self.slots.remove(&client);
        self.sweep();
    }

    /// When [`Timers::pop`] may have something: never too late, and sometimes too early.
    pub(in crate::server) fn next(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// A client whose time has come.
    pub(in crate::server) fn pop(&mut self, now: Instant) -> Option<ClientId> {
        while self.next().is_some_and(|at| at <= now) {
            let Reverse((at, client)) = self.queue.pop()?;
            let Some(slot) = self.slots.get_mut(&client).filter(|s| s.queued == Some(at)) else {
                continue;
            };
            slot.queued = None;
            match slot.due {
                Some(due) if due <= now => {
                    slot.due = None;
                    return Some(client);
                }
                later => self.set(client, later),
            }
        }
        None
    }

    /// Drops void entries when they are the most.
    fn sweep(&mut self) {
        if self.queue.len() > 2 * self.slots.len() + FEW {
            let slots = &self.slots;
            self.queue.retain(|Reverse((at, client))| {
                slots.get(client).is_some_and(|slot| slot.queued == Some(*at))
            });
        }
    }
}

/// Not worth the trouble.
const FEW: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn client(number: u64) -> ClientId {
        ClientId::of_number(number)
    }

    #[test]
    fn the_last_word_counts() {
        let (mut timers, t) = (Timers::default(), crate::util::clock::now());
        timers.set(client(1), Some(t + 10 * MS));
        timers.set(client(2), Some(t + 20 * MS));
        timers.set(client(1), Some(t + 30 * MS));
        timers.set(client(2), Some(t + 5 * MS));
        assert_eq!(timers.next(), Some(t + 5 * MS));
        assert_eq!(timers.pop(t + 4 * MS), None);
        assert_eq!((timers.pop(t + 5 * MS), timers.pop(t + 29 * MS)), (Some(client(2)), None));
        assert_eq!(timers.next(), Some(t + 30 * MS));
        assert_eq!((timers.pop(t + 30 * MS), timers.pop(t + 99 * MS)), (Some(client(1)), None));
        assert_eq!(timers.next(), None);
        for gone in [true, false] {
            timers.set(client(3), Some(t));
            if gone {
                timers.remove(client(3))
            } else {
                timers.set(client(3), None)
            }
            assert_eq!(timers.pop(t + MS), None);
        }
    }

    #[test]
    fn all_fire_when_they_are_due() {
        let (mut timers, start) = (Timers::default(), crate::util::clock::now());
        let (mut due, mut seed) = (HashMap::new(), 1_u64);
        for ms in 0..5_000 {
            let now = start + ms * MS;
            for _ in 0..3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (id, at) = (client(seed >> 60), now + (seed >> 32) as u32 % 200 * MS);
                due.insert(id, at);
                timers.set(id, Some(at));
            }
            while let Some(id) = timers.pop(now) {
                assert!(due.remove(&id).is_some_and(|at| at <= now), "{ms}: {id}");
            }
            assert!(due.values().all(|at| *at > now), "{ms}");
            assert!(due.is_empty() || timers.next() <= due.values().min().copied());
        }
    }

    #[test]
    fn the_queue_stays_short() {
        let (mut timers, start) = (Timers::default(), crate::util::clock::now());
        for turn in 0..100_000_u32 {
            let now = start + turn * MS;
            // Idle, then busy again, and again.
            timers.set(client(1), Some(now + 15_000 * MS));
            timers.set(client(1), Some(now));
            assert_eq!(timers.pop(now), Some(client(1)));
            assert!(timers.queue.len() <= 2 * timers.slots.len() + FEW);
        }
        (0..1000).for_each(|n| timers.set(client(n), Some(start)));
        (0..1000).for_each(|n| timers.remove(client(n)));
        assert!(timers.queue.len() <= FEW && timers.slots.is_empty());
    }
}
