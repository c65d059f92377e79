//! Drivers, peers, and time that passes when a test says so.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::config::ServerConfig;
use crate::identity::{Identity, KnownPeers};
use crate::link::{ChannelConfig, Link, LinkEvent, Message, OutboxConfig, Transport};
use crate::path::{LocalAddress, PathConfig, frame};
use crate::server::Hub;
use crate::server::between::Shared;
use crate::server::known::Known;
use crate::server::sessions::Asker;
use crate::session::SessionConfig;
use crate::signal::message::{Description, Rover};
use crate::signal::post::{CHANNEL, FromHub, ToHub};
use crate::util::{clock, random};

pub(super) struct Town {
    pub(super) now: Instant,
    pub(super) hubs: Vec<Hub>,
    pub(super) people: Vec<Person>,
    /// No queue between drivers has room.
    pub(super) full: bool,
    /// Notes carried.
    pub(super) carried: usize,
    /// How long a datagram takes.
    pub(super) delay: Duration,
    flying: VecDeque<Datagram>,
    shared: Arc<Shared>,
}

/// When it arrives, where from, where to, and what is in it.
type Datagram = (Instant, SocketAddr, SocketAddr, Vec<u8>);

pub(super) struct Person {
    pub(super) link: Link,
    pub(super) driver: usize,
    pub(super) frames: Vec<(u16, Vec<u8>)>,
    /// Nothing gets through.
    pub(super) cut: bool,
    local: SocketAddr,
    pub(super) session: String,
    name: Option<String>,
    identity: Identity,
    heard: Vec<(String, Message)>,
    sent: Vec<Vec<u8>>,
}

impl Town {
    pub(super) fn new(drivers: usize, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = ServerConfig::default();
        change(&mut config);
        let now = clock::now();
        let shared = Arc::new(Shared::new(drivers));
        let known = Known::new(KnownPeers::in_memory());
        let hub = |driver| {
            let place = (driver, shared.clone());
            Hub::of_driver(now, config.clone(), vec![address(driver)], known.clone(), place)
        };
        let hubs = (0..drivers).map(hub).collect();
        let (people, flying, delay) = (Vec::new(), VecDeque::new(), Duration::ZERO);
        Self { now, hubs, people, full: false, carried: 0, delay, flying, shared }
    }

    /// Two names that belong to different drivers.
    pub(super) fn names(&self) -> [String; 2] {
        let name = |driver| {
            let mut names = (0..).map(|number| format!("rover-{number}"));
            names.find(|name| self.shared.of_name(name) == driver).unwrap()
        };
        [name(0), name(1)]
    }

    pub(super) fn join(&mut self, channels: &[ChannelConfig]) -> usize {
        self.try_join(None, channels, None).unwrap()
    }

    pub(super) fn join_named(&mut self, name: &str) -> usize {
        self.try_join(Some(name), &[ChannelConfig::plain(CHANNEL)], None).unwrap()
    }

    pub(super) fn try_join(
        &mut self,
        name: Option<&str>,
        channels: &[ChannelConfig],
        replaces: Option<&str>,
    ) -> Result<usize, u16> {
        let mut link = Link::new(OutboxConfig::default(), 16);
        for channel in channels {
            link.open(self.now, channel.clone());
        }
        let person = Person {
            link,
            driver: 0,
            frames: Vec::new(),
            cut: false,
            local: SocketAddr::from(([10, 1, 0, 1], 5_000 + self.people.len() as u16)),
            session: String::new(),
            name: name.map(str::to_owned),
            identity: Identity::fresh().unwrap(),
            heard: Vec::new(),
            sent: Vec::new(),
        };
        self.people.push(person);
        let person = self.people.len() - 1;
        self.dial(person, replaces.map(str::to_owned)).map(|()| person)
    }

    /// Goes over to a new transport, from another port.
    pub(super) fn redial(&mut self, person: usize) {
        let Person { session, local, .. } = &mut self.people[person];
        local.set_port(local.port() + 100);
        let replaces = Some(session.clone());
        self.dial(person, replaces).unwrap();
    }

    fn dial(&mut self, person: usize, replaces: Option<String>) -> Result<(), u16> {
        let Person { link, local, name, identity, .. } = &mut self.people[person];
        let mut session = SessionConfig::new(random::ice_credentials());
        session.certificate = Some(identity.dtls());
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
        let driver = self.shared.of_offer(&offer);
        let asker = Asker { from: *local, authorization: None };
        let reply = self.hubs[driver].create(self.now, &offer, false, true, &asker);
        self.hubs[driver].relay(self.now);
        let (status, body) = reply.parts();
        if status != 201 {
            return Err(status);
        }
        let answer: serde_json::Value = serde_json::from_slice(body).unwrap();
        link.accept_answer(self.now, answer["sdp"].as_str().unwrap()).unwrap();
        let person = &mut self.people[person];
        person.session = answer["rover"]["session"].as_str().unwrap().to_owned();
        assert_eq!(self.shared.of_session(&person.session), Some(driver));
        person.driver = driver;
        Ok(())
    }

    pub(super) fn leave(&mut self, person: usize) {
        self.people[person].link.close(self.now);
    }

    pub(super) fn send(&mut self, person: usize, label: &str, number: u64) {
        self.push(person, label, Message::binary(number.to_le_bytes().to_vec()));
    }

    pub(super) fn send_bytes(&mut self, person: usize, label: &str, bytes: usize) {
        self.push(person, label, Message::binary(vec![0; bytes]));
    }

    pub(super) fn say(&mut self, person: usize, text: &ToHub) {
        self.push(person, CHANNEL, Message::text(serde_json::to_string(text).unwrap()));
    }

    fn push(&mut self, person: usize, label: &str, message: Message) {
        let link = &mut self.people[person].link;
        let id = link.channel(label).unwrap();
        link.outbox(id).unwrap().try_push(self.now, message).unwrap();
    }

    pub(super) fn frame(&mut self, person: usize, number: u16, data: &[u8]) {
        let mut datagram = Vec::new();
        frame::write(&mut datagram, number, data);
        self.people[person].sent.push(datagram);
    }

    /// What the hub has told somebody since.
    pub(super) fn texts(&mut self, person: usize) -> Vec<FromHub> {
        let heard = self.people[person].heard.extract_if(.., |(label, _)| label == CHANNEL);
        heard.map(|(_, m)| serde_json::from_slice(&m.data).unwrap()).collect()
    }

    /// The status that clients get.
    pub(super) fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&self.hubs[0].status(self.now, 100)).unwrap()
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            while self.carry() {}
            self.now += Duration::from_millis(1);
            for hub in &mut self.hubs {
                if hub.poll_timeout() <= self.now {
                    hub.handle_timeout(self.now);
                }
            }
            for person in &mut self.people {
                if person.link.poll_timeout(self.now).is_some_and(|at| at <= self.now) {
                    person.link.handle_timeout(self.now);
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
        for Person { link, local, cut, heard, sent, driver, .. } in &mut self.people {
            link.pump(now);
            while let Some(event) = link.poll_event() {
                if let LinkEvent::Message(id, message) = event {
                    heard.push((link.label(id).unwrap().to_owned(), message));
                }
            }
            let out = std::iter::from_fn(|| link.poll_transmit());
            let mut out: Vec<_> = out.map(|o| (due, o.local, o.remote, o.datagram)).collect();
            out.extend(sent.drain(..).map(|datagram| (due, *local, address(*driver), datagram)));
            self.flying.extend(out.into_iter().filter(|_| !*cut));
        }
    }

    /// True if notes were carried.
    fn poll_hubs(&mut self) -> bool {
        let Self { now, hubs, full, carried, flying, delay, .. } = self;
        let mut any = false;
        for at in 0..hubs.len() {
            hubs[at].relay(*now);
            for to in hubs[at].place.waiting().collect::<Vec<_>>() {
                let batch = hubs[at].place.poll(to);
                if *full {
                    hubs[at].place.put_back(to, batch);
                } else {
                    any = true;
                    *carried += batch.len();
                    hubs[to].handle_notes(*now, at, batch);
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
        let near = |p: &&mut Person| p.local == to || p.link.has_local(to);
        let Some(person) = self.people.iter_mut().find(near).filter(|p| !p.cut) else { return };
        match frame::read(datagram) {
            Some((number, data)) => person.frames.push((number, data.to_vec())),
            None => drop(person.link.handle_datagram(self.now, to, from, datagram)),
        }
    }
}

/// What somebody has got on a channel.
pub(super) fn numbers(person: &Person, label: &str) -> Vec<u64> {
    let heard = person.heard.iter().filter(|(l, m)| l == label && m.data.len() == 8);
    heard.map(|(_, m)| u64::from_le_bytes(m.data[..].try_into().unwrap())).collect()
}

fn address(driver: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], (PORT + driver) as u16))
}

const PORT: usize = 4_000;
