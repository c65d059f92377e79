//! The sending side of a framed channel: numbers pieces, keeps messages until they are
//! acknowledged, and sends them again on a new transport.

use std::collections::VecDeque;
use std::time::Instant;

use super::closing::FinalAck;
use super::frame::{DATA_HEAD, DataWriter, Entry, Frame, PIECE, PieceRef};
use super::receiver::{ACK_BYTES, ACK_PIECES};
use crate::link::channel::Mode;
use crate::link::channel::delivery::Outcome;
use crate::link::channel::message::Message;
use crate::link::channel::outbox::{Outbox, Queued};
use crate::link::channel::stats::ChannelCounters;

/// The sending side of one channel.
#[derive(Debug)]
pub(super) struct Sender {
    mode: Mode,
    epoch: u64,
    /// The number of the next new piece.
    next: u64,
    /// Messages that are kept, oldest first.
    flight: VecDeque<InFlight>,
    /// The next piece to send on the transport of now, and where in `flight` it is.
    send: u64,
    at: usize,
    /// The last piece that the other side has got, and where in `flight` the one after it is.
    received: u64,
    mark: usize,
    /// What was sent on this transport beyond `received`, and may be.
    unreceived: usize,
    window: usize,
    /// The serial number of the last acknowledgement.
    serial: u32,
    /// Pieces from here on are not in the journal yet.
    unstored: u64,
    /// Pieces from here on were never sent.
    fresh: u64,
    /// The largest message that the other side takes.
    limit: usize,
}

/// A message that is kept.
#[derive(Debug)]
struct InFlight {
    first: u64,
    pieces: u64,
    /// Absent if there is none of these numbers.
    message: Option<Message>,
    /// There was a message that was dropped, or some that were before they had numbers; else it
    /// could not be written to the journal.
    lost: bool,
    since: Instant,
}

impl InFlight {
    fn last(&self) -> u64 {
        self.first + self.pieces - 1
    }

    fn size(&self) -> usize {
        self.message.as_ref().map_or(0, |m| m.data.len())
    }

    /// What the pieces before this one count for in the window.
    fn cost_before(&self, number: u64) -> usize {
        let pieces = (number - self.first) as usize;
        (pieces * PIECE).min(self.size()) + pieces * PIECE_COST
    }
}

/// How many pieces a message of this size is cut into.
pub(super) fn pieces(size: usize) -> u64 {
    size.div_ceil(PIECE).max(1) as u64
}

impl Sender {
    pub(super) fn new(mode: Mode, epoch: u64) -> Self {
        Self {
            mode,
            epoch,
            next: 1,
            flight: VecDeque::new(),
            send: 1,
            at: 0,
            received: 0,
            mark: 0,
            unreceived: 0,
            window: 0,
            serial: 0,
            unstored: if mode == Mode::Durable { 1 } else { u64::MAX },
            fresh: 1,
            limit: usize::MAX,
        }
    }

    /// Goes on where an earlier process was: behind what was acknowledged, with these messages.
    pub(super) fn restore(
        &mut self,
        now: Instant,
        epoch: u64,
        acked: u64,
        messages: Vec<(u64, Message)>,
    ) {
        self.epoch = epoch;
        self.next = acked + 1;
        for (first, message) in messages {
            if first > self.next {
                // What could not be stored has left its numbers.
                self.leave_out(first - self.next, false, now);
            }
            self.keep(message, now);
        }
        let base = self.base();
        (self.send, self.received, self.unstored) = (base, base - 1, self.next);
        // Whether they were sent before is not known.
        self.fresh = self.next;
    }

    fn keep(&mut self, message: Message, since: Instant) {
        let (first, pieces) = (self.next, pieces(message.data.len()));
        self.flight.push_back(InFlight {
            first,
            pieces,
            message: Some(message),
            lost: false,
            since,
        });
        self.next += pieces;
    }

    /// Numbers that no message has.
    fn leave_out(&mut self, pieces: u64, lost: bool, since: Instant) {
        self.flight.push_back(InFlight { first: self.next, pieces, message: None, lost, since });
        self.next += pieces;
    }

    /// The first piece that there is.
    fn base(&self) -> u64 {
        self.flight.front().map_or(self.next, |h| h.first)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Its part of what the other side is told of the channel.
    pub(super) fn describe(&self, entry: &mut Entry) {
        (entry.epoch, entry.base) = (self.epoch, self.base());
    }

    /// The transport is gone: nothing is sent until the next one has been told where to begin.
    pub(super) fn suspend(&mut self, outbox: &Outbox) {
        (self.window, self.unreceived, self.serial) = (0, 0, 0);
        // Nothing is on its way, and nothing is waited for.
        (self.send, self.at) = (self.received + 1, self.mark);
        if self.mode == Mode::Latest {
            // Whatever of it was overtaken meanwhile need not be sent again.
            let held = self.flight.drain(..);
            let back = held.filter_map(|h| Some(Queued { message: h.message?, since: h.since }));
            outbox.put_back(back.collect());
            (self.at, self.mark, self.send, self.received) = (0, 0, self.next, self.next - 1);
        }
    }

    /// Begins on a new transport, where the other side says it has got to, with messages of `limit`
    /// bytes at most. Returns how many messages are sent once more, and how many are not sent, for
    /// they are larger.
    pub(super) fn resume(
        &mut self,
        now: Instant,
        entry: &Entry,
        limit: usize,
        outbox: &Outbox,
        counters: &mut ChannelCounters,
    ) -> (u64, u64) {
        let knows = entry.theirs == self.epoch && entry.received < self.next;
        // If it knows nothing, or less than is kept, it has lost what it had, or never had any.
        let least = self.base() - 1;
        self.reach(if knows { entry.received.max(least) } else { least });
        if knows {
            self.release(now, entry.acked, outbox, counters);
        }
        (self.send, self.at) = (self.received + 1, self.mark);
        (self.unreceived, self.window) = (0, entry.window as usize);
        self.limit = limit;
        let too_large = self.drop_too_large(outbox);
        let fresh = self.fresh;
        let again = self.flight.iter().skip(self.mark);
        let again = again.filter(|h| h.first < fresh && h.message.is_some()).count() as u64;
        counters.replayed += again;
        (again, too_large)
    }

    /// Drops what the other side has not got and does not take. Its numbers are told to be lost; a
    /// journal has them still, and forgets them when they are acknowledged.
    fn drop_too_large(&mut self, outbox: &Outbox) -> u64 {
        let (mut messages, mut bytes) = (0, 0);
        let (limit, unstored) = (self.limit, self.unstored);
        let ahead = self.flight.iter_mut().skip(self.mark).take_while(|h| h.first < unstored);
        for held in ahead.filter(|h| h.size() > limit) {
            bytes += held.size();
            messages += 1;
            held.lost = true;
            held.message.take().iter_mut().for_each(|m| m.settle(Outcome::Rejected));
        }
        if messages > 0 {
            outbox.lose(messages, bytes);
        }
        messages as u64
    }

    /// Hands messages to the journal. Nothing is sent before it is there, for after a crash its
    /// numbers would be given to others.
    pub(super) fn journal(
        &mut self,
        now: Instant,
        outbox: &Outbox,
        mut record: impl FnMut(u64, &Message),
    ) {
        outbox.take(now, usize::MAX, |queued| {
            record(self.next, &queued.message);
            self.keep(queued.message, queued.since);
        });
    }

    /// The oldest message that the journal has not answered for is there, or could not be kept.
    /// Returns how many the other side does not take.
    pub(super) fn stored(&mut self, kept: bool, outbox: &Outbox) -> u64 {
        let unstored = self.unstored;
        let position = self.flight.partition_point(|h| h.first < unstored);
        let Some(held) = self.flight.get_mut(position) else { return 0 };
        self.unstored = held.last() + 1;
        if held.size() > self.limit {
            held.lost = kept;
        } else if kept {
            return 0;
        }
        let Some(message) = held.message.take() else { return 0 };
        if kept {
            outbox.lose(1, message.data.len());
        } else {
            outbox.release(1, message.data.len());
        }
        u64::from(kept)
    }

    /// Whether there is something that may be sent now.
    pub(super) fn is_ready(&self, outbox: &Outbox) -> bool {
        match self.flight.get(self.at) {
            Some(held) => {
                if held.message.is_none() {
                    return self.can_skip();
                }
                self.send < self.unstored && self.unreceived + self.next_cost(held) <= self.window
            }
            None if self.mode == Mode::Durable => false,
            None => self.unreceived + PIECE_COST <= self.window && outbox.has_news(),
        }
    }

    /// Whether the other side may be told that the next number does not come. Not before the
    /// journal has it, or something behind it: after a crash the number would be given to another
    /// message, which the other side would take for this one.
    fn can_skip(&self) -> bool {
        if self.mode != Mode::Durable {
            return true;
        }
        // What was dropped for its size is there.
        let journaled = |h: &&InFlight| h.message.is_some() || h.lost;
        let behind = self.flight.iter().skip(self.at).find(journaled);
        behind.is_some_and(|h| h.first < self.unstored)
    }

    fn next_cost(&self, held: &InFlight) -> usize {
        let before = (self.send - held.first) as usize * PIECE;
        held.size().saturating_sub(before).min(PIECE) + PIECE_COST
    }

    /// Appends pieces to a container until it has `limit` bytes. Returns how many messages have
    /// been begun.
    pub(super) fn fill(
        &mut self,
        now: Instant,
        number: u16,
        outbox: &Outbox,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> u64 {
        let mut begun = 0;
        loop {
            let room = limit.saturating_sub(out.len());
            if self.at == self.flight.len() && self.mode != Mode::Durable {
                let missing = if self.mode.is_kept() { outbox.take_missing() } else { 0 };
                if missing > 0 {
                    // Never silence: each has a number, which the other side is told to be lost.
                    self.leave_out(missing, true, now);
                    continue;
                }
                let bytes = room.min(self.window.saturating_sub(self.unreceived));
                outbox.take(now, bytes, |queued| self.keep(queued.message, queued.since));
            }
            let Some(held) = self.flight.get(self.at).filter(|_| self.send < self.unstored) else {
                return begun;
            };
            if held.message.is_none() {
                if room < SKIP_SIZE || !self.can_skip() {
                    return begun;
                }
                let (from, through) = (self.send, held.last());
                Frame::Skip { channel: number, from, through, lost: held.lost }.write(out);
                self.send = through + 1;
                self.at += 1;
                continue;
            }
            let asks = outbox.is_used_up();
            let sent = self.fill_data(number, limit, asks, out, &mut begun);
            if !sent {
                return begun;
            }
        }
    }

    /// Whether so little is under way that the other side acknowledges it at its leisure.
    fn is_quiet(&self) -> bool {
        self.next - 1 - self.received < u64::from(ACK_PIECES) && self.unreceived < ACK_BYTES
    }

    /// One data frame, whose last piece may ask to be acknowledged at once; false if nothing fits.
    fn fill_data(
        &mut self,
        number: u16,
        limit: usize,
        asks: bool,
        out: &mut Vec<u8>,
        begun: &mut u64,
    ) -> bool {
        if out.len() + DATA_HEAD > limit {
            return false;
        }
        let quiet = self.is_quiet();
        let mut writer = DataWriter::new(out, number, self.send);
        while let Some(held) = self.flight.get(self.at)
            && let Some(message) = &held.message
            && self.send < self.unstored
            && !writer.is_full()
        {
            let offset = (self.send - held.first) as usize * PIECE;
            let data = &message.data[offset..message.data.len().min(offset + PIECE)];
            let (begin, end) = (self.send == held.first, self.send == held.last());
            let parts = begin && !end;
            let (key, origin) =
                if begin { (&message.key[..], message.origin) } else { (&[][..], None) };
            let size = DataWriter::size(key, origin.is_some(), parts, data.len());
            let cost = data.len() + PIECE_COST;
            if writer.len() + size > limit || self.unreceived + cost > self.window {
                break;
            }
            let (text, total) = (!message.binary, message.data.len() as u32);
            // Of a long message room comes with its last piece only.
            let asks = asks && self.send + 1 == self.next && (quiet || held.pieces > 1);
            writer.push(&PieceRef { text, begin, end, key, origin, total, asks, data });
            self.unreceived += cost;
            self.send += 1;
            if end {
                self.at += 1;
            }
            *begun += u64::from(begin && self.send > self.fresh);
            self.fresh = self.fresh.max(self.send);
        }
        writer.finish() > 0
    }

    /// Takes an acknowledgement. Returns whether it says anything new; an error if it acknowledges
    /// what was never sent.
    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        (serial, received, acked, window): (u32, u64, u64, u32),
        outbox: &Outbox,
        counters: &mut ChannelCounters,
    ) -> Result<bool, ()> {
        if received >= self.send {
            return Err(());
        }
        if serial <= self.serial || received < self.received {
            return Ok(false);
        }
        let progress = received > self.received;
        let mut unreceived = 0;
        if progress {
            unreceived = self.cost_through(received);
            self.reach(received);
        }
        self.unreceived = self.unreceived.saturating_sub(unreceived);
        (self.serial, self.window) = (serial, window as usize);
        Ok(self.release(now, acked, outbox, counters) || progress)
    }

    /// Takes the acknowledgement with which the other side closes the link, on whatever transport
    /// it got that far; an error if it acknowledges what was never sent.
    pub(super) fn on_final_ack(
        &mut self,
        now: Instant,
        ack: &FinalAck,
        outbox: &Outbox,
        counters: &mut ChannelCounters,
    ) -> Result<(), ()> {
        if ack.received >= self.fresh.max(self.send) {
            return Err(());
        }
        if ack.received > self.received {
            self.reach(ack.received);
            if self.send <= ack.received {
                (self.send, self.at) = (ack.received + 1, self.mark);
            }
        }
        self.release(now, ack.acked, outbox, counters);
        Ok(())
    }

    /// What the pieces behind `self.received` up to this one count for.
    fn cost_through(&self, received: u64) -> usize {
        let mut cost = 0;
        for held in self.flight.iter().skip(self.mark) {
            if held.first > received {
                break;
            }
            let begin = held.first.max(self.received + 1);
            let end = received.min(held.last());
            if held.message.is_some() {
                cost += held.cost_before(end + 1) - held.cost_before(begin);
            }
        }
        cost
    }

    /// The other side has got to here, further than before or, on a new transport, less far.
    fn reach(&mut self, received: u64) {
        self.received = received;
        self.mark = self.flight.partition_point(|h| h.last() <= received);
    }

    /// Forgets what the other side says it needs no more.
    fn release(
        &mut self,
        now: Instant,
        acked: u64,
        outbox: &Outbox,
        counters: &mut ChannelCounters,
    ) -> bool {
        let (mut messages, mut bytes, mut any) = (0, 0, false);
        while let Some(held) = self.flight.front_mut()
            && held.last() <= acked.min(self.received)
        {
            if let Some(message) = &mut held.message {
                messages += 1;
                bytes += message.data.len();
                message.settle(Outcome::Accepted);
                counters.ack_latency.record(now.saturating_duration_since(held.since));
            }
            self.flight.pop_front();
            self.at = self.at.saturating_sub(1);
            self.mark = self.mark.saturating_sub(1);
            any = true;
        }
        counters.acked += messages as u64;
        outbox.release(messages, bytes);
        any
    }

    /// Says what becomes of all copies that are kept; or without an outcome that nothing does here.
    pub(super) fn settle_all(&mut self, outcome: Option<Outcome>) {
        for message in self.flight.iter_mut().flat_map(|h| &mut h.message) {
            match outcome {
                Some(outcome) => message.settle(outcome),
                None => message.delivery = None,
            }
        }
    }

    /// Up to where everything has been acknowledged.
    pub(super) fn acked(&self) -> u64 {
        self.base() - 1
    }

    /// Whether the other side has not said that it knows what is lost.
    #[cfg(test)]
    pub(super) fn has_lost(&self) -> bool {
        self.flight.iter().any(|h| h.lost)
    }

    /// Whether the other side has not got something that was sent.
    pub(super) fn is_waiting(&self) -> bool {
        self.received + 1 < self.send
    }

    /// Messages that were sent, or are being, and are not acknowledged.
    pub(super) fn in_flight(&self) -> usize {
        self.flight.iter().take_while(|h| h.first < self.send).count()
    }
}

/// What a piece counts for in the window beside its bytes: what it takes to keep an empty one.
pub(super) const PIECE_COST: usize = 32;

/// A skip frame in bytes.
const SKIP_SIZE: usize = 20;
