//! Who has which channel open, so that a message costs as many steps as it has receivers, however
//! many clients there are.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::client::ClientId;

/// Clients by the channels that they have open, and the other way round. It may name a client a
/// moment too long (while its transport changes): whoever sends asks the client itself, too.
#[derive(Debug, Default)]
pub(in crate::server) struct Subscriptions {
    by_label: HashMap<Arc<str>, BTreeSet<ClientId>>,
    labels: HashMap<ClientId, BTreeSet<Arc<str>>>,
}

impl Subscriptions {
    /// A client has opened a channel. True if it is the only one.
    pub(in crate::server) fn open(&mut self, client: ClientId, label: &str) -> bool {
        let label = self.name(label).unwrap_or_else(|| label.into());
        let subscriptions = self.by_label.entry(label.clone()).or_default();
        let first = subscriptions.insert(client) && subscriptions.len() == 1;
        self.labels.entry(client).or_default().insert(label);
        first
    }

    /// A channel of a client is closed. True if nobody else has it.
    pub(in crate::server) fn close(&mut self, client: ClientId, label: &str) -> bool {
        if let Some(labels) = self.labels.get_mut(&client) {
            labels.remove(label);
            if labels.is_empty() {
                self.labels.remove(&client);
            }
        }
        self.leave(client, label)
    }

    /// A client is gone. Returns the channels that nobody else has.
    pub(in crate::server) fn remove(&mut self, client: ClientId) -> Vec<Arc<str>> {
        let mut labels: Vec<_> =
            self.labels.remove(&client).unwrap_or_default().into_iter().collect();
        labels.retain(|label| self.leave(client, label));
        labels
    }

    /// The channels that a client has.
    pub(in crate::server) fn labels(&self, client: ClientId) -> Vec<Arc<str>> {
        self.labels.get(&client).into_iter().flatten().cloned().collect()
    }

    /// A channel's name, as it is kept for those who have it.
    pub(in crate::server) fn name(&self, label: &str) -> Option<Arc<str>> {
        self.by_label.get_key_value(label).map(|(label, _)| label.clone())
    }

    /// Those who have a channel, in the order in which they came.
    pub(in crate::server) fn of(&self, label: &str) -> impl Iterator<Item = ClientId> {
        self.by_label.get(label).into_iter().flatten().copied()
    }

    fn leave(&mut self, client: ClientId, label: &str) -> bool {
        let Some(subscriptions) = self.by_label.get_mut(label) else { return false };
        subscriptions.remove(&client);
        let empty = subscriptions.is_empty();
        if empty {
            self.by_label.remove(label);
        }
        empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u64) -> ClientId {
        ClientId::of_number(number)
    }

    #[test]
    fn first_and_last_are_told() {
        let mut subscriptions = Subscriptions::default();
        assert!(subscriptions.open(client(1), "a"));
        assert!(!subscriptions.open(client(1), "a"), "again, on its next transport");
        assert!(!subscriptions.open(client(2), "a") && subscriptions.open(client(2), "b"));
        assert_eq!(subscriptions.of("a").collect::<Vec<_>>(), [client(1), client(2)]);
        assert_eq!(subscriptions.of("c").count(), 0);
        assert!(!subscriptions.close(client(1), "a") && !subscriptions.close(client(1), "a"));
        assert!(!subscriptions.close(client(3), "c"));
        let left = subscriptions.remove(client(2));
        assert_eq!(left.iter().map(|l| &**l).collect::<Vec<_>>(), ["a", "b"]);
        assert!(subscriptions.by_label.is_empty() && subscriptions.labels.is_empty());
    }

    #[test]
    fn one_of_many_is_found_among_few() {
        let mut subscriptions = Subscriptions::default();
        for number in 0..10_000 {
            subscriptions.open(client(number), &format!("channel-{}", number % 5_000));
        }
        assert_eq!(subscriptions.of("channel-7").collect::<Vec<_>>(), [client(7), client(5_007)]);
        for number in 0..5_000 {
            assert!(subscriptions.remove(client(number)).is_empty());
        }
        assert!((5_000..10_000).all(|number| subscriptions.remove(client(number)).len() == 1));
    }
}
