//! A hub of several shards: what each of them keeps for the others, and takes from them.
//!
//! A shard is one thread, or task, with one [`Hub`](crate::server::Hub): clients, sockets, timers,
//! names and relay channels of its own. Shards share next to nothing ([`HubShared`]) and tell each
//! other the rest in [`ShardMessage`]s, which wait here until the queue to the other one has room.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

pub(in crate::server) use crate::server::shard::message::{
    ForwardedSignal, RelayedFrame, ShardMessage,
};
pub(in crate::server) use crate::server::shard::shared::HubShared;

use crate::link::{Message, RESERVED};
use crate::server::hub::status::HubTotals;
use crate::server::registry::OwnerId;

/// Where a shard is among the others, and what it has to tell them.
#[derive(Debug)]
pub(in crate::server) struct ShardRouter {
    pub(in crate::server) me: usize,
    pub(in crate::server) shared: Arc<HubShared>,
    /// By shard; its own stays empty.
    out: Vec<Outbound>,
    /// Shards that have subscribers of a channel.
    interest: HashMap<Arc<str>, Vec<usize>>,
    /// What found no room and could not wait.
    pub(in crate::server) dropped: u64,
}

/// What waits for one other shard.
#[derive(Debug, Default)]
struct Outbound {
    messages: VecDeque<ShardMessage>,
    frames: Vec<RelayedFrame>,
    /// Bytes of messages among them that no writer waits for.
    loose: usize,
}

impl ShardRouter {
    /// The only shard.
    pub(in crate::server) fn alone() -> Self {
        Self::among(0, Arc::new(HubShared::new(1)))
    }

    pub(in crate::server) fn among(me: usize, shared: Arc<HubShared>) -> Self {
        let out = (0..shared.count()).map(|_| Outbound::default()).collect();
        Self { me, shared, out, interest: HashMap::new(), dropped: 0 }
    }

    /// Whether there is no other shard.
    pub(in crate::server) fn is_alone(&self) -> bool {
        self.out.len() == 1
    }

    /// Whether an owner belongs to this shard.
    pub(in crate::server) fn has(&self, owner: OwnerId) -> bool {
        owner.shard() == self.me
    }

    /// Tells another shard something.
    pub(in crate::server) fn tell(&mut self, shard: usize, message: ShardMessage) {
        if let Some(out) = self.out.get_mut(shard).filter(|_| shard != self.me) {
            out.messages.push_back(message);
        }
    }

    /// Tells all others something.
    pub(in crate::server) fn tell_all(&mut self, message: impl Fn() -> ShardMessage) {
        for shard in self.others() {
            self.tell(shard, message());
        }
    }

    /// Whether a channel has subscribers here: the others send messages to those only who have.
    pub(in crate::server) fn set_interest(&mut self, label: &str, here: bool) {
        if self.is_alone() || label.starts_with(RESERVED) {
            return;
        }
        let label: Arc<str> = label.into();
        self.tell_all(|| ShardMessage::Interest { label: label.clone(), here });
    }

    /// Others that have subscribers of a channel.
    pub(in crate::server) fn interested(&self, label: &str) -> Option<(Arc<str>, Vec<usize>)> {
        self.interest.get_key_value(label).map(|(label, shards)| (label.clone(), shards.clone()))
    }

    pub(in crate::server) fn note_interest(&mut self, shard: usize, label: &Arc<str>, there: bool) {
        let shards = self.interest.entry(label.clone()).or_default();
        shards.retain(|d| *d != shard);
        if there {
            shards.push(shard);
        }
        if shards.is_empty() {
            self.interest.remove(label);
        }
    }

    /// Passes a message on to another shard's clients. One that no writer waits for is dropped if
    /// too many of them wait.
    pub(in crate::server) fn pass(&mut self, shard: usize, label: Arc<str>, message: Message) {
        let out = &mut self.out[shard];
        let loose = loose(&message);
        if loose > 0 && out.loose + loose > MAX_LOOSE {
            self.dropped += 1;
            return;
        }
        out.loose += loose;
        out.messages.push_back(ShardMessage::Passed { label, message });
    }

    /// Sends a datagram of a call.
    pub(in crate::server) fn forward(&mut self, frame: RelayedFrame) {
        match self.out.get_mut(frame.to.shard()).filter(|out| out.frames.len() < MAX_FRAMES) {
            Some(out) => out.frames.push(frame),
            None => self.dropped += 1,
        }
    }

    /// What another shard is to be told next, in order. Empty if there is nothing.
    pub(in crate::server) fn poll(&mut self, shard: usize) -> Vec<ShardMessage> {
        let Outbound { messages, frames, loose: waiting } = &mut self.out[shard];
        let count = messages.len().min(BATCH);
        let mut batch: Vec<_> = messages.drain(..count).collect();
        *waiting -= batch.iter().map(loose_of).sum::<usize>();
        if messages.is_empty() && !frames.is_empty() {
            batch.push(ShardMessage::Frames(std::mem::take(frames)));
        }
        batch
    }

    /// There is no room for that at the other shard: what cannot be lost waits, all else is
    /// dropped.
    pub(in crate::server) fn put_back(&mut self, shard: usize, batch: Vec<ShardMessage>) {
        let Outbound { messages, frames, loose: waiting } = &mut self.out[shard];
        self.dropped += std::mem::take(frames).len() as u64;
        for message in batch.into_iter().rev() {
            match message {
                ShardMessage::Frames(frames) => self.dropped += frames.len() as u64,
                message => {
                    *waiting += loose_of(&message);
                    messages.push_front(message);
                }
            }
        }
    }

    /// Shards that have to be told something.
    pub(in crate::server) fn waiting(&self) -> impl Iterator<Item = usize> {
        let out = self.out.iter().enumerate();
        out.filter(|(_, out)| !out.messages.is_empty() || !out.frames.is_empty()).map(|(at, _)| at)
    }

    /// Notes how many clients there are here.
    pub(in crate::server) fn set_clients(&self, clients: usize) {
        if !self.is_alone() {
            self.shared.set_clients(self.me, clients);
        }
    }

    /// The same of all shards together.
    pub(in crate::server) fn clients(&self, here: usize) -> usize {
        here + self.shared.clients_of_others(self.me)
    }

    /// Says how this shard fares.
    pub(in crate::server) fn publish(&self, totals: HubTotals) {
        self.shared.set_report(self.me, totals);
    }

    /// Adds how the others said they do.
    pub(in crate::server) fn add_others(&self, totals: &mut HubTotals) {
        self.shared.add_reports_of_others(self.me, totals);
    }

    pub(in crate::server) fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let me = self.me;
        (0..self.out.len()).filter(move |shard| *shard != me)
    }
}

/// What a message costs as long as it waits; nothing if its writer counts it.
fn loose(message: &Message) -> usize {
    if message.delivery.is_some() { 0 } else { message.data.len() + MESSAGE_COST }
}

fn loose_of(message: &ShardMessage) -> usize {
    match message {
        ShardMessage::Passed { message, .. } => loose(message),
        _ => 0,
    }
}

/// Notes that go at once.
const BATCH: usize = 512;

/// Datagrams that go at once: more than a turn of the shard brings, but for a flood.
const MAX_FRAMES: usize = 4096;

/// Bytes of messages that no writer waits for, and that wait for one shard: as many as an outbox
/// has room for.
const MAX_LOOSE: usize = 4 * 1024 * 1024;
const MESSAGE_COST: usize = 1024;
