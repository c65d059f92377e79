//! How a connection fares, and the rule by which the hub helps it.

use std::time::{Duration, Instant};

/// The record that the hub keeps of each client.
///
/// Activity is what only the client can have sent: an authenticated STUN message, or a record from
/// which a message came or a channel opened; never a mere poll, nor a record or a relayed datagram
/// as such, which anybody can make up. A failure is a missed probe, a send error or a refused
/// packet.
#[derive(Debug, Clone)]
pub struct ConnectionHealth {
    last_activity: Instant,
    consecutive_failures: u32,
    restart_attempts: u32,
    /// Since when it has been healthy without a break; attempts count per outage.
    healthy_since: Option<Instant>,
}

/// The rule's numbers; the defaults are the seed's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthConfig {
    /// How often the hub looks at all clients. Default 5 s.
    pub check_interval: Duration,
    /// Recovery needs more than this without activity. Default 10 s.
    pub inactivity: Duration,
    /// Recovery needs more than this many consecutive failures. Default 3.
    pub failures: u32,
    /// Recovery is tried at most this often in one outage. Default 3.
    pub max_attempts: u32,
    /// After this long in health, attempts count from zero again. Default 30 s.
    pub reset_after: Duration,
    /// A client that has been silent for this long is gone, with its record. Default 300 s: longer
    /// than the outages that a transport survives by itself.
    pub gone_after: Duration,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            check_interval: Duration::from_secs(5),
            inactivity: Duration::from_secs(10),
            failures: 3,
            max_attempts: 3,
            reset_after: Duration::from_secs(30),
            gone_after: Duration::from_secs(300),
        }
    }
}

/// What a check of the record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to do.
    Fine,
    /// All conditions for a recovery hold.
    Recover,
    /// It is gone for good.
    Gone,
}

impl ConnectionHealth {
    /// A record that begins with activity now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            last_activity: now,
            consecutive_failures: 0,
            restart_attempts: 0,
            healthy_since: Some(now),
        }
    }

    /// Something of the client came in and was genuine.
    pub fn mark_activity(&mut self, now: Instant) {
        self.last_activity = self.last_activity.max(now);
        self.consecutive_failures = 0;
        self.healthy_since.get_or_insert(now);
    }

    /// `count` things failed.
    pub fn mark_failures(&mut self, count: u32) {
        self.consecutive_failures = self.consecutive_failures.saturating_add(count);
    }

    /// A recovery was begun: counts the attempt and resets the failures.
    pub fn mark_attempt(&mut self) {
        self.restart_attempts += 1;
        self.consecutive_failures = 0;
        self.healthy_since = None;
    }

    /// Applies the rule.
    pub fn check(&mut self, now: Instant, config: &HealthConfig) -> Verdict {
        let silent = now.saturating_duration_since(self.last_activity);
        if silent > config.inactivity {
            self.healthy_since = None;
        }
        let healthy = self.healthy_since.map(|since| now.saturating_duration_since(since));
        if healthy.is_some_and(|time| time >= config.reset_after) {
            self.restart_attempts = 0;
        }
        if silent > config.gone_after {
            Verdict::Gone
        } else if silent > config.inactivity
            && self.consecutive_failures > config.failures
            && self.restart_attempts < config.max_attempts
        {
            Verdict::Recover
        } else {
            Verdict::Fine
        }
    }

    /// When something genuine last came in.
    #[must_use]
    pub fn last_activity(&self) -> Instant {
        self.last_activity
    }

    /// Failures since then.
    #[must_use]
    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures
    }

    /// Recoveries tried in this outage.
    #[must_use]
    pub fn restart_attempts(&self) -> u32 {
        self.restart_attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> (Instant, HealthConfig) {
        (crate::util::clock::now(), HealthConfig::default())
    }

    #[test]
    fn all_conditions_must_hold() {
        let (t, config) = start();
        let check = |failures, silent: u32, attempts| {
            let mut health = ConnectionHealth::new(t);
            (0..attempts).for_each(|_| health.mark_attempt());
            health.mark_failures(failures);
            health.check(t + silent * SECOND, &config)
        };
        assert_eq!(check(4, 11, 0), Verdict::Recover);
        assert_eq!(check(4, 11, 2), Verdict::Recover);
        assert_eq!(check(3, 11, 0), Verdict::Fine);
        assert_eq!(check(4, 10, 0), Verdict::Fine);
        assert_eq!(check(4, 11, 3), Verdict::Fine);
        assert_eq!(check(0, 301, 3), Verdict::Gone);
    }

    #[test]
    fn activity_ends_failures_and_health_ends_the_outage() {
        let (t, config) = start();
        let mut health = ConnectionHealth::new(t);
        for _ in 0..3 {
            health.mark_failures(9);
            health.mark_attempt();
        }
        health.mark_activity(t + SECOND);
        assert_eq!(health.consecutive_failures(), 0);
        health.mark_activity(t + 20 * SECOND);
        health.check(t + 25 * SECOND, &config);
        assert_eq!(health.restart_attempts(), 3);
        health.mark_activity(t + 30 * SECOND);
        health.check(t + 31 * SECOND, &config);
        assert_eq!(health.restart_attempts(), 0);
    }
}
