//! A channel's outbox: the bounded queue above the transport.
//!
//! SCTP gets only what it can send in about two round trips; the rest waits here, where it can be
//! counted, bounded, and carried over to a new transport. Applications push, the link takes. What
//! the link has taken and must keep until it is acknowledged counts against the limits, too.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use super::delivery::Outcome;
use super::error::SendError;
use super::message::Message;
use super::queue::{LetGo, Queue};
use super::stats::Drops;
use super::{ChannelConfig, MAX_MESSAGE, Mode, PIECE_HEAD, PLAIN_MESSAGE};
use crate::util::keyed::Keyed;
use crate::util::watched::Watched;

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
    /// Bytes it holds, keys among them. Default 4 MiB. One message may always wait, however large.
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
            max_message: MAX_MESSAGE,
            when_full: WhenFull::default(),
        }
    }
}

/// The outbox of one channel, shared by the application that fills it and the link that empties it.
#[derive(Debug, Clone)]
pub struct Outbox {
    shared: Arc<Watched<Queue>>,
}

/// A message that waits.
#[derive(Debug, Clone)]
pub(in crate::link) struct Queued {
    pub(in crate::link) message: Message,
    pub(in crate::link) since: Instant,
}

impl Keyed for Queued {
    fn key(&self) -> &Bytes {
        &self.message.key
    }
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
        Self { shared: Arc::new(Watched::new(Queue::new(config, limits))) }
    }

    /// Adds a message.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] unless others make room, [`SendError::TooLarge`], [`SendError::Key`],
    /// [`SendError::Empty`], or [`SendError::Closed`].
    pub fn try_push(&self, now: Instant, message: Message) -> Result<Pushed, SendError> {
        let mut message = Some(message);
        // What is refused is dropped without the lock.
        self.shared.with(|queue| queue.push(now, &mut message))
    }

    /// Adds a message that is passed on. If it cannot be taken, it is dropped, its writer and its
    /// reader are told as the cause has it, and only the log need know of the error.
    pub(crate) fn forward(&self, now: Instant, message: Message) -> Result<(), SendError> {
        let mut message = Some(message);
        self.shared.with(|queue| {
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
            queue.let_go(message.take(), outcome);
            Err(error)
        })
    }

    /// As [`Outbox::try_push`], but pending while there is no room and the policy is to wait. The
    /// message is taken out of its place when it was added.
    pub fn poll_push(
        &self,
        now: Instant,
        cx: &Context<'_>,
        message: &mut Option<Message>,
    ) -> Poll<Result<Pushed, SendError>> {
        let pushed = self.shared.poll(
            cx,
            |queue| &mut queue.waiting,
            |queue| {
                let Some(next) = message.as_ref() else {
                    return Poll::Ready(Err(SendError::Closed));
                };
                if queue.must_wait(next) {
                    return Poll::Pending;
                }
                Poll::Ready(queue.push(now, message))
            },
        );
        if pushed.is_ready() {
            // Refused or not, it is done with.
            *message = None;
        }
        pushed
    }

    /// Pending while more than `bytes` have not been sent and the outbox is open.
    pub fn poll_drained(&self, cx: &Context<'_>, bytes: usize) -> Poll<()> {
        self.shared.poll(
            cx,
            |queue| queue.drained_to(bytes),
            |queue| match queue.bytes <= bytes || queue.closed {
                true => Poll::Ready(()),
                false => Poll::Pending,
            },
        )
    }

    /// Pending until all that was added has been acknowledged by the other side, where the mode has
    /// acknowledgements, or was handed to the transport; or was dropped. Says which, of what was
    /// added since the last answer: the same again until something is added.
    pub fn poll_settled(&self, cx: &Context<'_>) -> Poll<Settled> {
        self.shared.poll(
            cx,
            |queue| &mut queue.settled,
            |queue| {
                if queue.is_settled() {
                    queue.answered = queue.pushed;
                    let lost = queue.lost > 0;
                    Poll::Ready(if lost { Settled::Dropped } else { Settled::Acknowledged })
                } else if queue.closed {
                    Poll::Ready(Settled::Closed)
                } else {
                    Poll::Pending
                }
            },
        )
    }

    /// Pending until so many messages have been written to the journal.
    ///
    /// # Errors
    ///
    /// [`SendError::NotStored`] if the last of them could not be, [`SendError::Closed`].
    pub fn poll_stored(&self, cx: &Context<'_>, ordinal: u64) -> Poll<Result<(), SendError>> {
        self.shared.poll(
            cx,
            |queue| &mut queue.storing,
            |queue| {
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
                if queue.closed { Poll::Ready(Err(SendError::Closed)) } else { Poll::Pending }
            },
        )
    }

    /// Closes it: what is queued is still sent, new messages are refused.
    pub fn close(&self) {
        self.shared.with(|queue| {
            queue.closed = true;
            queue.wake();
            queue.aside.woken.append(&mut queue.settled);
            queue.aside.woken.append(&mut queue.storing);
        });
    }

    /// Messages and bytes that have not been sent.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        self.shared.with(|queue| (queue.messages.len(), queue.bytes))
    }

    /// Whether nothing waits to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.with(|queue| queue.messages.is_empty())
    }

    /// Bytes of the message that is next.
    pub(in crate::link) fn front_size(&self) -> Option<usize> {
        self.shared.with(|queue| queue.messages.front().map(|q| q.message.data.len()))
    }

    /// Messages and bytes that were sent and may have to be sent again.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        self.shared.with(|queue| queue.held)
    }

    /// How many messages have been added.
    #[must_use]
    pub fn pushed(&self) -> u64 {
        self.shared.with(|queue| queue.pushed)
    }

    /// Messages dropped, by cause.
    #[must_use]
    pub fn drops(&self) -> Drops {
        self.shared.with(|queue| queue.drops)
    }

    /// What the other side takes at most; what is larger and waits already is dropped. Returns how
    /// many messages were. Those of a durable channel are dropped when they have their numbers.
    pub(in crate::link) fn set_their_limit(&self, bytes: usize) -> u64 {
        self.shared.with(|queue| {
            queue.their_limit = bytes;
            if queue.mode == Mode::Durable {
                return 0;
            }
            let dropped = queue.drop_if(|q| q.message.data.len() > bytes, Outcome::Rejected);
            queue.drops.too_large += dropped;
            if queue.mode.is_kept() {
                queue.missing += dropped;
            }
            dropped
        })
    }

    /// The link has dropped messages that it had taken: they are larger than the other side takes.
    pub(in crate::link) fn lose(&self, messages: usize, bytes: usize) {
        self.shared.with(|queue| {
            queue.drops.too_large += messages as u64;
            queue.lost += messages as u64;
        });
        self.release(messages, bytes);
    }

    /// Notes that a message was acknowledged that nobody has got: who passes on said so.
    pub(crate) fn note_rejected(&self) {
        self.shared.with(|queue| {
            queue.drops.too_large += 1;
            queue.lost += 1;
        });
    }

    /// Says what becomes of all copies that wait, before it is known; or without an outcome that
    /// nothing does here.
    pub(in crate::link) fn settle_all(&self, outcome: Option<Outcome>) {
        self.shared.with(|queue| {
            let copies = queue.messages.iter_mut().filter_map(|q| q.message.take_delivery());
            queue.aside.dropped.extend(copies.map(|message| LetGo { message, outcome }));
        });
    }

    /// Takes the oldest message if it has at most `max_bytes`.
    #[must_use]
    pub(in crate::link) fn pop_if(&self, now: Instant, max_bytes: usize) -> Option<Queued> {
        self.shared.with(|queue| {
            queue.expire(now);
            if queue.messages.front()?.message.data.len() > max_bytes {
                return None;
            }
            let taken = queue.pop();
            queue.wake();
            taken
        })
    }

    /// Takes messages for the link to keep, oldest first, until there are so many bytes of them.
    pub(in crate::link) fn take(&self, now: Instant, bytes: usize, mut taken: impl FnMut(Queued)) {
        self.shared.with(|queue| {
            queue.expire(now);
            let mut sum = 0;
            while sum < bytes
                && let Some(next) = queue.pop()
            {
                let size = next.message.data.len();
                // Small ones cost their headers.
                sum += size + PIECE_HEAD;
                queue.held.0 += 1;
                queue.held.1 += size;
                taken(next);
            }
            if sum > 0 {
                queue.wake();
            }
        });
    }

    /// Whether all of it is on its way, and no more than half is free: it may be full for its
    /// writer.
    pub(in crate::link) fn is_used_up(&self) -> bool {
        self.shared.with(|queue| queue.messages.is_empty() && !queue.is_roomy())
    }

    /// Whether there is something to tell the other side: messages, or that some are missing.
    pub(in crate::link) fn has_news(&self) -> bool {
        self.shared
            .with(|queue| !queue.messages.is_empty() || (queue.missing > 0 && queue.mode.is_kept()))
    }

    /// How many messages were dropped since this was last asked.
    pub(in crate::link) fn take_missing(&self) -> u64 {
        self.shared.with(|queue| std::mem::take(&mut queue.missing))
    }

    /// Notes messages that an earlier process has left for the link to keep.
    pub(in crate::link) fn hold(&self, messages: usize, bytes: usize) {
        self.shared.with(|queue| {
            queue.held.0 += messages;
            queue.held.1 += bytes;
        });
    }

    /// The link keeps these no more.
    pub(in crate::link) fn release(&self, messages: usize, bytes: usize) {
        if messages == 0 {
            return;
        }
        self.shared.with(|queue| {
            queue.held.0 -= messages;
            queue.held.1 -= bytes;
            queue.wake();
        });
    }

    /// Puts a message back in front, which the transport did not take.
    pub(in crate::link) fn unpop(&self, message: Queued) {
        self.shared.with(|queue| queue.put_first(message));
    }

    /// Puts back what the link kept, oldest first, unless there is a newer message of its key.
    pub(in crate::link) fn put_back(&self, messages: Vec<Queued>) {
        self.shared.with(|queue| {
            for message in messages.into_iter().rev() {
                queue.held.0 -= 1;
                queue.held.1 -= message.message.data.len();
                if queue.messages.contains(&message.message.key) {
                    queue.drops.overtaken += 1;
                    queue.let_go(Some(message.message), Outcome::Dropped);
                } else {
                    queue.put_first(message);
                }
            }
        });
    }

    /// The next message in the order of journaling is stored, or could not be.
    pub(in crate::link) fn note_stored(&self, result: Result<(), SendError>) {
        self.shared.with(|queue| {
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
            queue.aside.woken.append(&mut queue.storing);
        });
    }
}

/// A datagram is one piece, whose length has 16 bits.
const MAX_DATAGRAM: usize = u16::MAX as usize;

/// Failures remembered for those who may ask.
const MAX_FAILURES: usize = 4096;

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::task::Waker;
    use std::time::Duration;

    use super::*;
    use crate::util::clock;
    use crate::util::watched::testing::{in_time, waker};

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

    /// Who is woken may use the outbox, and let go of it.
    #[test]
    fn wakers_may_use_the_outbox() {
        in_time(|| {
            let outbox = of_mode(Mode::Durable, WhenFull::Wait);
            let run = || {
                let outbox = outbox.clone();
                move || {
                    let _ = (outbox.len(), outbox.try_push(clock::now(), message(1)));
                }
            };
            let wakers = [(); 4].map(|()| waker(run()));
            let wait = || {
                let [push, drained, settled, stored] =
                    wakers.each_ref().map(|w| Context::from_waker(&w.0));
                let mut third = Some(message(1));
                let _ = (push2(&outbox), push2(&outbox));
                assert!(outbox.poll_push(clock::now(), &push, &mut third).is_pending());
                assert!(outbox.poll_drained(&drained, 0).is_pending());
                assert!(outbox.poll_settled(&settled).is_pending());
                assert!(outbox.poll_stored(&stored, u64::MAX).is_pending());
            };
            let counts = || wakers.each_ref().map(|w| w.1.load(Ordering::Relaxed));
            wait();
            outbox.note_stored(Ok(()));
            assert_eq!(counts(), [0, 0, 0, 1]);
            outbox.take(clock::now(), usize::MAX, drop);
            outbox.release(2, 2);
            assert_eq!(counts(), [1, 1, 1, 1]);
            outbox.take(clock::now(), usize::MAX, drop);
            outbox.release(outbox.held().0, outbox.held().1);
            wait();
            outbox.close();
            assert_eq!(counts(), [2; 4]);
        });
    }

    fn push2(outbox: &Outbox) -> Result<bool, SendError> {
        push(outbox, message(1))
    }

    /// What a program has lent it may be released by code that uses the outbox.
    #[test]
    fn what_is_dropped_may_use_the_outbox() {
        struct Lent(Outbox);
        impl AsRef<[u8]> for Lent {
            fn as_ref(&self) -> &[u8] {
                &[0; 4]
            }
        }
        impl Drop for Lent {
            fn drop(&mut self) {
                let _ = self.0.len();
            }
        }
        in_time(|| {
            let modes = [Mode::Reliable, Mode::Latest, Mode::Datagram];
            for (mode, when_full) in modes.into_iter().flat_map(|mode| {
                [WhenFull::Refuse, WhenFull::DropOldest, WhenFull::KeepLatest].map(|w| (mode, w))
            }) {
                let outbox = of_mode(mode, when_full);
                let now = clock::now();
                let lent = || Message::binary(Bytes::from_owner(Lent(outbox.clone())));
                let push = |message| drop(outbox.try_push(now, message));
                (0..3).for_each(|_| push(lent()));
                push(lent().with_key(vec![0; 256]));
                (0..3).for_each(|n| push(lent().with_key(vec![n])));
                let _ = outbox.pop_if(now + Duration::from_secs(9), 8);
                push(lent());
                outbox.set_their_limit(2);
                push(lent());
                outbox.set_their_limit(8);
                let mut taken = Vec::new();
                push(lent());
                outbox.take(now, 9, |queued| taken.push(queued));
                push(lent());
                if mode == Mode::Latest {
                    outbox.put_back(taken);
                }
                outbox.close();
                push(lent());
            }
        });
    }

    #[test]
    fn keys_count_against_the_limit() {
        let outbox = of_mode(Mode::Latest, WhenFull::Refuse);
        assert_eq!(push(&outbox, message(1).with_key("12345")), Ok(true));
        assert_eq!(push(&outbox, message(1).with_key("6789")), Err(SendError::Full));
        assert_eq!(push(&outbox, message(5).with_key("12345")), Ok(false));
        assert_eq!(outbox.len(), (1, 5));
        assert!(pop(&outbox, 9).is_some());
        assert_eq!(push(&outbox, message(1).with_key("6789")), Ok(true));
    }

    #[test]
    fn the_oldest_may_be_behind_newer_ones() {
        let outbox = of_mode(Mode::Latest, WhenFull::Refuse);
        let start = clock::now();
        let second = Duration::from_secs(1);
        outbox.try_push(start, message(1).with_key("a")).unwrap();
        outbox.try_push(start, message(2).with_key("b")).unwrap();
        // It has the first turn still, and is newer than the other one.
        outbox.try_push(start + second, message(3).with_key("a")).unwrap();
        let taken = outbox.pop_if(start + second * 3 / 2, 9).unwrap();
        assert_eq!((taken.message.data.len(), outbox.drops().expired, outbox.len().0), (3, 1, 0));
    }
}
