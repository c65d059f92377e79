//! Who is connected, and who has to go when there is no room.
//!
//! A flood is told from good clients by what they do: a good client sends its request at once, a
//! flood mostly holds connections open. So when all slots are taken, the newcomer gets the slot of
//! the connection that has been reading its request for longest; only when nobody is reading is
//! the newcomer refused.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::answer::Refusal;
use crate::net::Prefix;

/// The connections of one listener. Holds limits, counts and who may be evicted.
#[derive(Debug)]
pub(super) struct ConnectionSlots {
    max: usize,
    max_per_address: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next_id: u64,
    taken: HashMap<u64, SlotHolder>,
    per_address: HashMap<Prefix, usize>,
    /// Who may be evicted, oldest first.
    unsettled: BTreeSet<u64>,
    shrunk: Option<Shrunk>,
}

#[derive(Debug)]
struct SlotHolder {
    address: Prefix,
    /// Dropping it tells the connection to go.
    _eviction: oneshot::Sender<Infallible>,
}

/// Fewer slots than `max` for a while, because the process could not bear more.
#[derive(Debug)]
struct Shrunk {
    capacity: usize,
    since: Instant,
}

/// One connection's place; given back on drop.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    id: u64,
}

/// Resolves when the connection has to go.
pub(super) type Eviction = oneshot::Receiver<Infallible>;

impl ConnectionSlots {
    pub(super) fn new(max: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(Self { max, max_per_address, table: Mutex::default() })
    }

    /// A slot for a connection from `address`, at the price of somebody else's if need be.
    pub(super) fn take(
        self: &Arc<Self>,
        address: IpAddr,
        now: Instant,
    ) -> Result<(ConnectionSlot, Eviction), Refusal> {
        let address = Prefix::of(address);
        let limit = if address.is_loopback() { usize::MAX } else { self.max_per_address };
        let mut table = self.table();
        // Before anybody is evicted, lest one address could push out all the others.
        if table.per_address.get(&address).is_some_and(|&count| count >= limit) {
            return Err(TOO_MANY);
        }
        if table.taken.len() >= table.capacity(self.max, now) && !table.evict_oldest() {
            return Err(FULL);
        }

        let id = table.next_id;
        table.next_id += 1;
        let (evict, eviction) = oneshot::channel();
        table.taken.insert(id, SlotHolder { address, _eviction: evict });
        table.unsettled.insert(id);
        *table.per_address.entry(address).or_default() += 1;
        Ok((ConnectionSlot { slots: Arc::clone(self), id }, eviction))
    }

    /// Lowers the capacity to three quarters of what is taken, for a while, and evicts down to it:
    /// for when the process runs out of descriptors. What has just been lowered stays, so that
    /// many complaints about the same moment count once.
    pub(super) fn shrink(&self, now: Instant) {
        let mut table = self.table();
        if table.shrunk.as_ref().is_some_and(|it| now < it.since + SHRINK_PAUSE) {
            return;
        }
        let capacity = (table.taken.len() * 3 / 4).max(MIN_CAPACITY);
        table.shrunk = Some(Shrunk { capacity, since: now });
        while table.taken.len() > capacity && table.evict_oldest() {}
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSlot {
    /// Keeps the slot from now on, whoever comes. False if it is lost already.
    pub(super) fn settle(&self) -> bool {
        self.slots.table().unsettled.remove(&self.id)
    }

    /// Offers the slot to newcomers again.
    pub(super) fn unsettle(&self) {
        let mut table = self.slots.table();
        if table.taken.contains_key(&self.id) {
            table.unsettled.insert(self.id);
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.slots.table().release(self.id);
    }
}

impl Table {
    fn capacity(&mut self, max: usize, now: Instant) -> usize {
        self.shrunk.take_if(|it| now >= it.since + SHRUNK_FOR);
        self.shrunk.as_ref().map_or(max, |it| it.capacity.min(max))
    }

    fn evict_oldest(&mut self) -> bool {
        let Some(&id) = self.unsettled.first() else {
            return false;
        };
        self.release(id);
        true
    }

    fn release(&mut self, id: u64) {
        self.unsettled.remove(&id);
        // `None`: an evicted connection's slot is long somebody else's.
        let Some(SlotHolder { address, .. }) = self.taken.remove(&id) else {
            return;
        };
        if let Entry::Occupied(mut count) = self.per_address.entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Long enough not to run out of descriptors at every turn, short enough to forget a bad moment.
const SHRUNK_FOR: Duration = Duration::from_secs(5);
/// Time for evicted connections to close, before the next complaint means something new.
const SHRINK_PAUSE: Duration = Duration::from_millis(40);
/// If so few cannot be borne, the connections are not the cause.
const MIN_CAPACITY: usize = 16;

const TOO_MANY: Refusal = Refusal::new(429, "too many connections from your address");
const FULL: Refusal = Refusal::new(503, "the hub is full");

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn is_evicted((_, eviction): &mut (ConnectionSlot, Eviction)) -> bool {
        eviction.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn an_address_has_its_own_limit_and_loopback_has_not() {
        let (slots, now) = (ConnectionSlots::new(10, 2), crate::util::clock::now());
        let first = slots.take(A, now).unwrap();
        let _second = slots.take(A, now).unwrap();
        assert_eq!(slots.take(A, now).unwrap_err(), TOO_MANY);
        let _other = slots.take(B, now).unwrap();
        let _local: Vec<_> = (0..5).map(|_| slots.take(LOOPBACK, now).unwrap()).collect();
        drop(first);
        slots.take(A, now).unwrap();
    }

    #[test]
    fn a_newcomer_gets_the_seat_of_the_oldest_unsettled() {
        let (slots, now) = (ConnectionSlots::new(2, 2), crate::util::clock::now());
        let mut settled = slots.take(LOOPBACK, now).unwrap();
        assert!(settled.0.settle());
        let mut idle = slots.take(LOOPBACK, now).unwrap();
        let mut newcomer = slots.take(LOOPBACK, now).unwrap();
        assert!(is_evicted(&mut idle) && !idle.0.settle());
        assert!(!is_evicted(&mut newcomer) && newcomer.0.settle());
        assert_eq!(slots.take(B, now).unwrap_err(), FULL);
        // What an evicted connection does at its end changes nothing for the others.
        idle.0.unsettle();
        drop(idle);
        assert_eq!(slots.take(B, now).unwrap_err(), FULL);

        newcomer.0.unsettle();
        slots.take(B, now).unwrap();
        assert!(is_evicted(&mut newcomer) && !is_evicted(&mut settled));
    }

    #[test]
    fn counts_return_to_nothing() {
        let (slots, now) = (ConnectionSlots::new(4, 4), crate::util::clock::now());
        drop((0..20).map(|_| slots.take(LOOPBACK, now).unwrap()).collect::<Vec<_>>());
        let table = slots.table();
        let counts = (table.taken.len(), table.per_address.len(), table.unsettled.len());
        assert_eq!(counts, (0, 0, 0));
    }

    #[test]
    fn shrinking_evicts_once_and_passes() {
        let (slots, now) = (ConnectionSlots::new(100, 100), crate::util::clock::now());
        let mut idle: Vec<_> = (0..80).map(|_| slots.take(A, now).unwrap()).collect();
        slots.shrink(now);
        slots.shrink(now);
        assert!(idle.iter_mut().take(20).all(is_evicted));
        assert!(!idle.iter_mut().skip(20).any(is_evicted));
        let _one_more = slots.take(B, now).unwrap();
        assert_eq!(slots.table().taken.len(), 60);
        let _more: Vec<_> = (0..10).map(|_| slots.take(B, now + SHRUNK_FOR).unwrap()).collect();
        assert_eq!(slots.table().taken.len(), 70);
    }

    #[test]
    fn shrinking_leaves_room() {
        let (slots, now) = (ConnectionSlots::new(100, 100), crate::util::clock::now());
        (0..10).for_each(|step| slots.shrink(now + SHRINK_PAUSE * step));
        let taken: Vec<_> = (0..MIN_CAPACITY).map(|_| slots.take(A, now).unwrap()).collect();
        assert!(taken.iter().all(|(slot, _)| slot.settle()));
        assert_eq!(slots.take(A, now).unwrap_err(), FULL);
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let (slots, now) = (ConnectionSlots::new(10, 1), crate::util::clock::now());
        let take = |text: &str| slots.take(text.parse().unwrap(), now);
        let _first = take("2001:db8::1").unwrap();
        assert_eq!(take("2001:db8::ffff:1").unwrap_err(), TOO_MANY);
        let _other = take("2001:db8:0:1::1").unwrap();
        let _mapped = take("::ffff:192.0.2.1").unwrap();
        assert_eq!(slots.take(A, now).unwrap_err(), TOO_MANY);
    }
}
