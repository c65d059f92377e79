//! What the false hub does: a link with each peer, signal messages, frames.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rover_rtc::http::server::{Exchange, HttpServer, Reply};
use rover_rtc::identity::Identity;
use rover_rtc::link::{ChannelConfig, Link, LinkEvent, Message, OutboxConfig, Transport};
use rover_rtc::net::{Faults, RecvBatch, SocketSet, UdpSocket};
use rover_rtc::path::{LocalAddress, PathConfig};
use rover_rtc::session::SessionConfig;
use rover_rtc::signal::description::{Description, Kind, Rover, VERSION};
use rover_rtc::signal::hub_messages::{CHANNEL, FromHub, ToHub};
use rover_rtc::signal::signed::{Content, SignalMessage, SignedMessage};
use rover_rtc::util::{clock, random};
use tokio::sync::mpsc;

use super::hub::{Act, Order, Posted, Rule, Seen};

/// A peer's link to the hub, or one that the hub has in another's name.
struct Guest {
    name: String,
    session: String,
    link: Link,
    impostor: bool,
}

pub struct Hub {
    sockets: SocketSet,
    guests: Vec<Guest>,
    /// By a peer's name and number, the other peer's.
    numbers: HashMap<(String, u16), (String, u16)>,
    next_number: u16,
    /// What a test wants said, and to whom.
    waiting: VecDeque<(String, String)>,
    seen: Arc<Mutex<Seen>>,
    rule: Arc<Mutex<Rule>>,
}

impl Hub {
    pub fn new(seen: Arc<Mutex<Seen>>, rule: Arc<Mutex<Rule>>) -> Self {
        Self {
            sockets: SocketSet::new(Faults::default()),
            guests: Vec::new(),
            numbers: HashMap::new(),
            next_number: 0x4000,
            waiting: VecDeque::new(),
            seen,
            rule,
        }
    }

    pub async fn run(
        mut self,
        http: HttpServer,
        mut requests: mpsc::UnboundedReceiver<Exchange>,
        mut orders: mpsc::UnboundedReceiver<Order>,
    ) {
        let mut batch = RecvBatch::new();
        loop {
            let deadline = self.turn(Instant::now());
            tokio::select! {
                (local, _) = self.sockets.recv(&mut batch) => {
                    let now = Instant::now();
                    for (remote, datagram) in batch.datagrams() {
                        self.on_datagram(now, local, remote, datagram);
                    }
                }
                Some(exchange) = requests.recv() => {
                    let reply = self.on_request(Instant::now(), &exchange);
                    exchange.respond(reply);
                }
                order = orders.recv() => match order {
                    Some(Order::Frame(to, datagram)) => self.send(&to, &datagram),
                    Some(Order::Say(to, text)) => self.waiting.push_back((to, text)),
                    None => break,
                },
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
        }
        http.shutdown().await;
    }

    fn turn(&mut self, now: Instant) -> Instant {
        for guest in &mut self.guests {
            if guest.link.poll_timeout(now).is_some_and(|t| t <= now) {
                guest.link.handle_timeout(now);
            }
        }
        loop {
            self.say_waiting();
            self.guests.iter_mut().for_each(|g| g.link.pump(now));
            let event = self.guests.iter_mut().enumerate();
            let event = event.rev().find_map(|(i, g)| Some((i, g.link.poll_event()?)));
            let Some((index, event)) = event else { break };
            self.on_event(now, index, event);
        }
        for guest in &mut self.guests {
            while let Some(out) = guest.link.poll_transmit() {
                self.sockets.send(out.local, out.remote, &out.datagram);
            }
        }
        self.sockets.flush(now);
        let deadlines = self.guests.iter_mut().filter_map(|g| g.link.poll_timeout(now));
        deadlines.min().unwrap_or(now + Duration::from_secs(1))
    }

    fn on_event(&mut self, now: Instant, index: usize, event: LinkEvent) {
        let guest = &self.guests[index];
        match event {
            LinkEvent::Message(_, message) if guest.impostor => {
                self.seen.lock().unwrap().overheard.push(message.data.to_vec());
            }
            LinkEvent::Message(channel, message) => {
                self.seen.lock().unwrap().texts.push(message.data.to_vec());
                if guest.link.label(channel) == Some(CHANNEL) {
                    let asked = serde_json::from_slice(&message.data).expect("it is a ToHub");
                    self.on_asked(now, &guest.name.clone(), asked);
                }
            }
            LinkEvent::ChannelOpen { label, .. } if label == CHANNEL && !guest.impostor => {
                let name = guest.name.clone();
                self.tell(&name, &FromHub::Registered { name: name.clone() });
                let names: Vec<_> = self.guests.iter().map(|g| g.name.clone()).collect();
                for other in names {
                    self.tell(&other, &FromHub::Present { name: name.clone() });
                }
            }
            _ => {}
        }
    }

    fn on_asked(&mut self, now: Instant, from: &str, asked: ToHub) {
        match asked {
            ToHub::Relay { to, call } => self.connect(from, &to, &call),
            ToHub::End { .. } => {}
            ToHub::Send { to, call, offer, signal } => {
                if !self.guests.iter().any(|g| g.name == to) {
                    return self.tell(from, &FromHub::Absent { name: to, call });
                }
                if offer {
                    self.connect(from, &to, &call);
                }
                let posted = Posted { from: from.to_owned(), to, call, signal: *signal };
                self.seen.lock().unwrap().signals.push(posted.clone());
                let acts = self.rule.lock().unwrap()(&posted);
                for act in acts {
                    match act {
                        Act::Deliver(to, signal) => self.deliver(&to, signal),
                        Act::Answer(key) => self.impersonate(now, &posted, &key),
                    }
                }
            }
        }
    }

    /// Hands out a channel to each side.
    fn connect(&mut self, one: &str, two: &str, call: &str) {
        let ends = [one, two].map(|name| {
            self.next_number += 1;
            (name.to_owned(), self.next_number)
        });
        for (this, other) in [(0, 1), (1, 0)] {
            self.numbers.insert(ends[this].clone(), ends[other].clone());
            let number = ends[this].1;
            self.tell(&ends[this].0, &FromHub::Channel { call: call.to_owned(), number });
        }
    }

    /// Takes the place of who was called.
    fn impersonate(&mut self, now: Instant, posted: &Posted, key: &Identity) {
        let (signal, _) = posted.signal.verify().unwrap();
        let Content::Offer { sdp, .. } = signal.content else { return };
        let mut link = Link::new(OutboxConfig::default(), 16);
        link.open(now, ChannelConfig::new("test"));
        let transport = self.transport(now, Some(key));
        let answer = link.answer(now, transport, &sdp).unwrap();
        let name = IMPOSTOR.to_owned();
        let guest = Guest { name, session: String::new(), link, impostor: true };
        self.guests.push(guest);
        let answer = SignalMessage {
            from: posted.to.clone(),
            to: posted.from.clone(),
            call: posted.call.clone(),
            number: signal.number + 1,
            content: Content::Answer { sdp: answer },
        };
        self.deliver(&posted.from, answer.sign(key));
    }

    fn transport(&mut self, now: Instant, key: Option<&Identity>) -> Transport {
        let mut session = SessionConfig::new(random::ice_credentials());
        session.certificate = key.map(Identity::dtls);
        let paths = PathConfig { keeps_alive: false, ..PathConfig::default() };
        let mut transport = Transport::new(now, session, paths, false, random::number());
        // A socket for each transport: so that it needs no telling apart.
        for ip in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            let Ok(socket) = UdpSocket::bind(SocketAddr::new(ip, 0), None) else { continue };
            transport.add_local(now, LocalAddress::host(socket.local_addr()));
            self.sockets.insert(socket, None);
        }
        transport
    }

    fn on_request(&mut self, now: Instant, exchange: &Exchange) -> Reply {
        if (exchange.method(), exchange.path()) != ("POST", "/v1/sessions") {
            let session = exchange.path().rsplit('/').next().unwrap_or_default();
            if exchange.method() == "DELETE" {
                self.guests.retain(|g| g.session != session);
            }
            return Reply::empty(404);
        }
        let offer = Description::from_json(exchange.body(), Kind::Offer).unwrap();
        let name = offer.rover.and_then(|r| r.name).unwrap_or_default();
        let mut link = Link::new(OutboxConfig::default(), 16);
        let transport = self.transport(now, None);
        let sdp = link.answer(now, transport, &offer.sdp).unwrap();
        let session = random::id();
        let rover = Rover { version: VERSION, session: Some(session.clone()), ..Rover::default() };
        // The newest of a name is the one that is told things.
        self.guests.retain(|g| g.name != name);
        self.guests.push(Guest { name, session, link, impostor: false });
        Reply::json(201, &Description::answer(sdp, Some(rover)))
    }

    fn on_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, bytes: &[u8]) {
        self.seen.lock().unwrap().datagrams.push(bytes.to_vec());
        let Some(guest) = self.guests.iter_mut().find(|g| g.link.has_local(local)) else { return };
        if !matches!(bytes.first(), Some(0x40..=0x4f)) {
            guest.link.handle_datagram(now, local, remote, bytes);
            return;
        }
        let number = u16::from_be_bytes([bytes[0], bytes[1]]);
        let Some((to, number)) = self.numbers.get(&(guest.name.clone(), number)).cloned() else {
            return;
        };
        self.seen.lock().unwrap().frames.push(bytes[4..].to_vec());
        self.send(&to, &[&number.to_be_bytes(), &bytes[2..]].concat());
    }

    fn send(&mut self, to: &str, datagram: &[u8]) {
        let guest = self.guests.iter().find(|g| g.name == to);
        if let Some(path) = guest.and_then(|g| g.link.selected()) {
            self.sockets.send(path.local(), path.remote(), datagram);
        }
    }

    fn deliver(&self, to: &str, signal: SignedMessage) {
        self.tell(to, &FromHub::Deliver { signal: Box::new(signal) });
    }

    fn tell(&self, to: &str, text: &FromHub) {
        self.say(to, serde_json::to_string(text).unwrap());
    }

    fn say(&self, to: &str, text: String) {
        let guest = self.guests.iter().find(|g| g.name == to);
        let _ = guest.is_some_and(|g| g.say(&text));
    }

    /// Says what the test wants said as soon as there is a channel, and room.
    fn say_waiting(&mut self) {
        while let Some((to, text)) = self.waiting.front() {
            let guest = self.guests.iter().find(|g| g.name == *to);
            if !guest.is_some_and(|g| g.say(text)) {
                break;
            }
            self.waiting.pop_front();
        }
    }
}

impl Guest {
    /// False if there is no room for it, or no channel.
    fn say(&self, text: &str) -> bool {
        let outbox = self.link.channel(CHANNEL).and_then(|id| self.link.outbox(id));
        outbox.is_some_and(|o| o.try_push(clock::now(), Message::text(text)).is_ok())
    }
}

/// What the hub calls itself where it is another one.
pub const IMPOSTOR: &str = "(impostor)";
