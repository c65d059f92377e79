//! Peers that find each other by a hub, in virtual time: a network, a hub, and a checker.

mod hub;
mod node;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rover_rtc::identity::Identity;
use rover_rtc::rendezvous::{RendezvousConfig, RoutedTransmit};
use rover_rtc::util::clock;

pub use hub::{Hub, Mail};
pub use node::{Node, Note, config};

use crate::net::{Edge, Net, Random};
use crate::pair::{MS, Report, SECOND};

pub struct Network {
    pub now: Instant,
    pub net: Net,
    pub hub: Hub,
    pub nodes: Vec<Node>,
    /// How new addresses are joined to those of others; `None` if they cannot reach them.
    pub edge: Option<Edge>,
    pub random: Random,
    pub seed: u64,
    next_ip: u32,
}

pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 2;

impl Network {
    /// Peers `a`, `b` and so on, with one address each, registered at the hub.
    pub fn new(seed: u64, nodes: usize) -> Self {
        let mut network = Self::empty(seed);
        for name in &NAMES[..nodes] {
            network.settle_in(config(name), 1);
        }
        network.run_for(SECOND);
        network
    }

    pub fn empty(seed: u64) -> Self {
        Self {
            now: clock::now(),
            net: Net::new(seed),
            hub: Hub::new(seed),
            nodes: Vec::new(),
            edge: Some(Edge::default()),
            random: Random::new(seed ^ 0x746f_776e),
            seed,
            next_ip: 1,
        }
    }

    /// Two peers that are connected and send messages to each other.
    pub fn talking(seed: u64) -> Self {
        Self::new(seed, 2).joined()
    }

    /// The same, where the hub does not relay.
    pub fn direct(seed: u64) -> Self {
        let mut network = Self::new(seed, 2);
        network.hub.relays = false;
        network.joined()
    }

    fn joined(self) -> Self {
        let seed = self.seed;
        let mut network = self;
        network.dial(A, B);
        assert!(network.run(10 * SECOND, |t| t.is_open(A, B)), "no link, seed {seed}");
        network.talk(A, B, 10 * MS);
        network.run_for(3 * SECOND);
        network
    }

    /// A new peer, with some addresses.
    pub fn settle_in(&mut self, config: RendezvousConfig, addresses: usize) -> usize {
        let who = self.nodes.len();
        self.nodes.push(Node::new(self.now, config));
        self.hub.wired.push(true);
        (0..addresses).for_each(|_| {
            self.add_address(who);
        });
        self.nodes[who].follow(self.now);
        self.reach(who, 20 * MS);
        who
    }

    /// Another address of a peer; to be followed by [`Node::follow`].
    pub fn add_address(&mut self, who: usize) -> IpAddr {
        self.next_ip += 1;
        let [_, b, c, d] = self.next_ip.to_be_bytes();
        let ip = IpAddr::from([10, b, c, d]);
        if let Some(edge) = &self.edge {
            for other in self.nodes.iter().enumerate().filter(|(i, _)| *i != who) {
                for far in &other.1.ips {
                    self.net.join(ip, *far, edge.clone());
                }
            }
        }
        self.nodes[who].ips.push(ip);
        ip
    }

    /// All addresses of a peer go.
    pub fn lose_addresses(&mut self, who: usize) {
        for ip in std::mem::take(&mut self.nodes[who].ips) {
            self.net.edges.retain(|(a, b), _| *a != ip && *b != ip);
        }
        self.nodes[who].follow(self.now);
    }

    pub fn dial(&mut self, from: usize, to: usize) {
        let name = self.nodes[to].name.clone();
        self.nodes[from].peers.dial(self.now, &name, 60 * SECOND).unwrap();
    }

    /// Messages both ways from now on.
    pub fn talk(&mut self, one: usize, two: usize, every: Duration) {
        for (from, to) in [(one, two), (two, one)] {
            let name = self.nodes[to].name.clone();
            let stream = self.nodes[from].streams.entry(name).or_default();
            (stream.every, stream.next) = (Some(every), Some(self.now));
        }
    }

    /// The process of the hub dies. Peers notice by their links.
    pub fn kill_hub(&mut self) {
        self.hub.die();
        (0..self.nodes.len()).for_each(|who| self.reach(who, 200 * MS));
    }

    /// A new process of the hub, which knows nothing.
    pub fn start_hub(&mut self) {
        self.hub.up = true;
        (0..self.nodes.len()).for_each(|who| self.reach(who, 500 * MS));
    }

    /// Cuts a peer off from the hub, or joins them again.
    pub fn wire(&mut self, who: usize, wired: bool) {
        self.hub.wired[who] = wired;
        self.reach(who, 200 * MS);
    }

    fn reach(&mut self, who: usize, most: Duration) {
        let reach = self.hub.up && self.hub.wired[who] && self.nodes[who].runs;
        let due = self.now + self.random.time(most);
        self.hub.schedule(due, Mail::Reach(who, reach));
    }

    /// The process of a peer dies without a word.
    pub fn kill(&mut self, who: usize) {
        self.nodes[who].runs = false;
    }

    /// A new process of it.
    pub fn revive(&mut self, who: usize, identity: Arc<Identity>) {
        let name = self.nodes[who].name.clone();
        let node = &mut self.nodes[who];
        node.runs = true;
        node.restart(self.now, config(&name), identity);
        self.reach(who, 200 * MS);
    }

    pub fn is_open(&mut self, one: usize, two: usize) -> bool {
        [(one, two), (two, one)].into_iter().all(|(from, to)| {
            let name = self.nodes[to].name.clone();
            self.nodes[from].is_open(&name)
        })
    }

    pub fn run_for(&mut self, time: Duration) {
        self.run(time, |_| false);
    }

    /// Runs until `done` or for `time`.
    pub fn run(&mut self, time: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + time;
        loop {
            self.turn();
            if done(self) {
                return true;
            }
            let mut next = end;
            for node in self.nodes.iter_mut().filter(|p| p.runs) {
                let streams = node.streams.values().filter(|s| s.every.is_some());
                let streams = streams.filter_map(|s| s.next).min();
                let peers = node.peers.poll_timeout(self.now);
                next = [streams, peers].into_iter().flatten().fold(next, Instant::min);
            }
            let others = [self.net.next(), self.hub.next()];
            next = others.into_iter().flatten().fold(next, Instant::min);
            if next >= end {
                self.now = end;
                self.turn();
                return done(self);
            }
            self.now = next.max(self.now + Duration::from_nanos(100));
        }
    }

    fn turn(&mut self) {
        let now = self.now;
        while let Some(packet) = self.net.pop(now) {
            for node in &mut self.nodes {
                node.on_datagram(now, packet.to, packet.from, &packet.data);
            }
        }
        while let Some(mail) = self.hub.pop(now) {
            let (Mail::Down(who, _)
            | Mail::Frame(who, ..)
            | Mail::Reach(who, _)
            | Mail::Up(who, _)) = mail;
            let node = &mut self.nodes[who];
            if !node.runs {
                continue;
            }
            match mail {
                Mail::Down(_, text) => node.peers.handle_hub_message(now, text),
                Mail::Frame(_, number, data) => {
                    node.peers.handle_relayed(now, number, &data);
                }
                Mail::Reach(_, reach) => {
                    if reach {
                        self.hub.register(now, who, &node.name);
                    }
                    node.peers.set_reachable(now, reach);
                }
                Mail::Up(..) => {}
            }
        }
        for who in 0..self.nodes.len() {
            let node = &mut self.nodes[who];
            if !node.runs {
                continue;
            }
            node.turn(now);
            check(node, self.seed);
            while let Some(request) = node.peers.poll_to_hub() {
                self.hub.ask(now, who, request);
            }
            while let Some(transmit) = node.peers.poll_transmit() {
                match transmit {
                    RoutedTransmit::Datagram(id, out) => {
                        node.note_sent(id, &out.datagram);
                        self.net.send(now, out.local, out.remote, out.datagram);
                    }
                    RoutedTransmit::Frame(number, data) => self.hub.frame(now, who, number, data),
                }
            }
        }
    }

    /// What `to` got of what `from` sent.
    pub fn check(&self, from: usize, to: usize) -> Report {
        let (one, two) = (&self.nodes[from], &self.nodes[to]);
        let none = Vec::new();
        let got = two.got.get(&one.name).unwrap_or(&none);
        let sent = one.streams.get(&two.name).map_or(&[][..], |s| &s.sent);
        Report::of(got, sent, self.now, self.seed)
    }

    /// Stops all streams and lets what is under way arrive.
    pub fn settle(&mut self, time: Duration) {
        for stream in self.nodes.iter_mut().flat_map(|p| p.streams.values_mut()) {
            stream.every = None;
        }
        self.run_for(time);
    }

    /// Both ways between the first two.
    pub fn reports(&mut self) -> [Report; 2] {
        self.settle(3 * SECOND);
        [self.check(A, B), self.check(B, A)]
    }
}

/// What must hold at any time.
fn check(node: &mut Node, seed: u64) {
    let mut names = HashSet::new();
    for peer in node.peers.peers() {
        assert!(names.insert(peer.name().to_owned()), "two links with {}", peer.name());
        let mut pairs = HashSet::new();
        if peer.link().next_transport().is_none() {
            continue;
        }
        for transport in peer.link().transports() {
            for path in transport.paths().iter() {
                let pair = (path.local(), path.remote());
                assert!(pairs.insert(pair), "two transports on {pair:?}, seed {seed}");
            }
        }
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
