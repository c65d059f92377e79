//! Messages that clients send each other through the hub.
//!
//! A message of a reliable channel is acknowledged to its writer when all who get it have
//! acknowledged it, so that a hub which dies has taken nothing with it: its writer sends it again
//! to the next hub, and who had it already knows it by its origin. One who lags holds up nobody:
//! for it the hub vouches itself. While nobody is there to get it, such a message waits at its
//! writer.
//!
//! Where a hub has several shards, a message goes to those that have subscribers of its channel,
//! and its guard with it: whichever shard is done last wakes the writer's. It comes back if the
//! last subscriber has left meanwhile.

pub(super) mod interest;
pub(super) mod status_broadcast;
pub(super) mod subscriptions;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

use crate::link::Message;
use crate::model::client::ClientId;
use crate::model::propagated::Propagated;
use crate::server::hub::Hub;

/// What is being passed on.
#[derive(Debug, Default)]
pub(in crate::server) struct Broker {
    /// Messages of channels that nobody else has, by label, oldest first.
    waiting: HashMap<String, VecDeque<(ClientId, Message)>>,
    /// Clients whose messages have been acknowledged meanwhile.
    acknowledged: Arc<List>,
}

/// Clients, and who is to be told when there are some: the last copy of a message may go in another
/// shard.
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

    /// What waits for somebody to have this channel.
    pub(in crate::server) fn take_waiting(&mut self, label: &str) -> VecDeque<(ClientId, Message)> {
        self.waiting.remove(label).unwrap_or_default()
    }

    /// Puts a message that had gone out already before the later ones of its writer, if such wait;
    /// else it comes back.
    pub(in crate::server) fn rejoin(
        &mut self,
        label: &str,
        from: ClientId,
        message: Message,
    ) -> Option<Message> {
        let waiting = self.waiting.get_mut(label);
        let later = |(f, m): &(ClientId, Message)| *f == from && m.number > message.number;
        let found = waiting.and_then(|w| w.iter().position(later).map(|at| (w, at)));
        let Some((waiting, at)) = found else { return Some(message) };
        waiting.insert(at, (from, message));
        None
    }

    /// What waits of a client's is that of another one now.
    pub(in crate::server) fn inherit(&mut self, client: ClientId, old: ClientId) {
        for (from, _) in self.waiting.values_mut().flatten().filter(|(from, _)| *from == old) {
            *from = client;
        }
    }

    pub(in crate::server) fn remove(&mut self, client: ClientId) {
        self.waiting.values_mut().for_each(|w| w.retain(|(from, _)| *from != client));
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
            Propagated::Data { from, label, message } => self.pass_on(now, from, label, message),
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

    pub(in crate::server) fn pass_on(
        &mut self,
        now: Instant,
        from: ClientId,
        label: String,
        message: Message,
    ) {
        let others: Vec<_> = self.with_channel(&label).filter(|id| *id != from).collect();
        let away = self.router.interested(&label);
        let nobody = others.is_empty() && away.is_none();
        let here = self.clients.contains_key(&from);
        if here && message.is_kept() && (nobody || self.broker.waiting.contains_key(&label)) {
            // In the order sent, when somebody comes.
            self.broker.waiting.entry(label).or_default().push_back((from, message));
            return;
        }
        let message = message.passed_on();
        if !others.is_empty() {
            message.note_readers();
        }
        for id in others {
            self.relayed += 1;
            self.send_copy(now, id, &label, message.clone());
        }
        let Some((label, shards)) = away else { return };
        for shard in shards {
            self.router.pass(shard, from, label.clone(), message.clone());
        }
    }

    /// A channel can be used: what waits for somebody to have it goes there.
    fn deliver_waiting(&mut self, now: Instant, by: ClientId, label: &str) {
        let waiting = self.broker.take_waiting(label);
        let (own, others) = waiting.into_iter().partition::<VecDeque<_>, _>(|(f, _)| *f == by);
        for (_, message) in others {
            self.relayed += 1;
            self.send_copy(now, by, label, message.passed_on());
        }
        if !own.is_empty() {
            self.broker.waiting.insert(label.to_owned(), own);
        }
    }

    pub(in crate::server) fn send_copy(
        &mut self,
        now: Instant,
        id: ClientId,
        label: &str,
        message: Message,
    ) {
        self.with_client(now, id, |client, _| {
            if let Err(error) = client.pass_on(now, label, message) {
                tracing::debug!(%id, %error, "message not relayed");
            }
        });
    }
}
