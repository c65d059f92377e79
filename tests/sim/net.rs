//! The emulated network: edges between addresses, each with delay, loss, a bottleneck and a queue.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// One direction between two addresses.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Nothing gets through.
    pub cut: bool,
    /// One-way delay.
    pub delay: Duration,
    /// Added to the delay, at random up to this: packets overtake each other.
    pub jitter: Duration,
    /// Share of packets lost, 0 to 1.
    pub loss: f64,
    /// Share of packets that arrive twice.
    pub duplicates: f64,
    /// Bytes per second of the bottleneck; 0 is without one.
    pub rate: f64,
    /// How long the bottleneck's queue may be.
    pub queue: Duration,
    pub busy_until: Option<Instant>,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            cut: false,
            delay: Duration::from_millis(1),
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicates: 0.0,
            rate: 0.0,
            queue: Duration::from_secs(1),
            busy_until: None,
        }
    }
}

/// A datagram on its way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    due: Instant,
    order: u64,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub data: Vec<u8>,
}

/// All edges and what is under way on them.
pub struct Net {
    pub edges: HashMap<(IpAddr, IpAddr), Edge>,
    /// Source addresses that a NAT shows in the place of others.
    pub nat: HashMap<SocketAddr, SocketAddr>,
    pub bytes: u64,
    heap: BinaryHeap<Reverse<Packet>>,
    order: u64,
    random: Random,
}

/// Numbers that a seed determines.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// From 0 up to 1.
    pub fn chance(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A time up to this.
    pub fn time(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.chance())
    }
}

impl Net {
    pub fn new(seed: u64) -> Self {
        Self {
            edges: HashMap::new(),
            nat: HashMap::new(),
            bytes: 0,
            heap: BinaryHeap::new(),
            order: 0,
            random: Random::new(seed),
        }
    }

    /// Joins two addresses in both directions.
    pub fn join(&mut self, a: IpAddr, b: IpAddr, edge: Edge) {
        self.edges.insert((a, b), edge.clone());
        self.edges.insert((b, a), edge);
    }

    /// Changes the edges of both directions.
    pub fn change(&mut self, a: IpAddr, b: IpAddr, change: impl Fn(&mut Edge)) {
        for key in [(a, b), (b, a)] {
            self.edges.get_mut(&key).into_iter().for_each(&change);
        }
    }

    pub fn change_all(&mut self, change: impl Fn(&mut Edge)) {
        self.edges.values_mut().for_each(change);
    }

    pub fn send(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, data: Vec<u8>) {
        self.bytes += data.len() as u64;
        // What is sent to a NAT's public side arrives at the socket behind it.
        let inner = self.nat.iter().find(|(_, public)| **public == to).map_or(to, |(l, _)| *l);
        if self.nat.contains_key(&inner) && self.nat[&inner] != to {
            return; // the mapping of before is gone
        }
        let (lost, twice, jitter) =
            (self.random.chance(), self.random.chance(), self.random.chance());
        let Some(edge) = self.edges.get_mut(&(from.ip(), inner.ip())) else { return };
        if edge.cut || lost < edge.loss {
            return;
        }
        let mut start = now;
        if edge.rate > 0.0 {
            let free = edge.busy_until.map_or(now, |t| t.max(now));
            if free - now > edge.queue {
                return;
            }
            start = free + Duration::from_secs_f64(data.len() as f64 / edge.rate);
            edge.busy_until = Some(start);
        }
        let due = start + edge.delay + edge.jitter.mul_f64(jitter);
        let duplicates = if twice < edge.duplicates { 2 } else { 1 };
        let from = self.nat.get(&from).copied().unwrap_or(from);
        for _ in 0..duplicates {
            self.order += 1;
            let packet = Packet { due, order: self.order, from, to: inner, data: data.clone() };
            self.heap.push(Reverse(packet));
        }
    }

    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(p)| p.due)
    }

    pub fn pop(&mut self, now: Instant) -> Option<Packet> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(p)| p)
    }
}
