//! Messages that clients send each other through the hub.
//!
//! A message of a reliable channel is acknowledged to its writer when all who get it have
//! acknowledged it, so that a hub which dies has taken nothing with it: its writer sends it again
//! to the next hub, and who had it already knows it by its origin. One who lags holds up nobody: for
//! it the hub vouches itself. While nobody is there to get it, such a message waits at its writer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

use super::hub::Hub;
use crate::link::Message;
use crate::model::client::ClientId;
use crate::model::propagated::Propagated;

/// What is being passed on.
#[derive(Debug, Default)]
pub(super) struct Passing {
    /// Messages of channels that nobody else has, by label, oldest first.
    waiting: HashMap<String, VecDeque<(ClientId, Message)>>,
    /// Clients whose messages have been acknowledged meanwhile.
    acknowledged: Arc<Mutex<Vec<ClientId>>>,
}

struct Acknowledged {
    client: ClientId,
    list: Arc<Mutex<Vec<ClientId>>>,
}

impl Wake for Acknowledged {
    fn wake(self: Arc<Self>) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(self.client);
    }
}

impl Passing {
    /// What notes that a client's messages have been acknowledged.
    pub(super) fn waker(&self, client: ClientId) -> Waker {
        Arc::new(Acknowledged { client, list: self.acknowledged.clone() }).into()
    }

    fn take_acknowledged(&self) -> Vec<ClientId> {
        std::mem::take(&mut self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What waits of a client's is that of another one now.
    pub(super) fn inherit(&mut self, client: ClientId, old: ClientId) {
        for (from, _) in self.waiting.values_mut().flatten().filter(|(from, _)| *from == old) {
            *from = client;
        }
    }

    pub(super) fn remove(&mut self, client: ClientId) {
        self.waiting.values_mut().for_each(|w| w.retain(|(from, _)| *from != client));
        self.waiting.retain(|_, w| !w.is_empty());
    }
}

impl Hub {
    /// Passes a message on to those it is for.
    pub(super) fn spread(&mut self, now: Instant, event: Propagated) {
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
    pub(super) fn turn_acknowledged(&mut self, now: Instant) -> bool {
        let mut clients = self.passing.take_acknowledged();
        clients.sort_unstable();
        clients.dedup();
        for id in &clients {
            self.with_client(now, *id, |_, _| ());
        }
        !clients.is_empty()
    }

    fn pass_on(&mut self, now: Instant, from: ClientId, label: String, message: Message) {
        let has = |id: &ClientId| self.clients.get(id).is_some_and(|c| c.has_channel(&label));
        let others = self.members.of(&label).filter(|id| *id != from);
        let others: Vec<_> = others.filter(has).collect();
        let here = self.clients.contains_key(&from);
        if here
            && message.is_kept()
            && (others.is_empty() || self.passing.waiting.contains_key(&label))
        {
            // In the order sent, when somebody comes.
            self.passing.waiting.entry(label).or_default().push_back((from, message));
            return;
        }
        let message = message.passed_on();
        for id in others {
            self.relayed += 1;
            self.send_copy(now, id, &label, message.clone());
        }
    }

    /// A channel can be used: what waits for somebody to have it goes there.
    fn deliver_waiting(&mut self, now: Instant, by: ClientId, label: &str) {
        let Some(waiting) = self.passing.waiting.remove(label) else { return };
        let (own, others) = waiting.into_iter().partition::<VecDeque<_>, _>(|(f, _)| *f == by);
        for (_, message) in others {
            self.relayed += 1;
            self.send_copy(now, by, label, message.passed_on());
        }
        if !own.is_empty() {
            self.passing.waiting.insert(label.to_owned(), own);
        }
    }

    fn send_copy(&mut self, now: Instant, id: ClientId, label: &str, message: Message) {
        self.with_client(now, id, |client, _| {
            if let Err(error) = client.pass(now, label, message) {
                tracing::debug!(%id, %error, "message not relayed");
            }
        });
    }
}
