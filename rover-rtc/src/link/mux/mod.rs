//! Framed channels: many on one SCTP stream, each message kept until it is acknowledged. Knows
//! nothing of transports: containers of frames go in and come out.
//!
//! | file | what it does |
//! |---|---|
//! | `mod.rs` | the channels of a link, and what is known of the other side |
//! | `frame.rs` | the wire format (`PROTOCOL.md`) |
//! | `incoming.rs`, `receiver.rs`, `early.rs` | frames in: in order, once, put together |
//! | `outgoing.rs`, `sender.rs`, `scheduler.rs` | frames out: whose turn, what travels together, what is kept |
//! | `closing.rs` | the last acknowledgements |
//! | `exchange.rs` | what the two sides have told each other on the transport of now |
//! | `record.rs` | what the journal keeps |

mod closing;
mod early;
mod exchange;
mod frame;
mod incoming;
pub(crate) mod measured;
#[cfg(test)]
mod model;
mod outgoing;
mod receiver;
mod record;
mod scheduler;
mod sender;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

pub use closing::FinalAck;
pub(super) use frame::{DATAGRAMS, PROTOCOL, STREAM};
pub(super) use outgoing::{Out, Room};
pub use record::{Record, Saved, SavedOutgoing};

use super::channel::delivery::Outcome;
use super::channel::error::SendError;
use super::channel::event::LinkEvent;
use super::channel::outbox::{Outbox, OutboxConfig, WhenFull};
use super::channel::stats::{ChannelCounters, ChannelStats};
use super::channel::{ChannelConfig, ChannelId, MAX_MESSAGE, Mode};
use crate::util::limiter::Limiter;
use crate::util::random;
use crate::util::spare::add;
use exchange::Exchange;
use frame::{Entry, Frame};
use receiver::Receiver;
use scheduler::Scheduler;
use sender::Sender;

/// The channels of a link.
#[derive(Debug)]
pub(super) struct Mux {
    channels: Vec<Channel>,
    /// What was said on the transport of now; absent while there is none.
    exchange: Option<Exchange>,
    /// What channels that the other side opens get.
    defaults: OutboxConfig,
    max_channels: usize,
    /// Largest message that this side takes on a framed channel.
    pub(super) max_message: usize,
    /// And the other side; and on a plain channel.
    their_limit: usize,
    plain_limit: usize,
    /// Names this link in this process, and the other side's.
    id: u64,
    their_link: Option<u64>,
    /// The other side was found not to speak frames.
    told_mute: bool,
    /// How often it is said that the other side opens what cannot be, and that it is refused.
    mismatches: Limiter,
    refusals: Limiter,
    /// Whether what comes is passed on, and acknowledged when that has arrived.
    pub(super) passes_on: bool,
    /// Whether there is a journal, what it remembers, what it is asked to keep, and by whom what it
    /// has not answered was asked.
    journaled: bool,
    saved: Vec<Saved>,
    records: VecDeque<Record>,
    asked: VecDeque<Asked>,
    retry_journal: Option<Instant>,
    /// Who is woken when the application has acknowledged something.
    waker: Option<Waker>,
    scheduler: Scheduler,
    /// Since when nothing was acknowledged that is waited for.
    progress: Option<Instant>,
    patience: Duration,
    /// How long an acknowledgement may wait for company.
    ack_delay: Duration,
    /// The link is being closed: no acknowledgement waits.
    hasty: bool,
    pub(super) events: VecDeque<LinkEvent>,
    pub(super) stats: Counted,
}

/// What is counted of all channels together.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) messages_sent: u64,
    pub(super) messages_received: u64,
    pub(super) frames_refused: u64,
    pub(super) stuck: u64,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) config: ChannelConfig,
    pub(super) outbox: Outbox,
    /// Absent for a plain one.
    framed: Option<Box<Framed>>,
    pub(super) counters: Box<ChannelCounters>,
}

/// The two sides of a framed channel.
#[derive(Debug)]
struct Framed {
    label: Arc<str>,
    sender: Sender,
    receiver: Receiver,
    /// Datagrams sent.
    datagram: u64,
}

impl Framed {
    /// What the other side is told of the channel.
    fn entry(&mut self, index: usize, config: &ChannelConfig, journaled: bool) -> Entry {
        let mut entry = Entry {
            channel: index as u16,
            mode: config.mode.code(),
            priority: config.priority.code(),
            keeps: journaled,
            epoch: 0,
            base: 0,
            theirs: 0,
            received: 0,
            acked: 0,
            window: 0,
            label: config.label.clone(),
        };
        self.sender.describe(&mut entry);
        self.receiver.describe(&mut entry);
        entry
    }
}

impl Channel {
    /// When the other side is to be told how far it has come.
    fn ack_due(&self) -> Option<Instant> {
        self.framed.as_ref().and_then(|f| f.receiver.ack_due())
    }
}

/// What the journal was asked to keep: a message of a channel, how far it has come with one of the
/// other side's epoch, or what may be forgotten.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Append(usize),
    Received(usize, u64, u64),
    Acked,
}

impl Mux {
    pub(super) fn new(defaults: OutboxConfig, max_channels: usize) -> Self {
        Self {
            channels: Vec::new(),
            exchange: None,
            defaults,
            max_channels,
            max_message: MAX_MESSAGE,
            their_limit: usize::MAX,
            plain_limit: usize::MAX,
            id: random::number(),
            their_link: None,
            told_mute: false,
            mismatches: Limiter::default(),
            refusals: Limiter::default(),
            passes_on: false,
            journaled: false,
            saved: Vec::new(),
            records: VecDeque::new(),
            asked: VecDeque::new(),
            retry_journal: None,
            waker: None,
            scheduler: Scheduler::default(),
            progress: None,
            patience: Duration::ZERO,
            ack_delay: Duration::from_millis(20),
            hasty: false,
            events: VecDeque::new(),
            stats: Counted::default(),
        }
    }

    pub(super) fn channels(&self) -> &[Channel] {
        &self.channels
    }

    pub(super) fn channel(&mut self, id: ChannelId) -> &mut Channel {
        &mut self.channels[id.0]
    }

    /// Whether there are as many channels as there may be; the log is told.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        let full = self.channels.len() >= self.max_channels;
        if full && let Some(withheld) = self.refusals.admit(now) {
            let max = self.max_channels;
            tracing::warn!(max, withheld, "channel refused: there are too many");
        }
        full
    }

    /// The limits of a channel that the other side opens.
    pub(super) fn outbox_of(&self, config: &ChannelConfig) -> OutboxConfig {
        let mut limits = OutboxConfig { max_message: config.outbox.max_message, ..self.defaults };
        if self.passes_on && config.mode.is_kept() {
            // Who does not take what is passed on holds up nobody else, and is told what it missed.
            limits.when_full = WhenFull::DropOldest;
        }
        limits
    }

    /// Whether there is a framed channel.
    pub(super) fn is_needed(&self) -> bool {
        self.channels.iter().any(|c| c.framed.is_some())
    }

    /// Whether a framed channel can be used on the transport of now.
    pub(super) fn is_ready(&self, id: ChannelId) -> bool {
        self.exchange.as_ref().is_some_and(|e| e.is_ready(id.0))
    }

    pub(super) fn set_journal(&mut self, saved: Vec<Saved>) {
        (self.journaled, self.saved) = (true, saved);
    }

    pub(super) fn set_waker(&mut self, waker: Waker) {
        for framed in self.channels.iter().filter_map(|c| c.framed.as_ref()) {
            framed.receiver.acks().set_waker(Some(waker.clone()));
        }
        self.waker = Some(waker);
    }

    /// Says how many bytes the application takes on a channel.
    pub(super) fn set_room(&mut self, now: Instant, id: ChannelId, bytes: usize) {
        if let Some(framed) = self.channels.get_mut(id.0).and_then(|c| c.framed.as_mut()) {
            framed.receiver.set_room(now, bytes);
        }
    }

    /// The next transport is up, and its stream is open or will be.
    pub(super) fn attach(&mut self) {
        self.detach();
        self.exchange = Some(Exchange::default());
    }

    /// Goes on where another one was, on the transport that this one has.
    pub(super) fn take_over(&mut self, old: &mut Self) {
        let waker = self.waker.take();
        std::mem::swap(self, old);
        self.events.clear();
        self.attach();
        waker.into_iter().for_each(|waker| self.set_waker(waker));
    }

    /// The transport is over: what was sent on it has to be sent again.
    pub(super) fn detach(&mut self) {
        (self.exchange, self.progress) = (None, None);
        for Channel { framed, outbox, .. } in &mut self.channels {
            if let Some(framed) = framed {
                framed.sender.suspend(outbox);
                framed.receiver.forget_early();
            }
        }
    }

    /// Adds a channel, and tells the other side of it if it was told of the others.
    pub(super) fn open(&mut self, now: Instant, config: ChannelConfig) -> (ChannelId, Outbox) {
        let outbox = Outbox::new(&ChannelConfig { mode: self.sends_as(&config), ..config.clone() });
        let index = self.channels.len();
        let framed = config.mode.is_framed();
        let framed = framed.then(|| Box::new(self.framed_channel(now, &config, &outbox)));
        let limit = if framed.is_some() { self.their_limit } else { self.plain_limit };
        outbox.set_their_limit(limit);
        let counters = Box::default();
        let channel = Channel { config, outbox: outbox.clone(), framed, counters };
        add(&mut self.channels, channel);
        self.announce(index);
        (ChannelId(index), outbox)
    }

    /// The other side takes messages of so many bytes on plain channels, on the transport of now:
    /// SCTP would refuse larger ones for good.
    pub(super) fn set_plain_limit(&mut self, bytes: usize) {
        self.plain_limit = bytes;
        self.set_limits(false, bytes);
    }

    /// Sets what the other side takes on all framed channels, or all plain ones.
    fn set_limits(&mut self, framed: bool, bytes: usize) {
        for (index, channel) in self.channels.iter().enumerate() {
            if channel.framed.is_some() == framed {
                let dropped = channel.outbox.set_their_limit(bytes);
                self.events.extend(too_large(index, dropped, bytes));
            }
        }
    }

    fn announce(&mut self, index: usize) {
        let Some(exchange) = &mut self.exchange else { return };
        let Channel { config, framed: Some(framed), .. } = &mut self.channels[index] else {
            return;
        };
        if exchange.said_hello && exchange.tell(index) {
            exchange.control.push(Frame::Open(framed.entry(index, config, self.journaled)));
        }
    }

    /// What the journal is to keep. Each is answered by [`Link::recorded`], in order.
    pub(super) fn poll_record(&mut self) -> Option<Record> {
        self.records.pop_front()
    }

    /// The journal has kept the oldest record that was not answered yet, or could not.
    pub(super) fn recorded(&mut self, now: Instant, result: Result<(), SendError>) {
        let trouble = result.as_ref().err().map(ToString::to_string);
        match self.asked.pop_front() {
            Some(Asked::Append(index)) => {
                let Channel { framed: Some(framed), outbox, .. } = &mut self.channels[index] else {
                    return;
                };
                let dropped = framed.sender.stored(result.is_ok(), outbox);
                outbox.note_stored(result);
                self.events.extend(too_large(index, dropped, self.their_limit));
            }
            Some(Asked::Received(index, epoch, through)) => {
                let Some(framed) = &mut self.channels[index].framed else { return };
                match result {
                    Ok(()) => framed.receiver.stored(now, epoch, through),
                    Err(_) => {
                        framed.receiver.not_stored();
                        self.retry_journal.get_or_insert(now + JOURNAL_PAUSE);
                    }
                }
            }
            Some(Asked::Acked) | None => {}
        }
        self.events.extend(trouble.map(LinkEvent::Trouble));
    }

    fn ask_journal(&mut self, index: usize, record: Record) {
        if self.journaled {
            self.asked.push_back(match &record {
                Record::Append { .. } => Asked::Append(index),
                Record::Received { epoch, through, .. } => Asked::Received(index, *epoch, *through),
                Record::Acked { .. } => Asked::Acked,
            });
            self.records.push_back(record);
        }
    }

    /// Without a journal what is durable, as the other side has opened it, is as good as reliable.
    fn sends_as(&self, config: &ChannelConfig) -> Mode {
        match config.mode {
            Mode::Durable if !self.journaled => Mode::Reliable,
            mode => mode,
        }
    }

    /// Says what becomes of all copies of a channel that are not acknowledged; or without an
    /// outcome that nothing does here.
    pub(super) fn settle_all(&mut self, id: ChannelId, outcome: Option<Outcome>) {
        let Some(Channel { framed, outbox, .. }) = self.channels.get_mut(id.0) else { return };
        outbox.settle_all(outcome);
        framed.iter_mut().for_each(|f| f.sender.settle_all(outcome));
    }

    fn framed_channel(&mut self, now: Instant, config: &ChannelConfig, outbox: &Outbox) -> Framed {
        let label: Arc<str> = config.label.as_str().into();
        let mut sender = Sender::new(self.sends_as(config), random::number().max(1));
        let mut receiver =
            Receiver::new(config.mode, config.manual_ack, self.journaled, self.max_message);
        receiver.acks().set_waker(self.waker.clone());
        if self.passes_on {
            receiver.set_room(now, PASSING_ROOM);
        }
        let saved = self.saved.iter().position(|s| s.label == label);
        let saved = saved.filter(|_| config.mode == Mode::Durable);
        if let Some(saved) = saved.map(|i| self.saved.swap_remove(i)) {
            if let Some(SavedOutgoing { epoch, acked, messages }) = saved.outgoing {
                let bytes = messages.iter().map(|(_, m)| m.data.len()).sum();
                outbox.hold(messages.len(), bytes);
                sender.restore(now, epoch, acked, messages);
            }
            if let Some((epoch, through)) = saved.incoming {
                receiver.restore(epoch, through);
            }
        }
        Framed { label, sender, receiver, datagram: 0 }
    }
}

impl Channel {
    pub(super) fn stats(&self) -> ChannelStats {
        let (queued, queued_bytes) = self.outbox.len();
        let (held, held_bytes) = self.outbox.held();
        let in_flight = self.framed.as_ref().map_or(0, |f| f.sender.in_flight());
        ChannelStats {
            label: self.config.label.clone(),
            mode: self.config.mode,
            // What the journal has and the transport has not, waits, too.
            queued: queued + held.saturating_sub(in_flight),
            queued_bytes: queued_bytes + if in_flight == 0 { held_bytes } else { 0 },
            in_flight,
            counters: (*self.counters).clone(),
            drops: self.outbox.drops(),
        }
    }
}

/// What is told of messages that were dropped, for the other side does not take as much.
fn too_large(index: usize, messages: u64, limit: usize) -> Option<LinkEvent> {
    let why = || format!("larger than the {limit} bytes that the other side takes");
    let channel = ChannelId(index);
    (messages > 0).then(|| LinkEvent::Dropped { channel, messages, why: why() })
}

/// Bytes of a channel that may be on their way through a hub.
const PASSING_ROOM: usize = 1024 * 1024;

/// After this a cursor that the journal could not keep is tried again.
const JOURNAL_PAUSE: Duration = Duration::from_secs(1);
