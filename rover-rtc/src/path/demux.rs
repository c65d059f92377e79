//! Whose datagram it is, where several transports share a socket: in constant time.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::ice::{StunMessage, TransId};

use super::Packet;

/// A local socket and a remote address.
pub(crate) type Source = (SocketAddr, SocketAddr);

/// Maps from what a datagram shows to whom it concerns: a client of a hub, a link of a peer. They
/// only confirm.
#[derive(Debug)]
pub(crate) struct Demux<K> {
    ufrags: HashMap<Arc<str>, K>,
    sources: HashMap<Source, K>,
    by_owner: HashMap<K, Owned>,
    /// Requests of ours to addresses that no source entry covers yet.
    transactions: HashMap<TransId, K>,
    order: VecDeque<(Instant, TransId)>,
}

/// What leads to one owner, unless it has gone over to another one since.
#[derive(Debug, Default)]
struct Owned {
    ufrags: Vec<Arc<str>>,
    /// Oldest first: a stranger must not make us keep more and more.
    sources: VecDeque<Source>,
}

impl<K: Copy + Eq + Hash> Demux<K> {
    pub(crate) fn find(&self, source: Source, packet: &Packet<'_>) -> Option<K> {
        if let Packet::Stun(message, _) = packet {
            if let Some((user, _)) = message.split_username() {
                return self.ufrags.get(user).copied();
            }
            let known = self.transactions.get(&message.trans_id());
            return known.or_else(|| self.sources.get(&source)).copied();
        }
        self.sources.get(&source).copied()
    }

    pub(crate) fn owner(&self, source: Source) -> Option<K> {
        self.sources.get(&source).copied()
    }

    /// Notes all user names of an owner; those that it had before are forgotten.
    pub(crate) fn set_ufrags<'a>(&mut self, names: impl Iterator<Item = &'a str>, id: K) {
        let before = self.by_owner.get_mut(&id).map(|own| std::mem::take(&mut own.ufrags));
        before.into_iter().flatten().for_each(|name| self.forget_ufrag(&name, id));
        names.for_each(|name| self.add_ufrag(name, id));
    }

    pub(crate) fn add_ufrag(&mut self, ufrag: &str, id: K) {
        if self.ufrags.get(ufrag) != Some(&id) {
            let ufrag = Arc::<str>::from(ufrag);
            self.by_owner.entry(id).or_default().ufrags.push(ufrag.clone());
            self.ufrags.insert(ufrag, id);
        }
    }

    /// Notes that records from there are its.
    pub(crate) fn add_source(&mut self, source: Source, id: K) {
        if self.sources.insert(source, id) == Some(id) {
            return;
        }
        let own = &mut self.by_owner.entry(id).or_default().sources;
        own.push_back(source);
        if own.len() > MAX_SOURCES
            && let Some(oldest) = own.pop_front()
        {
            self.forget_source(oldest, id);
        }
    }

    /// Forgets a local socket that is closed: its port may be another one's next.
    pub(crate) fn remove_local(&mut self, local: SocketAddr) {
        self.sources.retain(|(own, _), _| *own != local);
    }

    /// Notes a datagram that goes out: the answer to a request finds the way back by it.
    pub(crate) fn sent(&mut self, now: Instant, source: Source, datagram: &[u8], id: K) {
        if datagram.get(..2) != Some(&BINDING_REQUEST) || self.owner(source) == Some(id) {
            return;
        }
        let Ok(message) = StunMessage::parse(datagram) else { return };
        self.transactions.insert(message.trans_id(), id);
        self.order.push_back((now, message.trans_id()));
        self.expire(now);
    }

    pub(crate) fn remove(&mut self, id: K) {
        let Some(Owned { ufrags, sources }) = self.by_owner.remove(&id) else { return };
        ufrags.iter().for_each(|name| self.forget_ufrag(name, id));
        sources.into_iter().for_each(|source| self.forget_source(source, id));
    }

    /// Forgets a user name, unless it has gone over to another one.
    fn forget_ufrag(&mut self, ufrag: &str, id: K) {
        if self.ufrags.get(ufrag) == Some(&id) {
            self.ufrags.remove(ufrag);
        }
    }

    /// Forgets a source, unless it has gone over to another one.
    fn forget_source(&mut self, source: Source, id: K) {
        if self.sources.get(&source) == Some(&id) {
            self.sources.remove(&source);
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some((sent, id)) = self.order.front() {
            let old = now.saturating_duration_since(*sent) > TRANSACTION_TIME;
            if !old && self.order.len() <= MAX_TRANSACTIONS {
                break;
            }
            self.transactions.remove(id);
            self.order.pop_front();
        }
    }
}

impl<K> Default for Demux<K> {
    fn default() -> Self {
        Self {
            ufrags: HashMap::new(),
            sources: HashMap::new(),
            by_owner: HashMap::new(),
            transactions: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

/// Twice the paths that a transport keeps by default; each may have two.
const MAX_SOURCES: usize = 128;

const BINDING_REQUEST: [u8; 2] = [0, 1];

/// An answer that takes longer is none that helps.
const TRANSACTION_TIME: Duration = Duration::from_secs(10);
const MAX_TRANSACTIONS: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn source(port: u16) -> Source {
        (SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([127, 0, 0, 1], port)))
    }

    #[test]
    fn one_owner_keeps_some_sources_and_takes_none_of_others() {
        let mut demux = Demux::default();
        demux.add_source(source(1), 'a');
        demux.add_source(source(2), 'b');
        for port in 2..2000 {
            demux.add_source(source(port), 'a');
        }
        assert_eq!(demux.sources.len(), MAX_SOURCES);
        assert_eq!(demux.owner(source(1999)), Some('a'));
        assert_eq!(demux.owner(source(1)), None);
        demux.add_source(source(1999), 'b');
        demux.remove('a');
        assert_eq!((demux.owner(source(1999)), demux.sources.len()), (Some('b'), 1));
        demux.remove_local(source(0).0);
        assert!(demux.sources.is_empty());
    }

    #[test]
    fn one_owner_forgets_its_own_names_and_none_of_others() {
        let mut demux = Demux::default();
        demux.set_ufrags(["one", "two"].into_iter(), 'a');
        demux.set_ufrags(["two", "three"].into_iter(), 'b');
        demux.set_ufrags(["one", "four"].into_iter(), 'a');
        let mut names: Vec<_> = demux.ufrags.iter().map(|(name, id)| (&**name, *id)).collect();
        names.sort_unstable();
        assert_eq!(names, [("four", 'a'), ("one", 'a'), ("three", 'b'), ("two", 'b')]);
        demux.remove('a');
        assert_eq!((demux.ufrags.get("two"), demux.ufrags.len()), (Some(&'b'), 2));
        demux.remove('b');
        assert!(demux.ufrags.is_empty() && demux.by_owner.is_empty());
    }

    /// Each looks at its own: else this takes minutes.
    #[test]
    fn many_leave_as_quickly_as_they_came() {
        let mut demux = Demux::default();
        let start = crate::util::clock::now();
        (0..100_000_u32).for_each(|id| demux.set_ufrags([&*id.to_string()].into_iter(), id));
        (0..100_000_u32).for_each(|id| demux.remove(id));
        assert!(demux.ufrags.is_empty() && start.elapsed() < Duration::from_secs(30));
    }
}
