//! Two links over the emulated network, a stream of numbered messages between them, and a checker.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rover_rtc::link::{
    ChannelConfig, ChannelId, Link, LinkEvent, Message, Outbox, OutboxConfig, Transport,
};
use rover_rtc::path::{LocalAddress, PathConfig, PathEvent};
use rover_rtc::session::{SessionConfig, is_record};
use rover_rtc::util::{clock, random};

use crate::net::{Edge, Net};

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);

/// One end.
pub struct End {
    pub link: Link,
    transport: Option<Transport>,
    pub addresses: Vec<SocketAddr>,
    outbox: Option<Outbox>,
    pub received: Vec<(Instant, u64)>,
    pub events: Vec<(Instant, PathEvent)>,
    /// Messages of all channels but the first, which are counted.
    pub messages: Vec<(Instant, ChannelId, Message)>,
    pub link_events: Vec<(Instant, LinkEvent)>,
    /// Sends back what it gets.
    pub echo: bool,
    pub closed: bool,
}

/// Offerer, answerer and the network between them.
pub struct Pair {
    pub now: Instant,
    pub net: Net,
    pub ends: [End; 2],
    pub sent: Vec<Instant>,
    /// Bytes of a message, at least 8.
    pub size: usize,
    /// STUN passes, and no record.
    pub deaf: bool,
    every: Option<Duration>,
    next_send: Instant,
    seed: u64,
}

pub const OFFERER: usize = 0;
pub const ANSWERER: usize = 1;

impl Pair {
    /// Ends with `networks` addresses each, joined network by network, connected.
    pub fn connected(seed: u64, networks: usize, config: &PathConfig, edge: &Edge) -> Self {
        let mut pair = Self::unconnected(seed, networks, config, edge);
        pair.negotiate();
        // A handshake may fail in weather that is bad enough; what a escalation does then is done
        // here.
        for _ in 0..3 {
            if pair.run(20 * SECOND, Self::is_open) {
                break;
            }
            pair.replace();
        }
        assert!(pair.is_open(), "no connection, seed {seed}");
        pair
    }

    pub fn unconnected(seed: u64, networks: usize, config: &PathConfig, edge: &Edge) -> Self {
        let start = clock::now();
        let mut net = Net::new(seed);
        let ends = [1u8, 2].map(|side| {
            let addresses: Vec<_> =
                (1..=networks as u8).map(|n| SocketAddr::from(([10, 0, n, side], 4000))).collect();
            let mut link = Link::new(OutboxConfig::default(), 16);
            let config = PathConfig { keeps_alive: side == 1, ..config.clone() };
            let session = SessionConfig::new(random::ice_credentials());
            let mut transport = Transport::new(start, session, config, side == 1, seed);
            for address in &addresses {
                transport.add_local(start, LocalAddress::host(*address));
            }
            if side == 1 {
                link.open(start, ChannelConfig::new("test"));
            }
            End {
                link,
                transport: Some(transport),
                addresses,
                outbox: None,
                received: Vec::new(),
                events: Vec::new(),
                messages: Vec::new(),
                link_events: Vec::new(),
                echo: false,
                closed: false,
            }
        });
        for n in 0..networks {
            let (a, b) = (ends[0].addresses[n].ip(), ends[1].addresses[n].ip());
            net.join(a, b, edge.clone());
        }
        let (sent, every) = (Vec::new(), None);
        let (size, deaf) = (100, false);
        Self { now: start, net, ends, sent, size, deaf, every, next_send: start, seed }
    }

    pub fn negotiate(&mut self) {
        let answer = self.offer();
        self.accept(&answer);
    }

    /// Lets the answerer answer the offerer's offer.
    pub fn offer(&mut self) -> String {
        let now = self.now;
        let [offerer, answerer] = &mut self.ends;
        let offer = offerer.link.dial(now, offerer.transport.take().unwrap()).unwrap();
        answerer.link.answer(now, answerer.transport.take().unwrap(), &offer).unwrap()
    }

    /// Both ends go over to a new transport, at new addresses.
    pub fn replace(&mut self) {
        for (side, end) in self.ends.iter_mut().enumerate() {
            let session = SessionConfig::new(random::ice_credentials());
            let config = PathConfig { keeps_alive: side == 0, ..PathConfig::default() };
            let mut transport = Transport::new(self.now, session, config, side == 0, self.seed);
            for address in &mut end.addresses {
                address.set_port(address.port() + 1);
                transport.add_local(self.now, LocalAddress::host(*address));
            }
            end.transport = Some(transport);
        }
        self.negotiate();
    }

    pub fn accept(&mut self, answer: &str) {
        self.ends[OFFERER].link.accept_answer(self.now, answer).unwrap();
    }

    pub fn address(&self, end: usize, network: usize) -> IpAddr {
        self.ends[end].addresses[network].ip()
    }

    /// Changes the edges of one network, both ways.
    pub fn change(&mut self, network: usize, change: impl Fn(&mut Edge)) {
        let (a, b) = (self.address(0, network), self.address(1, network));
        self.net.change(a, b, change);
    }

    /// The network that carries the offerer's records.
    pub fn selected(&mut self, end: usize) -> usize {
        let end = &mut self.ends[end];
        let local = end.link.transport().unwrap().paths().selected().unwrap().local();
        end.addresses.iter().position(|a| *a == local).unwrap()
    }

    /// Sends numbered messages from the offerer from now on.
    pub fn send_every(&mut self, every: Option<Duration>) {
        self.every = every;
        self.next_send = self.now;
    }

    /// Sends one message from an end.
    pub fn say(&self, end: usize, number: u64) {
        let outbox = self.ends[end].outbox.as_ref().unwrap();
        outbox.try_push(self.now, Message::binary(number.to_le_bytes().to_vec())).unwrap();
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
            for e in &mut self.ends {
                next = e.link.poll_timeout(self.now).map_or(next, |t| next.min(t));
            }
            next = self.net.next().map_or(next, |t| next.min(t));
            if self.every.is_some() {
                next = next.min(self.next_send);
            }
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
            if self.deaf && is_record(&packet.data) {
                continue;
            }
            let to = self.ends.iter_mut().find(|e| e.addresses.contains(&packet.to));
            if let Some(end) = to {
                end.link.handle_datagram(now, packet.to, packet.from, &packet.data);
            }
        }
        while self.every.is_some() && self.next_send <= now {
            let outbox = self.ends[0].outbox.as_ref().unwrap();
            let mut data = vec![0; self.size];
            data[..8].copy_from_slice(&(self.sent.len() as u64).to_le_bytes());
            outbox.try_push(now, Message::binary(data)).unwrap();
            self.sent.push(now);
            self.next_send += self.every.unwrap_or_default();
        }
        for end in &mut self.ends {
            if end.link.poll_timeout(now).is_some_and(|t| t <= now) {
                end.link.handle_timeout(now);
            }
            end.turn(now);
            while let Some(out) = end.link.poll_transmit() {
                self.net.send(now, out.local, out.remote, out.datagram);
            }
        }
    }

    pub fn is_open(&mut self) -> bool {
        self.ends.iter_mut().all(End::outbox_is_open)
    }

    /// What the answerer got of what the offerer sent.
    pub fn check(&self) -> Report {
        Report::of(&self.ends[1].received, &self.sent, self.now, self.seed)
    }

    /// Lets what is under way arrive.
    pub fn settle(&mut self, time: Duration) {
        self.every = None;
        let sent = self.sent.len();
        self.run(time, |p| p.ends[1].received.len() >= sent);
    }
}

impl End {
    fn turn(&mut self, now: Instant) {
        self.link.pump(now);
        while let Some(event) = self.link.poll_event() {
            match event {
                LinkEvent::Message(id, message) if id.index() > 0 => {
                    self.messages.push((now, id, message));
                }
                LinkEvent::Message(id, message) => {
                    let number = u64::from_le_bytes(message.data[..8].try_into().unwrap());
                    self.received.push((now, number));
                    if self.echo {
                        self.link.outbox(id).unwrap().try_push(now, message).unwrap();
                    }
                }
                LinkEvent::ChannelOpen { id, .. } if id.index() == 0 => {
                    self.outbox = self.link.outbox(id).cloned();
                }
                LinkEvent::Path(event) => self.events.push((now, event)),
                LinkEvent::TransportClosed(_) => self.closed = true,
                event => self.link_events.push((now, event)),
            }
        }
        self.link.pump(now);
    }

    fn outbox_is_open(&mut self) -> bool {
        self.link.channel("test").is_some_and(|id| self.link.is_open(id))
    }
}

/// What became of a stream.
#[derive(Debug)]
pub struct Report {
    pub lost: usize,
    pub duplicated: usize,
    pub reordered: usize,
    pub longest_gap: Duration,
    /// Shown when a check fails.
    #[allow(dead_code, reason = "read by Debug")]
    pub seed: u64,
}

impl Report {
    pub fn of(received: &[(Instant, u64)], sent: &[Instant], now: Instant, seed: u64) -> Self {
        let mut seen = vec![0u32; sent.len()];
        let (mut reordered, mut highest) = (0, None);
        for (_, number) in received {
            seen[*number as usize] += 1;
            reordered += usize::from(highest.is_some_and(|h| *number < h));
            highest = highest.max(Some(*number));
        }
        let lost = seen.iter().filter(|n| **n == 0).count();
        let mut times: Vec<_> = received.iter().map(|r| r.0).collect();
        if lost > 0 {
            times.push(now);
        }
        let longest_gap = times.windows(2).map(|w| w[1] - w[0]).max().unwrap_or_default();
        let duplicated = seen.iter().filter(|n| **n > 1).count();
        Self { lost, duplicated, reordered, longest_gap, seed }
    }

    /// Nothing lost, repeated or out of order.
    #[track_caller]
    pub fn assert_whole(&self) -> &Self {
        assert_eq!((self.lost, self.duplicated, self.reordered), (0, 0, 0), "{self:?}");
        self
    }

    #[track_caller]
    pub fn assert_gap(&self, most: Duration) -> &Self {
        assert!(self.longest_gap <= most, "longest gap above {most:?}: {self:?}");
        self
    }
}
