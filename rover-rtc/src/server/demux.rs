//! Which client a datagram is for, in constant time.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::ice::{StunMessage, TransId};

use crate::model::client::ClientId;

/// A local socket and a remote address.
pub(super) type Source = (SocketAddr, SocketAddr);

/// Maps from what a datagram shows to the client it concerns. `Client::accepts` only confirms.
#[derive(Debug, Default)]
pub(super) struct Demux {
    ufrags: HashMap<String, ClientId>,
    sources: HashMap<Source, ClientId>,
    /// Requests of ours to addresses that no source entry covers yet.
    transactions: HashMap<TransId, ClientId>,
    order: VecDeque<(Instant, TransId)>,
}

impl Demux {
    pub(super) fn find(&self, source: Source, datagram: &[u8]) -> Option<ClientId> {
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

    pub(super) fn owner(&self, source: Source) -> Option<ClientId> {
        self.sources.get(&source).copied()
    }

    pub(super) fn add_ufrag(&mut self, ufrag: &str, id: ClientId) {
        if self.ufrags.get(ufrag) != Some(&id) {
            self.ufrags.insert(ufrag.to_owned(), id);
        }
    }

    /// Notes that records from there are this client's.
    pub(super) fn add_source(&mut self, source: Source, id: ClientId) {
        self.sources.insert(source, id);
    }

    /// Notes a datagram that goes out: the answer to a request finds the way back by it.
    pub(super) fn sent(&mut self, now: Instant, source: Source, datagram: &[u8], id: ClientId) {
        if datagram.get(..2) != Some(&BINDING_REQUEST) || self.owner(source) == Some(id) {
            return;
        }
        let Ok(message) = StunMessage::parse(datagram) else { return };
        self.transactions.insert(message.trans_id(), id);
        self.order.push_back((now, message.trans_id()));
        self.expire(now);
    }

    pub(super) fn remove(&mut self, id: ClientId) {
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

const BINDING_REQUEST: [u8; 2] = [0, 1];

/// An answer that takes longer is none that helps.
const TRANSACTION_TIME: Duration = Duration::from_secs(10);
const MAX_TRANSACTIONS: usize = 65_536;
