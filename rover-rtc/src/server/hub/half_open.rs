//! Sessions that have an answer and no connection yet, of all shards together: who may have one
//! more. What is scarce is shared: one address alone keeps nobody else out.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::config::ServerConfig;
use crate::model::client::ClientId;
use crate::net::Prefix;
use crate::util::token_bucket::{TokenBucket, TokenBuckets};

/// What there may be.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct HalfOpenLimits {
    max: usize,
    per_address: usize,
    /// What of it is only for those who show a token.
    reserved: usize,
    /// Offers in a second, on average.
    rate: u32,
}

/// Who asks for a session.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct Origin {
    pub(in crate::server) prefix: Prefix,
    /// Whether it has shown a token of this hub.
    pub(in crate::server) token: bool,
}

/// Why there may not be one more now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Refused {
    /// Too many offers come from there; when there may be one again.
    Rate(Duration),
    /// Too many of those that are half open are from there.
    Share,
    /// There are as many as there may be.
    Full,
}

/// The half-open sessions of a hub, and the offers of late.
#[derive(Debug, Default)]
pub(in crate::server) struct HalfOpen {
    sessions: HashMap<ClientId, Session>,
    by_prefix: HashMap<Prefix, Sessions>,
    /// How many of them have shown no token.
    strangers: usize,
    offers: TokenBuckets<Prefix>,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    origin: Origin,
    shard: usize,
}

/// Those of one prefix, oldest first.
#[derive(Debug, Default)]
struct Sessions {
    strangers: BTreeSet<ClientId>,
    holders: BTreeSet<ClientId>,
}

/// Where one more finds room.
enum Room {
    Free,
    /// In the place of this one.
    Of(ClientId),
    None,
}

impl HalfOpenLimits {
    pub(in crate::server) fn of(config: &ServerConfig) -> Self {
        let max = config.max_half_open;
        Self {
            max,
            per_address: config.max_half_open_per_address,
            reserved: if config.tokens.is_empty() { 0 } else { max / RESERVED },
            rate: config.offers_per_second,
        }
    }
}

impl HalfOpen {
    /// Counts an offer, and says whether it may have a session.
    pub(in crate::server) fn check(
        &mut self,
        now: Instant,
        origin: Origin,
        limits: &HalfOpenLimits,
    ) -> Result<(), Refused> {
        let own = self.count(origin);
        if !origin.token && !origin.prefix.is_loopback() {
            let rate = f64::from(limits.rate);
            let bucket = || TokenBucket::new(now, rate * BURST_SECONDS, rate);
            self.offers.take(now, origin.prefix, bucket).map_err(Refused::Rate)?;
            if own >= limits.per_address {
                return Err(Refused::Share);
            }
        }
        match self.room(origin, limits) {
            Room::Free | Room::Of(_) => Ok(()),
            // Nobody else has more.
            Room::None if own > 1 => Err(Refused::Share),
            Room::None => Err(Refused::Full),
        }
    }

    /// Adds a session that was allowed. Returns the one that has to make room for it, if so, and
    /// its shard; it is forgotten here.
    pub(in crate::server) fn add(
        &mut self,
        id: ClientId,
        shard: usize,
        origin: Origin,
        limits: &HalfOpenLimits,
    ) -> Option<(usize, ClientId)> {
        let evicted = match self.room(origin, limits) {
            Room::Of(id) => self.remove(id).map(|session| (session.shard, id)),
            Room::Free | Room::None => None,
        };
        self.sessions.insert(id, Session { origin, shard });
        self.by_prefix.entry(origin.prefix).or_default().of_mut(origin.token).insert(id);
        self.strangers += usize::from(!origin.token);
        evicted
    }

    /// Forgets a session: it is connected, or over.
    pub(in crate::server) fn forget(&mut self, id: ClientId) {
        self.remove(id);
    }

    fn remove(&mut self, id: ClientId) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        let Origin { prefix, token } = session.origin;
        self.strangers -= usize::from(!token);
        if let Some(sessions) = self.by_prefix.get_mut(&prefix) {
            sessions.of_mut(token).remove(&id);
            if sessions.strangers.is_empty() && sessions.holders.is_empty() {
                self.by_prefix.remove(&prefix);
            }
        }
        Some(session)
    }

    /// How many there are from there, of the same kind.
    fn count(&self, origin: Origin) -> usize {
        self.by_prefix.get(&origin.prefix).map_or(0, |sessions| sessions.of(origin.token).len())
    }

    fn room(&self, origin: Origin, limits: &HalfOpenLimits) -> Room {
        let open_to_all = limits.max.saturating_sub(limits.reserved);
        let full = self.sessions.len() >= limits.max;
        if !full && (origin.token || self.strangers < open_to_all) {
            return Room::Free;
        }
        // Token holders before strangers; among equals, who has less before who has more.
        let stranger = self.of_most(false).filter(|(most, _)| {
            let own = self.count(origin);
            origin.token || *most > own + 1
        });
        let holder = || self.of_most(true).filter(|(most, _)| *most > self.count(origin) + 1);
        let victim = stranger.or_else(|| if origin.token { holder() } else { None });
        victim.map_or(Room::None, |(_, id)| Room::Of(id))
    }

    /// How many the prefix has that has the most, and its oldest. Looks at all prefixes, of which
    /// there are not more than sessions.
    fn of_most(&self, token: bool) -> Option<(usize, ClientId)> {
        let all = self.by_prefix.values().map(|sessions| sessions.of(token));
        let all = all.filter_map(|sessions| Some((sessions.len(), *sessions.first()?)));
        all.max_by_key(|(count, oldest)| (*count, std::cmp::Reverse(*oldest)))
    }
}

impl Sessions {
    fn of(&self, token: bool) -> &BTreeSet<ClientId> {
        if token { &self.holders } else { &self.strangers }
    }

    fn of_mut(&mut self, token: bool) -> &mut BTreeSet<ClientId> {
        if token { &mut self.holders } else { &mut self.strangers }
    }
}

/// One of so many is for those who show a token.
const RESERVED: usize = 4;

/// Offers that may come at once, in seconds of their rate: all rovers behind one NAT call at the
/// same time when their hub was restarted.
const BURST_SECONDS: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HalfOpenLimits =
        HalfOpenLimits { max: 8, per_address: 4, reserved: 2, rate: 1000 };

    struct Room {
        half_open: HalfOpen,
        now: Instant,
        next: u64,
        limits: HalfOpenLimits,
    }

    fn from(last: u8, token: bool) -> Origin {
        Origin { prefix: Prefix::of([192, 0, 2, last].into()), token }
    }

    impl Room {
        fn new(limits: HalfOpenLimits) -> Self {
            let now = crate::util::clock::now();
            Self { half_open: HalfOpen::default(), now, next: 0, limits }
        }

        /// The number of the one that makes room, if any.
        fn ask(&mut self, origin: Origin) -> Result<Option<u64>, Refused> {
            self.half_open.check(self.now, origin, &self.limits)?;
            let id = ClientId::of_number(self.next);
            self.next += 1;
            let evicted = self.half_open.add(id, 3, origin, &self.limits);
            assert!(self.half_open.sessions.len() <= self.limits.max);
            assert!(evicted.is_none_or(|(shard, _)| shard == 3));
            let numbers = 0..self.next;
            Ok(evicted
                .map(|e| numbers.map(ClientId::of_number).position(|n| n == e.1).unwrap() as u64))
        }
    }

    #[test]
    fn an_address_has_a_share_and_no_more() {
        let mut room = Room::new(LIMITS);
        (0..4).for_each(|_| assert_eq!(room.ask(from(1, false)), Ok(None)));
        assert_eq!(room.ask(from(1, false)), Err(Refused::Share));
        // Two of eight are for token holders.
        (0..2).for_each(|_| assert_eq!(room.ask(from(2, false)), Ok(None)));
        // Who has least gets room of who has most, up to where all have the same.
        assert_eq!(room.ask(from(2, false)), Ok(Some(0)));
        assert_eq!(room.ask(from(2, false)), Err(Refused::Share));
        assert_eq!(room.ask(from(3, false)), Ok(Some(1)));
        assert_eq!(room.ask(from(3, false)), Ok(Some(4)));
        assert_eq!(room.ask(from(3, false)), Err(Refused::Share));
        for last in 4..7 {
            assert!(matches!(room.ask(from(last, false)), Ok(Some(_))));
        }
        assert_eq!(room.ask(from(7, false)), Err(Refused::Full));
        // What is connected, or over, is not counted.
        room.half_open.forget(ClientId::of_number(room.next - 1));
        room.half_open.forget(ClientId::of_number(room.next - 1));
        assert_eq!(room.ask(from(7, false)), Ok(None));
    }

    #[test]
    fn token_holders_come_before_strangers() {
        let mut room = Room::new(LIMITS);
        for last in [1, 1, 1, 2, 2, 3] {
            assert_eq!(room.ask(from(last, false)), Ok(None));
        }
        assert_eq!(room.ask(from(4, false)), Ok(Some(0)));
        assert_eq!(room.ask(from(5, false)), Ok(Some(1)));
        // Whatever their address has.
        for _ in 0..2 {
            assert_eq!(room.ask(from(2, true)), Ok(None));
        }
        for evicted in [3, 2, 4, 5, 6, 7] {
            assert_eq!(room.ask(from(2, true)), Ok(Some(evicted)));
        }
        assert_eq!(room.ask(from(2, true)), Err(Refused::Share));
        assert_eq!(room.ask(from(9, false)), Err(Refused::Full));
        assert_eq!(room.ask(from(9, true)), Ok(Some(8)));
        let ids: Vec<_> = room.half_open.sessions.keys().copied().collect();
        ids.into_iter().for_each(|id| room.half_open.forget(id));
        assert!(room.half_open.by_prefix.is_empty() && room.half_open.strangers == 0);
    }

    #[test]
    fn offers_have_a_rate_but_not_from_this_machine() {
        let limits = HalfOpenLimits { max: usize::MAX, per_address: usize::MAX, rate: 1, ..LIMITS };
        let mut room = Room::new(limits);
        (0..10).for_each(|_| assert_eq!(room.ask(from(1, false)), Ok(None)));
        let second = Duration::from_secs(1);
        assert_eq!(room.ask(from(1, false)), Err(Refused::Rate(second)));
        assert_eq!(room.ask(from(2, false)), Ok(None));
        assert_eq!(room.ask(from(1, true)), Ok(None));
        room.now += second;
        assert_eq!(room.ask(from(1, false)), Ok(None));
        let proxy = Origin { prefix: Prefix::of([127, 0, 0, 1].into()), token: false };
        (0..50).for_each(|_| assert_eq!(room.ask(proxy), Ok(None)));
    }
}
