//! Whose datagram it is, where several transports share a socket: in constant time.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::ice::{StunMessage, TransId};

/// A local socket and a remote address.
pub(crate) type Source = (SocketAddr, SocketAddr);

/// Maps from what a datagram shows to whom it concerns: a client of a hub, a link of a peer. They
/// only confirm.
#[derive(Debug)]
pub(crate) struct Demux<K> {
    ufrags: HashMap<String, K>,
    sources: HashMap<Source, K>,
    /// Requests of ours to addresses that no source entry covers yet.
    transactions: HashMap<TransId, K>,
    order: VecDeque<(Instant, TransId)>,
}

impl<K: Copy + Eq> Demux<K> {
    pub(crate) fn find(&self, source: Source, datagram: &[u8]) -> Option<K> {
        if let Some(0..=3) = datagram.first() {
            let message = StunMessage::parse(datagram).ok()?;
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
        self.ufrags.retain(|_, owner| *owner != id);
        names.for_each(|name| self.add_ufrag(name, id));
    }

    pub(crate) fn add_ufrag(&mut self, ufrag: &str, id: K) {
        if self.ufrags.get(ufrag) != Some(&id) {
            self.ufrags.insert(ufrag.to_owned(), id);
        }
    }

    /// Notes that records from there are its.
    pub(crate) fn add_source(&mut self, source: Source, id: K) {
        self.sources.insert(source, id);
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
        self.ufrags.retain(|_, owner| *owner != id);
        self.sources.retain(|_, owner| *owner != id);
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
            transactions: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

const BINDING_REQUEST: [u8; 2] = [0, 1];

/// An answer that takes longer is none that helps.
const TRANSACTION_TIME: Duration = Duration::from_secs(10);
const MAX_TRANSACTIONS: usize = 65_536;
