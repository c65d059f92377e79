//! The status on its way to all clients: to a few at a time, so that nobody else's message waits
//! until a thousand have been told.

use std::time::{Duration, Instant};

use crate::link::{Message, STATUS};
use crate::model::client::ClientId;
use crate::server::hub::Hub;

/// Who is still to be told.
#[derive(Debug, Default)]
pub(in crate::server) struct StatusBroadcast {
    message: Message,
    /// Those who are left, the next one last.
    left: Vec<ClientId>,
    /// How many there were, when it began, and how long it may take.
    all: usize,
    begun: Option<Instant>,
    span: Duration,
    next: Option<Instant>,
}

impl StatusBroadcast {
    /// Begins with a new status. Who was to be told the one before is among these, too.
    fn begin(&mut self, now: Instant, message: Message, clients: Vec<ClientId>, every: Duration) {
        (self.all, self.left, self.message) = (clients.len(), clients, message);
        // In time for the next one, even if the shard is late.
        (self.begun, self.span, self.next) = (Some(now), every * 9 / 10, Some(now));
    }

    /// When [`StatusBroadcast::pop`] has somebody.
    pub(in crate::server) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Those whose turn it is now.
    fn pop(&mut self, now: Instant) -> Vec<ClientId> {
        let Some(begun) = self.begun.filter(|_| self.next.is_some_and(|at| at <= now)) else {
            return Vec::new();
        };
        // Up to the end of this slice, whatever was missed before.
        let elapsed = now.saturating_duration_since(begun) + SLICE;
        let share = elapsed.as_secs_f64() / self.span.as_secs_f64().max(f64::MIN_POSITIVE);
        let told = (self.all as f64 * share.min(1.0)).ceil() as usize;
        let told = if self.all <= AT_ONCE { self.all } else { told };
        let turn = self.left.split_off(self.all.saturating_sub(told).min(self.left.len()));
        self.next = (!self.left.is_empty()).then_some(now + SLICE);
        turn
    }
}

impl Hub {
    /// Begins to tell all clients the status.
    pub(in crate::server) fn tell_status(&mut self, now: Instant, message: Message) {
        let mut clients: Vec<_> = self.clients.keys().copied().collect();
        // In the same order each time, so that each is told at even intervals.
        clients.sort_unstable_by(|a, b| b.cmp(a));
        self.status_broadcast.begin(now, message, clients, self.config.status_interval);
        self.tell_more(now);
    }

    /// Tells those whose turn it is, on a channel of its own if they have it.
    pub(in crate::server) fn tell_more(&mut self, now: Instant) {
        for id in self.status_broadcast.pop(now) {
            let message = self.status_broadcast.message.clone();
            self.with_client(now, id, |client, _| {
                let label = if client.has_channel(STATUS) { STATUS } else { COMMON };
                if let Err(error) = client.send_message(now, label, message) {
                    tracing::debug!(%id, %error, "status not sent");
                }
            });
        }
    }
}

/// The channel on which the status goes out to browsers and other stacks.
const COMMON: &str = "test";

/// So many are told without a pause: that takes less than a millisecond.
const AT_ONCE: usize = 16;

/// Time from one slice to the next.
const SLICE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(count: u64) -> Vec<ClientId> {
        (0..count).map(ClientId::of_number).collect()
    }

    /// How many are told at which time.
    fn tell(count: u64, every: Duration, late: Duration) -> Vec<(Duration, usize)> {
        let (mut status_broadcast, start) = (StatusBroadcast::default(), crate::util::clock::now());
        status_broadcast.begin(start, Message::default(), clients(count), every);
        let mut all = Vec::new();
        let mut told = Vec::new();
        while let Some(at) = status_broadcast.next() {
            assert!(status_broadcast.pop(at - Duration::from_nanos(1)).is_empty());
            let turn = status_broadcast.pop(at + late);
            told.push((at + late - start, turn.len()));
            all.extend(turn);
        }
        all.sort_unstable();
        assert_eq!(all, clients(count), "each once");
        told
    }

    #[test]
    fn a_few_are_told_at_once() {
        let every = Duration::from_secs(5);
        assert_eq!(tell(16, every, Duration::ZERO), [(Duration::ZERO, 16)]);
        assert_eq!(tell(0, every, Duration::ZERO), [(Duration::ZERO, 0)]);
    }

    #[test]
    fn many_are_told_in_even_slices_and_in_time() {
        let every = Duration::from_secs(5);
        let told = tell(1000, every, Duration::ZERO);
        assert!(told.len() > 80 && told.iter().all(|(_, n)| (1..=12).contains(n)), "{told:?}");
        for late in [0, 1, 30, 400] {
            let told = tell(1000, every, Duration::from_millis(late));
            assert!(told.last().unwrap().0 < every, "{late}: {told:?}");
        }
        // No longer than the interval, however short.
        for ms in [0, 1, 40, 100] {
            let told = tell(1000, Duration::from_millis(ms), Duration::ZERO);
            assert!(told.last().unwrap().0 <= Duration::from_millis(ms), "{ms}: {told:?}");
        }
    }
}
