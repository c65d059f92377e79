//! Paths: a smart socket under a transport.
//!
//! str0m says where it would send each datagram; this layer decides where it goes. It probes every
//! pair of a local socket and a remote address with STUN Binding requests of its own, which any
//! ICE agent answers. **Only an answer to our own probe keeps a path alive for sending**: what
//! comes in proves the other direction. The best living path carries the DTLS records; if none
//! lives, the last one stays. Records are accepted only from a path that STUN has validated.
//!
//! Sans-IO, in the five verbs of str0m: [`PathSet::handle_stun`], [`PathSet::handle_timeout`],
//! [`PathSet::poll_timeout`], [`PathSet::poll_transmit`], [`PathSet::poll_event`].

mod config;
pub(crate) mod demux;
mod estimate;
pub(crate) mod frame;
mod kind;
mod messages;
mod one;
mod packet;
mod redundancy;
mod schedule;
mod select;
mod stats;
pub mod stun;
mod usage;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use str0m::IceCreds;
use str0m::ice::TransId;

pub use config::{PathConfig, Redundancy, UnknownRedundancy};
pub use kind::{LocalAddress, PathKind, Via, is_relay, relay_addresses};
pub use one::{Path, PathId, PathState};
pub use packet::{Handled, Packet};
pub use select::SwitchCause;
pub use stats::{PathStats, StunStats};

use crate::util::spare::{add, spare};
use redundancy::Duplicates;
use select::Selection;
use stun::{Generation, Role};
use usage::Usage;

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The local socket's address.
    pub local: SocketAddr,
    /// Where to.
    pub remote: SocketAddr,
    /// The datagram.
    pub datagram: Vec<u8>,
}

/// What happened to the paths.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathEvent {
    /// Another path carries the records from now on.
    Switched {
        /// It carried them before.
        from: Option<PathId>,
        /// It carries them now.
        to: PathId,
        /// Why.
        cause: SwitchCause,
    },
    /// No path lives any more.
    AllDead,
    /// A path lives again after none did.
    Revived {
        /// How long none did.
        outage: Duration,
    },
    /// An answer has shown the address under which the other side sees one of our sockets.
    Mapped {
        /// The socket.
        local: SocketAddr,
        /// Who sees it; another may see another one.
        remote: SocketAddr,
        /// The address that the other side sees.
        public: SocketAddr,
    },
}

/// What becomes of a STUN message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StunVerdict {
    /// It was one of ours, or none that anybody should see.
    Consumed,
    /// The session's ICE agent wants it.
    ForSession,
}

/// Where a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The path it is sent on now.
    pub path: (SocketAddr, SocketAddr),
    /// A second path that gets a duplicate now.
    pub duplicate: Option<(SocketAddr, SocketAddr)>,
}

/// The paths of one transport.
#[derive(Debug)]
pub struct PathSet {
    config: PathConfig,
    paths: Vec<Path>,
    next_id: u32,
    locals: Vec<(SocketAddr, Via)>,
    remotes: Vec<(SocketAddr, Via)>,
    /// Of this side before the other side's are known: its first checks may be faster than its
    /// answer, and are not repeated soon.
    first: IceCreds,
    /// Checks that the session's agent has sent, oldest first.
    checks: VecDeque<(TransId, SocketAddr, SocketAddr)>,
    /// The newest last: those before a restart go on until it has proven itself.
    generations: Vec<Generation>,
    /// The other side may not have the newest yet, so probes use the one before.
    unconfirmed: bool,
    role: Role,
    connected: bool,
    selection: Selection,
    usage: Usage,
    /// When the other side last acknowledged something.
    delivered: Option<Instant>,
    duplicates: Duplicates,
    /// Last answer that timers ran for; tells when this process was late.
    deadline: Option<Instant>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<PathEvent>,
    stats: StunStats,
}

impl PathSet {
    /// No paths yet. `first` are the session's credentials, `tie_breaker` is a random number.
    #[must_use]
    pub fn new(config: PathConfig, first: IceCreds, controlling: bool, tie_breaker: u64) -> Self {
        let duplicates = Duplicates::new(config.duplicate_budget);
        Self {
            config,
            paths: Vec::new(),
            next_id: 0,
            locals: Vec::new(),
            remotes: Vec::new(),
            first,
            checks: VecDeque::new(),
            generations: Vec::new(),
            unconfirmed: false,
            role: Role { controlling, tie_breaker },
            connected: false,
            selection: Selection::default(),
            usage: Usage::default(),
            delivered: None,
            duplicates,
            deadline: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            stats: StunStats::default(),
        }
    }

    /// Adds the address of a local socket, or of a relay of this side.
    pub fn add_local(&mut self, local: SocketAddr, via: Via) {
        if !self.has_local(local) {
            add(&mut self.locals, (local, via));
            for (remote, _) in self.remotes.clone() {
                self.pair(local, remote);
            }
        }
    }

    /// Forgets a local socket whose address is gone, with its paths.
    pub fn remove_local(&mut self, now: Instant, local: SocketAddr) {
        self.locals.retain(|(l, _)| *l != local);
        self.paths.retain(|p| p.local != local);
        self.evaluate(now);
    }

    /// Adds an address of the other side.
    pub fn add_remote(&mut self, remote: SocketAddr, via: Via) {
        let known = self.has_remote(remote);
        // Its requests may have come before it was announced.
        for path in self.paths.iter_mut().filter(|p| !known && p.remote == remote) {
            let near = self.locals.iter().find(|(l, _)| *l == path.local);
            path.via = via.max(near.map_or(Via::Host, |(_, via)| *via));
        }
        if !known && self.has_room_for_remote() {
            add(&mut self.remotes, (remote, via));
            for (local, _) in self.locals.clone() {
                self.pair(local, remote);
            }
        }
    }

    /// Whether one more address of the other side can be kept; the oldest by which nothing comes
    /// any more makes room, for a rover that moves has a new address again and again.
    fn has_room_for_remote(&mut self) -> bool {
        if self.remotes.len() < self.config.max_paths {
            return true;
        }
        let selected = self.selection.selected;
        let useful = |remote: SocketAddr| {
            let mut paths = self.paths.iter().filter(|p| p.remote == remote);
            paths.any(|p| p.is_alive() || Some(p.id) == selected)
        };
        let Some(position) = self.remotes.iter().position(|(r, _)| !useful(*r)) else {
            return false;
        };
        let (gone, _) = self.remotes.remove(position);
        self.paths.retain(|p| p.remote != gone);
        true
    }

    /// Takes new credentials, of the first negotiation or of an ICE restart. The generation before
    /// stays valid: the answer of a restart may be lost, and living paths must not be. So who
    /// gives that answer passes `confirmed` false, and probes go on with the credentials before
    /// until the other side shows that it has the new ones.
    pub fn add_generation(&mut self, generation: Generation, confirmed: bool) {
        if self.generations.last() != Some(&generation) {
            if self.unconfirmed {
                self.generations.pop();
            }
            self.generations.retain(|g| *g != generation);
            self.generations.push(generation);
            let surplus = self.generations.len().saturating_sub(MAX_GENERATIONS);
            self.generations.drain(..surplus);
        }
        self.unconfirmed = !confirmed && self.generations.len() > 1;
    }

    /// The transport is connected, by way of this pair: probing begins.
    pub fn connected(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr) {
        self.connected = true;
        if let Some(id) = self.pair(local, remote) {
            self.select(now, id, SwitchCause::First);
        }
        self.evaluate(now);
        self.probe_due(now);
    }

    /// Whether a DTLS record from there may be used.
    #[must_use]
    pub fn accepts_record(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.paths.iter().any(|p| p.validated && p.local == local && p.remote == remote)
    }

    /// Notes a record that came in and was used.
    pub fn record_received(&mut self, local: SocketAddr, remote: SocketAddr, bytes: usize) {
        if let Some(path) = self.paths.iter_mut().find(|p| p.is_between(local, remote)) {
            path.bytes_received += bytes as u64;
        }
    }

    /// Notes the DTLS record number of such a record.
    pub fn record_numbered(&mut self, now: Instant, number: u64) {
        if !self.config.keeps_alive {
            self.duplicates.came(now, number);
        }
    }

    /// Notes that the application sent a message: the selected path must prove itself.
    pub fn message_sent(&mut self, now: Instant) {
        if !self.usage.note(now) && self.connected {
            self.probe_selected_soon(now);
        }
    }

    /// Notes that a message came in.
    pub fn message_received(&mut self, now: Instant) {
        self.usage.note(now);
    }

    /// Says whether anything sent is not acknowledged: that keeps the link in use.
    pub fn set_outstanding(&mut self, outstanding: bool) {
        self.usage.outstanding = outstanding;
    }

    /// Notes that the other side acknowledged something: the selected path works, whatever becomes
    /// of its probes.
    pub fn note_delivery(&mut self, now: Instant) {
        self.delivered = Some(now);
    }

    /// Where a record of this transport goes. `proposed` is where str0m would send it, which
    /// holds until the transport is connected.
    pub fn route(
        &mut self,
        now: Instant,
        proposed: (SocketAddr, SocketAddr),
        record: &[u8],
    ) -> Route {
        let Some(index) = self.carrying_index().filter(|_| self.connected) else {
            return Route { path: proposed, duplicate: None };
        };
        self.selection.note_record(now);
        let duplicate = self.copy_of(now, index, record);
        let path = &mut self.paths[index];
        path.bytes_sent += record.len() as u64;
        Route { path: (path.local, path.remote), duplicate }
    }

    /// The path that carries the records.
    #[must_use]
    pub fn selected(&self) -> Option<&Path> {
        self.carrying_index().map(|i| &self.paths[i])
    }

    /// A path by its name.
    #[must_use]
    pub fn get(&self, id: PathId) -> Option<&Path> {
        self.paths.iter().find(|p| p.id == id)
    }

    /// The operating system refused to send by this way: the path is in doubt at once, without
    /// waiting for a probe. It is dead only when its probes say so; the refusal may pass.
    pub fn send_failed(&mut self, local: SocketAddr, remote: SocketAddr) {
        self.stats.send_errors += 1;
        // Nobody will answer what was not sent.
        self.checks.retain(|(_, from, to)| (*from, *to) != (local, remote));
        if let Some(path) = self.paths.iter_mut().find(|p| p.is_between(local, remote)) {
            path.missed = path.missed.max(1);
        }
    }

    /// All paths.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter()
    }

    /// Whether there is a path between these.
    #[must_use]
    pub fn is_known(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.paths.iter().any(|p| p.is_between(local, remote))
    }

    /// Whether a path between these is known to carry both ways.
    #[must_use]
    pub fn is_alive(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.paths.iter().any(|p| p.is_between(local, remote) && p.is_alive())
    }

    /// Probes that were missed so far, on all paths together.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.stats.misses
    }

    /// Whether this is one of the local sockets.
    #[must_use]
    pub fn has_local(&self, local: SocketAddr) -> bool {
        self.locals.iter().any(|(l, _)| *l == local)
    }

    /// Whether this is a known address of the other side.
    #[must_use]
    pub fn has_remote(&self, remote: SocketAddr) -> bool {
        self.remotes.iter().any(|(r, _)| *r == remote)
    }

    /// The local sockets and relays.
    pub fn locals(&self) -> impl Iterator<Item = (SocketAddr, Via)> {
        self.locals.iter().copied()
    }

    /// User names in requests that are for this side: of all credentials that it still answers to.
    pub fn user_names(&self) -> impl Iterator<Item = &str> {
        let of_generations = self.generations.iter().map(|g| g.local.ufrag.as_str());
        std::iter::once(self.first.ufrag.as_str()).chain(of_generations)
    }

    /// What a path goes through, as far as it is known.
    #[must_use]
    pub fn kind(&self, path: &Path) -> PathKind {
        match path.via {
            Via::Hub => PathKind::Hub,
            Via::Turn => PathKind::Turn,
            Via::Host if path.mapped.is_none_or(|m| m == path.local) => PathKind::Direct,
            Via::Host | Via::Reflexive => PathKind::Reflexive,
        }
    }

    /// Whether the other side's credentials are known.
    #[must_use]
    pub fn is_negotiated(&self) -> bool {
        !self.generations.is_empty()
    }

    /// Since when no path lives; `None` while one does, or before the transport is connected.
    #[must_use]
    pub fn dead_since(&self) -> Option<Instant> {
        self.selection.dead_since
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> StunStats {
        StunStats { duplicates: self.duplicates.sent(), ..self.stats }
    }

    /// Gives back memory that is of no use while nothing happens.
    pub fn rest(&mut self) {
        spare(&mut self.transmits);
        spare(&mut self.events);
        self.checks.shrink_to_fit();
        self.duplicates.rest();
        self.paths.iter_mut().for_each(Path::rest);
        self.paths.shrink_to_fit();
        self.generations.shrink_to_fit();
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<PathEvent> {
        self.events.pop_front()
    }

    /// Makes a path of two addresses that can reach each other. `None` if they cannot, or there is
    /// no room.
    fn pair(&mut self, local: SocketAddr, remote: SocketAddr) -> Option<PathId> {
        if let Some(path) = self.paths.iter().find(|p| p.is_between(local, remote)) {
            return Some(path.id);
        }
        if !can_reach(local.ip(), remote.ip()) {
            return None;
        }
        if self.paths.len() >= self.config.max_paths {
            // The least useful one makes room: never one that lives or carries.
            let selected = self.selection.selected;
            let victim = self.paths.iter().position(|p| !p.is_alive() && Some(p.id) != selected)?;
            self.paths.swap_remove(victim);
        }
        let id = PathId(self.next_id);
        self.next_id += 1;
        let via = |known: &[(SocketAddr, Via)], address: SocketAddr| {
            known.iter().find(|(a, _)| *a == address).map(|(_, via)| *via)
        };
        // Who is not announced was learned from a request, as behind a NAT.
        let far = via(&self.remotes, remote).unwrap_or(Via::Reflexive);
        let near = via(&self.locals, local).unwrap_or(Via::Host);
        add(&mut self.paths, Path::new(id, local, remote, near.max(far)));
        Some(id)
    }

    fn carrying_index(&self) -> Option<usize> {
        let id = self.selection.selected?;
        self.paths.iter().position(|p| p.id == id)
    }

    /// Decides about a duplicate of a record that `index` carries; sends a delayed one by itself.
    fn copy_of(
        &mut self,
        now: Instant,
        index: usize,
        record: &[u8],
    ) -> Option<(SocketAddr, SocketAddr)> {
        let path = &self.paths[index];
        // What follows closely on a loss shows it to SCTP: that is as good as a duplicate, as long
        // as loss is no more than a possibility.
        let unproven = !path.loss.is_proven() && !self.selection.is_dense(now);
        // The side that keeps the link alive probes more, and so knows better.
        let unknown =
            if self.config.keeps_alive { unproven } else { self.duplicates.are_coming(now) };
        let suspicious = path.is_suspect() || path.loss.has_lost(now) || unknown;
        match self.config.redundancy {
            Redundancy::Always => {}
            Redundancy::Auto if suspicious => {}
            Redundancy::Auto | Redundancy::Off => return None,
        }
        // By a relay only when that may be what saves it: it is somebody else's machine and data.
        let worth = |second: &usize| {
            self.config.redundancy == Redundancy::Always
                || path.is_suspect()
                || path.is_relayed()
                || !self.paths[*second].is_relayed()
        };
        let second = self.second_best(index).filter(worth);
        let always = self.config.redundancy == Redundancy::Always && second.is_some();
        if !(always || suspicious && self.duplicates.afford(now, record.len())) {
            return None;
        }
        self.duplicates.count();
        let Some(second) = second else {
            let delay = path.rtt.smoothed().unwrap_or_default() / 8;
            let due = now + delay.clamp(MIN_COPY_DELAY, MAX_COPY_DELAY);
            let id = path.id;
            self.duplicates.delay(due, id, record);
            return None;
        };
        let second = &mut self.paths[second];
        second.bytes_sent += record.len() as u64;
        Some((second.local, second.remote))
    }
}

impl Path {
    pub(crate) fn is_between(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.local == local && self.remote == remote
    }
}

/// Whether a datagram from one address can arrive at the other at all.
fn can_reach(local: IpAddr, remote: IpAddr) -> bool {
    local.is_ipv4() == remote.is_ipv4()
        && local.is_loopback() == remote.is_loopback()
        && is_relay(local) == is_relay(remote)
}

/// The generation in use and the one before it.
const MAX_GENERATIONS: usize = 2;

/// A duplicate on the same path leaves after an eighth of the round trip, within these bounds:
/// bursts of loss on a radio link last milliseconds. A timer of the drivers adds up to one.
const MIN_COPY_DELAY: Duration = Duration::from_micros(500);
const MAX_COPY_DELAY: Duration = Duration::from_millis(10);
