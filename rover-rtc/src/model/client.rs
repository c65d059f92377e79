//! One client of a hub.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::propagated::Propagated;
use crate::config::ServerConfig;
use crate::health::ConnectionHealth;
use crate::link::{ChannelId, Link, LinkEvent, Message, Outcome, SendError, Transport};
use crate::path::{Handled, LocalAddress, Packet, PathEvent, Transmit};
use crate::session::SdpError;
use crate::session::{Pace, SessionConfig};
use crate::signal::description::Description;
use crate::signal::hub_messages::{CHANNEL, RESERVED};
use crate::util::limiter::Limiter;
use crate::util::random;
use crate::util::spare::{REST, spare};

/// Names a client within its hub's process; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(u64);

impl ClientId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// As a number, where only this hub has to understand it.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The one of [`ClientId::number`].
    pub(crate) fn of_number(number: u64) -> Self {
        Self(number)
    }
}

impl std::fmt::Display for ClientId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "client-{}", self.0)
    }
}

/// What [`Client::poll_output`] yields.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientOutput {
    /// A datagram to send.
    Transmit(Transmit),
    /// Something for other clients.
    Propagate(Propagated),
    /// The client's transport is up.
    Connected,
    /// The client's transport is over.
    Closed,
    /// Nothing more until then, or until there is input.
    Timeout(Option<Instant>),
}

/// A client: its link, its health, and what signaling knows of it.
#[derive(Debug)]
pub struct Client {
    id: ClientId,
    session: String,
    name: Option<String>,
    replaces: Option<String>,
    link: Link,
    health: ConnectionHealth,
    created: Instant,
    connected: bool,
    closed: bool,
    /// User names of now and before the last restart, by which requests find the client.
    ufrags: Vec<String>,
    /// An offer of the hub that waits to be fetched.
    restart_offer: Option<String>,
    outputs: VecDeque<ClientOutput>,
    received: u64,
    /// The channel for what is said to the hub itself has opened, and nobody has asked yet.
    opened: bool,
    /// Channels on which it has more to take than others wait for.
    lagging: HashSet<ChannelId>,
    /// Channels of an earlier session that it has not opened again yet: what is for them waits.
    returning: HashSet<ChannelId>,
    /// There is nothing to move: what has happened was the paths' only, or all has been moved.
    quiet: bool,
    /// How often the log is told what the client alone causes.
    noise: Limiter,
}

impl Client {
    /// A client for this offer, on these sockets; returns it with the answer.
    ///
    /// # Errors
    ///
    /// If the offer is not usable.
    pub fn new(
        now: Instant,
        config: &ServerConfig,
        certificate: Option<str0m::config::DtlsCert>,
        locals: &[SocketAddr],
        offer: &Description,
    ) -> Result<(Self, String), SdpError> {
        let ours = offer.rover.as_ref();
        let mut session = SessionConfig::new(random::ice_credentials());
        session.pace = if ours.is_some() { config.pace } else { Pace::FOREIGN };
        session.certificate = certificate;
        let ufrag = session.credentials.ufrag.clone();
        let mut paths = config.path.clone();
        paths.redundancy = ours.and_then(|r| r.redundancy).unwrap_or(paths.redundancy);
        let mut transport = Transport::new(now, session, paths, false, random::number());
        for local in locals {
            transport.add_local(now, LocalAddress::host(*local));
        }
        let mut link = Link::new(config.outbox, config.max_channels);
        link.set_passes_on();
        link.set_max_message(config.max_message);
        let answer = link.answer(now, transport, &offer.sdp)?;
        let client = Self {
            id: ClientId::next(),
            session: random::id(),
            name: ours.and_then(|r| r.name.clone()),
            replaces: ours.and_then(|r| r.replaces.clone()),
            link,
            health: ConnectionHealth::new(now),
            created: now,
            connected: false,
            closed: false,
            ufrags: vec![ufrag],
            restart_offer: None,
            outputs: VecDeque::new(),
            received: 0,
            opened: false,
            lagging: HashSet::new(),
            returning: HashSet::new(),
            quiet: false,
            noise: Limiter::default(),
        };
        Ok((client, answer))
    }

    /// Its name within the process.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// The id of its session: whoever knows it may change or end the session.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Puts at the end of its session's id where in the hub it is to be found.
    pub(crate) fn suffix_session(&mut self, mark: &str) {
        self.session.push_str(mark);
    }

    /// The name that the peer gave itself.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether a packet is for this client: a STUN request by its user name, another STUN message
    /// by its transaction, all else by its source, which STUN must have validated.
    #[must_use]
    pub fn accepts(&mut self, local: SocketAddr, remote: SocketAddr, packet: &Packet<'_>) -> bool {
        if let Packet::Stun(message, _) = packet {
            return match message.split_username() {
                Some((user, _)) => self.ufrags.iter().any(|u| u == user),
                None => self.paths().is_some_and(|p| p.is_known(local, remote)),
            };
        }
        self.paths().is_some_and(|p| p.accepts_record(local, remote))
    }

    /// Takes a packet; false if it was refused, which counts as a failure.
    /// [`Client::poll_output`] must have been drained before.
    pub fn handle_input(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        packet: &Packet<'_>,
    ) -> bool {
        // Anybody can send what looks like a record, and in the client's address.
        let genuine = |c: &mut Self| {
            c.link.transports().next().map_or(0, |t| {
                let stun = t.paths().stats();
                stun.requests + stun.answers + t.session().proofs()
            })
        };
        let before = genuine(self);
        let Handled { taken, moved } = self.link.handle_packet(now, local, remote, packet);
        let after = genuine(self);
        self.quiet = !moved;
        if after > before {
            self.health.mark_activity(now);
        } else if !taken {
            self.health.mark_failures(1);
        }
        taken
    }

    /// Takes note of a datagram of this many bytes that is for another client; false if it does
    /// not come by a path that STUN has validated, which counts as a failure. It shows nothing of
    /// this client: only the one that it is for can tell who wrote it.
    pub(crate) fn accept_foreign(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        bytes: usize,
    ) -> bool {
        let transport = self.link.transport();
        let accepted = transport.is_some_and(|t| t.accept_foreign(local, remote, bytes));
        if !accepted {
            self.health.mark_failures(1);
        }
        accepted
    }

    /// Lets time pass; probes missed count as failures.
    pub fn handle_timeout(&mut self, now: Instant) {
        let missed = |c: &mut Self| c.paths().map_or(0, crate::path::PathSet::misses);
        let before = missed(self);
        self.quiet = !self.link.handle_timeout(now);
        let after = missed(self);
        self.health.mark_failures(u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX));
    }

    /// What the client has to say: drives the transport until it waits.
    pub fn poll_output(&mut self, now: Instant) -> ClientOutput {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            if let Some(event) = self.link.poll_event() {
                self.quiet = false;
                self.on_event(now, event);
            } else if self.quiet {
                break;
            } else {
                self.link.pump(now);
                self.quiet = true;
            }
        }
        if let Some(outgoing) = self.link.poll_transmit() {
            return ClientOutput::Transmit(outgoing);
        }
        self.quiet = false;
        let deadline = self.link.poll_timeout(now);
        if deadline.is_none_or(|t| t.saturating_duration_since(now) > REST) {
            self.link.rest();
            spare(&mut self.outputs);
        }
        ClientOutput::Timeout(deadline)
    }

    /// Queues a message on a channel. Nothing happens, and that is no error, if the client has no
    /// channel of that name open.
    ///
    /// # Errors
    ///
    /// If the channel's outbox refuses it.
    pub fn send_message(
        &mut self,
        now: Instant,
        label: &str,
        message: Message,
    ) -> Result<(), SendError> {
        let Some(id) = self.channel(label) else { return Ok(()) };
        let outbox = self.link.outbox(id).ok_or(SendError::Closed)?;
        outbox.try_push(now, message).map(drop)
    }

    /// Adds a local socket that came up since: a new candidate for the next offer, and a new path.
    pub fn add_new_candidate(&mut self, now: Instant, local: SocketAddr) {
        for transport in self.link.transports() {
            if !transport.paths().has_local(local) {
                transport.add_local(now, LocalAddress::host(local));
            }
        }
    }

    /// Offers an ICE restart with new credentials: the client fetches the offer over HTTP, answers
    /// it, and both sides check all paths anew. Paths that live go on.
    ///
    /// # Errors
    ///
    /// Before the client is connected.
    pub fn create_ice_restart_offer(&mut self, now: Instant) -> Result<String, SdpError> {
        let new = random::ice_credentials();
        let offer = self.link.restart_offer(now, new.clone())?;
        self.note_ufrag(new.ufrag);
        Ok(offer)
    }

    /// Takes the client's offer of an ICE restart; returns the answer.
    ///
    /// # Errors
    ///
    /// If the offer is not usable.
    pub fn answer_restart(&mut self, now: Instant, offer: &str) -> Result<String, SdpError> {
        let new = random::ice_credentials();
        let answer = self.link.answer_restart(now, offer, new.clone())?;
        if answer.contains(&new.ufrag) {
            self.note_ufrag(new.ufrag);
        }
        self.restart_offer = None;
        Ok(answer)
    }

    /// Takes the client's answer to an offer of the hub.
    ///
    /// # Errors
    ///
    /// If there was none, or the answer is not usable.
    pub fn accept_restart(&mut self, now: Instant, answer: &str) -> Result<(), SdpError> {
        self.restart_offer = None;
        self.link.accept_restart(now, answer)
    }

    /// Its health record.
    pub fn health(&mut self) -> &mut ConnectionHealth {
        &mut self.health
    }

    /// Its link.
    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Whether its transport has come up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether its transport is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Instant {
        self.created
    }

    /// User names by which STUN requests find it.
    #[must_use]
    pub fn ufrags(&self) -> &[String] {
        &self.ufrags
    }

    /// Messages received from it.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether what the hub itself has to say can be sent to it, and is likely to arrive.
    pub(crate) fn can_be_told(&self) -> bool {
        self.has_living_path() && self.channel(CHANNEL).is_some()
    }

    /// Whether it is connected and a path to it lives.
    pub(crate) fn has_living_path(&self) -> bool {
        self.link.is_alive()
    }

    /// Whether the channel for that has opened since this was last asked.
    pub(crate) fn take_opened(&mut self) -> bool {
        std::mem::take(&mut self.opened)
    }

    /// The path to it must prove itself: something else than messages is sent there.
    pub(crate) fn note_use(&mut self, now: Instant) {
        if let Some(transport) = self.link.transport() {
            transport.note_use(now);
        }
    }

    /// The session that this client takes the place of, once, when it is connected.
    pub(crate) fn take_replaced(&mut self) -> Option<String> {
        if self.connected { self.replaces.take() } else { None }
    }

    pub(crate) fn set_restart_offer(&mut self, offer: String) {
        self.restart_offer = Some(offer);
    }

    pub(crate) fn take_restart_offer(&mut self) -> Option<String> {
        self.restart_offer.take()
    }

    /// Says good-bye; what that takes to send comes out of [`Client::poll_output`].
    pub fn close(&mut self, now: Instant) {
        self.link.close(now);
    }

    /// Whether it has a channel of this name open.
    pub(crate) fn has_channel(&self, label: &str) -> bool {
        self.channel(label).is_some()
    }

    /// Queues a copy of a message that the hub passes on. If this client lags, the hub answers to
    /// the writers for it, and for what it has not got yet. What it does not get for another reason
    /// is settled as that has it; if it has no such channel, not at all.
    pub(crate) fn pass_on(
        &mut self,
        now: Instant,
        label: &str,
        mut message: Message,
    ) -> Result<(), SendError> {
        let id = self.channel(label).ok_or(SendError::Closed)?;
        let outbox = self.link.outbox(id).ok_or(SendError::Closed)?.clone();
        let ((messages, bytes), (held, held_bytes)) = (outbox.len(), outbox.held());
        let (messages, bytes) = (messages + held, bytes + held_bytes);
        if messages > LAG_MESSAGES || bytes > LAG_BYTES {
            if self.lagging.insert(id) {
                self.link.vouch(id);
            }
            message.settle(Outcome::Accepted);
        } else if messages < LAG_MESSAGES / 2 && bytes < LAG_BYTES / 2 {
            self.lagging.remove(&id);
        }
        outbox.forward(now, message)
    }

    /// Takes over what the client had on an earlier session.
    pub(crate) fn inherit(&mut self, old: &mut Self) {
        self.received += old.received;
        let framed = old.link.channels().map(|(id, ..)| id).filter(|id| old.link.is_framed(*id));
        let had: Vec<_> = framed.filter(|id| old.has(*id)).collect();
        if self.link.inherit(&mut old.link) {
            self.returning.extend(had);
        }
    }

    /// Waits no longer for channels that it has not opened again: what is for them may be for
    /// others.
    pub(crate) fn forget_returning(&mut self) {
        for id in self.returning.drain() {
            self.link.release(id);
        }
    }

    fn channel(&self, label: &str) -> Option<ChannelId> {
        self.link.channel(label).filter(|id| self.has(*id))
    }

    fn has(&self, id: ChannelId) -> bool {
        self.link.is_open(id) || self.returning.contains(&id)
    }

    fn paths(&mut self) -> Option<&crate::path::PathSet> {
        self.link.transports().next().map(|t| t.paths())
    }

    fn note_ufrag(&mut self, ufrag: String) {
        self.ufrags.push(ufrag);
        let surplus = self.ufrags.len().saturating_sub(MAX_UFRAGS);
        self.ufrags.drain(..surplus);
    }

    fn on_event(&mut self, now: Instant, event: LinkEvent) {
        let (id, name) = (self.id, self.name.as_deref().unwrap_or("-"));
        match event {
            LinkEvent::Message(channel, message) => {
                self.received += 1;
                let Some(label) = self.link.label(channel) else { return };
                let event = if label == CHANNEL {
                    Propagated::ToHub { from: self.id, message }
                } else if label.starts_with(RESERVED) {
                    return; // of a later version; in any case not for other clients
                } else {
                    Propagated::Data { from: self.id, label: label.to_owned(), message }
                };
                self.outputs.push_back(ClientOutput::Propagate(event));
            }
            LinkEvent::Connected => {
                tracing::info!(%id, name, "connected");
                self.connected = true;
                self.outputs.push_back(ClientOutput::Connected);
            }
            LinkEvent::ChannelOpen { id: channel, label, .. } => {
                tracing::debug!(%id, name, label, "channel open");
                self.returning.remove(&channel);
                self.opened |= label == CHANNEL;
                let event = Propagated::Opened { by: self.id, label };
                self.outputs.push_back(ClientOutput::Propagate(event));
            }
            LinkEvent::ChannelClosed(channel) => {
                // What it has not read there is not for it any more.
                self.link.release(channel);
                let Some(label) = self.link.label(channel) else { return };
                tracing::debug!(%id, label, "channel closed");
                let event = Propagated::Closed { by: self.id, label: label.to_owned() };
                self.outputs.push_back(ClientOutput::Propagate(event));
            }
            LinkEvent::Progress { .. } => {}
            LinkEvent::Ice(state) => tracing::debug!(%id, ?state, "ice"),
            LinkEvent::Gap { .. }
            | LinkEvent::Dropped { .. }
            | LinkEvent::Resumed { .. }
            | LinkEvent::PeerRestarted
            | LinkEvent::Stuck
            | LinkEvent::Trouble(_)
            | LinkEvent::Path(PathEvent::AllDead | PathEvent::Revived { .. }) => {
                if let Some(withheld) = self.noise.admit(now) {
                    note(id, name, &event, withheld);
                }
            }
            LinkEvent::Path(event) => tracing::debug!(%id, name, ?event, "path"),
            LinkEvent::DialFailed(reason) | LinkEvent::TransportClosed(reason) => {
                tracing::info!(%id, name, reason, "gone");
                self.closed = true;
                self.outputs.push_back(ClientOutput::Closed);
            }
        }
    }
}

/// Tells the log what a client causes as often as it likes.
fn note(id: ClientId, name: &str, event: &LinkEvent, withheld: u64) {
    match event {
        LinkEvent::Gap { channel, lost } => {
            tracing::warn!(%id, name, ?channel, lost, withheld, "messages lost");
        }
        LinkEvent::Dropped { channel, messages, why } => {
            tracing::warn!(%id, name, ?channel, messages, why, withheld, "messages dropped");
        }
        LinkEvent::Resumed { replayed } => tracing::info!(%id, name, replayed, withheld, "resumed"),
        LinkEvent::PeerRestarted => tracing::info!(%id, name, withheld, "begins anew"),
        // The client's own escalation replaces the transport.
        LinkEvent::Stuck => tracing::warn!(%id, name, withheld, "nothing is acknowledged"),
        LinkEvent::Trouble(what) => tracing::warn!(%id, name, withheld, "{what}"),
        LinkEvent::Path(PathEvent::AllDead) => tracing::warn!(%id, name, withheld, "no path"),
        LinkEvent::Path(PathEvent::Revived { outage }) => {
            tracing::info!(%id, name, ?outage, withheld, "path back");
        }
        _ => {}
    }
}

/// A client with more than this under way lags.
const LAG_MESSAGES: usize = 1024;
const LAG_BYTES: usize = 256 * 1024;

/// Of the transport's credentials and those before a restart that may still be in use: each side
/// may begin three restarts in an outage, and the answers to all of them may be lost.
const MAX_UFRAGS: usize = 8;
