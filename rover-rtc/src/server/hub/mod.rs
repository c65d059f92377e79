//! The hub's state: clients, how datagrams and signaling find them, and their timers. Sans-IO;
//! `run` gives it datagrams, commands and time.

pub(super) mod half_open;
pub(super) mod health;
pub(super) mod sessions;
pub(super) mod status;
pub(super) mod timers;
pub(super) mod traffic;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::config::DtlsCert;

use crate::config::ServerConfig;
use crate::health::Verdict;
use crate::http::server::Exchange;
use crate::identity::KnownPeers;
use crate::model::client::{Client, ClientId};
use crate::model::propagated::Propagated;
use crate::path::demux::Demux;
use crate::path::{Packet, Transmit, frame};
use crate::server::broker::Broker;
use crate::server::broker::status_broadcast::StatusBroadcast;
use crate::server::broker::subscriptions::Subscriptions;
use crate::server::hub::health::{attempt_connection_recovery, check_client_health};
use crate::server::hub::sessions::unknown_session;
use crate::server::hub::status::SHORT_LIST;
use crate::server::hub::timers::Timers;
use crate::server::poll_client;
use crate::server::registry::Registry;
use crate::server::registry::known_names::KnownNames;
use crate::server::registry::registration::{ClientChange, SessionLimits};
use crate::server::relay::{Relay, RelayLimits};
use crate::server::shard::router::{HubShared, ShardRouter};
use crate::server::signaling::queue::SignalQueue;
use crate::util::limiter::Limiter;

/// All clients of a hub.
#[derive(Debug)]
pub struct Hub {
    pub(in crate::server) config: ServerConfig,
    pub(in crate::server) certificate: Option<DtlsCert>,
    pub(in crate::server) locals: Vec<SocketAddr>,
    pub(in crate::server) clients: HashMap<ClientId, Client>,
    pub(in crate::server) sessions: HashMap<String, ClientId>,
    demux: Demux<ClientId>,
    timers: Timers,
    pub(in crate::server) subscriptions: Subscriptions,
    pub(in crate::server) status_broadcast: StatusBroadcast,
    pub(in crate::server) propagated: VecDeque<Propagated>,
    pub(in crate::server) broker: Broker,
    pub(in crate::server) outgoing: VecDeque<Transmit>,
    /// Requests that wait for an offer of the hub.
    pub(in crate::server) polls: HashMap<ClientId, (Instant, Exchange)>,
    /// Clients that have an answer, and have not shown since that anybody is there.
    pub(in crate::server) half_open: HashSet<ClientId>,
    pub(in crate::server) names: Registry,
    pub(in crate::server) signal_queue: SignalQueue,
    pub(in crate::server) relay: Relay,
    pub(in crate::server) limits: SessionLimits,
    /// How often the log is told that somebody cannot have a name.
    pub(in crate::server) refusals: Limiter,
    /// What happened to clients that names depend on.
    pub(in crate::server) client_changes: VecDeque<(ClientId, ClientChange)>,
    pub(in crate::server) started: Instant,
    next_status: Instant,
    next_check: Instant,
    next_tidy: Instant,
    pub(in crate::server) relayed: u64,
    /// Copies among them that their readers could not take.
    pub(in crate::server) not_relayed: u64,
    pub(in crate::server) refused: u64,
    /// The other shards of the same hub.
    pub(in crate::server) router: ShardRouter,
    /// Clients that have come back since, after whom they come: not all of their channels are open
    /// yet, and messages of theirs may be under way in the old name.
    pub(in crate::server) expected: Vec<(Instant, ClientId, ClientId)>,
}

impl Hub {
    /// A hub without clients, on these sockets. The names of kept keys are remembered until it
    /// ends, whatever the settings say of files.
    #[must_use]
    pub fn new(now: Instant, config: ServerConfig, locals: Vec<SocketAddr>) -> Self {
        Self::with_names(now, config, locals, KnownPeers::in_memory())
    }

    /// A hub without clients, on these sockets, that knows whose some names are.
    #[must_use]
    pub fn with_names(
        now: Instant,
        config: ServerConfig,
        locals: Vec<SocketAddr>,
        known: KnownPeers,
    ) -> Self {
        Self::among(now, config, locals, KnownNames::new(known), ShardRouter::alone())
    }

    /// The part of one shard of several.
    pub(in crate::server) fn of_shard(
        now: Instant,
        config: ServerConfig,
        locals: Vec<SocketAddr>,
        known: KnownNames,
        (shard, shared): (usize, Arc<HubShared>),
    ) -> Self {
        Self::among(now, config, locals, known, ShardRouter::among(shard, shared))
    }

    fn among(
        now: Instant,
        config: ServerConfig,
        locals: Vec<SocketAddr>,
        known: KnownNames,
        router: ShardRouter,
    ) -> Self {
        // Names are not spread quite evenly.
        let shards = router.shared.count();
        let share = if shards == 1 { 1 } else { 2 };
        let owners = config.max_clients.saturating_mul(share).div_ceil(shards);
        Self {
            // One for all clients: a key pair each would cost more than the handshake.
            certificate: crate::session::certificate(),
            locals,
            clients: HashMap::new(),
            sessions: HashMap::new(),
            demux: Demux::default(),
            timers: Timers::default(),
            subscriptions: Subscriptions::default(),
            status_broadcast: StatusBroadcast::default(),
            propagated: VecDeque::new(),
            broker: Broker::default(),
            outgoing: VecDeque::new(),
            polls: HashMap::new(),
            half_open: HashSet::new(),
            names: Registry::of_shard(router.me, known, owners),
            signal_queue: SignalQueue::default(),
            relay: Relay::new(RelayLimits {
                enabled: config.relay,
                rate: config.relay_rate,
                calls: config.relay_calls,
            }),
            limits: SessionLimits::default(),
            refusals: Limiter::default(),
            client_changes: VecDeque::new(),
            started: now,
            next_status: now + config.status_interval,
            next_check: now + config.health.check_interval,
            next_tidy: now + TIDY_INTERVAL,
            config,
            relayed: 0,
            not_relayed: 0,
            refused: 0,
            router,
            expected: Vec::new(),
        }
    }

    /// Takes a datagram.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) {
        let source = (local, remote);
        let Some(packet) = Packet::parse(datagram) else {
            return match frame::is_frame(datagram) {
                true => self.relay.refuse(),
                false => self.refused += 1,
            };
        };
        let Some(id) = self.demux.find(source, &packet) else {
            self.refused += 1;
            return;
        };
        if let Packet::ChannelData(number, data) = packet {
            return self.handle_frame(now, id, source, number, data);
        }
        self.with_client(now, id, |client, demux| {
            if !client.accepts(local, remote, &packet) {
                client.health().mark_failures(1);
                return;
            }
            client.handle_input(now, local, remote, &packet);
            // Only who proves to be there takes a source away from another client.
            let proven = client.link().transports().any(|t| match demux.owner(source) {
                None => t.paths().accepts_record(local, remote),
                Some(owner) => owner != id && t.paths().is_alive(local, remote),
            });
            if proven {
                demux.add_source(source, id);
            }
        });
    }

    /// Lets time pass: clients' timers, status, health.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop(now) {
            self.with_client(now, id, |client, _| client.handle_timeout(now));
        }
        if self.next_status <= now {
            self.next_status = now + self.config.status_interval;
            let status = self.status(now, SHORT_LIST);
            self.propagated.push_back(Propagated::Status(status));
        }
        self.tell_more(now);
        if self.next_check <= now {
            self.next_check = now + self.config.health.check_interval;
            check_client_health(now, self);
        }
        if self.next_tidy <= now {
            self.next_tidy = now + TIDY_INTERVAL;
            self.tidy(now);
        }
        self.relay(now);
    }

    /// When [`Hub::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let fixed = self.next_status.min(self.next_check).min(self.next_tidy);
        let clients = self.timers.next().into_iter().chain(self.status_broadcast.next());
        clients.fold(fixed, Instant::min)
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outgoing.pop_front()
    }

    /// The operating system refused to send this way.
    pub fn send_failed(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr) {
        if let Some(id) = self.demux.owner((local, remote)) {
            self.with_client(now, id, |client, _| {
                client.link().send_failed(local, remote);
                client.health().mark_failures(1);
            });
        }
    }

    /// The clients for which the health rule says something.
    pub(in crate::server) fn degraded_clients(&mut self, now: Instant) -> Vec<(ClientId, Verdict)> {
        let config = &self.config.health;
        let verdicts = self.clients.iter_mut().map(|(id, c)| (*id, c.health().check(now, config)));
        let degraded = verdicts.filter(|(_, verdict)| *verdict != Verdict::Fine);
        let mut degraded: Vec<_> = degraded.collect();
        // Who calls over HTTP is not gone, although nothing comes by its paths.
        degraded.retain(|(id, verdict)| *verdict != Verdict::Gone || !self.calls(now, *id));
        degraded
    }

    /// Tries to recover a client, and makes the offer of that findable.
    pub(in crate::server) fn recover(&mut self, now: Instant, id: ClientId) {
        let locals = self.locals.clone();
        self.with_client(now, id, |client, _| attempt_connection_recovery(now, client, &locals));
        self.find_by_ufrag(id);
        self.deliver_offer(id);
    }

    /// Tells the writers of messages that have been acknowledged meanwhile. For a hub that ends,
    /// and before the first client goes: messages that it has not got are let go of then, which
    /// looks the same.
    pub fn hasten_acks(&mut self, now: Instant) {
        for id in self.clients.keys().copied().collect::<Vec<_>>() {
            self.with_client(now, id, |client, _| client.link().hasten_acks(now));
        }
    }

    /// Says good-bye to all clients and refuses new ones.
    pub fn close(&mut self, now: Instant) {
        for id in self.clients.keys().copied().collect::<Vec<_>>() {
            self.end(now, id);
        }
        self.polls.clear();
        self.signal_queue.close();
    }

    /// How many clients there are, and how many of them are connected.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.clients.len(), self.clients.values().filter(|c| c.is_connected()).count())
    }

    /// Does something with a client, then polls it. If that panics, only this client ends.
    pub(in crate::server) fn with_client<T>(
        &mut self,
        now: Instant,
        id: ClientId,
        act: impl FnOnce(&mut Client, &mut Demux<ClientId>) -> T,
    ) -> Option<T> {
        let client = self.clients.get_mut(&id)?;
        let was_connected = client.is_connected();
        let known = self.propagated.len();
        let demux = &mut self.demux;
        let (outgoing, propagated) = (&mut self.outgoing, &mut self.propagated);
        let done = catch_unwind(AssertUnwindSafe(|| {
            let result = act(client, demux);
            let deadline = poll_client(
                now,
                client,
                |out| {
                    demux.sent(now, (out.local, out.remote), &out.datagram, id);
                    outgoing.push_back(out);
                },
                propagated,
            );
            (result, deadline)
        }));
        let Ok((result, deadline)) = done else {
            tracing::error!(%id, "client ended by a panic");
            self.remove(now, id);
            return None;
        };
        self.note_channels(known);
        let client = self.clients.get_mut(&id)?;
        let replaced = client.take_replaced();
        let (connected, closed) = (client.is_connected(), client.is_closed());
        let opened = client.take_opened();
        if connected && !was_connected {
            self.is_heard(id);
            self.client_changes.push_back((id, ClientChange::Connected));
        }
        if opened {
            self.client_changes.push_back((id, ClientChange::Opened));
        }
        if let Some(old) = replaced.and_then(|session| self.sessions.get(&session).copied()) {
            self.inherit(now, id, old);
        }
        // A session whose transport never came up goes on over HTTP as long as its peer calls.
        if closed && (connected || !self.calls(now, id)) {
            self.remove(now, id);
        } else {
            self.timers.set(id, deadline);
        }
        Some(result)
    }

    /// A client has come back on a new transport: the link goes on where the one before was.
    fn inherit(&mut self, now: Instant, id: ClientId, old: ClientId) {
        if old == id {
            return;
        }
        if let [Some(old), Some(new)] = self.clients.get_disjoint_mut([&old, &id]) {
            new.inherit(old);
        }
        self.broker.inherit(id, old);
        self.expect_subscriptions(now, id, old);
        for event in &mut self.propagated {
            if let Propagated::Data { from, .. } = event
                && *from == old
            {
                *from = id;
            }
        }
        self.end(now, old);
    }

    /// Makes the client's user names find it.
    pub(in crate::server) fn find_by_ufrag(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get(&id) {
            self.demux.set_ufrags(client.ufrags().iter().map(String::as_str), id);
        }
    }

    /// A client is half open no more.
    pub(in crate::server) fn is_heard(&mut self, id: ClientId) {
        if self.half_open.remove(&id) {
            self.router.shared.half_open().forget(id);
        }
    }

    /// A half-open client makes room for another one; not if it has connected meanwhile.
    pub(in crate::server) fn evict(&mut self, now: Instant, id: ClientId) {
        if self.half_open.contains(&id) {
            tracing::debug!(%id, "makes room");
            self.remove(now, id);
        }
    }

    /// Says good-bye to a client and forgets it.
    pub(in crate::server) fn end(&mut self, now: Instant, id: ClientId) {
        self.with_client(now, id, |client, _| client.close(now));
        self.remove(now, id);
    }

    pub(in crate::server) fn remove(&mut self, now: Instant, id: ClientId) {
        let Some(client) = self.clients.remove(&id) else { return };
        self.is_heard(id);
        self.names.remove_client(now, id);
        self.broker.remove(id);
        self.signal_queue.remove(id);
        self.sessions.remove(client.session());
        self.demux.remove(id);
        self.timers.remove(id);
        for label in self.subscriptions.remove(id) {
            self.router.set_interest(&label, false);
        }
        if let Some((_, exchange)) = self.polls.remove(&id) {
            exchange.respond(unknown_session());
        }
    }
}

/// How often polls and half-open clients are looked at.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);
