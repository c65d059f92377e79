//! Two processes, what lies between them, and time.

use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::{Channel, Mux, Out, Record, Room};
use super::check::{Fate, Lane};
use super::journal::Journal;
use crate::link::SendError;
use crate::link::{
    ChannelConfig, ChannelId, LinkEvent, MAX_MESSAGE, Message, Mode, OutboxConfig, WhenFull,
};
use crate::util::clock;

/// What can happen.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Open {
        side: usize,
        channel: usize,
    },
    Send {
        side: usize,
        channel: usize,
        size: usize,
        key: u8,
    },
    Room {
        side: usize,
        channel: usize,
        bytes: usize,
    },
    /// So many steps of 5 ms.
    Run {
        steps: u8,
    },
    /// The transport is over; `taking` with it what is on its way.
    Cut {
        taking: bool,
    },
    /// One side notices that its transport is over.
    Detach {
        side: usize,
    },
    /// One side goes over to the newest transport, or begins the next.
    Attach {
        side: usize,
    },
    Restart {
        side: usize,
    },
    /// One side takes messages of so many bytes at most, from its next transport on.
    Takes {
        side: usize,
        bytes: usize,
    },
}

/// One run: what happens, and what decides the rest.
#[derive(Clone)]
pub(super) struct Story {
    pub(super) seed: u64,
    /// Bytes that the transport takes at a time.
    pub(super) limit: usize,
    /// One in so many records is not kept; 0 for none.
    pub(super) faulty: u8,
    /// Channels that each side opens at once, by bits.
    pub(super) opened: [u8; 2],
    /// The largest messages that each side takes; with any limit it may become less.
    pub(super) takes: [usize; 2],
    pub(super) ops: Vec<Op>,
}

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, limit, faulty, opened, takes, ops } = self;
        write!(f, "seed {seed}, limit {limit}, faulty {faulty}, opened {opened:?}, ")?;
        write!(f, "takes {takes:?}:")?;
        ops.iter().try_for_each(|op| write!(f, "\n    Op::{op:?},"))
    }
}

pub(super) const CHANNELS: usize = 7;

fn config(channel: usize) -> ChannelConfig {
    let (label, mode) = [
        ("plain order", Mode::Reliable),
        ("by hand", Mode::Reliable),
        ("kept", Mode::Durable),
        ("newest", Mode::Latest),
        ("once", Mode::Datagram),
        ("drops oldest", Mode::Reliable),
        ("keeps latest", Mode::Reliable),
    ][channel];
    let mut config = ChannelConfig::of_mode(label, mode);
    config.manual_ack = channel == 1;
    let small = |when_full| OutboxConfig {
        max_messages: 5,
        max_bytes: 60_000,
        when_full,
        ..OutboxConfig::default()
    };
    match channel {
        0 => config.outbox = small(WhenFull::Refuse),
        5 => config.outbox = small(WhenFull::DropOldest),
        6 => config.outbox = small(WhenFull::KeepLatest),
        _ => {}
    }
    config
}

#[derive(Debug)]
struct Side {
    mux: Mux,
    process: u32,
    journal: Journal,
    /// The transport it is on, and the last it was on.
    on: Option<u32>,
    last: u32,
    /// From when on its streams are open.
    open: Instant,
    /// Channels that this process has opened itself, in order.
    opened: Vec<usize>,
    /// The largest message that it takes when it begins, and from the next transport on.
    takes: usize,
    next_takes: usize,
    /// Received and not acknowledged.
    unacked: Vec<Message>,
    /// The process that it has last heard a hello of.
    heard: Option<u32>,
}

#[derive(Debug)]
struct Flying {
    to: usize,
    process: u32,
    transport: u32,
    at: Instant,
    frames: bool,
    bytes: Bytes,
}

#[derive(Debug)]
pub(super) struct World {
    now: Instant,
    start: Instant,
    dice: u64,
    faulty: u8,
    limit: usize,
    sides: [Side; 2],
    /// By the sending side.
    lanes: [Vec<Lane>; 2],
    pipe: Vec<Flying>,
    newest: u32,
    processes: u32,
    /// The end, at which all is well.
    calm: bool,
    history: VecDeque<String>,
}

fn mux(takes: usize) -> Mux {
    let mut mux = Mux::new(OutboxConfig::default(), 32);
    mux.max_message = takes;
    mux
}

impl World {
    fn new(story: &Story) -> Self {
        let now = clock::now();
        let side = |process| {
            let takes = story.takes[process as usize];
            let mut mux = mux(takes);
            mux.set_journal(Vec::new());
            Side {
                mux,
                process,
                journal: Journal::default(),
                on: None,
                last: 0,
                open: now,
                opened: Vec::new(),
                takes,
                next_takes: takes,
                unacked: Vec::new(),
                heard: None,
            }
        };
        let lane = |side, channel| {
            let config = config(channel);
            let drops = config.outbox.when_full != WhenFull::Wait && channel != 0;
            let limited = story.takes != [MAX_MESSAGE; 2];
            let mut lane = Lane::new(side, channel, config.mode, drops, limited);
            lane.note_limit(story.takes[1 - side]);
            lane
        };
        let lanes = |side| (0..CHANNELS).map(|channel| lane(side, channel)).collect();
        let mut world = Self {
            now,
            start: now,
            dice: story.seed | 1,
            faulty: story.faulty,
            limit: story.limit,
            sides: [side(0), side(1)],
            lanes: [lanes(0), lanes(1)],
            pipe: Vec::new(),
            newest: 1,
            processes: 2,
            calm: false,
            history: VecDeque::new(),
        };
        for side in 0..2 {
            for channel in (0..CHANNELS).filter(|c| story.opened[side] >> c & 1 == 1) {
                world.open(side, channel);
            }
        }
        world
    }

    /// Plays a story to its end, at which everything must have arrived.
    pub(super) fn play(story: &Story) -> Result<(), String> {
        let mut world = Self::new(story);
        let told = story.ops.iter().try_for_each(|op| world.act(op)).and_then(|()| world.end());
        told.map_err(|error| {
            let history = Vec::from(std::mem::take(&mut world.history)).join("\n");
            format!("{history}\n{} ms: {error}", world.millis())
        })
    }

    fn act(&mut self, op: &Op) -> Result<(), String> {
        self.note(|| format!("{op:?}"));
        match *op {
            Op::Open { side, channel } => self.open(side, channel),
            Op::Send { side, channel, size, key } => self.send(side, channel, size, key),
            Op::Room { side, channel, bytes } => self.set_room(side, channel, bytes),
            Op::Run { steps } => return (0..steps).try_for_each(|_| self.step(5)),
            Op::Cut { taking } => {
                self.newest += 1;
                if taking {
                    self.pipe.clear();
                }
            }
            Op::Detach { side } => {
                self.sides[side].mux.detach();
                self.sides[side].on = None;
            }
            Op::Attach { side } => self.attach(side),
            Op::Restart { side } => self.restart(side),
            Op::Takes { side, bytes } => self.set_takes(side, bytes),
        }
        (0..2).try_for_each(|side| self.listen(side, None))
    }

    fn attach(&mut self, side: usize) {
        if self.sides[side].last == self.newest {
            self.newest += 1;
        }
        let open = self.now + Duration::from_millis(self.roll(30));
        let newest = self.newest;
        let lanes = &mut self.lanes[1 - side];
        let side = &mut self.sides[side];
        // Less than before, never more: receivers know what the process has begun with.
        let takes = side.mux.max_message.min(side.next_takes);
        lanes.iter_mut().for_each(|lane| lane.note_limit(takes));
        side.mux.max_message = takes;
        side.mux.attach();
        (side.on, side.last, side.open) = (Some(newest), newest, open);
    }

    fn set_takes(&mut self, at: usize, bytes: usize) {
        // Only where there are limits at all.
        if self.sides[at].takes < MAX_MESSAGE {
            self.sides[at].next_takes = bytes;
        }
    }

    fn restart(&mut self, at: usize) {
        let now = self.now;
        let side = &mut self.sides[at];
        self.lanes[at].iter_mut().for_each(|lane| lane.end_process(side.process));
        side.process = self.processes;
        self.processes += 1;
        side.mux = mux(side.takes);
        side.next_takes = side.takes;
        side.mux.set_journal(side.journal.crash());
        (side.on, side.heard) = (None, None);
        side.unacked.clear();
        for channel in &side.opened {
            side.mux.open(now, config(*channel));
        }
    }

    fn open(&mut self, at: usize, channel: usize) {
        if self.find(at, channel).is_none() {
            self.sides[at].opened.push(channel);
            self.sides[at].mux.open(self.now, config(channel));
        }
    }

    fn find(&self, at: usize, channel: usize) -> Option<ChannelId> {
        let label = config(channel).label;
        let channels = self.sides[at].mux.channels();
        channels.iter().position(|c| c.config.label == label).map(ChannelId)
    }

    fn send(&mut self, at: usize, channel: usize, size: usize, key: u8) {
        let Some(id) = self.find(at, channel) else { return };
        let lane = &mut self.lanes[at][channel];
        let size = size.max(lane.least());
        let keyed = config(channel).mode == Mode::Latest;
        let size = if config(channel).mode == Mode::Datagram { size.min(32_000) } else { size };
        let mut message = Message::binary(lane.content(lane.sent.len(), size));
        if keyed {
            message = message.with_key(vec![b'k'; usize::from(key)]);
        }
        let process = self.sides[at].process;
        if self.sides[at].mux.channel(id).outbox.try_push(self.now, message).is_ok() {
            lane.note_sent(process, size, key);
        }
    }

    fn set_room(&mut self, at: usize, channel: usize, bytes: usize) {
        if let Some(id) = self.find(at, channel) {
            self.sides[at].mux.set_room(self.now, id, bytes);
        }
    }

    /// Lets time pass.
    fn step(&mut self, millis: u64) -> Result<(), String> {
        self.now += Duration::from_millis(millis);
        for side in 0..2 {
            self.acknowledge(side);
            self.write(side)?;
            self.listen(side, None)?;
        }
        self.deliver()
    }

    fn acknowledge(&mut self, at: usize) {
        let mut pile = std::mem::take(&mut self.sides[at].unacked);
        pile.retain(|message| {
            let now = self.calm || self.roll(4) == 0;
            if now {
                message.ack();
            }
            !now
        });
        self.sides[at].unacked = pile;
    }

    fn write(&mut self, at: usize) -> Result<(), String> {
        self.sides[at].mux.keep(self.now);
        while let Some(record) = self.sides[at].mux.poll_record() {
            self.sides[at].journal.ask(record);
        }
        while !self.sides[at].journal.is_idle() && (self.calm || self.roll(2) == 0) {
            let fails = self.faulty > 0 && self.roll(u64::from(self.faulty)) == 0;
            self.answer(at, self.calm || !fails)?;
        }
        let rtt = Duration::from_millis(40);
        let live = self.sides[at].on.is_some();
        self.sides[at].mux.watch_progress(self.now, live, rtt);
        let Some(transport) = self.sides[at].on else { return Ok(()) };
        let open = self.now >= self.sides[at].open;
        let mine = |f: &Flying| f.to != at && f.transport == transport;
        let mut flying: usize = self.pipe.iter().filter(|f| mine(f)).map(|f| f.bytes.len()).sum();
        for _ in 0..1000 {
            let limit = self.limit;
            let bytes = if flying == 0 { usize::MAX } else { limit.saturating_sub(flying) };
            let room = Room { open: (open, open), bytes, limit };
            let (frames, bytes) = match self.sides[at].mux.poll_out(self.now, room, |_, _| false) {
                Some(Out::Control(bytes) | Out::Frames(bytes)) => (true, bytes),
                Some(Out::Datagrams(bytes)) => (false, bytes),
                _ => return Ok(()),
            };
            flying += bytes.len();
            self.launch(1 - at, transport, frames, bytes.into());
        }
        Err("writes without end".to_owned())
    }

    fn launch(&mut self, to: usize, transport: u32, frames: bool, bytes: Bytes) {
        // A hello comes once: SCTP repeats nothing, and neither do we where it would be seen.
        let hello = bytes[0] == 1;
        let copies = if frames && !hello && self.roll(16) == 0 { 2 } else { 1 };
        let copies = if !frames && !self.calm && self.roll(4) == 0 { 0 } else { copies };
        for _ in 0..copies {
            let late = if self.roll(8) == 0 { 150 } else { 30 };
            let at = self.now + Duration::from_millis(1 + self.roll(late));
            let (process, bytes) = (self.sides[1 - to].process, bytes.clone());
            self.pipe.push(Flying { to, process, transport, at, frames, bytes });
        }
    }

    fn answer(&mut self, at: usize, keep: bool) -> Result<(), String> {
        let Some(record) = self.sides[at].journal.answer(keep) else { return Ok(()) };
        let result = if keep { Ok(()) } else { Err(SendError::NotStored("no room".to_owned())) };
        self.sides[at].mux.recorded(self.now, result);
        self.note(|| format!("side {at} journal {keep}: {record:?}"));
        match record {
            Record::Append { message, .. } => {
                let process = self.sides[at].process;
                let lane = &mut self.lanes[at][2];
                let id = lane.name(process, &message)?;
                lane.sent[id].fate = if keep { Fate::Stored } else { Fate::Refused };
                let before = lane.sent[..=id].iter().filter(|s| s.process == process).count();
                let Some(channel) = self.find(at, 2) else { return Ok(()) };
                let context = Context::from_waker(Waker::noop());
                let outbox = &self.sides[at].mux.channel(channel).outbox;
                let stored = outbox.poll_stored(&context, before as u64);
                if !matches!(
                    (stored, keep),
                    (Poll::Ready(Ok(())), true) | (Poll::Ready(Err(_)), false)
                ) {
                    return Err(format!("message {id} is not told to be stored: {keep}"));
                }
            }
            Record::Received { through, .. } if keep => {
                let taken = &mut self.lanes[1 - at][2].taken;
                *taken = through.max(*taken);
            }
            _ => {}
        }
        Ok(())
    }

    fn deliver(&mut self) -> Result<(), String> {
        let (now, newest) = (self.now, self.newest);
        loop {
            let on = [self.sides[0].on, self.sides[1].on];
            // What was for a transport that its receiver has left is lost.
            let last = [self.sides[0].last, self.sides[1].last];
            self.pipe.retain(|f| {
                on[f.to] == Some(f.transport) || (f.transport == newest && last[f.to] < f.transport)
            });
            let due = |f: &Flying| f.at <= now && on[f.to] == Some(f.transport);
            let due: Vec<usize> = (0..self.pipe.len()).filter(|i| due(&self.pipe[*i])).collect();
            let Some(pick) = due.get(self.roll(due.len().max(1) as u64) as usize) else {
                return Ok(());
            };
            let flying = self.pipe.swap_remove(*pick);
            let (to, from) = (flying.to, flying.process);
            let side = &mut self.sides[to];
            let restarted = flying.frames
                && flying.bytes[0] == 1
                && side.heard.replace(from).is_some_and(|before| before != from);
            side.mux.on_container(now, flying.bytes);
            let told = side.mux.events.iter().any(|e| matches!(e, LinkEvent::PeerRestarted));
            if restarted != told {
                return Err(format!(
                    "side {to}: told of a restart: {told}, there was: {restarted}"
                ));
            }
            self.listen(to, Some(from))?;
        }
    }

    fn listen(&mut self, at: usize, from: Option<u32>) -> Result<(), String> {
        while let Some(event) = self.sides[at].mux.events.pop_front() {
            let (id, lost, message) = match event {
                LinkEvent::Message(id, message) => (id, None, Some(message)),
                LinkEvent::Gap { channel, lost } => (channel, Some(lost), None),
                LinkEvent::Stuck if self.calm => return Err(format!("side {at} is stuck")),
                LinkEvent::Trouble(what) if what.starts_with("the other side sent") => {
                    return Err(format!("side {at}: {what}"));
                }
                _ => continue,
            };
            let label = &self.sides[at].mux.channels()[id.0].config.label;
            let channel = (0..CHANNELS).find(|c| config(*c).label == *label);
            let lane = &mut self.lanes[1 - at][channel.ok_or("an unknown channel")?];
            let pair = (from.ok_or("a message of nobody")?, self.sides[at].process);
            let told = match &message {
                Some(message) => lane.on_message(pair, message).map(|id| format!("gets {id}")),
                None => lane.on_gap(pair, lost.flatten()).map(|()| "is told of a gap".into()),
            };
            let what = |what| format!("side {at}, channel {:?}: {what}", channel);
            let told = told.map_err(what)?;
            self.note(|| what(told));
            if let Some(message) = message.filter(|m| m.receipt.is_some()) {
                self.sides[at].unacked.push(message);
            }
        }
        Ok(())
    }

    /// The network is good, and all live: everything drains.
    fn end(&mut self) -> Result<(), String> {
        self.note(|| "the end".to_owned());
        self.calm = true;
        // On the transport of now, where there is one: windows and the like must heal there.
        let stays = self.sides.iter().all(|s| s.on == Some(self.newest)) && self.roll(2) == 0;
        for side in 0..2 {
            for channel in 0..CHANNELS {
                // However little the application takes, in the end it takes all.
                let room = [1, 5000, 70_000, 1 << 24][self.roll(4) as usize];
                self.open(side, channel);
                self.set_room(side, channel, room);
            }
        }
        if !stays {
            self.newest += 1;
            (0..2).for_each(|side| self.attach(side));
        }
        for _ in 0..STEPS {
            self.step(20)?;
            if self.is_quiet() {
                return self.judge();
            }
        }
        let what = self.sides.each_ref().map(|side| {
            let channels = side.mux.channels().iter();
            let lines = channels
                .map(|c| format!("{:?} {:?} {:?}", c.config.label, c.outbox.len(), c.framed));
            lines.collect::<Vec<_>>()
        });
        Err(format!("it does not drain: {what:#?}"))
    }

    fn is_quiet(&self) -> bool {
        let done = |c: &Channel| {
            let told = c.framed.as_ref().is_none_or(|f| !f.sender.has_lost());
            told && !c.outbox.has_news() && c.outbox.held() == (0, 0) && c.outbox.is_empty()
        };
        let quiet = |side: &Side| {
            side.mux.channels().iter().all(done)
                && side.journal.is_idle()
                && side.unacked.is_empty()
                && side.mux.exchange.as_ref().is_some_and(|e| e.said_hello && e.heard_hello)
        };
        self.pipe.is_empty() && self.sides.iter().all(quiet)
    }

    fn judge(&self) -> Result<(), String> {
        for (at, side) in self.sides.iter().enumerate() {
            for (channel, lane) in self.lanes[at].iter().enumerate() {
                let id = self.find(at, channel);
                let outbox = id.map(|id| &side.mux.channels()[id.0].outbox);
                let drops = outbox.map(|o| o.drops()).unwrap_or_default();
                let dropped = (drops.full, drops.too_large);
                let what = |what| format!("from side {at}, channel {channel}: {what}");
                lane.finish(side.process, dropped).map_err(what)?;
            }
        }
        let refused = self.sides.iter().map(|s| s.mux.stats.frames_refused).sum::<u64>();
        if refused > 0 { Err(format!("{refused} frames were refused")) } else { Ok(()) }
    }

    /// A number below `most`.
    fn roll(&mut self, most: u64) -> u64 {
        // xorshift64 (Marsaglia, 2003).
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 11) % most
    }

    fn millis(&self) -> u128 {
        self.now.duration_since(self.start).as_millis()
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(format!("{} ms: {}", self.millis(), what()));
    }
}

/// Steps of 20 ms in which everything must have arrived.
const STEPS: usize = 1500;

/// Lines of history that are told.
const HISTORY: usize = 80;
