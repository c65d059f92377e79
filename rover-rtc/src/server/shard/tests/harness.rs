//! Shards, peers, and time that passes when a test says so.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::config::ServerConfig;
use crate::identity::{Identity, KnownPeers};
use crate::link::{ChannelConfig, Link, LinkEvent, Message, OutboxConfig, Transport};
use crate::model::client::ClientId;
use crate::path::{LocalAddress, PathConfig, frame};
use crate::server::Hub;
use crate::server::hub::sessions::Requester;
use crate::server::registry::known_names::KnownNames;
use crate::server::shard::router::HubShared;
use crate::session::SessionConfig;
use crate::signal::description::{Description, Rover};
use crate::signal::hub_messages::{CHANNEL, FromHub, ToHub};
use crate::util::{clock, random};

pub(in crate::server) struct Harness {
    pub(in crate::server) now: Instant,
    pub(in crate::server) hubs: Vec<Hub>,
    pub(in crate::server) nodes: Vec<Node>,
    /// No queue between shards has room.
    pub(in crate::server) full: bool,
    /// Notes carried.
    pub(in crate::server) carried: usize,
    /// How long a datagram takes.
    pub(in crate::server) delay: Duration,
    /// The largest message that those take who join.
    pub(in crate::server) max_message: usize,
    /// And on plain channels.
    pub(in crate::server) plain_message: u32,
    flying: VecDeque<Datagram>,
    shared: Arc<HubShared>,
}

/// When it arrives, where from, where to, and what is in it.
type Datagram = (Instant, SocketAddr, SocketAddr, Vec<u8>);

pub(in crate::server) struct Node {
    pub(in crate::server) link: Link,
    pub(in crate::server) shard: usize,
    pub(in crate::server) frames: Vec<(u16, Vec<u8>)>,
    /// Nothing gets through.
    pub(in crate::server) cut: bool,
    local: SocketAddr,
    pub(in crate::server) session: String,
    name: Option<String>,
    identity: Identity,
    heard: Vec<(String, Message)>,
    /// Pieces that it was told are lost.
    pub(in crate::server) lost: u64,
    sent: Vec<Vec<u8>>,
}

impl Harness {
    pub(in crate::server) fn new(shards: usize, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = ServerConfig::default();
        change(&mut config);
        let now = clock::now();
        let shared = Arc::new(HubShared::new(shards));
        let known = KnownNames::new(KnownPeers::in_memory());
        let hub = |shard| {
            let router = (shard, shared.clone());
            Hub::of_shard(now, config.clone(), vec![address(shard)], known.clone(), router)
        };
        let hubs = (0..shards).map(hub).collect();
        let (nodes, flying, delay) = (Vec::new(), VecDeque::new(), Duration::ZERO);
        let max_message = crate::link::MAX_MESSAGE;
        let plain_message = crate::session::DEFAULT_MAX_MESSAGE_SIZE;
        Self {
            now,
            hubs,
            nodes,
            full: false,
            carried: 0,
            delay,
            max_message,
            plain_message,
            flying,
            shared,
        }
    }

    /// Two names that belong to different shards.
    pub(in crate::server) fn names(&self) -> [String; 2] {
        let name = |shard| {
            let mut names = (0..).map(|number| format!("rover-{number}"));
            names.find(|name| self.shared.of_name(name) == shard).unwrap()
        };
        [name(0), name(1)]
    }

    pub(in crate::server) fn join(&mut self, channels: &[ChannelConfig]) -> usize {
        self.try_join(None, channels, None).unwrap()
    }

    pub(in crate::server) fn join_named(&mut self, name: &str) -> usize {
        self.try_join(Some(name), &[ChannelConfig::plain(CHANNEL)], None).unwrap()
    }

    pub(in crate::server) fn try_join(
        &mut self,
        name: Option<&str>,
        channels: &[ChannelConfig],
        replaces: Option<&str>,
    ) -> Result<usize, u16> {
        let mut link = Link::new(OutboxConfig::default(), 16);
        link.set_max_message(self.max_message);
        for channel in channels {
            link.open(self.now, channel.clone());
        }
        let node = Node {
            link,
            shard: 0,
            frames: Vec::new(),
            cut: false,
            local: SocketAddr::from(([10, 1, 0, 1], 5_000 + self.nodes.len() as u16)),
            session: String::new(),
            name: name.map(str::to_owned),
            identity: Identity::fresh().unwrap(),
            heard: Vec::new(),
            lost: 0,
            sent: Vec::new(),
        };
        self.nodes.push(node);
        let node = self.nodes.len() - 1;
        self.dial(node, replaces.map(str::to_owned)).map(|()| node)
    }

    /// Goes over to a new transport, from another port.
    pub(in crate::server) fn redial(&mut self, node: usize) {
        let Node { session, local, .. } = &mut self.nodes[node];
        local.set_port(local.port() + 100);
        let replaces = Some(session.clone());
        self.dial(node, replaces).unwrap();
    }

    fn dial(&mut self, node: usize, replaces: Option<String>) -> Result<(), u16> {
        let Node { link, local, name, identity, .. } = &mut self.nodes[node];
        let mut session = SessionConfig::new(random::ice_credentials());
        session.certificate = Some(identity.dtls());
        session.max_message_size = self.plain_message;
        let paths = PathConfig::default();
        let mut transport = Transport::new(self.now, session, paths, true, random::number());
        transport.add_local(self.now, LocalAddress::host(*local));
        let sdp = link.dial(self.now, transport).unwrap();
        let rover = Rover {
            version: 1,
            name: name.clone(),
            certificate: name.as_ref().map(|_| BASE64.encode(identity.certificate())),
            replaces,
            ..Rover::default()
        };
        let offer = Description::offer(sdp, Some(rover));
        let shard = self.shared.of_offer(&offer);
        let asker = Requester { from: *local, authorization: None };
        let reply = self.hubs[shard].create(self.now, &offer, false, true, &asker);
        self.hubs[shard].relay(self.now);
        let (status, body) = reply.parts();
        if status != 201 {
            return Err(status);
        }
        let answer: serde_json::Value = serde_json::from_slice(body).unwrap();
        link.accept_answer(self.now, answer["sdp"].as_str().unwrap()).unwrap();
        let node = &mut self.nodes[node];
        node.session = answer["rover"]["session"].as_str().unwrap().to_owned();
        assert_eq!(self.shared.of_session(&node.session), Some(shard));
        node.shard = shard;
        Ok(())
    }

    /// A client as its hub knows it.
    pub(in crate::server) fn client(&self, node: usize) -> ClientId {
        let Node { shard, session, .. } = &self.nodes[node];
        self.hubs[*shard].sessions[session]
    }

    /// Its hub forgets somebody, who does not hear of that.
    pub(in crate::server) fn forget(&mut self, node: usize) {
        let id = self.client(node);
        self.hubs[self.nodes[node].shard].remove(self.now, id);
    }

    pub(in crate::server) fn leave(&mut self, node: usize) {
        self.nodes[node].link.close(self.now);
    }

    pub(in crate::server) fn send(&mut self, node: usize, label: &str, number: u64) {
        self.push(node, label, Message::binary(number.to_le_bytes().to_vec()));
    }

    pub(in crate::server) fn send_bytes(&mut self, node: usize, label: &str, bytes: usize) {
        self.push(node, label, Message::binary(vec![0; bytes]));
    }

    pub(in crate::server) fn say(&mut self, node: usize, text: &ToHub) {
        self.push(node, CHANNEL, Message::text(serde_json::to_string(text).unwrap()));
    }

    fn push(&mut self, node: usize, label: &str, message: Message) {
        let link = &mut self.nodes[node].link;
        let id = link.channel(label).unwrap();
        link.outbox(id).unwrap().try_push(self.now, message).unwrap();
    }

    pub(in crate::server) fn frame(&mut self, node: usize, number: u16, data: &[u8]) {
        let mut datagram = Vec::new();
        frame::write(&mut datagram, number, data);
        self.nodes[node].sent.push(datagram);
    }

    /// Offers a session from an address, and does nothing more; returns the status.
    pub(in crate::server) fn offer(&mut self, from: [u8; 4], token: Option<&str>) -> u16 {
        let mut link = Link::new(OutboxConfig::default(), 16);
        link.open(self.now, ChannelConfig::plain("test"));
        let session = SessionConfig::new(random::ice_credentials());
        let paths = PathConfig::default();
        let mut transport = Transport::new(self.now, session, paths, true, random::number());
        let local = SocketAddr::from((from, 7_000));
        transport.add_local(self.now, LocalAddress::host(local));
        let sdp = link.dial(self.now, transport).unwrap();
        let offer = Description::offer(sdp, None);
        let shard = self.shared.of_offer(&offer);
        let authorization = token.map(|token| format!("Bearer {token}"));
        let asker = Requester { from: local, authorization: authorization.as_deref() };
        let reply = self.hubs[shard].create(self.now, &offer, false, true, &asker);
        let (status, _) = reply.parts();
        assert_eq!(status == 201, !reply.has_retry_after(), "{status}");
        status
    }

    /// Half-open clients of all hubs.
    pub(in crate::server) fn half_open(&self) -> usize {
        self.hubs.iter().map(|hub| hub.half_open.len()).sum()
    }

    /// Sends the hub something in somebody's address.
    pub(in crate::server) fn forge(&mut self, node: usize, datagram: &[u8]) {
        let Node { local, shard, .. } = &self.nodes[node];
        let arrival = (self.now, *local, address(*shard), datagram.to_vec());
        self.flying.push_back(arrival);
    }

    /// What the hub has told somebody since.
    pub(in crate::server) fn texts(&mut self, node: usize) -> Vec<FromHub> {
        let heard = self.nodes[node].heard.extract_if(.., |(label, _)| label == CHANNEL);
        heard.map(|(_, m)| serde_json::from_slice(&m.data).unwrap()).collect()
    }

    /// The status that clients get.
    pub(in crate::server) fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&self.hubs[0].status(self.now, 100)).unwrap()
    }

    /// Lets time pass.
    pub(in crate::server) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            while self.carry() {}
            self.now += Duration::from_millis(1);
            for hub in &mut self.hubs {
                if hub.poll_timeout() <= self.now {
                    hub.handle_timeout(self.now);
                }
            }
            for node in &mut self.nodes {
                if node.link.poll_timeout(self.now).is_some_and(|at| at <= self.now) {
                    node.link.handle_timeout(self.now);
                }
            }
        }
        while self.carry() {}
    }

    /// Carries what is on its way; false if that is nothing.
    fn carry(&mut self) -> bool {
        self.poll_people();
        let mut any = self.poll_hubs();
        while self.flying.front().is_some_and(|(due, ..)| *due <= self.now) {
            let Some((_, from, to, datagram)) = self.flying.pop_front() else { break };
            any = true;
            self.arrive(from, to, &datagram);
        }
        any
    }

    fn poll_people(&mut self) {
        let (now, due) = (self.now, self.now + self.delay);
        for Node { link, local, cut, heard, lost, sent, shard, .. } in &mut self.nodes {
            link.pump(now);
            while let Some(event) = link.poll_event() {
                match event {
                    LinkEvent::Message(id, message) => {
                        heard.push((link.label(id).unwrap().to_owned(), message));
                    }
                    LinkEvent::Gap { lost: pieces, .. } => *lost += pieces.unwrap_or(1),
                    _ => {}
                }
            }
            let out = std::iter::from_fn(|| link.poll_transmit());
            let mut out: Vec<_> = out.map(|o| (due, o.local, o.remote, o.datagram)).collect();
            out.extend(sent.drain(..).map(|datagram| (due, *local, address(*shard), datagram)));
            self.flying.extend(out.into_iter().filter(|_| !*cut));
        }
    }

    /// True if messages were carried.
    fn poll_hubs(&mut self) -> bool {
        let Self { now, hubs, full, carried, flying, delay, .. } = self;
        let mut any = false;
        for at in 0..hubs.len() {
            hubs[at].relay(*now);
            for to in hubs[at].router.waiting().collect::<Vec<_>>() {
                let batch = hubs[at].router.poll(to);
                if *full {
                    hubs[at].router.put_back(to, batch);
                } else {
                    any = true;
                    *carried += batch.len();
                    hubs[to].handle_shard_messages(*now, at, batch);
                }
            }
            let out = std::iter::from_fn(|| hubs[at].poll_transmit());
            flying.extend(out.map(|o| (*now + *delay, o.local, o.remote, o.datagram)));
        }
        any
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        if let Some(hub) = self.hubs.get_mut(usize::from(to.port()) - PORT) {
            return hub.handle_datagram(self.now, to, from, datagram);
        }
        let near = |p: &&mut Node| p.local == to || p.link.has_local(to);
        let Some(node) = self.nodes.iter_mut().find(near).filter(|p| !p.cut) else { return };
        match frame::read(datagram) {
            Some((number, data)) => node.frames.push((number, data.to_vec())),
            None => drop(node.link.handle_datagram(self.now, to, from, datagram)),
        }
    }
}

/// What somebody has got on a channel.
pub(in crate::server) fn numbers(node: &Node, label: &str) -> Vec<u64> {
    let heard = node.heard.iter().filter(|(l, m)| l == label && m.data.len() == 8);
    heard.map(|(_, m)| u64::from_le_bytes(m.data[..].try_into().unwrap())).collect()
}

fn address(shard: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], (PORT + shard) as u16))
}

const PORT: usize = 4_000;
