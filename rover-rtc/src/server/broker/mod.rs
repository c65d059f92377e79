//! Messages that clients send each other through the hub.
//!
//! Each reader of a channel gets a copy of a message of a reliable one, and the message is
//! acknowledged to its writer when all copies have been settled ([`crate::link`], `delivery.rs`,
//! has the table). So a hub that dies has taken nothing with it: the writer sends the message again
//! to the next hub, and who had it already knows it by its origin.
//!
//! - Nobody has the channel: the message waits at its writer, and in line here ([`Broker`]).
//! - One who lags holds up nobody: for it the hub answers itself.
//! - A reader leaves for good. If another one has got the message, or gets it, that will do. If
//!   none has, it gets in line again, in its old place, for whoever comes next.
//! - By then others may have come and got later messages of the same writer, so that it would be
//!   out of order. Such a reader is told of a gap instead (by its own link, which knows what it has
//!   had).
//! - A reader cannot take it, for its size: it is told of a gap. If no reader can, waiting for one
//!   that can would hold up the channel for good, so the hub acknowledges it, counts it, and tells
//!   the writer that nobody has got it ([`FromHub::Undelivered`]), if that has a name by which it
//!   can be told. MQTT has it so, too (version 5, MQTT-3.1.2-25), but tells nobody.
//! - The writer has left: it has the message still, and nothing waits for it here. One that goes on
//!   on another session takes along what waits.
//!
//! Where a hub has several shards, a message goes to those that have subscribers of its channel;
//! whichever shard settles the last copy wakes the writer's. What comes too late for the last
//! subscriber there is told back in a message.

pub(super) mod interest;
pub(super) mod status_broadcast;
pub(super) mod subscriptions;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

use crate::link::SendError;
use crate::link::{Fanout, Message, Source, Unsettled};
use crate::model::client::ClientId;
use crate::model::propagated::Propagated;
use crate::server::hub::Hub;
use crate::server::shard::message::ShardMessage;
use crate::server::signaling::queue::Recipient;
use crate::signal::hub_messages::FromHub;

/// What is being passed on.
#[derive(Debug, Default)]
pub(in crate::server) struct Broker {
    /// Messages of channels that nobody else has, by label, in the order in which they came.
    waiting: HashMap<Arc<str>, Waiting>,
    /// How many messages have come.
    tickets: u64,
    /// Copies that were dropped here and not settled.
    unsettled: Arc<Unsettled>,
    /// Messages that nobody has got.
    undelivered: Vec<Arc<Fanout>>,
    /// Clients whose messages have been acknowledged meanwhile.
    acknowledged: Arc<List>,
}

/// Messages and their writers, by the messages' tickets.
type Waiting = BTreeMap<u64, (ClientId, Message)>;

/// Clients, and who is to be told when there are some: the last copy of a message may be settled in
/// another shard.
#[derive(Debug, Default)]
struct List {
    clients: Mutex<Vec<ClientId>>,
    waker: OnceLock<Waker>,
}

struct Acknowledged {
    client: ClientId,
    list: Arc<List>,
}

impl Wake for Acknowledged {
    fn wake(self: Arc<Self>) {
        let first = {
            let mut clients = self.list.lock();
            clients.push(self.client);
            clients.len() == 1
        };
        if let Some(waker) = self.list.waker.get().filter(|_| first) {
            waker.wake_by_ref();
        }
    }
}

impl List {
    fn lock(&self) -> MutexGuard<'_, Vec<ClientId>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker {
    /// What notes that a client's messages have been acknowledged.
    pub(in crate::server) fn waker(&self, client: ClientId) -> Waker {
        Arc::new(Acknowledged { client, list: self.acknowledged.clone() }).into()
    }

    fn take_acknowledged(&self) -> Vec<ClientId> {
        std::mem::take(&mut self.acknowledged.lock())
    }

    /// Who is woken when something has been acknowledged while the shard sleeps.
    pub(in crate::server) fn set_waker(&self, waker: Waker) {
        // The first one stays: there is one shard.
        let _ = self.acknowledged.waker.set(waker);
    }

    fn next_ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// What waits for somebody to have this channel.
    pub(in crate::server) fn take_waiting(&mut self, label: &str) -> Waiting {
        self.waiting.remove(label).unwrap_or_default()
    }

    fn wait(&mut self, label: Arc<str>, ticket: u64, from: ClientId, message: Message) {
        self.waiting.entry(label).or_default().insert(ticket, (from, message));
    }

    /// What waits of a client's is that of another one now.
    pub(in crate::server) fn inherit(&mut self, client: ClientId, old: ClientId) {
        let waiting = self.waiting.values_mut().flat_map(BTreeMap::values_mut);
        for (from, _) in waiting.filter(|(from, _)| *from == old) {
            *from = client;
        }
    }

    pub(in crate::server) fn remove(&mut self, client: ClientId) {
        self.waiting.values_mut().for_each(|w| w.retain(|_, (from, _)| *from != client));
        self.waiting.retain(|_, w| !w.is_empty());
    }
}

impl Hub {
    /// Passes a message on to those it is for.
    pub(in crate::server) fn spread(&mut self, now: Instant, event: Propagated) {
        match event {
            Propagated::Noop | Propagated::Closed { .. } => {}
            Propagated::ToHub { from, message } => self.on_text(now, from, &message),
            Propagated::Opened { by, label } => self.deliver_waiting(now, by, &label),
            Propagated::Data { from, label, message } => self.pass_on(now, from, &label, message),
            Propagated::Status(data) => {
                self.tell_status(now, Message { data, ..Message::default() });
            }
        }
    }

    /// Tells their writers what has been acknowledged; true if there was something.
    pub(in crate::server) fn turn_acknowledged(&mut self, now: Instant) -> bool {
        let mut clients = self.broker.take_acknowledged();
        clients.sort_unstable();
        clients.dedup();
        for id in &clients {
            self.with_client(now, *id, |_, _| ());
        }
        !clients.is_empty()
    }

    /// Looks after copies that were dropped, and messages that nobody has got; true if there were
    /// some.
    pub(in crate::server) fn turn_undelivered(&mut self, now: Instant) -> bool {
        let dropped = self.broker.unsettled.take();
        let any = !dropped.is_empty() || !self.broker.undelivered.is_empty();
        for fanout in dropped.into_iter().filter_map(Fanout::release) {
            self.give_back(fanout);
        }
        let mut undelivered = std::mem::take(&mut self.broker.undelivered);
        undelivered.sort_unstable_by_key(|fanout| fanout.source().ticket);
        undelivered.iter().for_each(|fanout| self.on_undelivered(now, fanout));
        any
    }

    fn pass_on(&mut self, now: Instant, from: ClientId, label: &str, message: Message) {
        let ticket = self.broker.next_ticket();
        if message.is_kept()
            && self.clients.contains_key(&from)
            && let Some(queues) = self.broker.waiting.get_mut(label)
        {
            // Behind the others.
            queues.insert(ticket, (from, message));
            return;
        }
        self.send_to_all(now, (from, ticket), label, message);
    }

    /// Sends a message to all who have the channel. If its writer keeps it and nobody has, it
    /// waits.
    fn send_to_all(
        &mut self,
        now: Instant,
        (from, ticket): (ClientId, u64),
        label: &str,
        message: Message,
    ) {
        let others: Vec<_> = self.with_channel(label).filter(|id| *id != from).collect();
        let away = self.router.interested(label);
        let known = || away.as_ref().map(|(label, _)| label.clone());
        let name = || self.subscriptions.name(label).or_else(known).unwrap_or_else(|| label.into());
        if others.is_empty() && away.is_none() {
            if message.is_kept() && self.clients.contains_key(&from) {
                let label = name();
                self.broker.wait(label, ticket, from, message);
            }
            return;
        }
        let (shard, client) = (self.router.me, from.number());
        let message = message.fan_out(|| Source { shard, client, label: name(), ticket });
        for id in others {
            self.send_copy(now, id, label, &message);
        }
        if let Some((label, shards)) = away {
            for shard in shards {
                self.router.pass(shard, label.clone(), message.clone());
            }
        }
        self.conclude(message);
    }

    /// A channel can be used: what waits for somebody to have it goes there.
    fn deliver_waiting(&mut self, now: Instant, by: ClientId, label: &str) {
        let has = self.clients.get(&by).is_some_and(|client| client.has_channel(label));
        let waiting = if has { self.broker.take_waiting(label) } else { Waiting::default() };
        self.send_waiting(now, label, waiting);
    }

    /// Sends what has waited to those who have the channel now.
    pub(in crate::server) fn send_waiting(&mut self, now: Instant, label: &str, waiting: Waiting) {
        for (ticket, (from, message)) in waiting {
            self.send_to_all(now, (from, ticket), label, message);
        }
    }

    pub(in crate::server) fn send_copy(
        &mut self,
        now: Instant,
        id: ClientId,
        label: &str,
        message: &Message,
    ) {
        self.relayed += 1;
        let copy = message.copy_for(&self.broker.unsettled);
        let passed = self.with_client(now, id, |client, _| client.pass_on(now, label, copy));
        let Some(Err(error)) = passed else { return };
        tracing::debug!(%id, %error, "message not relayed");
        self.not_relayed += 1;
        if error == SendError::Closed && self.subscriptions.close(id, label) {
            self.router.set_interest(label, false);
        }
    }

    /// All who are to get a message have their copies, and this one is over.
    pub(in crate::server) fn conclude(&mut self, message: Message) {
        if let Some(fanout) = message.release() {
            self.give_back(fanout);
        }
    }

    /// Gives a message that nobody has got back to its writer's shard.
    pub(in crate::server) fn give_back(&mut self, fanout: Arc<Fanout>) {
        let shard = fanout.source().shard;
        if shard == self.router.me {
            self.broker.undelivered.push(fanout);
        } else {
            self.router.tell(shard, ShardMessage::Undelivered(fanout));
        }
    }

    /// Nobody has got a message of a client here.
    fn on_undelivered(&mut self, now: Instant, fanout: &Fanout) {
        let Source { client, label, ticket, .. } = fanout.source();
        let from = self.successor_of(ClientId::of_number(*client));
        let message = fanout.message();
        if fanout.is_rejected() {
            let size = message.data.len();
            tracing::warn!(%from, label = &**label, size, "no reader can take this message");
            let (label, number) = (label.to_string(), message.number);
            let text = FromHub::Undelivered { label, number, size };
            if self.names.owner_of(from).is_some() {
                self.signal_queue.send(Recipient::Client(from), text);
            }
            return fanout.acknowledge();
        }
        match self.broker.waiting.get_mut(&**label) {
            _ if !self.clients.contains_key(&from) => {}
            Some(queues) => drop(queues.insert(*ticket, (from, message))),
            None => self.send_to_all(now, (from, *ticket), label, message),
        }
    }
}
