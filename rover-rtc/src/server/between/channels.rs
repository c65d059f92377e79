//! Who has which channel, as far as other drivers have to know it, and messages from one to another.

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
        changed.into_iter().for_each(|(label, here)| self.set_members(&label, here));
    }

    /// A channel has got its first member here, or lost its last one.
    pub(in crate::server) fn set_members(&mut self, label: &str, here: bool) {
        if !here {
            // Nobody is left who could be back.
            self.passing.take_held(label);
        }
        self.place.set_interest(label, here);
    }

    /// A client goes on where another one was: it will have the same channels in a moment.
    pub(in crate::server) fn expect_channels(&mut self, now: Instant, id: ClientId, old: ClientId) {
        if self.place.is_alone() {
            return;
        }
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
            let Some(client) = self.clients.get(&id) else { continue };
            let mut labels = self.members.labels(id);
            labels.retain(|label| !client.has_channel(label));
            for label in labels {
                if self.members.close(id, &label) {
                    self.set_members(&label, false);
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
        let has = |id: &ClientId| self.clients.get(id).is_some_and(|c| c.has_channel(label));
        let members: Vec<_> = self.members.of(label).collect();
        let open: Vec<_> = members.iter().copied().filter(has).collect();
        let away = open.is_empty() && !members.is_empty();
        if message.guard.is_some() && (away || self.passing.holds(label)) {
            // Its only member is changing its transport, or has just done so: in the order sent.
            return self.passing.hold(label, message);
        }
        for id in open {
            self.relayed += 1;
            self.send_copy(now, id, label, message.clone());
        }
    }

    /// A client here has opened a channel: what was held for it goes there.
    pub(in crate::server) fn deliver_held(&mut self, now: Instant, by: ClientId, label: &str) {
        for message in self.passing.take_held(label) {
            self.relayed += 1;
            self.send_copy(now, by, label, message);
        }
    }
}

/// A client that has come back opens its channels at once; this is as long as paths may be bad.
const EXPECTED_WITHIN: Duration = Duration::from_secs(60);
