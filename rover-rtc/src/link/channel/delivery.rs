//! What becomes of a message that a hub passes on.
//!
//! Each reader of the channel gets a copy, and each copy is a [`Delivery`] (as AMQP 1.0 calls it,
//! section 2.6.12) that is *settled* with an [`Outcome`]. The message is acknowledged to its writer
//! by that, and by nothing else:
//!
//! | what happens to a copy | |
//! |---|---|
//! | its reader has acknowledged it; its channel has no acknowledgements and it was handed to the transport; its reader lags, and the hub answers for it | `Accepted` |
//! | the reader's outbox was full, or the reader's mode prefers a newer one: counted, and told to the reader as its mode has it | `Dropped` |
//! | the reader cannot take it, for its size: counted, and told to the reader as a gap | `Rejected` |
//! | it is dropped as it is: its client was removed, or has panicked | none: it is *released* |
//!
//! When no copy is open any more, the message is acknowledged if one was accepted or dropped: a
//! reader that has gone holds up nobody if another one has it. If copies were rejected and none was
//! accepted, nobody can have it, and its writer is told so (`server/broker`). If all were
//! released it goes back, and waits for the next reader.
//!
//! A copy that is dropped unsettled says nothing by itself. It is put on the list of whoever held
//! it ([`Unsettled`]), and released when that one goes on with its work and looks there. So a hub
//! that ends, by a good-bye or by a panic, acknowledges nothing by what it drops: the messages are
//! still at their writers, who send them to the next hub. A copy on its way between two shards is
//! on nobody's list: who reads it there gives each reader its own, and releases this one.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::message::Message;

/// What became of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Its reader cannot take it.
    Rejected = 1,
    /// It made room, as the reader's channel has it.
    Dropped,
    /// Its reader has it, or the hub answers for that.
    Accepted,
}

/// Where a message has come from, for the hub that may have to give it back.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The shard of the writer's client, and that client.
    pub(crate) shard: usize,
    pub(crate) client: u64,
    /// The channel.
    pub(crate) label: Arc<str>,
    /// The place of the message among all that the shard has got of its clients.
    pub(crate) ticket: u64,
}

/// A message, and what is known of its copies.
#[derive(Debug)]
pub(crate) struct Fanout {
    source: Source,
    /// With its receipt.
    message: Message,
    open: AtomicUsize,
    /// The best that became of one, 0 as long as nothing did.
    best: AtomicU8,
}

/// One copy's duty to the message's writer.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Until it is settled or released.
    fanout: Option<Arc<Fanout>>,
    /// Who is to look at it when it is dropped.
    holder: Option<Arc<Unsettled>>,
}

/// Copies that were dropped and not settled, until whoever held them has looked.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    dropped: Mutex<Vec<Arc<Fanout>>>,
}

impl Message {
    /// The same, to be passed on, if its writer waits for it. What is returned is a copy for
    /// whoever passes it on, which has to be released.
    pub(crate) fn fan_out(self, source: impl FnOnce() -> Source) -> Self {
        if self.receipt.is_none() {
            return self;
        }
        let copy = Self { receipt: None, ..self.clone() };
        let (open, best) = (AtomicUsize::new(1), AtomicU8::new(0));
        let fanout = Arc::new(Fanout { source: source(), message: self, open, best });
        Self { delivery: Some(Delivery { fanout: Some(fanout), holder: None }), ..copy }
    }

    /// A copy for a reader of whoever looks at this list.
    pub(crate) fn copy_for(&self, holder: &Arc<Unsettled>) -> Self {
        let mut copy = self.clone();
        if let Some(delivery) = &mut copy.delivery {
            delivery.holder = Some(holder.clone());
        }
        copy
    }

    /// Says what became of it, if it is a copy whose writer waits for that.
    pub(crate) fn settle(&mut self, outcome: Outcome) {
        if let Some(delivery) = self.delivery.take() {
            delivery.settle(outcome);
        }
    }

    /// Nothing will become of it here. Returns the whole if that was the last copy, and nobody has
    /// got one.
    pub(crate) fn release(mut self) -> Option<Arc<Fanout>> {
        let fanout = self.delivery.as_mut()?.fanout.take()?;
        fanout.release()
    }
}

impl Delivery {
    fn settle(mut self, outcome: Outcome) {
        let Some(fanout) = &self.fanout else { return };
        fanout.best.fetch_max(outcome as u8, Ordering::AcqRel);
        if outcome == Outcome::Rejected {
            // If nobody else gets it, that is more than can be done here: as with one released.
            return;
        }
        if let Some(fanout) = self.fanout.take() {
            // Acknowledged if it is the last, for one was accepted.
            let _ = fanout.release();
        }
    }
}

impl Clone for Delivery {
    /// Another copy, to be settled as well.
    fn clone(&self) -> Self {
        if let Some(fanout) = &self.fanout {
            fanout.open.fetch_add(1, Ordering::AcqRel);
        }
        Self { fanout: self.fanout.clone(), holder: self.holder.clone() }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let (Some(fanout), Some(holder)) = (self.fanout.take(), &self.holder) {
            holder.lock().push(fanout);
        }
    }
}

impl Fanout {
    /// Where it has come from.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Whether a reader could not take it.
    pub(crate) fn is_rejected(&self) -> bool {
        self.best.load(Ordering::Acquire) == Outcome::Rejected as u8
    }

    /// The message as it was before it was passed on.
    pub(crate) fn message(&self) -> Message {
        self.message.clone()
    }

    /// One copy less is open. If it was the last one, the message is acknowledged or, if nobody has
    /// got it, returned.
    pub(crate) fn release(self: Arc<Self>) -> Option<Arc<Self>> {
        if self.open.fetch_sub(1, Ordering::AcqRel) > 1 {
            return None;
        }
        if self.best.load(Ordering::Acquire) < Outcome::Dropped as u8 {
            return Some(self);
        }
        self.acknowledge();
        None
    }

    /// Tells the writer that it need not keep it.
    pub(crate) fn acknowledge(&self) {
        self.message.receipt.iter().for_each(|receipt| receipt.give());
    }
}

impl Unsettled {
    /// What was dropped since this was last asked, in the order in which it came. Each is to be
    /// [released](Fanout::release).
    pub(crate) fn take(&self) -> Vec<Arc<Fanout>> {
        let mut dropped = std::mem::take(&mut *self.lock());
        dropped.sort_unstable_by_key(|f| (f.source.shard, f.source.ticket));
        dropped
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Fanout>>> {
        // No code under the lock can panic halfway through a change.
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{Acks, Receipt};
    use super::*;

    struct Scene {
        acks: Acks,
        whole: Message,
        holder: Arc<Unsettled>,
    }

    impl Scene {
        fn new() -> Self {
            let acks = Acks::default();
            let receipt = Some(Receipt::new(acks.clone(), 3));
            let message = Message { receipt, number: 3, ..Message::text("x") };
            let source = || Source { shard: 0, client: 1, label: "a".into(), ticket: 9 };
            Self { acks, whole: message.fan_out(source), holder: Arc::default() }
        }

        fn copy(&self) -> Message {
            self.whole.copy_for(&self.holder)
        }

        /// What whoever holds the copies finds.
        fn look(&self) -> Vec<Arc<Fanout>> {
            self.holder.take().into_iter().filter_map(Fanout::release).collect()
        }
    }

    #[test]
    fn one_that_is_accepted_is_acknowledged_when_no_other_is_open() {
        for outcome in [Outcome::Accepted, Outcome::Dropped] {
            let scene = Scene::new();
            let [mut one, two, mut three] = [(); 3].map(|()| scene.copy());
            one.settle(outcome);
            one.settle(outcome);
            drop(two);
            assert!(scene.look().is_empty());
            three.settle(Outcome::Rejected);
            assert!(scene.look().is_empty() && scene.acks.take().is_empty(), "one is open");
            assert!(scene.whole.clone().release().is_none());
            assert!(scene.acks.take().is_empty());
            let Scene { acks, whole, .. } = scene;
            assert!(whole.release().is_none());
            assert_eq!(acks.take(), [3]);
        }
    }

    #[test]
    fn what_is_dropped_goes_back_when_its_holder_has_looked() {
        let scene = Scene::new();
        let [one, two] = [(); 2].map(|()| scene.copy());
        assert!(scene.whole.clone().release().is_none());
        drop([one, two]);
        assert!(scene.look().is_empty());
        let Scene { acks, whole, .. } = scene;
        let back = whole.release().expect("nobody has it");
        assert!(!back.is_rejected() && back.message().is_kept());
        assert!(acks.take().is_empty());
    }

    #[test]
    fn nobody_is_told_anything_of_what_a_holder_does_not_look_at() {
        let Scene { acks, whole, holder } = Scene::new();
        let mut accepted = whole.copy_for(&holder);
        drop(whole.copy_for(&holder));
        accepted.settle(Outcome::Accepted);
        // The one on its way to another shard, too.
        drop((whole, holder));
        assert!(acks.take().is_empty());
    }

    #[test]
    fn what_nobody_can_take_is_told_from_what_nobody_took() {
        let scene = Scene::new();
        let [mut one, two] = [(); 2].map(|()| scene.copy());
        one.settle(Outcome::Rejected);
        drop(two);
        assert!(scene.look().is_empty());
        let Scene { acks, whole, .. } = scene;
        let back = whole.release().expect("nobody has it");
        assert!(back.is_rejected() && acks.take().is_empty());
        back.acknowledge();
        assert_eq!(acks.take(), [3]);
    }
}
