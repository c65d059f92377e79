//! The peer's recovery escalation as data: what to do next, and when.
//!
//! The path layer has switched paths long before any of this acts. If no path lives for 2 s, ICE
//! is restarted through the signaling route with freshly scanned interfaces; if that does not
//! help, or the transport is over, a new transport is dialed beside it, again and again with a
//! jittered, growing pause. A path that comes back by itself ends all of it.

use std::time::{Duration, Instant};

/// The escalation's numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoveryConfig {
    /// Without a living path for this long, ICE is restarted. Default 2 s.
    pub restart_after: Duration,
    /// How long a restart may take to help. Default 3 s.
    pub restart_patience: Duration,
    /// Restarts in one outage before a new transport is dialed. Default 3, the seed's.
    pub max_restarts: u32,
    /// How long a new transport may take to connect. Default 10 s.
    pub dial_timeout: Duration,
    /// Pause before the first new dial. Default 0.5 s.
    pub min_pause: Duration,
    /// Longest pause. Default 30 s.
    pub max_pause: Duration,
    /// After this long without a path a link with another peer is given up, and its queued
    /// messages with it. Default 24 h. The link with the hub never is.
    pub resume_window: Duration,
}

impl Default for RecoveryConfig {
    fn default() -> Self {
        Self {
            restart_after: Duration::from_secs(2),
            restart_patience: Duration::from_secs(3),
            max_restarts: 3,
            dial_timeout: Duration::from_secs(10),
            min_pause: Duration::from_millis(500),
            max_pause: Duration::from_secs(30),
            resume_window: Duration::from_secs(24 * 3600),
        }
    }
}

/// What the driver is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Restart ICE of the transport in use: scan the interfaces, send the offer.
    Restart,
    /// Dial a new transport. One that is being dialed already is given up.
    Dial,
}

/// How far a link's escalation has come.
#[derive(Debug)]
pub struct Escalation {
    config: RecoveryConfig,
    random: u64,
    state: State,
    restarts: u32,
    dials: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Paths live.
    Healthy,
    /// No path lives; a restart is due.
    RestartAt(Instant),
    /// A dial is due.
    DialAt(Instant),
    /// A dial is under way, until then.
    Dialing(Instant),
}

impl Escalation {
    /// A escalation that dials at once. `seed` is a random number, for the jitter.
    #[must_use]
    pub fn new(now: Instant, config: RecoveryConfig, seed: u64) -> Self {
        Self { config, random: seed | 1, state: State::DialAt(now), restarts: 0, dials: 0 }
    }

    /// The transport is up, or a path lives again.
    pub fn healthy(&mut self) {
        self.state = State::Healthy;
        self.restarts = 0;
        self.dials = 0;
    }

    /// No path lives since then.
    pub fn paths_died(&mut self, since: Instant) {
        if self.state == State::Healthy {
            self.state = State::RestartAt(since + self.config.restart_after);
        }
    }

    /// The transport is over, or the hub does not know its session: only a new one helps. `at_once`
    /// if the hub is known to be there.
    pub fn transport_lost(&mut self, now: Instant, at_once: bool) {
        if !matches!(self.state, State::Dialing(_) | State::DialAt(_)) {
            self.state = if at_once { State::DialAt(now) } else { self.pause(now) };
        }
    }

    /// A path lives, but the transport gets nowhere: a new one is dialed beside it.
    pub fn transport_stuck(&mut self, now: Instant) {
        if self.state == State::Healthy {
            self.state = State::DialAt(now);
        }
    }

    /// The other side has called: its call has time to come up before this side dials.
    pub fn called(&mut self, now: Instant) {
        if self.state != State::Healthy {
            self.state = State::Dialing(now + self.config.dial_timeout);
        }
    }

    /// The dial under way has failed.
    pub fn dial_failed(&mut self, now: Instant) {
        if matches!(self.state, State::Dialing(_)) {
            self.state = self.pause(now);
        }
    }

    /// The network has changed: what failed before may work now.
    pub fn network_changed(&mut self, now: Instant) {
        match self.state {
            // A path that comes back by itself does so within some round trips.
            State::RestartAt(t) => self.state = State::RestartAt(t.min(now + HEAD_START)),
            State::DialAt(_) => self.state = State::DialAt(now),
            State::Healthy | State::Dialing(_) => {}
        }
    }

    /// The dial under way is no use any more: another one begins.
    pub fn redial(&mut self, now: Instant) {
        if matches!(self.state, State::Dialing(_)) {
            self.state = State::DialAt(now);
        }
    }

    /// What is to be done now.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        if self.deadline()? > now {
            return None;
        }
        match self.state {
            State::Healthy => None,
            State::RestartAt(_) if self.restarts < self.config.max_restarts => {
                self.restarts += 1;
                self.state = State::RestartAt(now + self.config.restart_patience);
                Some(Action::Restart)
            }
            State::RestartAt(_) | State::DialAt(_) => {
                self.state = State::Dialing(now + self.config.dial_timeout);
                self.dials += 1;
                Some(Action::Dial)
            }
            State::Dialing(_) => {
                self.state = self.pause(now);
                self.poll(now)
            }
        }
    }

    /// When [`Escalation::poll`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Healthy => None,
            State::RestartAt(t) | State::DialAt(t) | State::Dialing(t) => Some(t),
        }
    }

    /// Dials since the last health.
    #[must_use]
    pub fn dials(&self) -> u32 {
        self.dials
    }

    fn pause(&mut self, now: Instant) -> State {
        let growth = PAUSE_GROWTH.powi(self.dials.saturating_sub(1).min(16) as i32);
        let pause = self.config.min_pause.mul_f64(growth).min(self.config.max_pause);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let chance = (self.random >> 11) as f64 / (1u64 << 53) as f64;
        State::DialAt(now + pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance))
    }
}

/// Pauses of 0.5, 1.5 and 4.5 s: at most three dials in 10 s, or a thousand peers that come back
/// at once would keep a hub from standing up.
const PAUSE_GROWTH: f64 = 3.0;

/// Of paths, when the network has changed.
const HEAD_START: Duration = Duration::from_millis(300);

/// Part of a pause by which it varies up and down.
const JITTER: f64 = 0.3;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn escalation() -> (Instant, Escalation) {
        let now = crate::util::clock::now();
        (now, Escalation::new(now, RecoveryConfig::default(), 42))
    }

    #[test]
    fn restarts_then_dials() {
        let (t, mut escalation) = escalation();
        escalation.healthy();
        escalation.paths_died(t);
        assert_eq!(escalation.poll(t + 1999 * MS), None);
        for n in 0..3 {
            assert_eq!(escalation.poll(t + (2000 + n * 3000) * MS), Some(Action::Restart));
        }
        assert_eq!(escalation.poll(t + 11_000 * MS), Some(Action::Dial));
        escalation.healthy();
        assert_eq!(escalation.deadline(), None);
    }

    #[test]
    fn few_dials_in_ten_seconds() {
        let (start, mut escalation) = escalation();
        let mut dials = Vec::new();
        let mut now = start;
        while now < start + Duration::from_secs(300) {
            now = escalation.deadline().unwrap();
            if escalation.poll(now) == Some(Action::Dial) {
                dials.push(now);
                escalation.dial_failed(now);
            }
        }
        let in_ten =
            |t: &Instant| dials.iter().filter(|d| **d >= *t && **d - *t < 10_000 * MS).count();
        assert!(dials.iter().skip(1).map(in_ten).max().unwrap() <= 3, "{dials:?}");
        assert!(dials.windows(2).all(|w| w[1] - w[0] <= Duration::from_secs(39)));
    }

    #[test]
    fn a_hub_that_is_there_is_dialed_at_once() {
        let (t, mut escalation) = escalation();
        escalation.healthy();
        escalation.transport_lost(t, true);
        assert_eq!(escalation.poll(t), Some(Action::Dial));
        // It hangs: after the time-out there is a pause, then the next.
        let timeout = escalation.deadline().unwrap();
        assert_eq!(escalation.poll(timeout), None);
        assert!(escalation.deadline().unwrap() > timeout);
    }
}
