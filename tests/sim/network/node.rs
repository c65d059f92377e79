//! One peer of the network: what its driver does, without sockets and clock.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rover_rtc::DialError;
use rover_rtc::identity::{Identity, KnownPeers};
use rover_rtc::link::{ChannelConfig, LinkEvent, Message, Transport};
use rover_rtc::path::{LocalAddress, Packet, PathConfig, PathEvent};
use rover_rtc::recovery::RecoveryConfig;
use rover_rtc::rendezvous::{RemotePeerEvent, RemotePeerId, Rendezvous, RendezvousConfig};
use rover_rtc::session::Pace;
use str0m::ice::{StunMessage, TransId};

/// What a peer's driver would tell the application about a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    Up,
    Called,
    Dead,
    Revived,
    Restarting,
    Dialing,
    Closed,
    Trouble(String),
    Ended(DialError),
}

/// A stream of numbered messages to another peer.
#[derive(Debug, Default)]
pub struct Stream {
    pub every: Option<Duration>,
    pub next: Option<Instant>,
    pub sent: Vec<Instant>,
}

pub struct Node {
    pub name: String,
    pub identity: Arc<Identity>,
    pub peers: Rendezvous,
    /// Addresses of its interfaces.
    pub ips: Vec<IpAddr>,
    pub sockets: Vec<SocketAddr>,
    shared: Vec<SocketAddr>,
    /// Public addresses of sockets, once they are known.
    pub mapped: HashMap<SocketAddr, SocketAddr>,
    next_port: u16,
    transactions: HashMap<TransId, RemotePeerId>,
    /// What happened, and on the link with whom.
    pub notes: Vec<(Instant, String, Note)>,
    pub refusals: Vec<String>,
    pub streams: HashMap<String, Stream>,
    pub got: HashMap<String, Vec<(Instant, u64)>>,
    names: HashMap<RemotePeerId, String>,
    /// Its process runs.
    pub runs: bool,
}

pub fn config(name: &str) -> RendezvousConfig {
    RendezvousConfig {
        name: name.to_owned(),
        path: PathConfig::default(),
        recovery: RecoveryConfig::default(),
        pace: Pace::OURS,
        channels: vec![ChannelConfig::new("test")],
        max_message: rover_rtc::link::MAX_MESSAGE,
        max_channels: 8,
        max_links: 8,
        relay: true,
        relay_only: false,
    }
}

impl Node {
    pub fn new(now: Instant, config: RendezvousConfig) -> Self {
        let identity = Arc::new(Identity::fresh().unwrap());
        let name = config.name.clone();
        let known = KnownPeers::in_memory();
        let peers = Rendezvous::new(now, UNIX, config, Arc::clone(&identity), known);
        Self {
            name,
            identity,
            peers,
            ips: Vec::new(),
            sockets: Vec::new(),
            shared: Vec::new(),
            mapped: HashMap::new(),
            next_port: 4000,
            transactions: HashMap::new(),
            notes: Vec::new(),
            refusals: Vec::new(),
            streams: HashMap::new(),
            got: HashMap::new(),
            names: HashMap::new(),
            runs: true,
        }
    }

    /// Its process ends without a word and begins anew, as `identity`, who knows nobody.
    pub fn restart(&mut self, now: Instant, config: RendezvousConfig, identity: Arc<Identity>) {
        let known = KnownPeers::in_memory();
        self.peers = Rendezvous::new(now, UNIX, config, Arc::clone(&identity), known);
        self.identity = identity;
        self.sockets.clear();
        self.shared.clear();
        self.names.clear();
        self.follow(now);
    }

    fn bind(&mut self, ip: IpAddr) -> SocketAddr {
        self.next_port += 1;
        let socket = SocketAddr::new(ip, self.next_port);
        self.sockets.push(socket);
        socket
    }

    /// Brings the sockets in line with the addresses of the interfaces.
    pub fn follow(&mut self, now: Instant) {
        let ips = self.ips.clone();
        self.sockets.retain(|s| ips.contains(&s.ip()));
        self.shared.retain(|s| ips.contains(&s.ip()));
        for ip in ips {
            if !self.shared.iter().any(|s| s.ip() == ip) {
                let socket = self.bind(ip);
                self.shared.push(socket);
            }
        }
        self.tell_local_addresses(now);
        self.peers.network_changed(now, true);
    }

    pub fn tell_local_addresses(&mut self, now: Instant) {
        let all = self.local_addresses(&self.sockets);
        self.peers.set_local_addresses(now, &all, &self.shared);
    }

    fn local_addresses(&self, sockets: &[SocketAddr]) -> Vec<LocalAddress> {
        let hosts = sockets.iter().map(|s| LocalAddress::host(*s));
        let seen = sockets.iter().filter_map(|s| Some((*s, *self.mapped.get(s)?)));
        hosts.chain(seen.map(|(s, public)| LocalAddress::reflexive(public, s))).collect()
    }

    pub fn id(&self, name: &str) -> Option<RemotePeerId> {
        self.peers.find(name)
    }

    /// Whether messages can flow to a peer.
    pub fn is_open(&mut self, name: &str) -> bool {
        let Some(peer) = self.id(name).and_then(|id| self.peers.peer(id)) else { return false };
        let open = peer.link().channel("test").is_some_and(|id| peer.link().is_open(id));
        open && peer.is_alive() && peer.link().next_transport().is_none()
    }

    /// How often something happened on the link with a peer.
    pub fn count(&self, name: &str, what: &dyn Fn(&Note) -> bool) -> usize {
        self.notes.iter().filter(|(_, n, note)| n == name && what(note)).count()
    }

    /// Whether a link that was up is being dialed anew.
    pub fn redials(&self, name: &str) -> bool {
        let last = self.notes.iter().rev().find(|(_, n, _)| n == name);
        self.count(name, &|n| *n == Note::Up) > 0 && last.is_some_and(|l| l.2 == Note::Dialing)
    }

    pub fn ended(&self, name: &str) -> Option<&DialError> {
        self.notes.iter().rev().find_map(|(_, n, note)| match note {
            Note::Ended(why) if n == name => Some(why),
            _ => None,
        })
    }

    pub fn on_datagram(&mut self, now: Instant, local: SocketAddr, from: SocketAddr, data: &[u8]) {
        if !self.runs || !self.sockets.contains(&local) {
            return;
        }
        if let Some(id) = self.owner(local, from, data)
            && let Some(packet) = Packet::parse(data)
        {
            self.peers.handle_packet(now, id, local, from, &packet);
        }
    }

    /// By user name, by transaction, or by source, as a driver tells it.
    fn owner(&mut self, local: SocketAddr, from: SocketAddr, data: &[u8]) -> Option<RemotePeerId> {
        if let Some(0..=3) = data.first() {
            let message = StunMessage::parse(data).ok()?;
            if let Some((user, _)) = message.split_username() {
                return self.whose(|t| t.paths().user_names().any(|name| name == user));
            }
            if let Some(id) = self.transactions.get(&message.trans_id()) {
                return Some(*id);
            }
        }
        self.whose(|t| t.paths().accepts_record(local, from))
    }

    fn whose(&mut self, wanted: impl Fn(&Transport) -> bool) -> Option<RemotePeerId> {
        self.peers.peers().find_map(|peer| {
            let found = peer.link().transports().any(|t| wanted(t));
            found.then_some(peer.id())
        })
    }

    pub fn note_sent(&mut self, id: RemotePeerId, data: &[u8]) {
        if data.get(..2) == Some(&[0, 1])
            && let Ok(message) = StunMessage::parse(data)
        {
            if self.transactions.len() > 4096 {
                self.transactions.clear();
            }
            self.transactions.insert(message.trans_id(), id);
        }
    }

    /// Timers, messages of the streams, and events.
    pub fn turn(&mut self, now: Instant) {
        if self.peers.poll_timeout(now).is_some_and(|t| t <= now) {
            self.peers.handle_timeout(now);
        }
        self.send_due(now);
        self.peers.pump(now);
        let mut over = false;
        while let Some((id, event)) = self.peers.poll_event() {
            over |= self.on_event(now, id, event);
        }
        while let Some(why) = self.peers.poll_refusal() {
            self.refusals.push(why);
        }
        if over {
            let used = |s: &SocketAddr| self.shared.contains(s) || self.peers.has_local(*s);
            let used: Vec<_> = self.sockets.iter().copied().filter(used).collect();
            self.sockets = used;
        }
    }

    fn send_due(&mut self, now: Instant) {
        for (name, stream) in &mut self.streams {
            let (Some(every), Some(next)) = (stream.every, stream.next) else { continue };
            if next > now {
                continue;
            }
            stream.next = Some(next + every);
            let Some(id) = self.peers.find(name) else { continue };
            let Some(peer) = self.peers.peer(id) else { continue };
            let Some(channel) = peer.link().channel("test") else { continue };
            let outbox = peer.link().outbox(channel).unwrap().clone();
            let text = format!("{} {} {}", self.name, stream.sent.len(), "x".repeat(80));
            if outbox.try_push(now, Message::text(text)).is_ok() {
                stream.sent.push(now);
            }
        }
    }

    /// True if a transport is over.
    fn on_event(&mut self, now: Instant, id: RemotePeerId, event: RemotePeerEvent) -> bool {
        let known = self.peers.peer(id).map(|t| t.name().to_owned());
        let name = known.or_else(|| self.names.get(&id).cloned()).unwrap_or_default();
        self.names.insert(id, name.clone());
        let note = match event {
            RemotePeerEvent::Wanted { fresh } => {
                let local_addresses = if fresh {
                    let sockets: Vec<_> = self.ips.clone().iter().map(|i| self.bind(*i)).collect();
                    self.local_addresses(&sockets)
                } else {
                    self.peers.local_addresses().to_vec()
                };
                self.peers.begin(now, id, &local_addresses);
                return false;
            }
            RemotePeerEvent::Released => return true,
            RemotePeerEvent::Called => Note::Called,
            RemotePeerEvent::Restarting => Note::Restarting,
            RemotePeerEvent::Dialing(_) => Note::Dialing,
            RemotePeerEvent::Trouble(why) => Note::Trouble(why),
            RemotePeerEvent::Ended(why) => Note::Ended(why),
            RemotePeerEvent::Link(LinkEvent::Message(_, message)) => {
                let text = String::from_utf8_lossy(&message.data);
                let mut words = text.split(' ');
                let (from, number) = (words.next().unwrap(), words.next().unwrap());
                assert_eq!(from, name, "a message of another peer");
                let number = number.parse().unwrap();
                self.got.entry(name).or_default().push((now, number));
                return false;
            }
            RemotePeerEvent::Link(LinkEvent::Connected) => Note::Up,
            RemotePeerEvent::Link(LinkEvent::TransportClosed(_)) => Note::Closed,
            RemotePeerEvent::Link(LinkEvent::Path(PathEvent::AllDead)) => Note::Dead,
            RemotePeerEvent::Link(LinkEvent::Path(PathEvent::Revived { .. })) => Note::Revived,
            _ => return false,
        };
        let over = matches!(note, Note::Up | Note::Closed | Note::Ended(_));
        if matches!(note, Note::Ended(_)) {
            self.names.remove(&id);
        }
        self.notes.push((now, name, note));
        over
    }
}

/// The time of the epoch at which the network begins.
const UNIX: u64 = 1_800_000_000_000_000_000;
