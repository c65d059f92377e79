//! Who has which channel, as far as other drivers have to know it, and messages from one to another.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::hub::Hub;
use crate::link::Message;
use crate::model::client::ClientId;
use crate::model::propagated::Propagated;

impl Hub {
    /// Takes note of channels opened and closed, by what has been said since there were so many
    /// events: before others are passed on, that were there earlier.
    pub(in crate::server) fn note_channels(&mut self, known: usize) {
        let mut changed = Vec::new();
        for event in self.propagated.range(known..) {
            match event {
                Propagated::Opened { by, label } if self.members.open(*by, label) => {
                    changed.push((label.clone(), true));
                }
                Propagated::Closed { by, label } if self.members.close(*by, label) => {
                    changed.push((label.clone(), false));
                }
                _ => {}
            }
        }
        changed.into_iter().for_each(|(label, here)| self.place.set_interest(&label, here));
    }

    /// A client goes on where another one was: it will have the same channels in a moment.
    pub(in crate::server) fn expect_channels(&mut self, now: Instant, id: ClientId, old: ClientId) {
        for label in self.members.labels(old) {
            self.members.open(id, &label);
        }
        self.expected.push((now, id));
    }

    /// Expects no longer what has not come.
    pub(in crate::server) fn tidy_expected(&mut self, now: Instant) {
        let over = |at: &Instant| now.saturating_duration_since(*at) >= EXPECTED_WITHIN;
        let over: Vec<_> = self.expected.extract_if(.., |(at, _)| over(at)).collect();
        for (_, id) in over {
            let Some(client) = self.clients.get_mut(&id) else { continue };
            client.forget_returning();
            let client = &*client;
            let mut labels = self.members.labels(id);
            labels.retain(|label| !client.has_channel(label));
            for label in labels {
                if self.members.close(id, &label) {
                    self.place.set_interest(&label, false);
                }
            }
        }
    }

    pub(super) fn on_interest(&mut self, from: usize, label: &Arc<str>, there: bool) {
        self.place.note_interest(from, label, there);
        if !there {
            return;
        }
        for (_, message) in self.passing.take_waiting(label) {
            self.place.pass(from, label.clone(), message.passed_on());
        }
    }

    /// A message of another driver's client.
    pub(super) fn on_passed(&mut self, now: Instant, label: &Arc<str>, message: Message) {
        let message = ManuallyDrop::new(message);
        for id in self.with_channel(label).collect::<Vec<_>>() {
            self.relayed += 1;
            self.send_copy(now, id, label, Message::clone(&message));
        }
        drop(ManuallyDrop::into_inner(message));
    }

    /// Clients that have a channel.
    pub(in crate::server) fn with_channel(&self, label: &str) -> impl Iterator<Item = ClientId> {
        let has = |id: &ClientId| self.clients.get(id).is_some_and(|c| c.has_channel(label));
        self.members.of(label).filter(has)
    }
}

/// A client that has come back opens its channels at once; this is as long as paths may be bad.
const EXPECTED_WITHIN: Duration = Duration::from_secs(60);
