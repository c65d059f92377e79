//! Who has which channel, as far as other shards have to know it, and messages from one to another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::link::Message;
use crate::model::client::ClientId;
use crate::model::propagated::Propagated;
use crate::server::hub::Hub;

impl Hub {
    /// Takes note of channels opened and closed, by what has been said since there were so many
    /// events: before others are passed on, that were there earlier.
    pub(in crate::server) fn note_channels(&mut self, known: usize) {
        let mut changed = Vec::new();
        for event in self.propagated.range(known..) {
            match event {
                Propagated::Opened { by, label } if self.subscriptions.open(*by, label) => {
                    changed.push((label.clone(), true));
                }
                Propagated::Closed { by, label } if self.subscriptions.close(*by, label) => {
                    changed.push((label.clone(), false));
                }
                _ => {}
            }
        }
        changed.into_iter().for_each(|(label, here)| self.router.set_interest(&label, here));
    }

    /// A client goes on where another one was: it will have the same channels in a moment.
    pub(in crate::server) fn expect_subscriptions(
        &mut self,
        now: Instant,
        id: ClientId,
        old: ClientId,
    ) {
        for label in self.subscriptions.labels(old) {
            self.subscriptions.open(id, &label);
        }
        self.expected.push((now, old, id));
    }

    /// Expects no longer what has not come.
    pub(in crate::server) fn tidy_expected(&mut self, now: Instant) {
        let over = |at: &Instant| now.saturating_duration_since(*at) >= EXPECTED_WITHIN;
        let over: Vec<_> = self.expected.extract_if(.., |(at, ..)| over(at)).collect();
        for (.., id) in over {
            let Some(client) = self.clients.get_mut(&id) else { continue };
            client.forget_returning();
            let client = &*client;
            let mut labels = self.subscriptions.labels(id);
            labels.retain(|label| !client.has_channel(label));
            for label in labels {
                if self.subscriptions.close(id, &label) {
                    self.router.set_interest(&label, false);
                }
            }
        }
    }

    pub(in crate::server) fn on_interest(
        &mut self,
        now: Instant,
        from: usize,
        label: &Arc<str>,
        there: bool,
    ) {
        self.router.note_interest(from, label, there);
        if !there {
            return;
        }
        let waiting = self.broker.take_waiting(label);
        self.send_waiting(now, label, waiting);
    }

    /// A message of another shard's client. Where nobody has the channel any more, it goes back.
    pub(in crate::server) fn on_passed(&mut self, now: Instant, label: &str, message: Message) {
        let readers: Vec<_> = self.with_channel(label).collect();
        for id in &readers {
            self.send_copy(now, *id, label, &message);
        }
        if readers.is_empty() && message.delivery.is_some() {
            // Who is expected to have it does not yet: it is told when it has, not asked again.
            for id in self.subscriptions.of(label).collect::<Vec<_>>() {
                if self.subscriptions.close(id, label) {
                    self.router.set_interest(label, false);
                }
            }
        }
        self.conclude(message);
    }

    /// The client that goes on where this one was.
    pub(in crate::server) fn successor_of(&self, mut id: ClientId) -> ClientId {
        while !self.clients.contains_key(&id)
            && let Some((.., successor)) = self.expected.iter().find(|(_, old, _)| *old == id)
        {
            id = *successor;
        }
        id
    }

    /// Clients that have a channel.
    pub(in crate::server) fn with_channel(&self, label: &str) -> impl Iterator<Item = ClientId> {
        let has = |id: &ClientId| self.clients.get(id).is_some_and(|c| c.has_channel(label));
        self.subscriptions.of(label).filter(has)
    }
}

/// A client that has come back opens its channels at once; this is as long as paths may be bad.
const EXPECTED_WITHIN: Duration = Duration::from_secs(60);
