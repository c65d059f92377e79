//! The hub's status, as clients and HTTP get it.

use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::http::server::{Exchange, Reply};
use crate::server::hub::Hub;
use crate::server::relay::RelayTotals;

/// Numbers and names of a shard, or of several together.
#[derive(Debug, Clone, Default)]
pub(in crate::server) struct HubTotals {
    clients: usize,
    connected: usize,
    relayed: u64,
    not_relayed: u64,
    refused: u64,
    registered: usize,
    names: Vec<String>,
    signals: u64,
    signals_dropped: u64,
    malformed: u64,
    relay_calls: usize,
    relay: RelayTotals,
    /// What one shard had for another one, and found no room.
    between_dropped: u64,
}

/// Who wants to know the status.
#[derive(Debug)]
pub(in crate::server) enum StatusRequester {
    /// Somebody who has asked over HTTP.
    Http(Box<Exchange>),
    /// The process of the hub.
    Process(oneshot::Sender<Bytes>),
}

impl StatusRequester {
    pub(in crate::server) fn answer(self, status: Bytes) {
        match self {
            Self::Http(exchange) => {
                exchange.respond(Reply::typed(200, "application/json", status));
            }
            // An error: it has given up waiting.
            Self::Process(tell) => drop(tell.send(status)),
        }
    }
}

impl HubTotals {
    /// Adds those of another shard.
    pub(in crate::server) fn add(&mut self, other: &Self) {
        self.clients += other.clients;
        self.connected += other.connected;
        self.relayed += other.relayed;
        self.not_relayed += other.not_relayed;
        self.refused += other.refused;
        self.registered += other.registered;
        self.names.extend_from_slice(&other.names);
        self.signals += other.signals;
        self.signals_dropped += other.signals_dropped;
        self.malformed += other.malformed;
        self.relay_calls += other.relay_calls;
        self.relay.datagrams += other.relay.datagrams;
        self.relay.bytes += other.relay.bytes;
        self.relay.dropped_rate += other.relay.dropped_rate;
        self.relay.dropped_path += other.relay.dropped_path;
        self.relay.refused += other.relay.refused;
        self.between_dropped += other.between_dropped;
    }
}

impl Hub {
    /// The status of all shards as JSON, with so many names at most: this one's as of now, and the
    /// others' as they said within the last second.
    pub(in crate::server) fn status(&self, now: Instant, names: usize) -> Bytes {
        let mut totals = self.totals(names);
        self.router.add_others(&mut totals);
        self.status_of(now, totals, names)
    }

    /// Tells the other shards how this one fares, for the status that they tell their clients.
    pub(in crate::server) fn publish(&self) {
        if !self.router.is_alone() {
            self.router.publish(self.totals(SHORT_LIST));
        }
    }

    /// This shard's own.
    pub(in crate::server) fn totals(&self, names: usize) -> HubTotals {
        let (clients, connected) = self.count();
        HubTotals {
            clients,
            connected,
            relayed: self.relayed,
            not_relayed: self.not_relayed,
            refused: self.refused,
            registered: self.names.len(),
            names: self.names.list(names).into_iter().map(str::to_owned).collect(),
            signals: self.signal_queue.signals,
            signals_dropped: self.signal_queue.dropped + self.names.dropped_signals(),
            malformed: self.signal_queue.malformed,
            relay_calls: self.relay.len(),
            relay: self.relay.totals(),
            between_dropped: self.router.dropped,
        }
    }

    /// As JSON. Flat, so that a page can show it as it is.
    pub(in crate::server) fn status_of(
        &self,
        now: Instant,
        mut totals: HubTotals,
        names: usize,
    ) -> Bytes {
        totals.names.sort_unstable();
        totals.names.truncate(names);
        let mut status = serde_json::json!({
            "type": "status",
            "uptime_s": now.saturating_duration_since(self.started).as_secs(),
            "clients": totals.clients,
            "connected": totals.connected,
            "relayed": totals.relayed,
            "not_relayed": totals.not_relayed,
            "refused_datagrams": totals.refused,
            "registered": totals.registered,
            "names": totals.names,
            "letters": totals.signals,
            "letters_dropped": totals.signals_dropped,
            "malformed": totals.malformed,
            "relay_calls": totals.relay_calls,
            "relay_datagrams": totals.relay.datagrams,
            "relay_bytes": totals.relay.bytes,
            "relay_dropped_rate": totals.relay.dropped_rate,
            "relay_dropped_path": totals.relay.dropped_path,
            "relay_refused": totals.relay.refused,
        });
        if !self.router.is_alone() {
            status["drivers"] = self.router.shared.count().into();
            status["between_dropped"] = totals.between_dropped.into();
        }
        status.to_string().into()
    }
}

/// Names in the status that goes to all clients, which has to fit a message.
pub(in crate::server) const SHORT_LIST: usize = 100;
