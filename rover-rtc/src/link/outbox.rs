//! A channel's outbox: the bounded queue above the transport.
//!
//! SCTP gets only what it can send in about two round trips; the rest waits here, where it can be
//! counted, bounded, and carried over to a new transport. Applications push, the link takes. What
//! the link has taken and must keep until it is acknowledged counts against the limits, too.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::channel::{ChannelConfig, Mode, PLAIN_MESSAGE};
use super::delivery::Outcome;
use super::message::Message;
use crate::link::Drops;
use crate::link::SendError;

/// What a full outbox does with a new message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// `send().await` waits for room; `try_send` refuses.
    #[default]
    Wait,
    /// Both refuse with [`SendError::Full`].
    Refuse,
    /// The oldest messages that have not been sent make room; they are counted as dropped. A
    /// durable channel drops nothing: it refuses.
    DropOldest,
    /// The new message takes the place of all that have not been sent; they are counted as dropped.
    /// A durable channel refuses.
    KeepLatest,
}

/// Limits of an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxConfig {
    /// Messages it holds. Default 4,096.
    pub max_messages: usize,
    /// Bytes it holds. Default 4 MiB. One message may always wait, however large.
    pub max_bytes: usize,
    /// Largest single message in bytes. Default 16 MiB; 256 KiB, what a browser takes unasked, on
    /// a plain channel; 32 KiB on one of datagrams, which can have 65,535 at most.
    pub max_message: usize,
    /// What happens when it is full. Default [`WhenFull::Wait`].
    pub when_full: WhenFull,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self {
            max_messages: 4096,
            max_bytes: 4 * 1024 * 1024,
            max_message: super::MAX_MESSAGE,
            when_full: WhenFull::default(),
        }
    }
}

/// The outbox of one channel, shared by the application that fills it and the link that empties it.
#[derive(Debug, Clone)]
pub struct Outbox {
    shared: Arc<Mutex<Queue>>,
}

/// A message that waits.
#[derive(Debug, Clone)]
pub(super) struct Queued {
    pub(super) message: Message,
    pub(super) since: Instant,
}

/// What became of all that was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// The other side has acknowledged it; on channels without acknowledgements, it was handed to
    /// the transport.
    Acknowledged,
    /// So has it what was not dropped: the drops of the channel's statistics say why, and how much.
    /// A value that a newer one of its key has overtaken does not count.
    Dropped,
    /// The channel was closed before that was known.
    Closed,
}

/// A message that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// The link must be told: it may not know that there is something to send.
    pub wake: bool,
    /// How many there have been with this one.
    pub ordinal: u64,
}

#[derive(Debug)]
struct Queue {
    config: OutboxConfig,
    mode: Mode,
    ttl: Option<Duration>,
    /// What the other side takes.
    their_limit: usize,
    messages: VecDeque<Queued>,
    bytes: usize,
    /// Messages and bytes that the link has taken and still keeps.
    held: (usize, usize),
    /// Of keys: where their message is, counted as `first` counts.
    keys: HashMap<Bytes, i64>,
    /// The place of the first message that waits.
    first: i64,
    pushed: u64,
    drops: Drops,
    /// Messages dropped of those that were queued since the last answer to who waits until all is
    /// settled, and how many had been pushed by then.
    lost: u64,
    answered: u64,
    /// Messages dropped since the link has asked: it tells the other side that they are missing.
    missing: u64,
    closed: bool,
    waiting: Vec<Waker>,
    /// Those who wait until no more bytes than this are queued.
    drained: Vec<(usize, Waker)>,
    /// Those who wait until all is acknowledged.
    settled: Vec<Waker>,
    /// How many have been written to the journal, or could not be.
    stored: u64,
    /// Those that could not be, and why; until somebody has asked.
    failures: VecDeque<(u64, SendError)>,
    storing: Vec<Waker>,
}

impl Outbox {
    /// An empty outbox for a channel of these settings.
    #[must_use]
    pub fn new(config: &ChannelConfig) -> Self {
        let mut limits = config.outbox;
        match (config.mode, limits.when_full) {
            (Mode::Datagram, _) => limits.max_message = limits.max_message.min(MAX_DATAGRAM),
            // SCTP takes no more at a time, and it is not cut into pieces.
            (Mode::Plain, _) => limits.max_message = limits.max_message.min(PLAIN_MESSAGE),
            // What `send` has promised to keep is not dropped.
            (Mode::Durable, WhenFull::DropOldest | WhenFull::KeepLatest) => {
                limits.when_full = WhenFull::Refuse;
            }
            _ => {}
        }
        let queue = Queue {
            config: limits,
            mode: config.mode,
            ttl: config.ttl.filter(|_| matches!(config.mode, Mode::Latest | Mode::Datagram)),
            their_limit: usize::MAX,
            messages: VecDeque::new(),
            bytes: 0,
            held: (0, 0),
            keys: HashMap::new(),
            first: 0,
            pushed: 0,
            drops: Drops::default(),
            lost: 0,
            answered: 0,
            missing: 0,
            closed: false,
            waiting: Vec::new(),
            drained: Vec::new(),
            settled: Vec::new(),
            stored: 0,
            failures: VecDeque::new(),
            storing: Vec::new(),
        };
        Self { shared: Arc::new(Mutex::new(queue)) }
    }

    /// Adds a message.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] unless others make room, [`SendError::TooLarge`], [`SendError::Key`],
    /// [`SendError::Empty`], or [`SendError::Closed`].
    pub fn try_push(&self, now: Instant, message: Message) -> Result<Pushed, SendError> {
        self.lock().push(now, &mut Some(message))
    }

    /// Adds a message that is passed on. If it cannot be taken, it is dropped, its writer and its
    /// reader are told as the cause has it, and only the log need know of the error.
    pub(crate) fn forward(&self, now: Instant, message: Message) -> Result<(), SendError> {
        let mut queue = self.lock();
        let mut message = Some(message);
        let Err(error) = queue.push(now, &mut message) else { return Ok(()) };
        let outcome = match &error {
            // The reader is going: nothing has become of it here.
            SendError::Closed => return Err(error),
            SendError::Full => {
                queue.drops.full += 1;
                Outcome::Dropped
            }
            SendError::TooLarge { .. } => {
                queue.drops.too_large += 1;
                Outcome::Rejected
            }
            _ => Outcome::Rejected,
        };
        queue.missing += 1;
        message.iter_mut().for_each(|message| message.settle(outcome));
        Err(error)
    }

    /// As [`Outbox::try_push`], but pending while there is no room and the policy is to wait. The
    /// message is taken out of its place when it was added.
    pub fn poll_push(
        &self,
        now: Instant,
        cx: &Context<'_>,
        message: &mut Option<Message>,
    ) -> Poll<Result<Pushed, SendError>> {
        let mut queue = self.lock();
        let Some(next) = message.as_ref() else { return Poll::Ready(Err(SendError::Closed)) };
        let waits = queue.config.when_full == WhenFull::Wait && !queue.closed;
        let fits = queue.has_room(next.data.len()) || next.data.len() > queue.limit();
        if waits && !fits && !queue.keys.contains_key(&next.key) {
            note(&mut queue.waiting, cx);
            return Poll::Pending;
        }
        let pushed = queue.push(now, message);
        // Refused or not, it is done with.
        *message = None;
        Poll::Ready(pushed)
    }

    /// Pending while more than `bytes` have not been sent and the outbox is open.
    pub fn poll_drained(&self, cx: &Context<'_>, bytes: usize) -> Poll<()> {
        let mut queue = self.lock();
        if queue.bytes <= bytes || queue.closed {
            return Poll::Ready(());
        }
        let waits = |(b, w): &(usize, Waker)| *b == bytes && w.will_wake(cx.waker());
        if !queue.drained.iter().any(waits) {
            queue.drained.push((bytes, cx.waker().clone()));
        }
        Poll::Pending
    }

    /// Pending until all that was added has been acknowledged by the other side, where the mode has
    /// acknowledgements, or was handed to the transport; or was dropped. Says which, of what was
    /// added since the last answer: the same again until something is added.
    pub fn poll_settled(&self, cx: &Context<'_>) -> Poll<Settled> {
        let mut queue = self.lock();
        if queue.messages.is_empty() && queue.held.0 == 0 {
            queue.answered = queue.pushed;
            let settled = if queue.lost > 0 { Settled::Dropped } else { Settled::Acknowledged };
            return Poll::Ready(settled);
        }
        if queue.closed {
            return Poll::Ready(Settled::Closed);
        }
        note(&mut queue.settled, cx);
        Poll::Pending
    }

    /// Pending until so many messages have been written to the journal.
    ///
    /// # Errors
    ///
    /// [`SendError::NotStored`] if the last of them could not be, [`SendError::Closed`].
    pub fn poll_stored(&self, cx: &Context<'_>, ordinal: u64) -> Poll<Result<(), SendError>> {
        let mut queue = self.lock();
        if queue.mode != Mode::Durable {
            return Poll::Ready(Ok(()));
        }
        if queue.stored >= ordinal {
            let failure = queue.failures.iter().position(|f| f.0 == ordinal);
            let failure = failure.and_then(|i| queue.failures.remove(i));
            if failure.is_some() && ordinal > queue.answered {
                // Whoever sent it knows.
                queue.lost = queue.lost.saturating_sub(1);
            }
            return Poll::Ready(failure.map_or(Ok(()), |f| Err(f.1)));
        }
        if queue.closed {
            return Poll::Ready(Err(SendError::Closed));
        }
        note(&mut queue.storing, cx);
        Poll::Pending
    }

    /// Closes it: what is queued is still sent, new messages are refused.
    pub fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.wake();
        queue.wake_settled();
        queue.storing.drain(..).for_each(Waker::wake);
    }

    /// Messages and bytes that have not been sent.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        let queue = self.lock();
        (queue.messages.len(), queue.bytes)
    }

    /// Whether nothing waits to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().messages.is_empty()
    }

    /// Bytes of the message that is next.
    pub(super) fn front_size(&self) -> Option<usize> {
        self.lock().messages.front().map(|q| q.message.data.len())
    }

    /// Messages and bytes that were sent and may have to be sent again.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        self.lock().held
    }

    /// How many messages have been added.
    #[must_use]
    pub fn pushed(&self) -> u64 {
        self.lock().pushed
    }

    /// Messages dropped, by cause.
    #[must_use]
    pub fn drops(&self) -> Drops {
        self.lock().drops
    }

    /// What the other side takes at most; what is larger and waits already is dropped. Returns how
    /// many messages were. Those of a durable channel are dropped when they have their numbers.
    pub(super) fn set_their_limit(&self, bytes: usize) -> u64 {
        let mut queue = self.lock();
        queue.their_limit = bytes;
        if queue.mode == Mode::Durable {
            return 0;
        }
        let dropped = queue.drop_all(|q| q.message.data.len() > bytes, Outcome::Rejected);
        queue.drops.too_large += dropped;
        if queue.mode.is_kept() {
            queue.missing += dropped;
        }
        dropped
    }

    /// The link has dropped messages that it had taken: they are larger than the other side takes.
    pub(super) fn lose(&self, messages: usize, bytes: usize) {
        {
            let mut queue = self.lock();
            queue.drops.too_large += messages as u64;
            queue.lost += messages as u64;
        }
        self.release(messages, bytes);
    }

    /// Notes that a message was acknowledged that nobody has got: who passes on said so.
    pub(crate) fn note_rejected(&self) {
        let mut queue = self.lock();
        queue.drops.too_large += 1;
        queue.lost += 1;
    }

    /// Does something with all messages that wait.
    pub(super) fn for_each(&self, act: impl FnMut(&mut Message)) {
        self.lock().messages.iter_mut().map(|q| &mut q.message).for_each(act);
    }

    /// Takes the oldest message if it has at most `max_bytes`.
    #[must_use]
    pub(super) fn pop_if(&self, now: Instant, max_bytes: usize) -> Option<Queued> {
        let mut queue = self.lock();
        queue.expire(now);
        if queue.messages.front()?.message.data.len() > max_bytes {
            return None;
        }
        let taken = queue.pop();
        queue.wake();
        taken
    }

    /// Takes messages for the link to keep, oldest first, until there are so many bytes of them.
    pub(super) fn take(&self, now: Instant, bytes: usize, mut taken: impl FnMut(Queued)) {
        let mut queue = self.lock();
        queue.expire(now);
        let mut sum = 0;
        while sum < bytes
            && let Some(next) = queue.pop()
        {
            let size = next.message.data.len();
            // Small ones cost their headers.
            sum += size + super::mux::PIECE_HEAD;
            queue.held.0 += 1;
            queue.held.1 += size;
            taken(next);
        }
        if sum > 0 {
            queue.wake();
        }
    }

    /// Whether all of it is on its way, and no more than half is free: it may be full for its
    /// writer.
    pub(super) fn is_used_up(&self) -> bool {
        let queue = self.lock();
        queue.messages.is_empty() && !queue.is_roomy()
    }

    /// Whether there is something to tell the other side: messages, or that some are missing.
    pub(super) fn has_news(&self) -> bool {
        let queue = self.lock();
        !queue.messages.is_empty() || (queue.missing > 0 && queue.mode.is_kept())
    }

    /// How many messages were dropped since this was last asked.
    pub(super) fn take_missing(&self) -> u64 {
        std::mem::take(&mut self.lock().missing)
    }

    /// Notes messages that an earlier process has left for the link to keep.
    pub(super) fn hold(&self, messages: usize, bytes: usize) {
        let mut queue = self.lock();
        queue.held.0 += messages;
        queue.held.1 += bytes;
    }

    /// The link keeps these no more.
    pub(super) fn release(&self, messages: usize, bytes: usize) {
        if messages == 0 {
            return;
        }
        let mut queue = self.lock();
        queue.held.0 -= messages;
        queue.held.1 -= bytes;
        queue.wake();
        if queue.messages.is_empty() && queue.held.0 == 0 {
            queue.wake_settled();
        }
    }

    /// Puts a message back in front, which the transport did not take.
    pub(super) fn unpop(&self, message: Queued) {
        let mut queue = self.lock();
        queue.bytes += message.message.data.len();
        queue.first -= 1;
        queue.messages.push_front(message);
    }

    /// Puts back what the link kept, oldest first, unless there is a newer message of its key.
    pub(super) fn put_back(&self, messages: Vec<Queued>) {
        let mut queue = self.lock();
        for mut message in messages.into_iter().rev() {
            let size = message.message.data.len();
            queue.held.0 -= 1;
            queue.held.1 -= size;
            if queue.keys.contains_key(&message.message.key) {
                queue.drops.overtaken += 1;
                message.message.settle(Outcome::Dropped);
                continue;
            }
            queue.first -= 1;
            let (key, place) = (message.message.key.clone(), queue.first);
            queue.keys.insert(key, place);
            queue.bytes += size;
            queue.messages.push_front(message);
        }
    }

    /// The next message in the order of journaling is stored, or could not be.
    pub(super) fn note_stored(&self, result: Result<(), SendError>) {
        let mut queue = self.lock();
        queue.stored += 1;
        if let Err(error) = result {
            let ordinal = queue.stored;
            queue.drops.not_stored += 1;
            queue.lost += 1;
            queue.failures.push_back((ordinal, error));
            if queue.failures.len() > MAX_FAILURES {
                queue.failures.pop_front();
            }
        }
        queue.storing.drain(..).for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code under the lock can panic halfway through a change.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Takes the message out of its place, unless it is refused.
    fn push(&mut self, now: Instant, place: &mut Option<Message>) -> Result<Pushed, SendError> {
        let Some(message) = place.as_ref() else { return Err(SendError::Closed) };
        let size = message.data.len();
        if self.closed {
            return Err(SendError::Closed);
        }
        if size == 0 && self.mode == Mode::Plain {
            return Err(SendError::Empty);
        }
        if size > self.limit() {
            return Err(SendError::TooLarge { size, limit: self.limit() });
        }
        let keyed = self.mode == Mode::Latest;
        if message.key.len() > MAX_KEY || (!keyed && !message.key.is_empty()) {
            return Err(SendError::Key);
        }
        if keyed
            && let Some(turn) = self.keys.get(&message.key).copied()
            && let Some(message) = place.take()
        {
            return Ok(self.overtake(now, turn, message));
        }
        while !self.has_room(size) {
            match self.config.when_full {
                WhenFull::Wait | WhenFull::Refuse => return Err(SendError::Full),
                WhenFull::DropOldest | WhenFull::KeepLatest if self.messages.is_empty() => {
                    // All of it is on its way: what is left to drop is the new one.
                    self.begin();
                    self.drops.full += 1;
                    self.lost += 1;
                    self.missing += 1;
                    place.take().iter_mut().for_each(|m| m.settle(Outcome::Dropped));
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
        self.bytes += size;
        if keyed {
            let turn = self.first + self.messages.len() as i64;
            self.keys.insert(message.key.clone(), turn);
        }
        self.messages.push_back(Queued { message, since: now });
        Ok(Pushed { wake, ordinal: self.pushed })
    }

    /// Counts a message that is added.
    fn begin(&mut self) {
        if self.answered == self.pushed {
            // What was lost before was told.
            self.lost = 0;
        }
        self.pushed += 1;
    }

    /// Puts a message in the place of the one of its key, which keeps its turn.
    fn overtake(&mut self, now: Instant, turn: i64, message: Message) -> Pushed {
        let position = usize::try_from(turn - self.first).unwrap_or_default();
        self.begin();
        if let Some(old) = self.messages.get_mut(position) {
            self.bytes = self.bytes - old.message.data.len() + message.data.len();
            old.message.settle(Outcome::Dropped);
            *old = Queued { message, since: now };
            self.drops.overtaken += 1;
        }
        Pushed { wake: false, ordinal: self.pushed }
    }

    fn pop(&mut self) -> Option<Queued> {
        let queued = self.messages.pop_front()?;
        self.first += 1;
        self.bytes -= queued.message.data.len();
        if self.mode == Mode::Latest {
            self.keys.remove(&queued.message.key);
        }
        Some(queued)
    }

    fn drop_oldest(&mut self) {
        let Some(mut oldest) = self.pop() else { return };
        oldest.message.settle(Outcome::Dropped);
        self.drops.full += 1;
        self.lost += 1;
        self.missing += 1;
    }

    /// Drops what has waited for too long.
    fn expire(&mut self, now: Instant) {
        let Some(ttl) = self.ttl else { return };
        let late = |q: &Queued| now.saturating_duration_since(q.since) > ttl;
        self.drops.expired += self.drop_all(late, Outcome::Dropped);
    }

    /// Drops all that waits and is of this kind.
    fn drop_all(&mut self, is: impl Fn(&Queued) -> bool, outcome: Outcome) -> u64 {
        if !self.messages.iter().any(&is) {
            return 0;
        }
        let before = self.messages.len();
        self.messages.retain_mut(|queued| {
            let drops = is(queued);
            if drops {
                queued.message.settle(outcome);
            }
            !drops
        });
        let dropped = (before - self.messages.len()) as u64;
        self.lost += dropped;
        self.bytes = self.messages.iter().map(|q| q.message.data.len()).sum();
        self.index();
        self.wake();
        dropped
    }

    /// Finds the places of keys anew.
    fn index(&mut self) {
        if self.mode == Mode::Latest {
            let first = self.first;
            let keys = self.messages.iter().map(|q| q.message.key.clone());
            self.keys = keys.enumerate().map(|(i, k)| (k, first + i as i64)).collect();
        }
    }

    fn wake(&mut self) {
        let (bytes, closed) = (self.bytes, self.closed);
        // Waking for every message would wake a thousand times for one full queue.
        if closed || self.is_roomy() {
            self.waiting.drain(..).for_each(Waker::wake);
        }
        self.drained.retain(|(most, waker)| {
            let waits = bytes > *most && !closed;
            if !waits {
                waker.wake_by_ref();
            }
            waits
        });
        if self.messages.is_empty() && self.held.0 == 0 {
            self.wake_settled();
        }
    }

    fn wake_settled(&mut self) {
        self.settled.drain(..).for_each(Waker::wake);
    }

    /// Whether half of it is free.
    fn is_roomy(&self) -> bool {
        let held = if self.mode == Mode::Latest { (0, 0) } else { self.held };
        let (messages, bytes) = (self.messages.len() + held.0, self.bytes + held.1);
        bytes <= self.config.max_bytes / 2 && messages <= self.config.max_messages / 2
    }

    fn limit(&self) -> usize {
        self.config.max_message.min(self.their_limit)
    }

    fn has_room(&self, size: usize) -> bool {
        // What is on its way must not keep out a newer value.
        let held = if self.mode == Mode::Latest { (0, 0) } else { self.held };
        let (messages, bytes) = (self.messages.len() + held.0, self.bytes + held.1);
        messages == 0
            || (messages < self.config.max_messages
                && bytes.saturating_add(size) <= self.config.max_bytes)
    }
}

fn note(waiting: &mut Vec<Waker>, cx: &Context<'_>) {
    if !waiting.iter().any(|w| w.will_wake(cx.waker())) {
        waiting.push(cx.waker().clone());
    }
}

/// A datagram is one piece, whose length has 16 bits.
const MAX_DATAGRAM: usize = u16::MAX as usize;

/// Bytes of a key.
const MAX_KEY: usize = 255;

/// Failures remembered for those who may ask.
const MAX_FAILURES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::clock;

    fn of_mode(mode: Mode, when_full: WhenFull) -> Outbox {
        let limits = OutboxConfig { max_messages: 2, max_bytes: 10, max_message: 8, when_full };
        let ttl = Some(Duration::from_secs(1));
        Outbox::new(&ChannelConfig { outbox: limits, ttl, ..ChannelConfig::of_mode("x", mode) })
    }

    fn outbox(when_full: WhenFull) -> Outbox {
        of_mode(Mode::Plain, when_full)
    }

    fn message(size: usize) -> Message {
        Message::binary(vec![0; size])
    }

    fn push(outbox: &Outbox, message: Message) -> Result<bool, SendError> {
        outbox.try_push(clock::now(), message).map(|p| p.wake)
    }

    fn pop(outbox: &Outbox, most: usize) -> Option<Queued> {
        outbox.pop_if(clock::now(), most)
    }

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn what_the_transport_cannot_take_is_refused() {
        for (mode, most) in [(Mode::Plain, PLAIN_MESSAGE), (Mode::Datagram, MAX_DATAGRAM)] {
            let mut config = ChannelConfig::of_mode("test", mode);
            config.outbox.max_message = usize::MAX;
            let outbox = Outbox::new(&config);
            let push = |size| outbox.try_push(clock::now(), Message::binary(vec![0; size]));
            assert!(push(most).is_ok());
            let refused = push(most + 1);
            assert!(matches!(refused, Err(SendError::TooLarge { limit, .. }) if limit == most));
        }
    }

    #[test]
    fn refuses_when_full_by_messages_or_bytes() {
        let full = outbox(WhenFull::Refuse);
        assert_eq!(push(&full, message(1)), Ok(true));
        assert_eq!(push(&full, message(1)), Ok(false));
        assert_eq!(push(&full, message(1)), Err(SendError::Full));
        let heavy = outbox(WhenFull::Refuse);
        push(&heavy, message(8)).unwrap();
        assert_eq!(push(&heavy, message(8)), Err(SendError::Full));
        assert_eq!(push(&heavy, message(9)), Err(SendError::TooLarge { size: 9, limit: 8 }));
    }

    #[test]
    fn drops_the_oldest_and_counts_it() {
        let outbox = outbox(WhenFull::DropOldest);
        for size in 1..=4 {
            push(&outbox, message(size)).unwrap();
        }
        assert_eq!(outbox.drops().full, 2);
        assert_eq!(pop(&outbox, 100).unwrap().message.data.len(), 3);
        assert_eq!(outbox.len(), (1, 4));
    }

    #[test]
    fn keeps_the_latest() {
        let outbox = outbox(WhenFull::KeepLatest);
        for size in 1..=5 {
            push(&outbox, message(size)).unwrap();
        }
        assert_eq!((outbox.len(), outbox.drops().full), ((1, 5), 4));
    }

    #[test]
    fn what_the_link_keeps_counts() {
        let outbox = of_mode(Mode::Reliable, WhenFull::Refuse);
        push(&outbox, message(4)).unwrap();
        push(&outbox, message(4)).unwrap();
        outbox.take(clock::now(), 1, drop);
        assert_eq!((outbox.len(), outbox.held()), ((1, 4), (1, 4)));
        assert_eq!(push(&outbox, message(1)), Err(SendError::Full));
        assert!(outbox.poll_settled(&context()).is_pending());
        outbox.release(1, 4);
        push(&outbox, message(1)).unwrap();
    }

    #[test]
    fn the_newest_of_a_key_takes_the_turn_of_the_one_before() {
        let outbox = of_mode(Mode::Latest, WhenFull::Refuse);
        for (key, size) in [("a", 1), ("b", 2), ("a", 3)] {
            push(&outbox, message(size).with_key(key)).unwrap();
        }
        assert_eq!((outbox.len(), outbox.drops().overtaken), ((2, 5), 1));
        let mut taken = Vec::new();
        outbox.take(clock::now(), 100, |q| taken.push(q));
        assert_eq!(taken.iter().map(|q| q.message.data.len()).collect::<Vec<_>>(), [3, 2]);
        // What was sent in vain goes back, unless it was overtaken meanwhile.
        push(&outbox, message(4).with_key("b")).unwrap();
        outbox.put_back(taken);
        assert_eq!((outbox.len(), outbox.held()), ((2, 7), (0, 0)));
        assert_eq!(pop(&outbox, 9).unwrap().message.key, "a");
    }

    #[test]
    fn what_waits_too_long_is_dropped() {
        let outbox = of_mode(Mode::Datagram, WhenFull::Refuse);
        let start = clock::now();
        outbox.try_push(start, message(1)).unwrap();
        outbox.try_push(start + Duration::from_secs(1), message(2)).unwrap();
        let taken = outbox.pop_if(start + Duration::from_millis(1500), 9).unwrap();
        assert_eq!((taken.message.data.len(), outbox.drops().expired), (2, 1));
    }

    fn settled(outbox: &Outbox) -> Poll<Settled> {
        outbox.poll_settled(&context())
    }

    #[test]
    fn whatever_was_dropped_is_not_said_to_be_acknowledged() {
        let start = clock::now();
        let late = start + Duration::from_secs(9);
        let take = |outbox: &Outbox, at| {
            let mut taken = 0;
            outbox.take(at, 100, |_| taken += 1);
            outbox.release(outbox.held().0, outbox.held().1);
            taken
        };
        let (dropped, acknowledged) =
            (Poll::Ready(Settled::Dropped), Poll::Ready(Settled::Acknowledged));
        for cause in ["full", "latest", "flight", "expired", "too large", "not stored"] {
            let (mode, when_full) = match cause {
                "latest" => (Mode::Reliable, WhenFull::KeepLatest),
                "expired" => (Mode::Latest, WhenFull::Wait),
                "not stored" => (Mode::Durable, WhenFull::Wait),
                _ => (Mode::Reliable, WhenFull::DropOldest),
            };
            let outbox = of_mode(mode, when_full);
            let push = |size| outbox.try_push(start, message(size)).unwrap();
            let _ = [1, 2].map(push);
            match cause {
                "full" | "latest" => {
                    push(3);
                }
                "flight" => {
                    outbox.take(start, 100, drop);
                    push(3);
                }
                "too large" => assert_eq!(outbox.set_their_limit(1), 1),
                "not stored" => {
                    outbox.note_stored(Ok(()));
                    outbox.note_stored(Err(SendError::NotStored(String::new())));
                }
                _ => {}
            }
            if cause != "expired" {
                assert!(settled(&outbox).is_pending(), "{cause}");
            }
            take(&outbox, late);
            assert!(outbox.drops().total() > 0, "{cause}");
            // To all who ask, until there is something else to ask for.
            assert_eq!([settled(&outbox), settled(&outbox)], [dropped; 2], "{cause}");
            outbox.try_push(late, message(1)).unwrap();
            assert_eq!(take(&outbox, late), 1, "{cause}");
            assert_eq!(settled(&outbox), acknowledged, "{cause}");
        }
        // A value that was overtaken is none that is missed.
        let outbox = of_mode(Mode::Latest, WhenFull::Wait);
        let _ = [1, 2].map(|size| push(&outbox, message(size)).unwrap());
        take(&outbox, start);
        assert_eq!(settled(&outbox), acknowledged);
    }

    #[test]
    fn who_was_told_that_a_message_was_refused_knows() {
        let outbox = of_mode(Mode::Durable, WhenFull::Wait);
        let pushed = outbox.try_push(clock::now(), message(1)).unwrap();
        assert!(push(&outbox, message(9)).is_err());
        outbox.take(clock::now(), 100, drop);
        outbox.release(1, 1);
        outbox.note_stored(Err(SendError::NotStored(String::new())));
        assert!(matches!(outbox.poll_stored(&context(), pushed.ordinal), Poll::Ready(Err(_))));
        assert_eq!(settled(&outbox), Poll::Ready(Settled::Acknowledged));
        outbox.close();
        assert_eq!(settled(&outbox), Poll::Ready(Settled::Acknowledged));
    }

    #[test]
    fn what_could_not_be_stored_is_told() {
        let outbox = of_mode(Mode::Durable, WhenFull::Refuse);
        let pushed = outbox.try_push(clock::now(), message(1)).unwrap();
        assert!(outbox.poll_stored(&context(), pushed.ordinal).is_pending());
        let error = SendError::NotStored("full".to_owned());
        outbox.note_stored(Err(error.clone()));
        assert_eq!(outbox.poll_stored(&context(), pushed.ordinal), Poll::Ready(Err(error)));
    }

    #[test]
    fn gives_only_what_fits() {
        let outbox = outbox(WhenFull::Wait);
        push(&outbox, message(5)).unwrap();
        assert!(pop(&outbox, 4).is_none());
        let taken = pop(&outbox, 5).unwrap();
        outbox.unpop(taken);
        assert_eq!(outbox.len(), (1, 5));
    }

    #[test]
    fn waiting_senders_are_woken() {
        let outbox = outbox(WhenFull::Wait);
        let now = clock::now();
        let mut waiting = Some(message(1));
        push(&outbox, message(1)).unwrap();
        push(&outbox, message(1)).unwrap();
        assert!(outbox.poll_push(now, &context(), &mut waiting).is_pending());
        let _ = pop(&outbox, 9);
        assert!(outbox.poll_push(now, &context(), &mut waiting).is_ready());
        assert!(waiting.is_none());
        waiting = Some(message(1));
        outbox.close();
        let closed = Poll::Ready(Err(SendError::Closed));
        assert_eq!(outbox.poll_push(now, &context(), &mut waiting), closed);
    }
}
