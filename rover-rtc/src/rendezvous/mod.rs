//! Links between named peers: who calls whom, and what keeps each link's transports going.
//!
//! A [`Rendezvous`] is sans-IO. Its driver feeds datagrams, what the hub says, the addresses of
//! the sockets and time; it takes datagrams, what the hub is to be told, and events. Each other
//! peer has one [`RemotePeer`]: a link, its escalation, and the calls that are being negotiated.
//!
//! A *call* is one transport from its offer to its end. Signal messages about it are signed by
//! their writer and checked here, so that a hub which lies gets no further than a hub which is
//! down.
//!
//! | file | what it does |
//! |---|---|
//! | `mod.rs` | the verbs: dial, hang up, feed, poll |
//! | `remote_peer.rs` | one other peer: its escalation's steps, its transports |
//! | `orphaned_call.rs` | a call that outlives the link on which it came |
//! | `receive.rs` | signal messages in: who may say what about which call |
//! | `send.rs` | signal messages out, and what the hub says |
//! | `goodbye.rs` | how links end |
//! | `local_addresses.rs` | addresses of this side, as they come and go |

mod error;
mod goodbye;
mod local_addresses;
mod orphaned_call;
mod receive;
mod remote_peer;
mod send;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use error::DialError;
pub use remote_peer::{RemotePeer, RemotePeerId};

use crate::identity::{Identity, KnownPeers, valid_name};
use crate::link::SendError;
use crate::link::{ChannelConfig, LinkEvent, Record, Saved};
use crate::path::{
    Handled, LocalAddress, Packet, PathConfig, Transmit, frame, is_relay, relay_addresses,
};
use crate::recovery::RecoveryConfig;
use crate::session::Pace;
use crate::signal::hub_messages::ToHub;

/// Settings of all links of a peer.
#[derive(Debug, Clone)]
pub struct RendezvousConfig {
    /// The name of this peer.
    pub name: String,
    /// How paths are probed and whether records are sent twice.
    pub path: PathConfig,
    /// When ICE is restarted and a new transport dialed.
    pub recovery: RecoveryConfig,
    /// How fast the transports' clocks run.
    pub pace: Pace,
    /// Channels that each link opens.
    pub channels: Vec<ChannelConfig>,
    /// Channels that a link can have, whoever opens them.
    pub max_channels: usize,
    /// Largest message that is taken on a framed channel.
    pub max_message: usize,
    /// Links in all.
    pub max_links: usize,
    /// Whether the hub may relay between this peer and others.
    pub relay: bool,
    /// Whether only relayed addresses are used, of the hub or of TURN servers.
    pub relay_only: bool,
}

/// What a rendezvous tells its driver about a link.
#[derive(Debug)]
#[non_exhaustive]
pub enum RemotePeerEvent {
    /// A transport is to be made: call [`Rendezvous::begin`] with the addresses that it may use;
    /// `fresh` asks for sockets that no transport has used.
    Wanted {
        /// Whether the sockets must be new.
        fresh: bool,
    },
    /// A transport was given up before it was connected: sockets may have become free.
    Released,
    /// Another peer has called, and the link is up.
    Called,
    /// Something happened on the link.
    Link(LinkEvent),
    /// ICE is being restarted.
    Restarting,
    /// A new transport is being dialed, for the n-th time since the link was last healthy.
    Dialing(u32),
    /// Signaling or negotiation failed; it will be tried again.
    Trouble(String),
    /// The link is over, and has been forgotten.
    Ended(DialError),
}

/// Who knows what the journal has.
struct JournalLookup(Box<LookUp>);

type LookUp = dyn FnMut(&str, Vec<Record>) -> Result<Vec<Saved>, String> + Send;

impl std::fmt::Debug for JournalLookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JournalLookup")
    }
}

/// A datagram to send.
#[derive(Debug)]
pub enum RoutedTransmit {
    /// By a socket, or a TURN server's address, of this side, for a link.
    Datagram(RemotePeerId, Transmit),
    /// By the hub, in a frame of this number.
    Frame(u16, Vec<u8>),
}

/// All links of a peer with other peers.
#[derive(Debug)]
pub struct Rendezvous {
    config: RendezvousConfig,
    identity: Arc<Identity>,
    known: KnownPeers,
    peers: Vec<RemotePeer>,
    next_id: u64,
    /// Addresses that new transports use, unless they need fresh sockets.
    local_addresses: Vec<LocalAddress>,
    /// All that may be used, those of sockets that are not shared among them.
    addresses: Vec<LocalAddress>,
    /// Whether the hub can be told something.
    reachable: bool,
    /// Why not, as far as is known.
    hub_trouble: Option<String>,
    /// Numbers of the hub's channels, by call.
    numbers: HashMap<String, u16>,
    /// Calls of those that came before their offer, oldest first.
    early: VecDeque<(Instant, String)>,
    /// The same, by the address that stands for our end of it.
    relays: HashMap<SocketAddr, u16>,
    /// And the two ends of a channel, ours first, by its number.
    frames: HashMap<u16, (SocketAddr, SocketAddr)>,
    /// Good-byes of links that are over.
    closing_transmits: VecDeque<RoutedTransmit>,
    /// Transports or credentials have changed since it was last asked.
    changed: bool,
    to_hub: VecDeque<ToHub>,
    events: VecDeque<(RemotePeerId, RemotePeerEvent)>,
    refusals: VecDeque<String>,
    /// What is known of an earlier link with the peer of a name; absent without a journal.
    journal_lookup: Option<JournalLookup>,
    /// Records of links that are over.
    records: VecDeque<(String, Record)>,
    /// The system's time when this began, and then, in nanoseconds since the epoch.
    epoch: (Instant, u64),
}

impl Rendezvous {
    /// No links yet. `unix_nanos` is the time of now since the epoch.
    #[must_use]
    pub fn new(
        now: Instant,
        unix_nanos: u64,
        config: RendezvousConfig,
        identity: Arc<Identity>,
        known: KnownPeers,
    ) -> Self {
        Self {
            config,
            identity,
            known,
            peers: Vec::new(),
            next_id: 0,
            local_addresses: Vec::new(),
            addresses: Vec::new(),
            reachable: false,
            hub_trouble: None,
            numbers: HashMap::new(),
            early: VecDeque::new(),
            relays: HashMap::new(),
            frames: HashMap::new(),
            closing_transmits: VecDeque::new(),
            changed: false,
            to_hub: VecDeque::new(),
            events: VecDeque::new(),
            refusals: VecDeque::new(),
            journal_lookup: None,
            records: VecDeque::new(),
            epoch: (now, unix_nanos),
        }
    }

    /// Says that there is a journal, and who knows what it has of a peer of a name, once it has
    /// kept the last records of the link before, which are given along. Links have records for it
    /// from now on, which are answered by [`Rendezvous::recorded`].
    pub fn set_journal_lookup(
        &mut self,
        journal_lookup: impl FnMut(&str, Vec<Record>) -> Result<Vec<Saved>, String> + Send + 'static,
    ) {
        self.journal_lookup = Some(JournalLookup(Box::new(journal_lookup)));
    }

    /// What the journal is to keep: the peer of a link, and a record.
    pub fn poll_record(&mut self) -> Option<(String, Record)> {
        if let Some(last) = self.records.pop_front() {
            return Some(last);
        }
        self.peers.iter_mut().find_map(|t| Some((t.name.clone(), t.link.poll_record()?)))
    }

    /// The journal has kept the oldest record of the link with a peer, or could not.
    pub fn recorded(&mut self, now: Instant, name: &str, result: Result<(), SendError>) {
        if let Some(peer) = self.peers.iter_mut().find(|t| t.name == name) {
            let id = peer.id;
            peer.link.recorded(now, result);
            self.collect(now, id);
        }
    }

    /// Begins a link to a peer, or finds the one that there is. It must be up within `patience`,
    /// or [`RemotePeerEvent::Ended`] says why not.
    ///
    /// # Errors
    ///
    /// [`DialError`] if the name cannot be one, is this peer's own, or there are too many links.
    pub fn dial(
        &mut self,
        now: Instant,
        name: &str,
        patience: Duration,
    ) -> Result<RemotePeerId, DialError> {
        if !valid_name(name) {
            return Err(DialError::BadName(name.to_owned()));
        }
        if name == self.config.name {
            return Err(DialError::Oneself(name.to_owned()));
        }
        if let Some(peer) = self.peers.iter_mut().find(|t| t.name == name) {
            peer.dialed(now, patience);
            return Ok(peer.id);
        }
        if !self.make_room(now) {
            return Err(DialError::TooMany(self.config.max_links));
        }
        let peer = self.add_peer(now, name, true)?;
        peer.dialed(now, patience);
        Ok(peer.id)
    }

    /// A link, its escalation and what else is known of the other peer.
    pub fn peer(&mut self, id: RemotePeerId) -> Option<&mut RemotePeer> {
        self.peers.iter_mut().find(|t| t.id == id)
    }

    /// The link of a peer.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<RemotePeerId> {
        self.peers.iter().find(|t| t.name == name).map(|t| t.id)
    }

    /// All links.
    pub fn peers(&mut self) -> impl Iterator<Item = &mut RemotePeer> {
        self.peers.iter_mut()
    }

    /// Gives back memory that is of no use while nothing happens.
    pub fn rest(&mut self) {
        self.peers.iter_mut().for_each(|peer| peer.link.rest());
    }

    /// Takes a packet that came to a socket of this side.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        id: RemotePeerId,
        local: SocketAddr,
        remote: SocketAddr,
        packet: &Packet<'_>,
    ) -> Handled {
        // An answer may be to a check that went out before its call had a link of its own.
        let owner = self.peers.iter().find(|t| t.id == id || t.before == Some(id)).map(|t| t.id);
        let Some(peer) = owner.and_then(|id| self.peer(id)) else { return Handled::REFUSED };
        let id = peer.id;
        let handled = peer.link.handle_packet(now, local, remote, packet);
        self.collect(now, id);
        handled
    }

    /// Takes a datagram that the hub has relayed.
    pub fn handle_relayed(&mut self, now: Instant, number: u16, datagram: &[u8]) -> Handled {
        let Some((local, remote)) = self.frames.get(&number).copied() else {
            return Handled::REFUSED;
        };
        let owner = self.peers.iter().find(|t| t.link.has_local(local)).map(|t| t.id);
        // What a call carries is no frame of another one.
        let packet = Packet::parse(datagram).filter(|p| !matches!(p, Packet::ChannelData(..)));
        match owner.zip(packet) {
            Some((id, packet)) => self.handle_packet(now, id, local, remote, &packet),
            None => Handled::REFUSED,
        }
    }

    /// The operating system refused to send by this way.
    pub fn send_failed(&mut self, local: SocketAddr, remote: SocketAddr) {
        self.peers.iter_mut().for_each(|t| t.link.send_failed(local, remote));
    }

    /// Lets time pass: transports' timers and escalations' steps.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.drop_early(now);
        // A remote peer that takes the place of one that ends here has its turn the next time.
        for position in 0.. {
            let Some(peer) = self.peers.get_mut(position) else { break };
            let id = peer.id;
            if peer.link.poll_timeout(now).is_some_and(|t| t <= now) {
                peer.link.handle_timeout(now);
            }
            self.collect(now, id);
            self.escalate(now, id);
        }
    }

    /// Hands queued messages to the transports.
    pub fn pump(&mut self, now: Instant) {
        while self.pump_some(now) {}
    }

    /// [`Rendezvous::pump`] in portions: true if what is ready had better be sent first.
    pub fn pump_some(&mut self, now: Instant) -> bool {
        let mut more = false;
        for position in 0.. {
            let Some(peer) = self.peers.get_mut(position) else { break };
            let id = peer.id;
            more |= peer.link.pump_some(now);
            self.collect(now, id);
        }
        more
    }

    /// When [`Rendezvous::handle_timeout`] is due.
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let reachable = self.reachable;
        let early = self.early.front().map(|(since, _)| *since + EARLY_TIME);
        let peers = self.peers.iter_mut().filter_map(|t| t.poll_timeout(now, reachable));
        peers.chain(early).min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<RoutedTransmit> {
        if let Some(last) = self.closing_transmits.pop_front() {
            return Some(last);
        }
        loop {
            let out = self.peers.iter_mut().find_map(|t| Some((t.id, t.link.poll_transmit()?)));
            let (id, out) = out?;
            if let Some(transmit) = self.routed(id, out) {
                return Some(transmit);
            }
        }
    }

    /// By which way a datagram leaves; `None` if there is none: a channel that the hub has not
    /// given, or a pair of which one end is a relay and the other is not, for ICE pairs all.
    fn routed(&self, id: RemotePeerId, out: Transmit) -> Option<RoutedTransmit> {
        match (is_relay(out.local.ip()), is_relay(out.remote.ip())) {
            (false, false) => Some(RoutedTransmit::Datagram(id, out)),
            (true, true) => {
                let number = *self.relays.get(&out.local)?;
                Some(RoutedTransmit::Frame(number, out.datagram))
            }
            _ => None,
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<(RemotePeerId, RemotePeerEvent)> {
        self.events.pop_front()
    }

    /// What the hub is to be told next.
    pub fn poll_to_hub(&mut self) -> Option<ToHub> {
        self.to_hub.pop_front()
    }

    /// A signal message that was refused, in words for people.
    pub fn poll_refusal(&mut self) -> Option<String> {
        self.refusals.pop_front()
    }

    /// Says whether the hub can be told something: by the peer's link to it, or over HTTP. A hub
    /// that is new may have forgotten which calls it relays; and who has no path to this side may
    /// not know where it is now.
    pub fn set_reachable(&mut self, now: Instant, reachable: bool) {
        self.reachable = reachable;
        for id in self.ids() {
            if reachable && self.peer(id).is_some_and(|t| t.up && !t.is_alive()) {
                self.announce(now, id);
            }
        }
        if reachable && self.config.relay {
            for peer in &mut self.peers {
                let to = peer.name.clone();
                let request = |call: &str| ToHub::Relay { to: to.clone(), call: call.to_owned() };
                let calls: Vec<_> = peer.link.transports().map(|t| request(t.call())).collect();
                self.to_hub.extend(calls);
            }
        }
    }

    /// Notes what is wrong with the way to the hub: who waits for a call in vain is told.
    pub fn set_hub_trouble(&mut self, trouble: Option<String>) {
        self.hub_trouble = trouble;
    }

    /// Channels of the hub that are held for calls.
    #[must_use]
    pub fn relay_channels(&self) -> usize {
        self.numbers.len()
    }

    /// Whether a transport uses this socket.
    #[must_use]
    pub fn has_local(&self, local: SocketAddr) -> bool {
        self.peers.iter().any(|t| t.link.has_local(local))
    }

    fn ids(&self) -> Vec<RemotePeerId> {
        self.peers.iter().map(|t| t.id).collect()
    }

    /// Whether there is room for one more link. Calls of others that have not come up make some,
    /// the oldest first: whoever writes signal messages that lead nowhere keeps nobody else out.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.peers.len() < self.config.max_links {
            return true;
        }
        let idle = self.peers.iter().filter(|t| !t.up && !t.ours).map(|t| t.id).min();
        let Some(id) = idle else { return false };
        let name = self.peer(id).map(|t| t.name.clone()).unwrap_or_default();
        self.remove(now, id, Some(DialError::GivenUp(name)));
        true
    }

    fn add_peer(
        &mut self,
        now: Instant,
        name: &str,
        ours: bool,
    ) -> Result<&mut RemotePeer, DialError> {
        let id = RemotePeerId(self.next_id);
        self.next_id += 1;
        // Without what is known of it a link would take and give numbers that are taken.
        let records = std::mem::take(&mut self.records);
        let (last, others): (VecDeque<_>, _) = records.into_iter().partition(|(of, _)| of == name);
        self.records = others;
        let last = last.into_iter().map(|(_, record)| record).collect();
        let saved = self
            .journal_lookup
            .as_mut()
            .map(|journal_lookup| (journal_lookup.0)(name, last))
            .transpose();
        let saved = saved.map_err(DialError::Journal)?;
        self.peers.push(RemotePeer::new(now, id, name, ours, &self.config, saved));
        Ok(self.peers.last_mut().expect("one has just been pushed"))
    }

    /// Forgets a link. `why` is told to the driver.
    fn remove(&mut self, now: Instant, id: RemotePeerId, why: Option<DialError>) {
        let Some(position) = self.peers.iter().position(|t| t.id == id) else { return };
        let mut peer = self.peers.swap_remove(position);
        // What was taken at the last moment must not come again.
        peer.link.pump(now);
        while let Some(record) = peer.link.poll_record() {
            self.records.push_back((peer.name.clone(), record));
        }
        let calls: Vec<_> = peer.link.transports().map(|t| t.call().to_owned()).collect();
        peer.link.close(now);
        while let Some(out) = peer.link.poll_transmit() {
            let last = self.routed(id, out);
            self.closing_transmits.extend(last);
        }
        calls.into_iter().for_each(|call| self.end_call(call));
        self.changed = true;
        if let Some(why) = why {
            self.events.push_back((id, RemotePeerEvent::Ended(why)));
        }
    }

    /// Notes a channel that the hub has handed out.
    pub(super) fn add_number(&mut self, now: Instant, call: String, number: u16) {
        if call.len() > MAX_CALL || !frame::is_frame(&number.to_be_bytes()) {
            return;
        }
        let known = self.peers.iter_mut().any(|t| t.link.transport_of(&call).is_some());
        if !known && !self.is_early(&call) {
            self.early.push_back((now, call.clone()));
        }
        self.numbers.retain(|_, n| *n != number);
        self.numbers.insert(call, number);
        self.index_numbers();
        self.drop_early(now);
    }

    /// Frees channels whose offer does not come: its writer has dropped it meanwhile, or the hub
    /// has made them up.
    fn drop_early(&mut self, now: Instant) {
        while let Some((since, _)) = self.early.front() {
            let late = now.saturating_duration_since(*since) >= EARLY_TIME;
            if !late && self.early.len() <= self.config.max_links {
                break;
            }
            let oldest = self.early.pop_front();
            oldest.into_iter().for_each(|(_, call)| self.end_call(call));
        }
    }

    fn is_early(&self, call: &str) -> bool {
        self.early.iter().any(|(_, c)| c == call)
    }

    /// Frees the hub's channel of a call.
    fn end_call(&mut self, call: String) {
        if self.numbers.remove(&call).is_some() {
            self.index_numbers();
            self.to_hub.push_back(ToHub::End { call });
        }
    }

    /// Finds the ends of the hub's channels anew: when a number or a transport has come or gone.
    fn index_numbers(&mut self) {
        self.relays.clear();
        self.frames.clear();
        for (call, number) in &self.numbers {
            let (one, two) = relay_addresses(call);
            let ours = |a: &SocketAddr| self.peers.iter().any(|t| t.link.has_local(*a));
            let Some(local) = [one, two].into_iter().find(ours) else { continue };
            let remote = if local == one { two } else { one };
            self.relays.insert(local, *number);
            self.frames.insert(*number, (local, remote));
            self.early.retain(|(_, c)| c != call);
        }
    }

    /// Whether transports or credentials have changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Frees the channels of calls that have no transport any more.
    fn tidy_numbers(&mut self) {
        if self.numbers.is_empty() {
            return;
        }
        let live: HashSet<String> = self
            .peers
            .iter_mut()
            .flat_map(|t| t.link.transports().map(|t| t.call().to_owned()).collect::<Vec<_>>())
            .collect();
        let is_over = |c: &&String| !live.contains(*c) && !self.is_early(c);
        let over: Vec<_> = self.numbers.keys().filter(is_over).cloned().collect();
        over.into_iter().for_each(|call| self.end_call(call));
    }
}

/// The longest name of a call, as at the hub: twice what 128 bits take in hexadecimal.
const MAX_CALL: usize = 64;

/// The hub hands out a call's channel a moment before it passes on the offer.
const EARLY_TIME: Duration = Duration::from_secs(10);
