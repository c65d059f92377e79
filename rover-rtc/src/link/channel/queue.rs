//! What waits in an outbox, and what is counted of it: the value behind its lock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::delivery::Outcome;
use super::error::SendError;
use super::outbox::{OutboxConfig, Pushed, Queued, WhenFull};
use super::stats::Drops;
use super::{ChannelConfig, Message, Mode};
use crate::util::keyed::KeyedQueue;
use crate::util::watched::{Aside, Wakers, Watch};

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) config: OutboxConfig,
    pub(super) mode: Mode,
    pub(super) ttl: Option<Duration>,
    /// What the other side takes.
    pub(super) their_limit: usize,
    /// On `Latest` with their keys.
    pub(super) messages: KeyedQueue<Queued>,
    /// Of their contents, and of their keys.
    pub(super) bytes: usize,
    pub(super) key_bytes: usize,
    /// None of them has waited for longer than since then.
    pub(super) oldest: Option<Instant>,
    /// Messages and bytes that the link has taken and still keeps.
    pub(super) held: (usize, usize),
    pub(super) pushed: u64,
    pub(super) drops: Drops,
    /// Messages dropped of those that were queued since the last answer to who waits until all is
    /// settled, and how many had been pushed by then.
    pub(super) lost: u64,
    pub(super) answered: u64,
    /// Messages dropped since the link has asked: it tells the other side that they are missing.
    pub(super) missing: u64,
    pub(super) closed: bool,
    pub(super) waiting: Wakers,
    /// Those who wait until no more bytes than this are queued.
    pub(super) drained: Vec<(usize, Wakers)>,
    /// Those who wait until all is acknowledged.
    pub(super) settled: Wakers,
    /// How many have been written to the journal, or could not be.
    pub(super) stored: u64,
    /// Those that could not be, and why; until somebody has asked.
    pub(super) failures: VecDeque<(u64, SendError)>,
    pub(super) storing: Wakers,
    pub(super) aside: Aside<LetGo>,
}

/// A message that is let go of when the lock is released; its writer is told what became of it.
#[derive(Debug)]
pub(super) struct LetGo {
    pub(super) message: Message,
    /// Of a copy that a hub has passed on.
    pub(super) outcome: Option<Outcome>,
}

impl Drop for LetGo {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome {
            self.message.settle(outcome);
        }
    }
}

impl Watch for Queue {
    type Item = LetGo;

    fn aside(&mut self) -> &mut Aside<LetGo> {
        &mut self.aside
    }
}

impl Queue {
    /// An empty one for a channel of these settings, with these limits.
    pub(super) fn new(config: &ChannelConfig, limits: OutboxConfig) -> Self {
        Self {
            config: limits,
            mode: config.mode,
            ttl: config.ttl.filter(|_| matches!(config.mode, Mode::Latest | Mode::Datagram)),
            their_limit: usize::MAX,
            messages: KeyedQueue::new(config.mode == Mode::Latest),
            bytes: 0,
            key_bytes: 0,
            oldest: None,
            held: (0, 0),
            pushed: 0,
            drops: Drops::default(),
            lost: 0,
            answered: 0,
            missing: 0,
            closed: false,
            waiting: Wakers::default(),
            drained: Vec::new(),
            settled: Wakers::default(),
            stored: 0,
            failures: VecDeque::new(),
            storing: Wakers::default(),
            aside: Aside::default(),
        }
    }

    /// Takes the message out of its place, unless it is refused.
    pub(super) fn push(
        &mut self,
        now: Instant,
        place: &mut Option<Message>,
    ) -> Result<Pushed, SendError> {
        let Some(message) = place.as_ref() else { return Err(SendError::Closed) };
        self.check(message)?;
        if self.messages.contains(&message.key) {
            return Ok(self.overtake(now, place));
        }
        while !self.has_room(message) {
            match self.config.when_full {
                WhenFull::Wait | WhenFull::Refuse => return Err(SendError::Full),
                WhenFull::DropOldest | WhenFull::KeepLatest if self.messages.is_empty() => {
                    // All of it is on its way: what is left to drop is the new one.
                    self.begin();
                    self.let_go(place.take(), Outcome::Dropped);
                    self.drops.full += 1;
                    self.lost += 1;
                    self.missing += 1;
                    return Ok(Pushed { wake: true, ordinal: self.pushed });
                }
                WhenFull::DropOldest => self.drop_oldest(),
                WhenFull::KeepLatest => {
                    while !self.messages.is_empty() {
                        self.drop_oldest();
                    }
                }
            }
        }
        let Some(message) = place.take() else { return Err(SendError::Closed) };
        let wake = self.messages.is_empty();
        self.begin();
        self.bytes += message.data.len();
        self.key_bytes += message.key.len();
        self.oldest.get_or_insert(now);
        self.messages.push_back(Queued { message, since: now });
        Ok(Pushed { wake, ordinal: self.pushed })
    }

    /// Puts a message in the place of the one of its key, which keeps its turn.
    fn overtake(&mut self, now: Instant, place: &mut Option<Message>) -> Pushed {
        self.begin();
        if let Some(message) = place.take()
            && let Some(old) = self.messages.get_mut(&message.key)
        {
            let size = message.data.len();
            let old = std::mem::replace(old, Queued { message, since: now });
            self.bytes = self.bytes - old.message.data.len() + size;
            self.let_go(Some(old.message), Outcome::Dropped);
            self.drops.overtaken += 1;
        }
        Pushed { wake: false, ordinal: self.pushed }
    }

    /// Counts a message that is added.
    fn begin(&mut self) {
        if self.answered == self.pushed {
            // What was lost before was told.
            self.lost = 0;
        }
        self.pushed += 1;
    }

    /// Puts a message aside, to be dropped and settled when the lock is released.
    pub(super) fn let_go(&mut self, message: Option<Message>, outcome: Outcome) {
        let outcome = Some(outcome);
        self.aside.dropped.extend(message.map(|message| LetGo { message, outcome }));
    }

    /// Whether such a message can be queued at all.
    pub(super) fn check(&self, message: &Message) -> Result<(), SendError> {
        let (size, key) = (message.data.len(), message.key.len());
        if self.closed {
            return Err(SendError::Closed);
        }
        if size == 0 && self.mode == Mode::Plain {
            return Err(SendError::Empty);
        }
        if size > self.limit() {
            return Err(SendError::TooLarge { size, limit: self.limit() });
        }
        if key > MAX_KEY || (self.mode != Mode::Latest && key > 0) {
            return Err(SendError::Key);
        }
        Ok(())
    }

    /// Whether whoever writes it has to wait for room.
    pub(super) fn must_wait(&self, message: &Message) -> bool {
        let waits = self.config.when_full == WhenFull::Wait && !self.closed;
        let fits = self.has_room(message) || message.data.len() > self.limit();
        waits && !fits && !self.messages.contains(&message.key)
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let queued = self.messages.pop_front()?;
        self.forget(&queued);
        Some(queued)
    }

    fn forget(&mut self, queued: &Queued) {
        self.bytes -= queued.message.data.len();
        self.key_bytes -= queued.message.key.len();
        if self.messages.is_empty() {
            self.oldest = None;
        }
    }

    pub(super) fn put_first(&mut self, queued: Queued) {
        self.bytes += queued.message.data.len();
        self.key_bytes += queued.message.key.len();
        self.oldest = Some(self.oldest.map_or(queued.since, |oldest| oldest.min(queued.since)));
        self.messages.push_front(queued);
    }

    fn drop_oldest(&mut self) {
        let oldest = self.pop();
        self.let_go(oldest.map(|q| q.message), Outcome::Dropped);
        self.drops.full += 1;
        self.lost += 1;
        self.missing += 1;
    }

    /// Drops all of which something holds; returns how many there were.
    pub(super) fn drop_if(&mut self, holds: impl Fn(&Queued) -> bool, outcome: Outcome) -> u64 {
        let mut dropped = Vec::new();
        self.messages.extract_if(holds, |queued| dropped.push(queued));
        dropped.iter().for_each(|queued| self.forget(queued));
        let count = dropped.len() as u64;
        dropped.into_iter().for_each(|q| self.let_go(Some(q.message), outcome));
        self.lost += count;
        if count > 0 {
            self.wake();
        }
        count
    }

    /// Drops what has waited for too long.
    pub(super) fn expire(&mut self, now: Instant) {
        let Some(ttl) = self.ttl else { return };
        let late = move |since: Instant| now.saturating_duration_since(since) > ttl;
        if self.oldest.is_some_and(late) {
            self.drops.expired += self.drop_if(|q| late(q.since), Outcome::Dropped);
            self.oldest = self.messages.iter().map(|q| q.since).min();
        }
    }

    /// Wakes those who wait for what is so now.
    pub(super) fn wake(&mut self) {
        let (bytes, closed) = (self.bytes, self.closed);
        // Waking for every message would wake a thousand times for one full queue.
        if closed || self.is_roomy() {
            self.aside.woken.append(&mut self.waiting);
        }
        let Self { drained, aside, .. } = self;
        drained.retain_mut(|(most, waiting)| {
            let waits = bytes > *most && !closed;
            if !waits {
                aside.woken.append(waiting);
            }
            waits
        });
        if self.is_settled() {
            self.aside.woken.append(&mut self.settled);
        }
    }

    /// Those who wait until no more bytes than this are queued.
    pub(super) fn drained_to(&mut self, bytes: usize) -> &mut Wakers {
        let known = self.drained.iter().position(|(most, _)| *most == bytes);
        let index = known.unwrap_or_else(|| {
            self.drained.push((bytes, Wakers::default()));
            self.drained.len() - 1
        });
        &mut self.drained[index].1
    }

    /// Whether nothing is left to be acknowledged.
    pub(super) fn is_settled(&self) -> bool {
        self.messages.is_empty() && self.held.0 == 0
    }

    /// Whether half of it is free.
    pub(super) fn is_roomy(&self) -> bool {
        let (messages, bytes) = self.used();
        bytes <= self.config.max_bytes / 2 && messages <= self.config.max_messages / 2
    }

    /// Messages and bytes that count against the limits.
    fn used(&self) -> (usize, usize) {
        // What is on its way must not keep out a newer value.
        let held = if self.mode == Mode::Latest { (0, 0) } else { self.held };
        (self.messages.len() + held.0, self.bytes + self.key_bytes + held.1)
    }

    fn limit(&self) -> usize {
        self.config.max_message.min(self.their_limit)
    }

    fn has_room(&self, message: &Message) -> bool {
        let (messages, bytes) = self.used();
        let size = message.data.len().saturating_add(message.key.len());
        messages == 0
            || (messages < self.config.max_messages
                && bytes.saturating_add(size) <= self.config.max_bytes)
    }
}

/// Bytes of a key.
const MAX_KEY: usize = 255;
