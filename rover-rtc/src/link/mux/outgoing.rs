//! Messages on their way out: who goes first, what travels together, and what the journal must have
//! before.

use std::time::{Duration, Instant};

use super::exchange::Exchange;
use super::frame::{CONTAINER, DATA_HEAD, DataWriter, Frame, PIECE, PieceRef};
use super::{Channel, LinkEvent, Mux, Record};
use crate::link::channel::Mode;
use crate::link::channel::delivery::Outcome;

/// What is to be written next.
#[derive(Debug)]
pub(in crate::link) enum Out {
    /// A container without messages, on the stream of frames.
    Control(Vec<u8>),
    /// A container, on the stream of frames.
    Frames(Vec<u8>),
    /// A container, on the stream of datagrams.
    Datagrams(Vec<u8>),
    /// The next message of this plain channel.
    Plain(usize),
}

/// What can be written.
#[derive(Debug, Clone, Copy)]
pub(in crate::link) struct Room {
    /// Whether the streams are open: of frames, and of datagrams.
    pub(in crate::link) open: (bool, bool),
    /// Bytes that SCTP is to have beside what it has.
    pub(in crate::link) bytes: usize,
    /// And that it is to have in all.
    pub(in crate::link) limit: usize,
}

impl Mux {
    /// The next thing to write. `plain` tells whether a plain channel has a message that can be
    /// sent.
    pub(in crate::link) fn poll_out(
        &mut self,
        now: Instant,
        room: Room,
        plain: impl Fn(usize, &Channel) -> bool,
    ) -> Option<Out> {
        if room.open.0
            && let Some(container) = self.hello().or_else(|| self.control())
        {
            return Some(Out::Control(container));
        }
        let messages = self.messages(now, room, plain);
        // Pieces take acknowledgements along; else they go by themselves when they are due.
        messages.or_else(|| room.open.0.then(|| self.acks(now)).flatten().map(Out::Control))
    }

    fn messages(
        &mut self,
        now: Instant,
        room: Room,
        plain: impl Fn(usize, &Channel) -> bool,
    ) -> Option<Out> {
        if room.bytes < LEAST.min(room.limit) {
            return None;
        }
        // Less at a time where the link is slow, so that what is urgent waits for less.
        let largest = (room.limit / 3).clamp(PIECE + HEADS, CONTAINER);
        let largest = largest.min(room.bytes.max(PIECE + HEADS));
        while let Some(index) = self.pick(room, &plain) {
            let out = match self.channels[index].config.mode {
                Mode::Plain => return Some(Out::Plain(index)),
                Mode::Datagram => self.datagrams(now, index, largest).map(Out::Datagrams),
                _ => self.pieces(now, index, room, largest).map(Out::Frames),
            };
            if out.is_some() {
                return out;
            }
        }
        None
    }

    /// Says hello where that has not been done.
    fn hello(&mut self) -> Option<Vec<u8>> {
        let exchange = self.exchange.as_mut().filter(|e| !e.said_hello)?;
        let mut entries = Vec::new();
        for (index, Channel { config, framed, .. }) in self.channels.iter_mut().enumerate() {
            let Some(framed) = framed else { continue };
            exchange.tell(index);
            entries.push(framed.entry(index, config, self.journaled));
        }
        let max_message = u32::try_from(self.max_message).unwrap_or(u32::MAX);
        let mut hello = Vec::new();
        Frame::Hello { link: self.id, max_message, entries }.write(&mut hello);
        exchange.said_hello = true;
        Some(hello)
    }

    /// What needs no turn: openings.
    fn control(&mut self) -> Option<Vec<u8>> {
        let exchange = self.exchange.as_mut()?;
        let mut container = Vec::new();
        exchange.control.drain(..).for_each(|frame| frame.write(&mut container));
        (!container.is_empty()).then_some(container)
    }

    /// Acknowledgements that are due, and with them those that are not yet.
    fn acks(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.ack_due().filter(|due| *due <= now)?;
        let mut container = Vec::new();
        self.acknowledge(&mut container);
        (!container.is_empty()).then_some(container)
    }

    /// Appends what the other side can be told of its channels.
    fn acknowledge(&mut self, container: &mut Vec<u8>) {
        let Some(exchange) = &self.exchange else { return };
        for (number, index) in &exchange.theirs {
            let framed = self.channels[*index].framed.as_mut();
            let ack = framed.and_then(|f| f.receiver.poll_ack(*number));
            ack.into_iter().for_each(|ack| ack.write(container));
        }
    }

    /// When the other side is to be told how far this one has come.
    pub(in crate::link) fn ack_due(&self) -> Option<Instant> {
        let exchange = self.exchange.as_ref().filter(|e| e.said_hello)?;
        let due = |index: &usize| self.channels[*index].ack_due();
        exchange.theirs.values().filter_map(due).min()
    }

    fn pick(&mut self, room: Room, plain: &impl Fn(usize, &Channel) -> bool) -> Option<usize> {
        let (channels, exchange) = (&self.channels, self.exchange.as_ref());
        self.scheduler.pick(channels.len(), |index| {
            let channel = &channels[index];
            let ready = match channel.config.mode {
                Mode::Plain => plain(index, channel),
                _ => channel.is_ready(index, exchange, room.open),
            };
            ready.then_some(channel.config.priority)
        })
    }

    /// A container of pieces: of this channel, then of others, so that small messages share one.
    fn pieces(&mut self, now: Instant, index: usize, room: Room, limit: usize) -> Option<Vec<u8>> {
        let mut container = Vec::with_capacity(limit);
        // Whatever is due soon can come along.
        self.acknowledge(&mut container);
        let mut next = Some(index);
        while let Some(index) = next {
            let Channel { framed: Some(framed), outbox, counters, .. } = &mut self.channels[index]
            else {
                break;
            };
            let before = container.len();
            let begun = framed.sender.fill(now, index as u16, outbox, limit, &mut container);
            counters.sent += begun;
            self.stats.messages_sent += begun;
            if container.len() == before || limit.saturating_sub(container.len()) < WORTHWHILE {
                break;
            }
            let frames_only = Room { open: (room.open.0, false), ..room };
            next = self.pick(frames_only, &|_, _| false);
        }
        (!container.is_empty()).then_some(container)
    }

    fn datagrams(&mut self, now: Instant, index: usize, limit: usize) -> Option<Vec<u8>> {
        let Channel { framed: Some(framed), outbox, counters, .. } = &mut self.channels[index]
        else {
            return None;
        };
        let mut container = Vec::new();
        let mut writer = DataWriter::new(&mut container, index as u16, framed.datagram + 1);
        // A large one goes alone.
        while let Some(room) = match writer.len() {
            DATA_HEAD => Some(usize::MAX),
            length => limit.checked_sub(length + HEADS),
        } && let Some(mut queued) = outbox.pop_if(now, room)
        {
            let (text, data) = (!queued.message.binary, &queued.message.data[..]);
            let (begin, end, key, origin) = (true, true, &[][..], queued.message.origin);
            let total = 0;
            writer.push(&PieceRef { text, begin, end, key, origin, total, asks: false, data });
            // Nobody acknowledges it.
            queued.message.settle(Outcome::Accepted);
            framed.datagram += 1;
            counters.sent += 1;
            self.stats.messages_sent += 1;
        }
        (writer.finish() > 0).then_some(container)
    }

    /// Gives the journal what it must have before it is sent, or acknowledged.
    pub(in crate::link) fn keep(&mut self, now: Instant) {
        let retry = self.retry_journal.take_if(|at| *at <= now).is_some();
        for index in 0..self.channels.len() {
            let Channel { config, framed, outbox, .. } = &mut self.channels[index];
            let Some(framed) = framed else { continue };
            framed.receiver.collect_acks(now);
            if retry {
                framed.receiver.record_again();
            }
            let label = &framed.label;
            let mut records = Vec::new();
            if let Some((epoch, through)) = framed.receiver.poll_record() {
                records.push(Record::Received { label: label.clone(), epoch, through });
            }
            if config.mode == Mode::Durable && self.journaled && !outbox.is_empty() {
                let epoch = framed.sender.epoch();
                framed.sender.journal(now, outbox, |seq, message| {
                    let (label, message) = (label.clone(), message.clone());
                    records.push(Record::Append { label, epoch, seq, message });
                });
            }
            records.into_iter().for_each(|record| self.ask_journal(index, record));
        }
    }

    /// Follows whether the other side acknowledges what it gets. `live` if a path lives on which it
    /// could.
    pub(in crate::link) fn watch_progress(&mut self, now: Instant, live: bool, rtt: Duration) {
        self.ack_delay = (rtt / 4).clamp(MIN_ACK_DELAY, MAX_ACK_DELAY);
        if !live || !self.is_waiting() {
            self.progress = None;
            return;
        }
        self.patience = 3 * rtt + STUCK;
        let since = *self.progress.get_or_insert(now);
        if since + self.patience > now {
            return;
        }
        self.progress = Some(now);
        if self.their_link.is_some() {
            self.stats.stuck += 1;
            self.events.push_back(LinkEvent::Stuck);
        } else if !std::mem::replace(&mut self.told_mute, true) {
            let what = "the other side does not speak frames: open plain channels with it";
            self.events.push_back(LinkEvent::Trouble(what.to_owned()));
        }
    }

    /// When something is due; `can_send` if what is due could leave.
    pub(in crate::link) fn poll_timeout(&self, can_send: bool) -> Option<Instant> {
        let stuck = self.progress.map(|since| since + self.patience);
        let ack = self.ack_due().filter(|_| can_send);
        [ack, stuck, self.retry_journal].into_iter().flatten().min()
    }

    /// Whether something was sent that the other side has not got.
    fn is_waiting(&self) -> bool {
        let unheard = self.exchange.as_ref().is_some_and(|e| e.said_hello && !e.heard_hello);
        let framed = self.channels.iter().filter_map(|c| c.framed.as_ref());
        unheard || framed.filter(|f| !f.receiver.is_datagrams()).any(|f| f.sender.is_waiting())
    }
}

impl Channel {
    /// Whether a framed channel can send something now.
    fn is_ready(
        &self,
        index: usize,
        exchange: Option<&Exchange>,
        (frames, datagrams): (bool, bool),
    ) -> bool {
        let Some(framed) = &self.framed else { return false };
        if !exchange.is_some_and(|e| e.is_ready(index)) {
            return false;
        }
        match self.config.mode {
            Mode::Datagram => datagrams && !self.outbox.is_empty(),
            _ => frames && framed.sender.is_ready(&self.outbox),
        }
    }
}

/// Heads of a piece and the frame around it, with a key at its longest.
const HEADS: usize = 300;

/// Room in SCTP, and in a container, that is not worth filling.
const LEAST: usize = 1200;
const WORTHWHILE: usize = 64;

/// An acknowledgement waits for a quarter of the round trip, within these: each takes one of SCTP
/// along, and where packets overtake each other three of those too many look like a loss.
const MIN_ACK_DELAY: Duration = Duration::from_millis(20);
const MAX_ACK_DELAY: Duration = Duration::from_millis(250);

/// Without progress for three round trips and this, a transport counts as stuck (`design.md` 5).
const STUCK: Duration = Duration::from_secs(2);
