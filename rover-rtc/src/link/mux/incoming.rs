//! Frames of the other side, and what they change.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::exchange::Exchange;
use super::frame::{Data, Entry, Frame, Reader};
use super::receiver::{Arrival, Receiver, When};
use super::{Channel, ChannelConfig, ChannelId, LinkEvent, Mux, Record, too_large};
use crate::link::channel::event::queue;
use crate::link::channel::message::Origin;
use crate::link::channel::stats::ChannelCounters;
use crate::link::channel::{Mode, Priority};
use crate::link::channel::{RESERVED, STATUS};
use crate::util::limiter::with_withheld;

impl Mux {
    /// Takes a container of frames; true if there were messages, or parts of them, in it.
    pub(in crate::link) fn on_container(&mut self, now: Instant, container: Bytes) -> bool {
        let mut reader = Reader::new(container);
        let mut messages = false;
        while let Some(frame) = reader.next() {
            match frame {
                Ok(frame) => {
                    messages |= matches!(frame, Frame::Data(_));
                    self.on_frame(now, frame);
                }
                Err(error) => self.distrust(&error.to_string()),
            }
        }
        messages
    }

    fn on_frame(&mut self, now: Instant, frame: Frame) {
        let Some(exchange) = &mut self.exchange else { return };
        let channel = match &frame {
            Frame::Data(Data { channel, .. }) | Frame::Skip { channel, .. } => {
                let index = exchange.theirs.get(channel).copied();
                if index.is_none() {
                    // It has outrun the frame that introduces its channel.
                    self.stash(frame);
                    return;
                }
                index
            }
            // By the number that this side gave it.
            Frame::Ack { channel, .. } => {
                let index = usize::from(*channel);
                if !exchange.is_ready(index) {
                    // What it says is newer than what the frame it has outrun will say.
                    self.stash(frame);
                    return;
                }
                Some(index)
            }
            Frame::Open(_) if !exchange.heard_hello => {
                // Nothing can be sent before it is known how much the other side takes.
                self.stash(frame);
                return;
            }
            Frame::Hello { .. } | Frame::Open(_) => None,
        };
        match (frame, channel) {
            (Frame::Hello { link, max_message, entries }, _) => {
                self.on_hello(now, link, max_message, &entries);
            }
            (Frame::Open(entry), _) => {
                self.on_entry(now, &entry);
                self.take_early(now);
            }
            (Frame::Data(data), Some(index)) => self.on_data(now, index, &data),
            (Frame::Skip { from, through, lost, .. }, Some(index)) => {
                let when = self.when(now, index);
                self.with_receiver(index, |receiver, _, arrived| {
                    receiver.on_skip(when, from, through, lost, arrived);
                });
            }
            (Frame::Ack { serial, received, acked, window, .. }, Some(index)) => {
                self.on_ack(now, index, (serial, received, acked, window));
            }
            _ => {}
        }
    }

    /// An acknowledgement waits for a message that takes it along; of a durable channel's messages
    /// not for long, for the other side keeps them on its disk.
    fn when(&self, now: Instant, index: usize) -> When {
        let durable = self.channels[index].config.mode == Mode::Durable;
        let delay = match durable {
            _ if self.hasty => Duration::ZERO,
            true => self.ack_delay,
            false => self.ack_delay.max(COMPANY),
        };
        When { now, ack_by: now + delay }
    }

    fn on_hello(&mut self, now: Instant, link: u64, max_message: u32, entries: &[Entry]) {
        let Some(exchange) = &mut self.exchange else { return };
        if std::mem::replace(&mut exchange.heard_hello, true) {
            return self.distrust("a second hello");
        }
        let before = self.their_link.replace(link);
        if before.is_some_and(|before| before != link) {
            self.events.push_back(LinkEvent::PeerRestarted);
        }
        self.their_limit = max_message as usize;
        self.set_limits(true, self.their_limit);
        let replayed = entries.iter().map(|entry| self.on_entry(now, entry)).sum();
        if before.is_some() {
            self.events.push_back(LinkEvent::Resumed { replayed });
        }
        self.take_early(now);
    }

    fn stash(&mut self, frame: Frame) {
        // Once for a transport: it is to be replaced, and the rest of what comes is lost as well.
        let overflows = |e: &mut Exchange| !e.stash(frame) && !std::mem::replace(&mut e.full, true);
        if self.exchange.as_mut().is_some_and(overflows) {
            self.events.push_back(LinkEvent::Stuck);
        }
    }

    fn take_early(&mut self, now: Instant) {
        let early = self.exchange.as_mut().map(Exchange::take_early);
        early.into_iter().flatten().for_each(|frame| self.on_frame(now, frame));
    }

    /// Takes what the other side says of a channel. Returns how many messages are sent once more.
    fn on_entry(&mut self, now: Instant, entry: &Entry) -> u64 {
        let Some(mode) = Mode::from_code(entry.mode) else {
            self.distrust("a channel of an unknown mode");
            return 0;
        };
        let Some((index, new)) = self.channel_of(now, entry, mode) else { return 0 };
        let Some(exchange) = &mut self.exchange else { return 0 };
        let Channel { config, outbox, framed, counters } = &mut self.channels[index];
        let Some(framed) = framed else {
            if let Some(withheld) = self.mismatches.admit(now) {
                let what = format!(
                    "the channel {:?} is plain here, and {mode:?} on the other side: give both the same mode",
                    entry.label
                );
                self.events.push_back(LinkEvent::Trouble(with_withheld(what, withheld)));
            }
            return 0;
        };
        if exchange.is_ready(index) {
            // Both sides have opened it, or one says it twice.
            return 0;
        }
        let announce = exchange.set_ready(entry.channel, index);
        framed.receiver.set_mode(mode, config.manual_ack, self.journaled);
        let events = &mut self.events;
        framed.receiver.resume(entry, |arrival| tell(events, index, arrival));
        let limit = self.their_limit;
        let (replayed, dropped) = framed.sender.resume(now, entry, limit, outbox, counters);
        events.extend(too_large(index, dropped, limit));
        if announce && exchange.tell(index) {
            exchange.control.push(Frame::Open(framed.entry(index, config, self.journaled)));
        }
        let (id, label) = (ChannelId(index), entry.label.clone());
        events.push_back(LinkEvent::ChannelOpen { id, label, new });
        if config.mode == Mode::Durable && !entry.keeps {
            let what = format!(
                "the other side keeps no journal: what it has taken of {:?} comes to it again after it was restarted",
                config.label
            );
            events.push_back(LinkEvent::Trouble(what));
        }
        replayed
    }

    /// The channel that the other side speaks of, and whether it is new.
    fn channel_of(&mut self, now: Instant, entry: &Entry, mode: Mode) -> Option<(usize, bool)> {
        let known = self.channels.iter().position(|c| c.config.label == entry.label);
        if let Some(index) = known {
            return Some((index, false));
        }
        if entry.label.starts_with(RESERVED) && entry.label != STATUS {
            return None;
        }
        if self.is_full(now) {
            return None;
        }
        let mut config = ChannelConfig::of_mode(entry.label.clone(), mode);
        config.priority = Priority::from_code(entry.priority);
        config.manual_ack = self.passes_on && mode.is_kept();
        config.outbox = self.outbox_of(&config);
        Some((self.open(now, config).0.0, true))
    }

    fn on_data(&mut self, now: Instant, index: usize, data: &Data) {
        let when = self.when(now, index);
        self.with_receiver(index, |receiver, counters, arrived| {
            for (number, piece) in data.pieces() {
                if receiver.is_datagrams() {
                    let (arrival, missed) = receiver.on_datagram(number, &piece);
                    arrival.into_iter().for_each(&mut *arrived);
                    counters.missed += missed;
                } else {
                    receiver.on_piece(when, number, piece, &mut *arrived);
                }
            }
        });
    }

    fn on_ack(&mut self, now: Instant, index: usize, ack: (u32, u64, u64, u32)) {
        let Some(channel) = self.channels.get_mut(index) else { return };
        let Channel { framed: Some(framed), outbox, counters, .. } = channel else { return };
        let before = framed.sender.acked();
        match framed.sender.on_ack(now, ack, outbox, counters) {
            Ok(progress) => {
                if progress {
                    self.progress = Some(now);
                }
                self.note_acked(index, before);
            }
            Err(()) => self.distrust("an acknowledgement of what was not sent"),
        }
    }

    /// The journal may forget what the other side has acknowledged since the sender was at
    /// `before`.
    pub(super) fn note_acked(&mut self, index: usize, before: u64) {
        let Channel { config, framed: Some(framed), .. } = &self.channels[index] else { return };
        let (epoch, through) = (framed.sender.epoch(), framed.sender.acked());
        if config.mode == Mode::Durable && through > before {
            let label = framed.label.clone();
            self.ask_journal(index, Record::Acked { label, epoch, through });
        }
    }

    /// Lets a receiver take something; what comes of it is counted and told.
    fn with_receiver(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Receiver, &mut ChannelCounters, &mut dyn FnMut(Arrival)),
    ) {
        let Channel { framed: Some(framed), counters, .. } = &mut self.channels[index] else {
            return;
        };
        let (events, mut messages, mut wrong) = (&mut self.events, 0, false);
        let writer = self.passes_on.then(|| framed.receiver.epoch());
        act(&mut framed.receiver, counters, &mut |mut arrival| {
            if let Arrival::Message(message) = &mut arrival {
                messages += 1;
                if let Some(epoch) = writer {
                    // Whatever it says itself.
                    message.origin = Some(Origin { epoch, number: message.number });
                }
            }
            wrong |= arrival == Arrival::Violation;
            tell(events, index, arrival);
        });
        counters.received += messages;
        self.stats.messages_received += messages;
        if wrong {
            self.distrust("more, or other pieces than were agreed");
        }
    }

    /// The other side has sent what makes no sense. What it may not do has no effect; the first
    /// time is told.
    pub(super) fn distrust(&mut self, what: &str) {
        self.stats.frames_refused += 1;
        if self.stats.frames_refused == 1 {
            self.events.push_back(LinkEvent::Trouble(format!("the other side sent {what}")));
        }
    }
}

fn tell(events: &mut VecDeque<LinkEvent>, index: usize, arrival: Arrival) {
    event_of(index, arrival).into_iter().for_each(|event| queue(events, event));
}

fn event_of(index: usize, arrival: Arrival) -> Option<LinkEvent> {
    let channel = ChannelId(index);
    Some(match arrival {
        Arrival::Message(message) => LinkEvent::Message(channel, message),
        Arrival::Progress { bytes, total } => LinkEvent::Progress { channel, bytes, total },
        Arrival::Gap(lost) => LinkEvent::Gap { channel, lost },
        Arrival::Violation => return None,
    })
}

/// How long an acknowledgement waits for a message in the other direction: at ten a second each way
/// all of them find one. The sender keeps what is not acknowledged, and that is all it costs.
const COMPANY: Duration = Duration::from_millis(100);
