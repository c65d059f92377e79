//! What is on its way to named peers, and who waits for it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::http::server::Exchange;
use crate::model::client::ClientId;
use crate::server::hub::sessions::unknown_session;
use crate::server::registry::OwnerId;
use crate::signal::hub_messages::FromHub;
use crate::util::token_bucket::TokenBucket;

/// Who is told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Recipient {
    /// A named peer, by whatever way there is.
    Owner(OwnerId),
    /// A client that has no name, by its link.
    Client(ClientId),
}

/// What is on its way.
#[derive(Debug, Default)]
pub(in crate::server) struct SignalQueue {
    pub(in crate::server) queue: VecDeque<(Recipient, FromHub)>,
    /// Calls over HTTP that wait for something to come.
    pub(in crate::server) polls: HashMap<ClientId, (Instant, Exchange)>,
    /// Owners for whom something may wait.
    pub(in crate::server) touched: BTreeSet<OwnerId>,
    /// Calls that one owner began to another of late.
    offers: HashMap<(OwnerId, OwnerId), Offers>,
    /// Signal messages passed on.
    pub(in crate::server) signals: u64,
    /// Texts for which no way was found.
    pub(in crate::server) dropped: u64,
    /// Texts that make no sense.
    pub(in crate::server) malformed: u64,
}

#[derive(Debug)]
struct Offers {
    bucket: TokenBucket,
    /// The same call may be offered again: the answer may have been lost.
    calls: VecDeque<String>,
}

impl SignalQueue {
    /// Tells somebody something, soon.
    pub(in crate::server) fn send(&mut self, to: Recipient, text: FromHub) {
        self.queue.push_back((to, text));
    }

    /// Whether a call of this client waits.
    pub(in crate::server) fn has_poll(&self, client: ClientId) -> bool {
        self.polls.get(&client).is_some_and(|(_, exchange)| !exchange.is_abandoned())
    }

    /// A client is gone.
    pub(in crate::server) fn remove(&mut self, client: ClientId) {
        if let Some((_, exchange)) = self.polls.remove(&client) {
            exchange.respond(unknown_session());
        }
    }

    /// An owner is gone.
    pub(in crate::server) fn forget(&mut self, owner: OwnerId) {
        self.touched.remove(&owner);
        self.offers.retain(|(from, to), _| *from != owner && *to != owner);
    }

    /// Forgets calls of so long ago that they do not count any more.
    pub(in crate::server) fn tidy(&mut self, now: Instant) {
        self.offers.retain(|_, offers| !offers.bucket.is_full(now));
    }

    /// Nothing more will come.
    pub(in crate::server) fn close(&mut self) {
        self.polls.clear();
    }

    /// Counts a call that begins; or says how long it has to wait.
    pub(in crate::server) fn count_offer(
        &mut self,
        now: Instant,
        pair: (OwnerId, OwnerId),
        call: &str,
        per_minute: u32,
    ) -> Result<(), Duration> {
        let new =
            || Offers { bucket: TokenBucket::per_minute(now, per_minute), calls: VecDeque::new() };
        let offers = self.offers.entry(pair).or_insert_with(new);
        if offers.calls.iter().any(|known| known == call) {
            return Ok(());
        }
        offers.bucket.take(now, 1.0)?;
        offers.calls.push_back(call.to_owned());
        let surplus = offers.calls.len().saturating_sub(MAX_CALLS);
        offers.calls.drain(..surplus);
        Ok(())
    }

    /// The waiting call of a client, if its caller still waits.
    pub(in crate::server) fn take_poll(&mut self, client: ClientId) -> Option<Exchange> {
        if !self.has_poll(client) {
            return None;
        }
        self.polls.remove(&client).map(|(_, exchange)| exchange)
    }
}

/// Calls of a pair that are remembered, so that they are not counted again.
const MAX_CALLS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_calls_are_limited_and_old_ones_are_not() {
        let now = crate::util::clock::now();
        let mut signal_queue = SignalQueue::default();
        let (one, two) = (OwnerId(1), OwnerId(2));
        let mut offer = |at, pair, call: &str| signal_queue.count_offer(at, pair, call, 5);
        for call in ["a", "b", "a", "c", "d", "e", "a", "e"] {
            assert_eq!(offer(now, (one, two), call), Ok(()), "{call}");
        }
        let wait = offer(now, (one, two), "f").unwrap_err();
        assert_eq!(wait, Duration::from_secs(12));
        assert_eq!(offer(now, (two, one), "f"), Ok(()), "each way by itself");
        assert_eq!(offer(now, (one, two), "b"), Ok(()), "still known");
        assert_eq!(offer(now + wait, (one, two), "f"), Ok(()));
        signal_queue.tidy(now + wait);
        assert_eq!(signal_queue.offers.len(), 1, "the one that counts");
        signal_queue.forget(two);
        assert!(signal_queue.offers.is_empty());
    }
}
