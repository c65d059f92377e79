//! What all shards of a hub share: who belongs where, and numbers that limits look at.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::server::hub::half_open::HalfOpen;
use crate::server::hub::status::HubTotals;
use crate::signal::description::Description;

/// Who belongs where.
///
/// A named peer belongs to the shard that the hash of its name gives, so that all that concerns a
/// name is in one place; a session to the shard that made it, which its id says.
#[derive(Debug)]
pub(in crate::server) struct HubShared {
    hasher: RandomState,
    next: AtomicUsize,
    /// How many clients each shard has.
    clients: Vec<AtomicUsize>,
    half_open: Mutex<HalfOpen>,
    /// What each had to say of itself a moment ago.
    reports: Vec<Mutex<HubTotals>>,
}

impl HubShared {
    /// For so many shards, one at least.
    pub(in crate::server) fn new(shards: usize) -> Self {
        let shards = shards.max(1);
        Self {
            hasher: RandomState::new(),
            next: AtomicUsize::new(0),
            clients: (0..shards).map(|_| AtomicUsize::default()).collect(),
            half_open: Mutex::default(),
            reports: (0..shards).map(|_| Mutex::default()).collect(),
        }
    }

    /// How many shards there are.
    pub(in crate::server) fn count(&self) -> usize {
        self.clients.len()
    }

    /// To whom a name belongs.
    pub(in crate::server) fn of_name(&self, name: &str) -> usize {
        match self.count() {
            1 => 0,
            count => (self.hasher.hash_one(name) % count as u64) as usize,
        }
    }

    /// Whose session this is, if there can be such a session.
    pub(in crate::server) fn of_session(&self, session: &str) -> Option<usize> {
        if self.count() == 1 {
            return Some(0);
        }
        let shard = session.rsplit_once(MARK)?.1.parse().ok()?;
        (shard < self.count()).then_some(shard)
    }

    /// Who is to take an offer: the one of the name that it claims, or of the session that it goes
    /// on with; else each in turn.
    pub(in crate::server) fn of_offer(&self, offer: &Description) -> usize {
        if self.count() == 1 {
            return 0;
        }
        let rover = offer.rover.as_ref();
        let name = rover.filter(|r| r.certificate.is_some()).and_then(|r| r.name.as_deref());
        let replaced = || rover.and_then(|r| self.of_session(r.replaces.as_deref()?));
        let in_turn = || self.next.fetch_add(1, Ordering::Relaxed) % self.count();
        name.map(|name| self.of_name(name)).or_else(replaced).unwrap_or_else(in_turn)
    }

    /// What a shard's session ids end with.
    pub(in crate::server) fn session_suffix(&self, shard: usize) -> Option<String> {
        (self.count() > 1).then(|| format!("{MARK}{shard}"))
    }

    /// Notes how many clients a shard has.
    pub(in crate::server) fn set_clients(&self, shard: usize, clients: usize) {
        self.clients[shard].store(clients, Ordering::Relaxed);
    }

    /// How many clients the others have.
    pub(in crate::server) fn clients_of_others(&self, shard: usize) -> usize {
        let others = self.clients.iter().enumerate().filter(|(at, _)| *at != shard);
        others.map(|(_, clients)| clients.load(Ordering::Relaxed)).sum()
    }

    /// The half-open clients of all shards. Locked for each offer, and once more when it is
    /// connected or over; never for a datagram.
    pub(in crate::server) fn half_open(&self) -> MutexGuard<'_, HalfOpen> {
        lock(&self.half_open)
    }

    pub(in crate::server) fn set_report(&self, shard: usize, totals: HubTotals) {
        *lock(&self.reports[shard]) = totals;
    }

    /// Adds what the others said last.
    pub(in crate::server) fn add_reports_of_others(&self, shard: usize, totals: &mut HubTotals) {
        let others = self.reports.iter().enumerate().filter(|(at, _)| *at != shard);
        others.for_each(|(_, report)| totals.add(&lock(report)));
    }
}

fn lock<T>(of_all: &Mutex<T>) -> MutexGuard<'_, T> {
    of_all.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Between a session's random part, which has none, and its shard.
const MARK: char = '-';

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::description::Rover;

    fn offer(name: Option<&str>, certificate: bool, replaces: Option<&str>) -> Description {
        let rover = Rover {
            name: name.map(str::to_owned),
            certificate: certificate.then(String::new),
            replaces: replaces.map(str::to_owned),
            ..Rover::default()
        };
        Description::offer(String::new(), Some(rover))
    }

    #[test]
    fn a_name_is_always_in_the_same_place() {
        let shared = HubShared::new(4);
        let mut seen = [0; 4];
        for number in 0..1000 {
            let name = format!("rover-{number}");
            let shard = shared.of_name(&name);
            seen[shard] += 1;
            assert_eq!(shared.of_offer(&offer(Some(&name), true, Some("x-2"))), shard);
        }
        assert!(seen.iter().all(|count| *count > 150), "{seen:?}");
    }

    #[test]
    fn a_session_tells_its_shard() {
        let shared = HubShared::new(3);
        for shard in 0..3 {
            let session = format!("0123abcd{}", shared.session_suffix(shard).unwrap());
            assert_eq!(shared.of_session(&session), Some(shard));
            assert_eq!(shared.of_offer(&offer(Some("a"), false, Some(&session))), shard);
        }
        for bad in ["", "-", "0123", "0123-3", "0123-x", "0123-99999999999999999999"] {
            assert_eq!(shared.of_session(bad), None, "{bad}");
        }
        let strangers: Vec<_> = (0..6)
            .map(|_| shared.of_offer(&Description::offer(String::new(), None)))
            .chain((0..3).map(|_| shared.of_offer(&offer(None, false, Some("0123-7")))))
            .collect();
        assert_eq!(strangers, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
        let alone = HubShared::new(1);
        assert_eq!((alone.of_session("0123"), alone.session_suffix(0)), (Some(0), None));
    }
}
