//! The hub's state: clients, how datagrams and signaling find them, and their timers. Sans-IO;
//! `run` gives it datagrams, commands and time.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use bytes::Bytes;
use str0m::config::DtlsCert;

use super::health::{attempt_connection_recovery, check_client_health};
use super::poll_client;
use super::spawn_new_client;
use crate::config::ServerConfig;
use crate::health::Verdict;
use crate::link::{Message, Outgoing};
use crate::model::client::{Client, ClientId};
use crate::model::propagated::Propagated;
use crate::path::demux::Demux;
use crate::signal::message::{Description, Failure, Kind, Rover, VERSION};
use crate::signal::{Exchange, Reply};

use super::web::{Change, Command, Request};

/// All clients of a hub.
#[derive(Debug)]
pub struct Hub {
    pub(super) config: ServerConfig,
    pub(super) certificate: Option<DtlsCert>,
    pub(super) locals: Vec<SocketAddr>,
    clients: HashMap<ClientId, Client>,
    sessions: HashMap<String, ClientId>,
    demux: Demux<ClientId>,
    timers: BTreeSet<(Instant, ClientId)>,
    deadlines: HashMap<ClientId, Instant>,
    pub(super) propagated: VecDeque<Propagated>,
    outgoing: VecDeque<Outgoing>,
    /// Requests that wait for an offer of the hub.
    polls: HashMap<ClientId, (Instant, Exchange)>,
    half_open: usize,
    started: Instant,
    next_status: Instant,
    next_check: Instant,
    next_tidy: Instant,
    relayed: u64,
    refused: u64,
}

impl Hub {
    /// A hub without clients, on these sockets.
    #[must_use]
    pub fn new(now: Instant, config: ServerConfig, locals: Vec<SocketAddr>) -> Self {
        Self {
            // One for all clients: a key pair each would cost more than the handshake.
            certificate: crate::session::certificate(),
            locals,
            clients: HashMap::new(),
            sessions: HashMap::new(),
            demux: Demux::default(),
            timers: BTreeSet::new(),
            deadlines: HashMap::new(),
            propagated: VecDeque::new(),
            outgoing: VecDeque::new(),
            polls: HashMap::new(),
            half_open: 0,
            started: now,
            next_status: now + config.status_interval,
            next_check: now + config.health.check_interval,
            next_tidy: now + TIDY_INTERVAL,
            config,
            relayed: 0,
            refused: 0,
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
        while let Some((due, id)) = self.timers.first().copied() {
            if due > now {
                break;
            }
            self.timers.pop_first();
            self.deadlines.remove(&id);
            self.with_client(now, id, |client, _| client.handle_timeout(now));
        }
        if self.next_status <= now {
            self.next_status = now + self.config.status_interval;
            self.propagated.push_back(Propagated::Status(self.status(now)));
        }
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
        self.timers.first().map_or(fixed, |(due, _)| fixed.min(*due))
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

    /// Does what signaling asks for, and answers it.
    pub(super) fn handle_command(&mut self, now: Instant, command: Command) {
        let Command { request, exchange } = command;
        match request {
            Request::Create { offer, as_sdp, v1 } => {
                let reply = self.create(now, &offer, as_sdp, v1, exchange.remote());
                exchange.respond(reply);
            }
            Request::Change { session, change } => {
                let reply = self.change(now, &session, change);
                exchange.respond(reply);
            }
            Request::Poll { session, wait } => self.poll(now, &session, wait, exchange),
            Request::Delete { session } => {
                let id = self.sessions.get(&session).copied();
                exchange.respond(match id {
                    Some(id) => {
                        self.end(now, id);
                        Reply::empty(204)
                    }
                    None => unknown_session(),
                });
            }
            Request::Status => {
                exchange.respond(Reply::typed(200, "application/json", self.status(now)));
            }
        }
        self.relay(now);
    }

    /// The clients for which the health rule says something.
    pub(super) fn degraded_clients(&mut self, now: Instant) -> Vec<(ClientId, Verdict)> {
        let config = &self.config.health;
        let verdicts = self.clients.iter_mut().map(|(id, c)| (*id, c.health().check(now, config)));
        verdicts.filter(|(_, verdict)| *verdict != Verdict::Fine).collect()
    }

    /// Tries to recover a client, and makes the offer of that findable.
    pub(super) fn recover(&mut self, now: Instant, id: ClientId) {
        let locals = self.locals.clone();
        self.with_client(now, id, |client, _| attempt_connection_recovery(now, client, &locals));
        self.register(id);
        self.deliver_mail(id);
    }

    /// Says good-bye to all clients and refuses new ones.
    pub fn close(&mut self, now: Instant) {
        for id in self.clients.keys().copied().collect::<Vec<_>>() {
            self.end(now, id);
        }
        self.polls.clear();
    }

    /// How many clients there are, and how many of them are connected.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        (self.clients.len(), self.clients.len() - self.half_open)
    }

    fn create(
        &mut self,
        now: Instant,
        offer: &Description,
        as_sdp: bool,
        v1: bool,
        from: SocketAddr,
    ) -> Reply {
        if self.half_open >= self.config.max_half_open
            || self.clients.len() >= self.config.max_clients
        {
            let reason = "the hub is busy, try again in a moment";
            return failure(503, reason).header("Retry-After", "1");
        }
        let made = catch_unwind(AssertUnwindSafe(|| spawn_new_client(now, self, offer, from)));
        let (client, answer) = match made {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => return failure(400, error),
            Err(_) => return failure(400, "the offer cannot be used"),
        };
        let (id, session) = (client.id(), client.session().to_owned());
        let etag = etag(&client);
        self.sessions.insert(session.clone(), id);
        self.clients.insert(id, client);
        self.half_open += 1;
        self.register(id);
        self.with_client(now, id, |_, _| ());
        let reply = if as_sdp {
            Reply::typed(201, "application/sdp", answer)
        } else {
            let session = Some(session.clone());
            let ours = Rover { version: VERSION, session, ..Rover::default() };
            let ours = offer.rover.is_some().then_some(ours);
            let status = if v1 { 201 } else { 200 };
            Reply::json(status, &Description::answer(answer, ours))
        };
        reply.header("Location", format!("/v1/sessions/{session}")).header("ETag", etag)
    }

    fn change(&mut self, now: Instant, session: &str, change: Change) -> Reply {
        let Some(id) = self.sessions.get(session).copied() else { return unknown_session() };
        let reply = self.with_client(now, id, |client, _| match change {
            Change::Description(d) if d.kind == Kind::Offer => {
                match client.answer_restart(now, &d.sdp) {
                    Ok(answer) => Reply::json(200, &Description::answer(answer, None))
                        .header("ETag", etag(client)),
                    Err(error) => failure(400, error),
                }
            }
            Change::Description(d) => match client.accept_restart(now, &d.sdp) {
                Ok(()) => Reply::empty(204),
                Err(error) => failure(409, error),
            },
            Change::Candidates { lines, tag } => {
                let expected = etag(client);
                match tag {
                    Some(tag) if tag != expected && tag != "*" => {
                        failure(412, "the session has been restarted since")
                    }
                    _ => {
                        client.link().add_candidates(now, &lines);
                        Reply::empty(204)
                    }
                }
            }
        });
        self.register(id);
        reply.unwrap_or_else(|| failure(400, "the session description cannot be used"))
    }

    fn poll(&mut self, now: Instant, session: &str, wait: Duration, exchange: Exchange) {
        let Some(id) = self.sessions.get(session).copied() else {
            return exchange.respond(unknown_session());
        };
        // A newer poll takes the place of an older one.
        if let Some((_, old)) = self.polls.insert(id, (now + wait, exchange)) {
            old.respond(Reply::empty(204));
        }
        self.deliver_mail(id);
    }

    /// Hands an offer that waits for a client to a request that waits for one.
    fn deliver_mail(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if self.polls.get(&id).is_none_or(|(_, exchange)| exchange.is_abandoned()) {
            return;
        }
        let Some(offer) = client.take_mail() else { return };
        if let Some((_, exchange)) = self.polls.remove(&id) {
            exchange.respond(Reply::json(200, &Description::offer(offer, None)));
        }
    }

    /// Does something with a client, then polls it. If that panics, only this client ends.
    fn with_client<T>(
        &mut self,
        now: Instant,
        id: ClientId,
        act: impl FnOnce(&mut Client, &mut Demux<ClientId>) -> T,
    ) -> Option<T> {
        let client = self.clients.get_mut(&id)?;
        let was_connected = client.is_connected();
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
            self.remove(id);
            return None;
        };
        let client = self.clients.get_mut(&id)?;
        let replaced = client.take_replaced();
        let (connected, closed) = (client.is_connected(), client.is_closed());
        if connected && !was_connected {
            self.half_open -= 1;
        }
        if let Some(old) = replaced.and_then(|session| self.sessions.get(&session).copied()) {
            self.end(now, old);
        }
        if closed {
            self.remove(id);
        } else {
            self.schedule(id, deadline);
        }
        Some(result)
    }

    fn schedule(&mut self, id: ClientId, deadline: Option<Instant>) {
        if let Some(old) = self.deadlines.remove(&id) {
            self.timers.remove(&(old, id));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert(id, deadline);
            self.timers.insert((deadline, id));
        }
    }

    /// Passes messages on to those they are for.
    pub(super) fn relay(&mut self, now: Instant) {
        while let Some(event) = self.propagated.pop_front() {
            let from = event.client_id();
            let (label, message) = match &event {
                Propagated::Noop => continue,
                Propagated::Data { label, message, .. } => (label.as_str(), message.clone()),
                Propagated::Status(text) => {
                    (STATUS_CHANNEL, Message { binary: false, data: text.clone() })
                }
            };
            let others: Vec<_> =
                self.clients.keys().copied().filter(|id| Some(*id) != from).collect();
            for id in others {
                let message = message.clone();
                self.relayed += u64::from(from.is_some());
                self.with_client(now, id, |client, _| {
                    if let Err(error) = client.send_message(label, message) {
                        tracing::debug!(%id, %error, "message not relayed");
                    }
                });
            }
        }
    }

    /// Ends what has waited too long.
    fn tidy(&mut self, now: Instant) {
        let half_open_time = self.config.half_open_time;
        let stale = |c: &Client| {
            !c.is_connected() && now.saturating_duration_since(c.created()) > half_open_time
        };
        let stale: Vec<_> = self.clients.values().filter(|c| stale(c)).map(Client::id).collect();
        for id in stale {
            tracing::debug!(%id, "never connected");
            self.remove(id);
        }
        let over =
            |(until, exchange): &(Instant, Exchange)| *until <= now || exchange.is_abandoned();
        let over: Vec<_> = self.polls.iter().filter(|(_, p)| over(p)).map(|(id, _)| *id).collect();
        for id in over {
            if let Some((_, exchange)) = self.polls.remove(&id) {
                exchange.respond(Reply::empty(204));
            }
        }
    }

    /// Makes the client's user names find it.
    fn register(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get(&id) {
            client.ufrags().iter().for_each(|u| self.demux.add_ufrag(u, id));
        }
    }

    /// Says good-bye to a client and forgets it.
    pub(super) fn end(&mut self, now: Instant, id: ClientId) {
        self.with_client(now, id, |client, _| client.close(now));
        self.remove(id);
    }

    fn remove(&mut self, id: ClientId) {
        let Some(client) = self.clients.remove(&id) else { return };
        self.half_open -= usize::from(!client.is_connected());
        self.sessions.remove(client.session());
        self.demux.remove(id);
        self.schedule(id, None);
        if let Some((_, exchange)) = self.polls.remove(&id) {
            exchange.respond(unknown_session());
        }
    }

    fn status(&self, now: Instant) -> Bytes {
        let (clients, connected) = self.count();
        let status = serde_json::json!({
            "type": "status",
            "uptime_s": now.saturating_duration_since(self.started).as_secs(),
            "clients": clients,
            "connected": connected,
            "relayed": self.relayed,
            "refused_datagrams": self.refused,
        });
        status.to_string().into()
    }
}

/// What tells a restarted session from the one before (RFC 9725 section 4.3.1).
fn etag(client: &Client) -> String {
    format!("\"{}\"", client.ufrags().last().map_or("", String::as_str))
}

fn failure(status: u16, error: impl ToString) -> Reply {
    Reply::json(status, &Failure { error: error.to_string() })
}

fn unknown_session() -> Reply {
    failure(404, "no such session: it has ended, or the hub was restarted")
}

/// The channel on which the status goes out, and messages are relayed by default.
const STATUS_CHANNEL: &str = "test";

/// How often polls and half-open clients are looked at.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);
