//! The hub's state: clients, how datagrams and signaling find them, and their timers. Sans-IO;
//! `run` gives it datagrams, commands and time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::config::DtlsCert;

use super::between::{Place, Shared};
use super::health::{attempt_connection_recovery, check_client_health};
use super::known::Known;
use super::members::Members;
use super::names::Names;
use super::passing::Passing;
use super::poll_client;
use super::post::Post;
use super::registration::{Limits, News};
use super::relay::{Relay, RelayLimits};
use super::sessions::unknown_session;
use super::status::SHORT_LIST;
use super::telling::Telling;
use super::timers::Timers;
use crate::config::ServerConfig;
use crate::health::Verdict;
use crate::identity::KnownPeers;
use crate::link::Outgoing;
use crate::model::client::{Client, ClientId};
use crate::model::propagated::Propagated;
use crate::path::demux::Demux;
use crate::signal::Exchange;

/// All clients of a hub.
#[derive(Debug)]
pub struct Hub {
    pub(super) config: ServerConfig,
    pub(super) certificate: Option<DtlsCert>,
    pub(super) locals: Vec<SocketAddr>,
    pub(super) clients: HashMap<ClientId, Client>,
    pub(super) sessions: HashMap<String, ClientId>,
    demux: Demux<ClientId>,
    timers: Timers,
    pub(super) members: Members,
    pub(super) telling: Telling,
    pub(super) propagated: VecDeque<Propagated>,
    pub(super) passing: Passing,
    pub(super) outgoing: VecDeque<Outgoing>,
    /// Requests that wait for an offer of the hub.
    pub(super) polls: HashMap<ClientId, (Instant, Exchange)>,
    /// Clients that have an answer, and have not shown since that anybody is there.
    pub(super) half_open: HashSet<ClientId>,
    pub(super) names: Names,
    pub(super) post: Post,
    pub(super) relay: Relay,
    pub(super) limits: Limits,
    /// What happened to clients that names depend on.
    pub(super) news: VecDeque<(ClientId, News)>,
    pub(super) started: Instant,
    next_status: Instant,
    next_check: Instant,
    next_tidy: Instant,
    pub(super) relayed: u64,
    pub(super) refused: u64,
    /// The other drivers of the same hub.
    pub(super) place: Place,
    /// Clients that have come back since, after whom they come: not all of their channels are open
    /// yet, and messages of theirs may be under way in the old name.
    pub(super) expected: Vec<(Instant, ClientId, ClientId)>,
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
        Self::among(now, config, locals, Known::new(known), Place::alone())
    }

    /// The part of one driver of several.
    pub(super) fn of_driver(
        now: Instant,
        config: ServerConfig,
        locals: Vec<SocketAddr>,
        known: Known,
        (driver, shared): (usize, Arc<Shared>),
    ) -> Self {
        Self::among(now, config, locals, known, Place::among(driver, shared))
    }

    fn among(
        now: Instant,
        config: ServerConfig,
        locals: Vec<SocketAddr>,
        known: Known,
        place: Place,
    ) -> Self {
        // Names are not spread quite evenly.
        let drivers = place.shared.count();
        let share = if drivers == 1 { 1 } else { 2 };
        let owners = config.max_clients.saturating_mul(share).div_ceil(drivers);
        Self {
            // One for all clients: a key pair each would cost more than the handshake.
            certificate: crate::session::certificate(),
            locals,
            clients: HashMap::new(),
            sessions: HashMap::new(),
            demux: Demux::default(),
            timers: Timers::default(),
            members: Members::default(),
            telling: Telling::default(),
            propagated: VecDeque::new(),
            passing: Passing::default(),
            outgoing: VecDeque::new(),
            polls: HashMap::new(),
            half_open: HashSet::new(),
            names: Names::of_driver(place.me, known, owners),
            post: Post::default(),
            relay: Relay::new(RelayLimits {
                enabled: config.relay,
                rate: config.relay_rate,
                calls: config.relay_calls,
            }),
            limits: Limits::default(),
            news: VecDeque::new(),
            started: now,
            next_status: now + config.status_interval,
            next_check: now + config.health.check_interval,
            next_tidy: now + TIDY_INTERVAL,
            config,
            relayed: 0,
            refused: 0,
            place,
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
        let found = self.demux.find(source, datagram);
        let Some(id) = found else {
            self.refused += 1;
            return;
        };
        if crate::path::frame::is_frame(datagram) {
            return self.handle_frame(now, id, source, datagram);
        }
        self.with_client(now, id, |client, demux| {
            if !client.accepts(local, remote, datagram) {
                client.health().mark_failures(1);
                return;
            }
            client.handle_input(now, local, remote, datagram);
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
        let clients = self.timers.next().into_iter().chain(self.telling.next());
        clients.fold(fixed, Instant::min)
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Outgoing> {
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
    pub(super) fn degraded_clients(&mut self, now: Instant) -> Vec<(ClientId, Verdict)> {
        let config = &self.config.health;
        let verdicts = self.clients.iter_mut().map(|(id, c)| (*id, c.health().check(now, config)));
        let degraded = verdicts.filter(|(_, verdict)| *verdict != Verdict::Fine);
        let mut degraded: Vec<_> = degraded.collect();
        // Who calls over HTTP is not gone, although nothing comes by its paths.
        degraded.retain(|(id, verdict)| *verdict != Verdict::Gone || !self.calls(now, *id));
        degraded
    }

    /// Tries to recover a client, and makes the offer of that findable.
    pub(super) fn recover(&mut self, now: Instant, id: ClientId) {
        let locals = self.locals.clone();
        self.with_client(now, id, |client, _| attempt_connection_recovery(now, client, &locals));
        self.find_by_ufrag(id);
        self.deliver_offer(id);
    }

    /// Says good-bye to all clients and refuses new ones.
    pub fn close(&mut self, now: Instant) {
        for id in self.clients.keys().copied().collect::<Vec<_>>() {
            self.end(now, id);
        }
        self.polls.clear();
        self.post.close();
    }

    /// How many clients there are, and how many of them are connected.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.clients.len(), self.clients.values().filter(|c| c.is_connected()).count())
    }

    /// Does something with a client, then polls it. If that panics, only this client ends.
    pub(super) fn with_client<T>(
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
            self.half_open.remove(&id);
            self.news.push_back((id, News::Connected));
        }
        if opened {
            self.news.push_back((id, News::Opened));
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
        self.passing.inherit(id, old);
        self.expect_channels(now, id, old);
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
    pub(super) fn find_by_ufrag(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get(&id) {
            self.demux.set_ufrags(client.ufrags().iter().map(String::as_str), id);
        }
    }

    /// Says good-bye to a client and forgets it.
    pub(super) fn end(&mut self, now: Instant, id: ClientId) {
        self.with_client(now, id, |client, _| client.close(now));
        self.remove(now, id);
    }

    pub(super) fn remove(&mut self, now: Instant, id: ClientId) {
        let Some(client) = self.clients.remove(&id) else { return };
        self.half_open.remove(&id);
        self.names.remove_client(now, id);
        self.passing.remove(id);
        self.post.remove(id);
        self.sessions.remove(client.session());
        self.demux.remove(id);
        self.timers.remove(id);
        for label in self.members.remove(id) {
            self.place.set_interest(&label, false);
        }
        if let Some((_, exchange)) = self.polls.remove(&id) {
            exchange.respond(unknown_session());
        }
    }
}

/// How often polls and half-open clients are looked at.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);
