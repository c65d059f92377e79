//! Peers that find each other by a hub, in virtual time: a network, a hub, and a checker.

mod hub;
mod person;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rover_rtc::identity::Identity;
use rover_rtc::rendezvous::{RendezvousConfig, Transmit};
use rover_rtc::util::clock;

pub use hub::{Hub, Mail};
pub use person::{Note, Person, config};

use crate::net::{Edge, Net, Random};
use crate::pair::{MS, Report, SECOND};

pub struct Town {
    pub now: Instant,
    pub net: Net,
    pub hub: Hub,
    pub people: Vec<Person>,
    /// How new addresses are joined to those of others; `None` if they cannot reach them.
    pub edge: Option<Edge>,
    pub random: Random,
    pub seed: u64,
    next_ip: u32,
}

pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 2;

impl Town {
    /// Peers `a`, `b` and so on, with one address each, registered at the hub.
    pub fn new(seed: u64, people: usize) -> Self {
        let mut town = Self::empty(seed);
        for name in &NAMES[..people] {
            town.settle_in(config(name), 1);
        }
        town.run_for(SECOND);
        town
    }

    pub fn empty(seed: u64) -> Self {
        Self {
            now: clock::now(),
            net: Net::new(seed),
            hub: Hub::new(seed),
            people: Vec::new(),
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
        let mut town = Self::new(seed, 2);
        town.hub.relays = false;
        town.joined()
    }

    fn joined(self) -> Self {
        let seed = self.seed;
        let mut town = self;
        town.dial(A, B);
        assert!(town.run(10 * SECOND, |t| t.is_open(A, B)), "no link, seed {seed}");
        town.talk(A, B, 10 * MS);
        town.run_for(3 * SECOND);
        town
    }

    /// A new peer, with some addresses.
    pub fn settle_in(&mut self, config: RendezvousConfig, addresses: usize) -> usize {
        let who = self.people.len();
        self.people.push(Person::new(self.now, config));
        self.hub.wired.push(true);
        (0..addresses).for_each(|_| {
            self.add_address(who);
        });
        self.people[who].follow(self.now);
        self.reach(who, 20 * MS);
        who
    }

    /// Another address of a peer; to be followed by [`Person::follow`].
    pub fn add_address(&mut self, who: usize) -> IpAddr {
        self.next_ip += 1;
        let [_, b, c, d] = self.next_ip.to_be_bytes();
        let ip = IpAddr::from([10, b, c, d]);
        if let Some(edge) = &self.edge {
            for other in self.people.iter().enumerate().filter(|(i, _)| *i != who) {
                for far in &other.1.ips {
                    self.net.join(ip, *far, edge.clone());
                }
            }
        }
        self.people[who].ips.push(ip);
        ip
    }

    /// All addresses of a peer go.
    pub fn lose_addresses(&mut self, who: usize) {
        for ip in std::mem::take(&mut self.people[who].ips) {
            self.net.edges.retain(|(a, b), _| *a != ip && *b != ip);
        }
        self.people[who].follow(self.now);
    }

    pub fn dial(&mut self, from: usize, to: usize) {
        let name = self.people[to].name.clone();
        self.people[from].ties.dial(self.now, &name, 60 * SECOND).unwrap();
    }

    /// Messages both ways from now on.
    pub fn talk(&mut self, one: usize, two: usize, every: Duration) {
        for (from, to) in [(one, two), (two, one)] {
            let name = self.people[to].name.clone();
            let stream = self.people[from].streams.entry(name).or_default();
            (stream.every, stream.next) = (Some(every), Some(self.now));
        }
    }

    /// The process of the hub dies. Peers notice by their links.
    pub fn kill_hub(&mut self) {
        self.hub.die();
        (0..self.people.len()).for_each(|who| self.reach(who, 200 * MS));
    }

    /// A new process of the hub, which knows nothing.
    pub fn start_hub(&mut self) {
        self.hub.up = true;
        (0..self.people.len()).for_each(|who| self.reach(who, 500 * MS));
    }

    /// Cuts a peer off from the hub, or joins them again.
    pub fn wire(&mut self, who: usize, wired: bool) {
        self.hub.wired[who] = wired;
        self.reach(who, 200 * MS);
    }

    fn reach(&mut self, who: usize, most: Duration) {
        let reach = self.hub.up && self.hub.wired[who] && self.people[who].runs;
        let due = self.now + self.random.time(most);
        self.hub.schedule(due, Mail::Reach(who, reach));
    }

    /// The process of a peer dies without a word.
    pub fn kill(&mut self, who: usize) {
        self.people[who].runs = false;
    }

    /// A new process of it.
    pub fn revive(&mut self, who: usize, identity: Arc<Identity>) {
        let name = self.people[who].name.clone();
        let person = &mut self.people[who];
        person.runs = true;
        person.restart(self.now, config(&name), identity);
        self.reach(who, 200 * MS);
    }

    pub fn is_open(&mut self, one: usize, two: usize) -> bool {
        [(one, two), (two, one)].into_iter().all(|(from, to)| {
            let name = self.people[to].name.clone();
            self.people[from].is_open(&name)
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
            for person in self.people.iter_mut().filter(|p| p.runs) {
                let streams = person.streams.values().filter(|s| s.every.is_some());
                let streams = streams.filter_map(|s| s.next).min();
                let ties = person.ties.poll_timeout(self.now);
                next = [streams, ties].into_iter().flatten().fold(next, Instant::min);
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
            for person in &mut self.people {
                person.on_datagram(now, packet.to, packet.from, &packet.data);
            }
        }
        while let Some(mail) = self.hub.pop(now) {
            let (Mail::Down(who, _)
            | Mail::Frame(who, ..)
            | Mail::Reach(who, _)
            | Mail::Up(who, _)) = mail;
            let person = &mut self.people[who];
            if !person.runs {
                continue;
            }
            match mail {
                Mail::Down(_, text) => person.ties.handle_post(now, text),
                Mail::Frame(_, number, data) => {
                    person.ties.handle_frame(now, number, &data);
                }
                Mail::Reach(_, reach) => {
                    if reach {
                        self.hub.register(now, who, &person.name);
                    }
                    person.ties.set_reachable(now, reach);
                }
                Mail::Up(..) => {}
            }
        }
        for who in 0..self.people.len() {
            let person = &mut self.people[who];
            if !person.runs {
                continue;
            }
            person.turn(now);
            check(person, self.seed);
            while let Some(parcel) = person.ties.poll_parcel() {
                self.hub.ask(now, who, parcel);
            }
            while let Some(transmit) = person.ties.poll_transmit() {
                match transmit {
                    Transmit::Datagram(id, out) => {
                        person.note_sent(id, &out.datagram);
                        self.net.send(now, out.local, out.remote, out.datagram);
                    }
                    Transmit::Frame(number, data) => self.hub.frame(now, who, number, data),
                }
            }
        }
    }

    /// What `to` got of what `from` sent.
    pub fn check(&self, from: usize, to: usize) -> Report {
        let (one, two) = (&self.people[from], &self.people[to]);
        let none = Vec::new();
        let got = two.got.get(&one.name).unwrap_or(&none);
        let sent = one.streams.get(&two.name).map_or(&[][..], |s| &s.sent);
        Report::of(got, sent, self.now, self.seed)
    }

    /// Stops all streams and lets what is under way arrive.
    pub fn settle(&mut self, time: Duration) {
        for stream in self.people.iter_mut().flat_map(|p| p.streams.values_mut()) {
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
fn check(person: &mut Person, seed: u64) {
    let mut names = HashSet::new();
    for tie in person.ties.ties() {
        assert!(names.insert(tie.name().to_owned()), "two links with {}", tie.name());
        let mut pairs = HashSet::new();
        if tie.link().next_transport().is_none() {
            continue;
        }
        for transport in tie.link().transports() {
            for path in transport.paths().iter() {
                let pair = (path.local(), path.remote());
                assert!(pairs.insert(pair), "two transports on {pair:?}, seed {seed}");
            }
        }
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
