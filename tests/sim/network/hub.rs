//! A hub that does what it is asked to, late or not at all, and can be made to lie.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use rover_rtc::signal::hub_messages::{FromHub, ToHub};

use crate::net::Random;
use crate::pair::MS;

/// What is on its way between a peer and the hub. Peers are named by their place in the network.
#[derive(Debug, Clone)]
pub enum Mail {
    /// A peer asks.
    Up(usize, ToHub),
    /// The hub tells a peer.
    Down(usize, FromHub),
    /// A relayed datagram, under the number that it has for who gets it.
    Frame(usize, u16, Vec<u8>),
    /// The peer's link with the hub is up, or it has noticed that it is down.
    Reach(usize, bool),
}

struct Entry {
    due: Instant,
    order: u64,
    mail: Mail,
}

/// May change what the hub says to a peer.
pub type Lie = Box<dyn FnMut(usize, FromHub) -> Vec<(usize, FromHub)>>;

pub struct Hub {
    pub up: bool,
    /// One way, of signal messages and of frames.
    pub delay: Duration,
    /// Added to the delay of signal messages, at random up to this.
    pub jitter: Duration,
    /// Whether signal messages of a peer keep their order, as they do on a link.
    pub ordered: bool,
    /// Share of signal messages lost each way, as when links die under them.
    pub loss: f64,
    pub relays: bool,
    pub lie: Option<Lie>,
    /// Who asked for what of late: for tests that look for it.
    pub asked: Vec<(usize, ToHub)>,
    pub frames: u64,
    /// Whether a peer's link with the hub works.
    pub wired: Vec<bool>,
    names: HashMap<String, usize>,
    waiting: Vec<(usize, String)>,
    calls: HashMap<(usize, String), u16>,
    channels: HashMap<(usize, u16), (usize, u16)>,
    next_number: u16,
    heap: BinaryHeap<Reverse<Entry>>,
    last: HashMap<(usize, bool), Instant>,
    order: u64,
    pub random: Random,
}

impl Hub {
    pub fn new(seed: u64) -> Self {
        Self {
            up: true,
            delay: 5 * MS,
            jitter: Duration::ZERO,
            ordered: true,
            loss: 0.0,
            relays: true,
            lie: None,
            asked: Vec::new(),
            frames: 0,
            wired: Vec::new(),
            names: HashMap::new(),
            waiting: Vec::new(),
            calls: HashMap::new(),
            channels: HashMap::new(),
            next_number: 0x4000,
            heap: BinaryHeap::new(),
            last: HashMap::new(),
            order: 0,
            random: Random::new(seed ^ 0x68_7562),
        }
    }

    /// Channels that are handed out, counted at both ends.
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// The process of the hub dies, and with it all that it knew.
    pub fn die(&mut self) {
        self.up = false;
        self.names.clear();
        self.waiting.clear();
        self.calls.clear();
        self.channels.clear();
        self.next_number = 0x4000;
    }

    pub fn schedule(&mut self, due: Instant, mail: Mail) {
        self.order += 1;
        self.heap.push(Reverse(Entry { due, order: self.order, mail }));
    }

    /// A peer asks for something.
    pub fn ask(&mut self, now: Instant, from: usize, request: ToHub) {
        self.travel(now, from, true, Mail::Up(from, request));
    }

    /// The hub says something to a peer.
    pub fn tell(&mut self, now: Instant, to: usize, text: FromHub) {
        let texts = match &mut self.lie {
            Some(lie) => lie(to, text),
            None => vec![(to, text)],
        };
        for (to, text) in texts {
            self.travel(now, to, false, Mail::Down(to, text));
        }
    }

    /// A peer sends a datagram of a call.
    pub fn frame(&mut self, now: Instant, from: usize, number: u16, data: Vec<u8>) {
        if !self.up || !self.wired[from] {
            return;
        }
        let Some((to, number)) = self.channels.get(&(from, number)).copied() else { return };
        self.frames += 1;
        self.schedule(now + 2 * self.delay, Mail::Frame(to, number, data));
    }

    /// Hands out the same numbers twice and mixes up who gets what.
    pub fn mix_up_channels(&mut self) {
        let mut ends: Vec<_> = self.channels.values().copied().collect();
        ends.sort_unstable();
        ends.rotate_left(1);
        let mut keys: Vec<_> = self.channels.keys().copied().collect();
        keys.sort_unstable();
        self.channels = keys.into_iter().zip(ends).collect();
    }

    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(e)| e.due)
    }

    /// What arrives at a peer now.
    pub fn pop(&mut self, now: Instant) -> Option<Mail> {
        while self.next()? <= now {
            let Reverse(Entry { mail, .. }) = self.heap.pop()?;
            match mail {
                Mail::Up(from, request) if self.up && self.wired[from] => {
                    self.on_ask(now, from, request);
                }
                Mail::Down(to, _) | Mail::Frame(to, ..) if self.up && self.wired[to] => {
                    return Some(mail);
                }
                Mail::Reach(who, reach) if reach == (self.up && self.wired[who]) => {
                    return Some(mail);
                }
                _ => {}
            }
        }
        None
    }

    /// A peer has shown its name and key.
    pub fn register(&mut self, now: Instant, who: usize, name: &str) {
        self.names.insert(name.to_owned(), who);
        self.tell(now, who, FromHub::Registered { name: name.to_owned() });
        let (told, rest) = self.waiting.drain(..).partition(|(_, n)| n == name);
        self.waiting = rest;
        for (waiting, name) in told {
            self.tell(now, waiting, FromHub::Present { name });
        }
    }

    fn travel(&mut self, now: Instant, who: usize, up: bool, mail: Mail) {
        let (lost, late) = (self.random.chance(), self.random.chance());
        if lost < self.loss {
            return;
        }
        let mut due = now + self.delay + self.jitter.mul_f64(late);
        if self.ordered {
            let last = self.last.entry((who, up)).or_insert(due);
            due = due.max(*last);
            *last = due;
        }
        self.schedule(due, mail);
    }

    fn on_ask(&mut self, now: Instant, from: usize, request: ToHub) {
        self.asked.push((from, request.clone()));
        let (name, call, signal, begins) = match request {
            ToHub::End { call } => return self.end(from, &call),
            ToHub::Relay { to, call } => (to, call, None, true),
            ToHub::Send { to, call, offer, signal } => (to, call, Some(signal), offer),
        };
        let Some(to) = self.names.get(&name).copied() else {
            if signal.is_some() {
                self.waiting.push((from, name.clone()));
                self.tell(now, from, FromHub::Absent { name, call });
            }
            return;
        };
        if begins && self.relays && from != to {
            let numbers = self.allocate(from, to, &call);
            for (end, number) in [from, to].into_iter().zip(numbers) {
                self.tell(now, end, FromHub::Channel { call: call.clone(), number });
            }
        }
        if let Some(signal) = signal {
            self.tell(now, to, FromHub::Deliver { signal });
        }
    }

    fn allocate(&mut self, from: usize, to: usize, call: &str) -> [u16; 2] {
        let ends = [from, to];
        let known = ends.map(|end| self.calls.get(&(end, call.to_owned())).copied());
        if let [Some(one), Some(two)] = known {
            return [one, two];
        }
        let numbers = ends.map(|end| {
            let number = self.next_number;
            self.next_number = 0x4000 | ((number + 1) & 0xfff);
            self.calls.insert((end, call.to_owned()), number);
            number
        });
        self.channels.insert((from, numbers[0]), (to, numbers[1]));
        self.channels.insert((to, numbers[1]), (from, numbers[0]));
        numbers
    }

    fn end(&mut self, from: usize, call: &str) {
        let Some(number) = self.calls.remove(&(from, call.to_owned())) else { return };
        if let Some(other) = self.channels.remove(&(from, number)) {
            self.channels.remove(&other);
            self.calls.remove(&(other.0, call.to_owned()));
        }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}
