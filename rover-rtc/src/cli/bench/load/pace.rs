//! Which client sends when: all of them in turn, evenly spread over time.

use std::time::Duration;

/// The times of all messages, as they are due since the beginning. Message `j` of client `i` of `N`
/// is the tick `j * N + i` of one clock that ticks `N` times as fast as each client sends; so
/// whoever walks the ticks needs no queue of timers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    clients: u64,
    /// Nanoseconds.
    tick: f64,
    /// The first tick that counts, and the one after the last.
    counted: (u64, u64),
}

impl Pace {
    pub(super) fn new(clients: usize, rate: f64, warm_up: Duration, window: Duration) -> Self {
        let clients = clients.max(1) as u64;
        let tick = 1e9 / (rate * clients as f64);
        let first_after = |time: Duration| (time.as_nanos() as f64 / tick).ceil() as u64;
        Self { clients, tick, counted: (first_after(warm_up), first_after(warm_up + window)) }
    }

    /// Nanoseconds after the beginning at which a client's message is due.
    pub(super) fn due(&self, client: usize, number: u64) -> u64 {
        (self.tick(client, number) as f64 * self.tick) as u64
    }

    /// Messages of a client, those of the warm-up with them.
    pub(super) fn total(&self, client: usize) -> u64 {
        self.counted.1.saturating_sub(client as u64).div_ceil(self.clients)
    }

    /// Whether a message counts, being not one of the warm-up.
    pub(super) fn counts(&self, client: usize, number: u64) -> bool {
        (self.counted.0..self.counted.1).contains(&self.tick(client, number))
    }

    /// Messages of all clients that count.
    pub(super) fn counted(&self) -> u64 {
        self.counted.1 - self.counted.0
    }

    fn tick(&self, client: usize, number: u64) -> u64 {
        number * self.clients + client as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_are_spread_and_counted() {
        let seconds = Duration::from_secs;
        for (clients, rate) in [(1, 1.0), (4, 10.0), (30, 0.7), (10, 333.0)] {
            let pace = Pace::new(clients, rate, seconds(1), seconds(10));
            let all = (0..clients).flat_map(|c| (0..pace.total(c)).map(move |n| (c, n)));
            let mut due: Vec<_> = all.clone().map(|(c, n)| pace.due(c, n)).collect();
            due.sort_unstable();
            let gap = 1e9 / (rate * clients as f64);
            assert!(due.windows(2).all(|d| ((d[1] - d[0]) as f64 - gap).abs() <= 1.0));
            assert_eq!(due.len() as f64, (11.0 * rate * clients as f64).ceil());
            assert!(due.last() < Some(&11_000_000_000));
            let counted: Vec<_> = all.filter(|(c, n)| pace.counts(*c, *n)).collect();
            assert_eq!(counted.len() as u64, pace.counted());
            assert!(counted.iter().all(|(c, n)| pace.due(*c, *n) >= 999_999_999));
        }
    }
}
