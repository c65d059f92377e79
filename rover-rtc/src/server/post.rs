//! What is on its way to named peers, and who waits for it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::bucket::Bucket;
use super::names::OwnerId;
use super::sessions::unknown_session;
use crate::model::client::ClientId;
use crate::signal::Exchange;
use crate::signal::post::FromHub;

/// Who is told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// A named peer, by whatever way there is.
    Owner(OwnerId),
    /// A client that has no name, by its link.
    Client(ClientId),
}

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Post {
    pub(super) queue: VecDeque<(To, FromHub)>,
    /// Calls over HTTP that wait for something to come.
    pub(super) polls: HashMap<ClientId, (Instant, Exchange)>,
    /// Owners for whom something may wait.
    pub(super) touched: BTreeSet<OwnerId>,
    /// Calls that one owner began to another of late.
    offers: HashMap<(OwnerId, OwnerId), Offers>,
    /// Letters passed on.
    pub(super) letters: u64,
    /// Texts for which no way was found.
    pub(super) dropped: u64,
    /// Texts that make no sense.
    pub(super) malformed: u64,
}

#[derive(Debug)]
struct Offers {
    bucket: Bucket,
    /// The same call may be offered again: the answer may have been lost.
    calls: VecDeque<String>,
}

impl Post {
    /// Tells somebody something, soon.
    pub(super) fn send(&mut self, to: To, text: FromHub) {
        self.queue.push_back((to, text));
    }

    /// Whether a call of this client waits.
    pub(super) fn has_poll(&self, client: ClientId) -> bool {
        self.polls.get(&client).is_some_and(|(_, exchange)| !exchange.is_abandoned())
    }

    /// A client is gone.
    pub(super) fn remove(&mut self, client: ClientId) {
        if let Some((_, exchange)) = self.polls.remove(&client) {
            exchange.respond(unknown_session());
        }
    }

    /// An owner is gone.
    pub(super) fn forget(&mut self, owner: OwnerId) {
        self.touched.remove(&owner);
        self.offers.retain(|(from, to), _| *from != owner && *to != owner);
    }

    /// Forgets calls of so long ago that they do not count any more.
    pub(super) fn tidy(&mut self, now: Instant) {
        self.offers.retain(|_, offers| !offers.bucket.is_full(now));
    }

    /// Nothing more will come.
    pub(super) fn close(&mut self) {
        self.polls.clear();
    }

    /// Counts a call that begins; or says how long it has to wait.
    pub(super) fn count_offer(
        &mut self,
        now: Instant,
        pair: (OwnerId, OwnerId),
        call: &str,
        per_minute: u32,
    ) -> Result<(), Duration> {
        let new = || Offers { bucket: Bucket::per_minute(now, per_minute), calls: VecDeque::new() };
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
    pub(super) fn take_poll(&mut self, client: ClientId) -> Option<Exchange> {
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
        let mut post = Post::default();
        let (one, two) = (OwnerId(1), OwnerId(2));
        let mut offer = |at, pair, call: &str| post.count_offer(at, pair, call, 5);
        for call in ["a", "b", "a", "c", "d", "e", "a", "e"] {
            assert_eq!(offer(now, (one, two), call), Ok(()), "{call}");
        }
        let wait = offer(now, (one, two), "f").unwrap_err();
        assert_eq!(wait, Duration::from_secs(12));
        assert_eq!(offer(now, (two, one), "f"), Ok(()), "each way by itself");
        assert_eq!(offer(now, (one, two), "b"), Ok(()), "still known");
        assert_eq!(offer(now + wait, (one, two), "f"), Ok(()));
        post.tidy(now + wait);
        assert_eq!(post.offers.len(), 1, "the one that counts");
        post.forget(two);
        assert!(post.offers.is_empty());
    }
}
