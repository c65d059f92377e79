//! What was sent and what arrived on one direction of a channel. Shares no code with what it
//! checks.

use std::collections::{HashMap, HashSet};

use crate::link::{Message, Mode};

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Accepted by the outbox.
    Accepted,
    /// Durable: the journal says it is there.
    Stored,
    /// Durable: the journal says it is not.
    Refused,
    /// The process ended before it was safe.
    Lost,
}

#[derive(Debug)]
pub(super) struct Sent {
    pub(super) process: u32,
    size: usize,
    key: u8,
    /// The number that the message must have, where nothing is dropped.
    number: u64,
    pub(super) fate: Fate,
    arrived: bool,
}

/// One direction of a channel.
#[derive(Debug)]
pub(super) struct Lane {
    name: [u8; 2],
    mode: Mode,
    /// Whether full outboxes drop.
    drops: bool,
    /// Whether the other side may take less than is sent, and the least that it has ever taken.
    limited: bool,
    smallest: usize,
    /// Pieces of a sending process that the other side was told are lost.
    told: HashMap<u32, u64>,
    pub(super) sent: Vec<Sent>,
    /// Of a sending and a receiving process: the last message, of a key on `Latest`.
    last: HashMap<(u32, u32, u8), usize>,
    /// Of a receiving process: whose messages it has had, and whether it was told of a gap since.
    heard: HashMap<u32, (u32, bool)>,
    /// Numbers under which messages have come.
    numbers: HashMap<usize, u64>,
    /// Messages that a receiving process has had.
    had: HashSet<(u32, usize)>,
    /// Up to where the receiver's journal knows that it was taken.
    pub(super) taken: u64,
}

const HEAD: usize = 8;
pub(super) const PIECE: u64 = 4096;

impl Lane {
    pub(super) fn new(side: usize, channel: usize, mode: Mode, drops: bool, limited: bool) -> Self {
        Self {
            name: [side as u8, channel as u8],
            mode,
            drops,
            limited,
            smallest: usize::MAX,
            told: HashMap::new(),
            sent: Vec::new(),
            last: HashMap::new(),
            heard: HashMap::new(),
            numbers: HashMap::new(),
            had: HashSet::new(),
            taken: 0,
        }
    }

    /// The content of the next message: its name, and filling.
    pub(super) fn content(&self, id: usize, size: usize) -> Vec<u8> {
        let mut data = vec![0xa5, 0x5a, self.name[0], self.name[1]];
        data.extend_from_slice(&(id as u32).to_be_bytes());
        data.resize(size.max(HEAD), id as u8);
        data.truncate(size);
        data
    }

    /// What the smallest message can be: less is known by its number alone.
    pub(super) fn least(&self) -> usize {
        if self.mode == Mode::Reliable && !self.drops && !self.limited { 0 } else { HEAD }
    }

    /// The other side says that it takes so much at a time.
    pub(super) fn note_limit(&mut self, bytes: usize) {
        self.smallest = self.smallest.min(bytes);
    }

    /// Whether a message may have been dropped for its size.
    fn may_drop(&self, sent: &Sent) -> bool {
        sent.size > self.smallest
    }

    /// Whether a process has sent some that may have been.
    fn has_large(&self, process: u32) -> bool {
        self.sent.iter().any(|s| s.process == process && self.may_drop(s))
    }

    pub(super) fn note_sent(&mut self, process: u32, size: usize, key: u8) {
        let before = self.sent.iter().filter(|s| s.process == process);
        let number = before.map(|s| (s.size as u64).div_ceil(PIECE).max(1)).sum::<u64>();
        let number = number + (size as u64).div_ceil(PIECE).max(1);
        let (fate, arrived) = (Fate::Accepted, false);
        self.sent.push(Sent { process, size, key, number, fate, arrived });
    }

    /// Which message this is.
    pub(super) fn name(&self, process: u32, message: &Message) -> Result<usize, String> {
        let id = if message.data.len() >= HEAD {
            u32::from_be_bytes([4, 5, 6, 7].map(|i| message.data[i])) as usize
        } else {
            let is = |s: &Sent| s.process == process && s.number == message.number;
            self.sent.iter().position(is).ok_or("a small message that nobody sent")?
        };
        let sent = self.sent.get(id).ok_or("a message that nobody sent")?;
        if message.data[..] != self.content(id, sent.size)[..] {
            return Err(format!("message {id} is not what was sent"));
        }
        Ok(id)
    }

    pub(super) fn on_message(
        &mut self,
        (from, to): (u32, u32),
        message: &Message,
    ) -> Result<usize, String> {
        let id = self.name(from, message)?;
        if self.mode != Mode::Durable && self.sent[id].process != from {
            return Err(format!("message {id} is of another process"));
        }
        match self.mode {
            Mode::Reliable => self.on_reliable(from, to, id, message)?,
            Mode::Durable => self.on_durable(to, id, message)?,
            Mode::Latest => {
                let key = self.sent[id].key;
                let last = self.last.insert((from, to, key), id);
                if last.is_some_and(|last| last > id) {
                    return Err(format!("key {key} went back from {last:?} to {id}"));
                }
            }
            _ => {
                if !self.had.insert((to, id)) {
                    return Err(format!("datagram {id} came twice"));
                }
            }
        }
        self.sent[id].arrived = true;
        Ok(id)
    }

    fn on_reliable(
        &mut self,
        from: u32,
        to: u32,
        id: usize,
        message: &Message,
    ) -> Result<(), String> {
        if let Some((before, told)) = self.heard.insert(to, (from, false))
            && before != from
            && !told
        {
            return Err(format!("message {id} of a new process, and no word of a gap"));
        }
        let exact = !self.drops && !self.has_large(from);
        if exact && self.sent[id].number != message.number {
            return Err(format!("message {id} has number {}", message.number));
        }
        let last = self.last.insert((from, to, 0), id);
        if last.is_some_and(|last| last >= id) {
            return Err(format!("message {id} after {last:?}"));
        }
        let between = &self.sent[last.map_or(0, |l| l + 1)..id];
        let due = |s: &Sent| s.process == from && !s.arrived && !self.may_drop(s);
        if !self.drops
            && let Some(missing) = between.iter().position(due)
        {
            return Err(format!("message {id} after {last:?}, {missing} messages on is one lost"));
        }
        if last.is_some() && !self.drops && !between.iter().all(|s| self.may_drop(s)) {
            return Err(format!("message {id} after {last:?}"));
        }
        let dropped = between.iter().any(|s| s.process == from && !s.arrived);
        if dropped && !self.told.contains_key(&from) {
            return Err(format!("message {id} after {last:?}, and no word of a gap"));
        }
        Ok(())
    }

    fn on_durable(&mut self, to: u32, id: usize, message: &Message) -> Result<(), String> {
        if self.sent[id].fate != Fate::Stored {
            return Err(format!("message {id} comes and is {:?}", self.sent[id].fate));
        }
        let number = *self.numbers.entry(id).or_insert(message.number);
        if number != message.number {
            return Err(format!("message {id} comes as {} and {number}", message.number));
        }
        if number <= self.taken {
            return Err(format!("message {id} was taken, and comes again"));
        }
        let last = self.last.insert((0, to, 0), id);
        if last.is_some_and(|last| last >= id) {
            return Err(format!("message {id} after {last:?}"));
        }
        for (before, sent) in self.sent[..id].iter().enumerate() {
            let taken = self.numbers.get(&before).is_some_and(|n| *n <= self.taken);
            let due = sent.fate == Fate::Stored && !self.may_drop(sent);
            if due && !taken && !self.had.contains(&(to, before)) {
                return Err(format!("message {id} before {before}"));
            }
        }
        self.had.insert((to, id));
        Ok(())
    }

    pub(super) fn on_gap(
        &mut self,
        (from, to): (u32, u32),
        lost: Option<u64>,
    ) -> Result<(), String> {
        if let Some(heard) = self.heard.get_mut(&to) {
            heard.1 = true;
        }
        // What an outbox has dropped may be told; a durable channel's may be of an earlier process.
        let durable = self.mode == Mode::Durable;
        let large = self.sent.iter().any(|s| (durable || s.process == from) && self.may_drop(s));
        *self.told.entry(from).or_default() += lost.unwrap_or_default();
        match lost {
            Some(lost) if !self.drops && !large => Err(format!("a gap of {lost} pieces")),
            _ => Ok(()),
        }
    }

    /// The sending process is over.
    pub(super) fn end_process(&mut self, process: u32) {
        let lost = self.sent.iter_mut().filter(|s| s.process == process);
        lost.filter(|s| s.fate == Fate::Accepted).for_each(|s| s.fate = Fate::Lost);
    }

    /// Everything has had its time. `dropped` is what the outbox of the last process counted: full,
    /// and too large.
    pub(super) fn finish(&self, process: u32, dropped: (u64, u64)) -> Result<(), String> {
        let missing = |of: &dyn Fn(&Sent) -> bool| {
            let missing = self.sent.iter().enumerate().filter(|(_, s)| of(s) && !s.arrived);
            missing.map(|(id, _)| id).collect::<Vec<_>>()
        };
        let missing = match self.mode {
            Mode::Reliable => missing(&|s| s.process == process),
            Mode::Durable => missing(&|s| s.fate == Fate::Stored),
            Mode::Latest => {
                let newest: HashMap<u8, usize> = self
                    .sent
                    .iter()
                    .enumerate()
                    .filter(|(_, s)| s.process == process)
                    .map(|(id, s)| (s.key, id))
                    .collect();
                newest.into_values().filter(|id| !self.sent[*id].arrived).collect()
            }
            _ => Vec::new(),
        };
        let small = missing.iter().filter(|id| !self.may_drop(&self.sent[**id])).count();
        let may = if self.drops { dropped.0 as usize } else { 0 };
        if small > may {
            return Err(format!("{missing:?} did not arrive, {may} were dropped"));
        }
        if self.mode == Mode::Reliable {
            let all = may + dropped.1 as usize;
            let told = self.told.get(&process).copied().unwrap_or_default() as usize;
            // What is too large now may have come to an earlier process, which took more.
            let fits = (may..=all).contains(&missing.len());
            if !fits || told < all {
                return Err(format!(
                    "{missing:?} did not arrive, {all} were dropped, {told} pieces told"
                ));
            }
        }
        Ok(())
    }
}
