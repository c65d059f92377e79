//! The receiving side of a framed channel: puts pieces in order and together, drops what it has
//! had, and knows what it may acknowledge.

mod acks;
mod closing;

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::closing::FinalAck;
use super::early::{Early, Next, RUN_COST};
use super::frame::{Entry, PIECE, Piece};
use super::sender::{PIECE_COST, pieces};
use crate::link::channel::Mode;
use crate::link::channel::message::{Acks, Message, Origin, Receipt};

/// What came of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// A whole message.
    Message(Message),
    /// Bytes of a message of several pieces that have arrived, of so many.
    Progress { bytes: usize, total: usize },
    /// So many numbers were lost; `None` if nobody knows.
    Gap(Option<u64>),
    /// What a sender may not send.
    Violation,
}

/// Now, and when what comes now is to be acknowledged unless more comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    pub(super) now: Instant,
    pub(super) ack_by: Instant,
}

/// The receiving side of one channel.
#[derive(Debug)]
pub(super) struct Receiver {
    mode: Mode,
    /// Whether messages count only when they were acknowledged.
    manual: bool,
    /// Whether the journal must know before the other side does.
    keeps: bool,
    /// 0 before the other side has said anything.
    epoch: u64,
    /// All pieces up to this one are here.
    received: u64,
    /// All up to this one may be forgotten by the sender.
    acked: u64,
    /// What came before its turn.
    early: Early,
    partial: Option<Partial>,
    /// What comes until the next message begins is of one that was refused, which has been told.
    refusing: bool,
    /// Messages handed on and not acknowledged.
    unacked: VecDeque<Unacked>,
    unacked_bytes: usize,
    /// All messages up to this one have been acknowledged by the application.
    taken: u64,
    /// The newest number of each key, of messages that were handed on before their turn.
    keys: HashMap<Bytes, u64>,
    key_bytes: usize,
    /// What had been received when it was last looked which of them are needed.
    keys_since: u64,
    /// How many there may be before those that nothing can overtake are forgotten.
    most_keys: usize,
    /// The first and the last number of each writer whose messages a hub has passed on, and the
    /// order in which the writers were first seen.
    origins: HashMap<u64, (u64, u64)>,
    origin_order: VecDeque<u64>,
    /// What the application had not acknowledged when the hub that had passed it on was restarted.
    former: Vec<(Acks, Vec<(u64, Origin)>)>,
    acks: Acks,
    max_message: usize,
    /// Bytes that the application takes.
    room: usize,
    told: Told,
    /// What has come since then.
    beyond: usize,
    /// Pieces since the other side was told.
    fresh: u32,
    fresh_bytes: usize,
    due: Option<Instant>,
    /// The last piece that asked to be acknowledged at once, and has not been; 0 if there is none.
    asked: u64,
    /// What the journal was asked to keep last.
    recorded: u64,
    recording: bool,
}

#[derive(Debug, Default)]
struct Told {
    serial: u32,
    acked: u64,
    window: usize,
}

/// A message that the application has, and has not acknowledged in its turn.
#[derive(Debug)]
struct Unacked {
    number: u64,
    cost: usize,
    acked: bool,
    origin: Option<Origin>,
}

/// How a message that was passed on stands to the others of its writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    New,
    /// It is here, or was refused.
    Known,
    /// It has never been here, and later ones have: those it was for before have left.
    Late,
}

#[derive(Debug)]
struct Partial {
    text: bool,
    key: Bytes,
    origin: Option<Origin>,
    total: usize,
    data: BytesMut,
}

impl Receiver {
    pub(super) fn new(mode: Mode, manual: bool, keeps: bool, max_message: usize) -> Self {
        let mut receiver = Self {
            mode,
            manual: false,
            keeps: false,
            epoch: 0,
            received: 0,
            acked: 0,
            early: Early::default(),
            partial: None,
            refusing: false,
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            taken: 0,
            keys: HashMap::new(),
            key_bytes: 0,
            keys_since: 0,
            most_keys: MAX_KEYS,
            origins: HashMap::new(),
            origin_order: VecDeque::new(),
            former: Vec::new(),
            acks: Acks::default(),
            max_message,
            room: max_message,
            told: Told::default(),
            beyond: 0,
            fresh: 0,
            fresh_bytes: 0,
            due: None,
            asked: 0,
            recorded: 0,
            recording: false,
        };
        receiver.set_mode(mode, manual, keeps);
        receiver
    }

    /// Goes on where an earlier process was.
    pub(super) fn restore(&mut self, epoch: u64, through: u64) {
        (self.epoch, self.received, self.acked) = (epoch, through, through);
        (self.recorded, self.taken) = (through, through);
    }

    /// Names the other side's sequence.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Where the acknowledgements of the application arrive.
    pub(super) fn acks(&self) -> &Acks {
        &self.acks
    }

    /// Takes the other side's mode, which decides how its messages are treated.
    pub(super) fn set_mode(&mut self, mode: Mode, manual: bool, keeps: bool) {
        self.mode = mode;
        self.manual = (manual || mode == Mode::Durable) && mode.is_kept();
        self.keeps = keeps && mode == Mode::Durable;
    }

    /// The other side begins on a new transport.
    pub(super) fn resume(&mut self, entry: &Entry, mut arrived: impl FnMut(Arrival)) {
        if self.epoch != entry.epoch {
            if self.epoch != 0 && self.mode.is_kept() {
                arrived(Arrival::Gap(None));
            }
            self.epoch = entry.epoch;
            (self.received, self.acked) = (entry.base - 1, entry.base - 1);
            self.recorded = self.received;
            self.forget_early();
            self.partial = None;
            self.refusing = false;
            // Acknowledgements of what came before mean nothing now.
            let open = self.unacked.iter().filter(|u| !u.acked);
            let open: Vec<_> = open.filter_map(|u| Some((u.number, u.origin?))).collect();
            if !open.is_empty() && self.former.len() < MAX_FORMER {
                self.former.push((self.acks.clone(), open));
            }
            self.acks = self.acks.renewed();
            self.unacked.clear();
            (self.unacked_bytes, self.taken) = (0, 0);
            self.keys.clear();
            (self.key_bytes, self.keys_since) = (0, 0);
        } else if entry.base > self.received + 1 {
            let lost = entry.base - 1 - self.received;
            self.skip_to(entry.base - 1, (self.mode.is_kept()).then_some(lost), &mut arrived);
            self.drain(&mut arrived);
        }
    }

    /// Its part of what the other side is told of the channel.
    pub(super) fn describe(&mut self, entry: &mut Entry) {
        (entry.theirs, entry.received, entry.acked) = (self.epoch, self.received, self.acked);
        entry.window = self.tell(0);
    }

    /// Notes what the other side is being told, and returns the window.
    fn tell(&mut self, serial: u32) -> u32 {
        let window = self.window();
        self.told = Told { serial, acked: self.acked, window };
        self.beyond = self.early.agreed();
        u32::try_from(window).unwrap_or(u32::MAX)
    }

    /// Whether nothing is waited for.
    pub(super) fn is_datagrams(&self) -> bool {
        self.mode == Mode::Datagram
    }

    /// Takes a piece.
    pub(super) fn on_piece(
        &mut self,
        when: When,
        number: u64,
        piece: Piece,
        mut arrived: impl FnMut(Arrival),
    ) {
        if number <= self.received || self.early.contains(number) {
            let due = if piece.asks { when.now } else { when.ack_by };
            self.due = Some(self.due.map_or(due, |d| d.min(due)));
            return;
        }
        if piece.asks {
            self.asked = self.asked.max(number);
        }
        let cost = piece.data.len() + PIECE_COST;
        if self.beyond + cost > self.told.window + SLACK {
            // Nobody who keeps to the window gets here.
            return arrived(Arrival::Violation);
        }
        self.beyond += cost;
        self.fresh_bytes += cost;
        if number == self.received + 1 {
            self.received = number;
            self.take(number, piece, &mut arrived);
            self.drain(&mut arrived);
        } else if self.early.agreed() + cost > self.max_message + SLACK
            || !self.has_memory(piece.size())
        {
            return arrived(Arrival::Violation);
        } else if self.mode == Mode::Latest
            && (piece.begin && piece.end)
            && self.has_memory_for_key(&piece.key)
        {
            self.early.push(number, None);
            self.take_whole(number, &piece, &mut arrived);
        } else {
            self.early.push(number, Some(&piece));
        }
        self.note(when);
    }

    /// Takes word of numbers that no piece has.
    pub(super) fn on_skip(
        &mut self,
        when: When,
        from: u64,
        through: u64,
        lost: bool,
        mut arrived: impl FnMut(Arrival),
    ) {
        if through > self.received {
            if from <= self.received + 1 {
                let lost = (lost && self.mode.is_kept()).then_some(through - self.received);
                self.skip_to(through, lost, &mut arrived);
                self.drain(&mut arrived);
            } else if self.has_memory(0) {
                self.early.skip(from, through, lost);
            } else {
                return arrived(Arrival::Violation);
            }
        }
        self.note(when);
    }

    /// Counts a datagram; none is waited for. Returns how many did not come, up to this one.
    pub(super) fn on_datagram(&mut self, number: u64, piece: &Piece) -> (Option<Arrival>, u64) {
        let missed = number.saturating_sub(self.received + 1);
        self.received = self.received.max(number);
        if piece.data.len() > self.max_message {
            return (Some(Arrival::Violation), missed + 1);
        }
        (piece.end.then(|| Arrival::Message(message(piece, number))), missed)
    }

    /// Whether something of this size may wait for its turn. Of an honest sender all may, unless
    /// a third of its window is tiny messages each of which comes with its neighbours missing: then
    /// acknowledgements stop, and the rest comes on the next transport.
    fn has_memory(&self, size: usize) -> bool {
        self.early.memory() + size + RUN_COST <= (self.max_message + SLACK) / 2 * 3
    }

    /// Whether the number of a key that is not known can be remembered, too. A message for which it
    /// cannot waits for its turn.
    fn has_memory_for_key(&mut self, key: &Bytes) -> bool {
        let most = (self.max_message + SLACK) / 2;
        let cost = key.len() + KEY_COST;
        if self.key_bytes + cost > most && self.keys_since < self.received {
            self.forget_keys();
        }
        self.keys.contains_key(key) || self.key_bytes + cost <= most
    }

    /// Forgets the keys of which nothing is on its way that could be older.
    fn forget_keys(&mut self) {
        let received = self.received;
        self.keys.retain(|_, newest| *newest > received);
        self.keys.shrink_to(2 * self.keys.len());
        self.keys_since = received;
        self.key_bytes = self.keys.keys().map(|key| key.len() + KEY_COST).sum();
        // Not again for each of them.
        self.most_keys = MAX_KEYS.max(2 * self.keys.len());
    }

    fn note(&mut self, when: When) {
        self.fresh += 1;
        // Before the other side has to stop, if it is to go on.
        let half = self.told.window / 2;
        let opens = self.fresh_bytes >= half && self.window() > half;
        let many = self.fresh >= ACK_PIECES || self.fresh_bytes >= ACK_BYTES;
        // Not before all that was asked for is there.
        let asked = self.asked > 0 && self.asked <= self.received;
        if asked {
            self.asked = 0;
        }
        let due = if many || opens || asked { when.now } else { when.ack_by };
        self.due = Some(self.due.map_or(due, |d| d.min(due)));
    }

    /// Numbers up to this one will not come.
    fn skip_to(&mut self, through: u64, lost: Option<u64>, arrived: &mut impl FnMut(Arrival)) {
        self.received = through;
        self.partial = None;
        self.refusing = false;
        self.early.forget_through(through);
        if let Some(lost) = lost {
            arrived(Arrival::Gap(Some(lost)));
        }
        self.settle();
    }

    /// Takes what waited for its turn.
    fn drain(&mut self, arrived: &mut impl FnMut(Arrival)) {
        while let Some(next) = self.early.pop(self.received + 1) {
            let number = self.received + 1;
            match next {
                Next::Piece(piece) => {
                    self.received = number;
                    self.take(number, piece, arrived);
                }
                Next::Done => self.received = number,
                Next::Skip { through, lost } => {
                    let lost = (lost && self.mode.is_kept()).then_some(through - self.received);
                    self.skip_to(through, lost, arrived);
                }
            }
        }
        self.settle();
    }

    /// Takes a piece whose turn it is.
    fn take(&mut self, number: u64, piece: Piece, arrived: &mut impl FnMut(Arrival)) {
        if piece.begin {
            self.refusing = false;
            if let Some(endless) = self.partial.take() {
                self.refuse(pieces(endless.data.len()), arrived);
            }
            if piece.end {
                return self.take_whole(number, &piece, arrived);
            }
            let total = piece.total as usize;
            if total > self.max_message {
                self.refusing = true;
                return self.refuse(pieces(total), arrived);
            }
            let Piece { text, key, origin, .. } = piece;
            // Not all at once: who announces much may send little.
            let data = BytesMut::with_capacity(total.min(16 * PIECE));
            self.partial = Some(Partial { text, key, origin, total, data });
        }
        let Some(partial) = &mut self.partial else {
            // Without a beginning.
            if !std::mem::replace(&mut self.refusing, true) {
                self.refuse(1, arrived);
            }
            return;
        };
        partial.data.extend_from_slice(&piece.data);
        let (bytes, total) = (partial.data.len(), partial.total);
        if bytes > total || (piece.end && bytes != total) {
            self.partial = None;
            self.refusing = true;
            return self.refuse(pieces(bytes), arrived);
        }
        if !piece.end {
            if (bytes / PIECE).is_multiple_of(PROGRESS) {
                arrived(Arrival::Progress { bytes, total });
            }
            return;
        }
        if let Some(Partial { text, key, origin, data, .. }) = self.partial.take() {
            let data = data.freeze();
            let message =
                Message { binary: !text, data, key, number, origin, ..Message::default() };
            self.hand_on(message, arrived);
        }
    }

    /// Takes a message of one piece, which on `Latest` may come while others are put together.
    fn take_whole(&mut self, number: u64, piece: &Piece, arrived: &mut impl FnMut(Arrival)) {
        if piece.data.len() > self.max_message {
            return self.refuse(1, arrived);
        }
        self.hand_on(message(piece, number), arrived);
    }

    /// Refuses so many pieces whose turn it was: they count as received, so nobody sends them
    /// again.
    fn refuse(&self, pieces: u64, arrived: &mut impl FnMut(Arrival)) {
        if self.mode.is_kept() {
            arrived(Arrival::Gap(Some(pieces)));
        }
        arrived(Arrival::Violation);
    }

    fn hand_on(&mut self, mut message: Message, arrived: &mut impl FnMut(Arrival)) {
        let number = message.number;
        if self.mode == Mode::Latest && !self.is_newest(&message.key, number) {
            return;
        }
        let origin = message.origin.filter(|_| self.mode.is_kept());
        let age = origin.map_or(Age::New, |origin| self.age(origin));
        if age == Age::Late {
            arrived(Arrival::Gap(Some(pieces(message.data.len()))));
            return self.settle();
        }
        if let Some(known) = origin.filter(|_| age == Age::Known) {
            // The application has it, and may not have acknowledged it.
            if self.manual && self.former.iter().any(|(_, o)| o.iter().any(|o| o.1 == known)) {
                self.owe(number, PIECE_COST, origin);
            }
            return self.settle();
        }
        if self.manual {
            self.owe(number, message.data.len() + PIECE_COST, origin);
            message.receipt = Some(Receipt::new(self.acks.clone(), number));
        }
        self.settle();
        arrived(Arrival::Message(message));
    }

    /// Notes that the application has to acknowledge this.
    fn owe(&mut self, number: u64, cost: usize, origin: Option<Origin>) {
        self.unacked.push_back(Unacked { number, cost, acked: false, origin });
        self.unacked_bytes += cost;
    }

    fn is_newest(&mut self, key: &Bytes, number: u64) -> bool {
        match self.keys.get_mut(key) {
            Some(newest) if *newest > number => return false,
            Some(newest) => *newest = number,
            // In its turn: all that is still to come is newer.
            None if number <= self.received => {}
            None => {
                if self.keys.len() >= self.most_keys {
                    self.forget_keys();
                }
                self.key_bytes += key.len() + KEY_COST;
                self.keys.insert(Bytes::copy_from_slice(key), number);
            }
        }
        true
    }

    fn age(&mut self, origin: Origin) -> Age {
        if let Some((first, last)) = self.origins.get_mut(&origin.epoch) {
            if origin.number > *last {
                *last = origin.number;
                return Age::New;
            }
            return if origin.number < *first { Age::Late } else { Age::Known };
        }
        if self.origins.len() >= MAX_ORIGINS
            && let Some(oldest) = self.origin_order.pop_front()
        {
            self.origins.remove(&oldest);
        }
        self.origins.insert(origin.epoch, (origin.number, origin.number));
        self.origin_order.push_back(origin.epoch);
        Age::New
    }
}

fn message(piece: &Piece, number: u64) -> Message {
    Message {
        binary: !piece.text,
        data: own_bytes(&piece.data),
        key: own_bytes(&piece.key),
        number,
        origin: piece.origin,
        ..Message::default()
    }
}

/// A small part of a container must not keep all of it.
fn own_bytes(bytes: &Bytes) -> Bytes {
    if bytes.len() < PIECE { Bytes::copy_from_slice(bytes) } else { bytes.clone() }
}

/// Pieces that wait for an acknowledgement at most, and their bytes: a fraction of what an outbox
/// holds.
pub(super) const ACK_PIECES: u32 = 256;
pub(super) const ACK_BYTES: usize = 64 * 1024;

/// Pieces after which it is told how much of a message is here.
const PROGRESS: usize = 64;

/// A closed window is told to be open again when it is worth it.
const REOPEN: usize = 64 * 1024;

/// What a sender that keeps to its window may be ahead of us.
const SLACK: usize = 1024 * 1024;

/// Keys of which the newest number is remembered.
const MAX_KEYS: usize = 4096;

/// What a key takes in its table, half of which may be empty.
const KEY_COST: usize = 112;

/// Restarts of a hub within the time that an application takes to acknowledge.
const MAX_FORMER: usize = 8;

/// Writers whose messages a hub passes on.
const MAX_ORIGINS: usize = 1024;
