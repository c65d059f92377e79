//! One path: a pair of a local socket and a remote address, and what its probes tell.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::ice::TransId;

use super::estimate::{Loss, MAX_MISSES, Rtt};
use super::kind::Via;
use crate::util::spare::spare;

/// Names a path within its transport; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathId(pub(super) u32);

/// Whether a path carries datagrams to the other side and answers back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum PathState {
    /// No probe has been answered yet.
    Unproven,
    /// Probes are answered.
    Alive,
    /// Probes were answered, and are no more.
    Dead,
}

/// A path and its measurements.
#[derive(Debug)]
pub struct Path {
    pub(super) id: PathId,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// What its ends are; the further one counts.
    pub(super) via: Via,
    /// The address under which the other side sees this end, by the last answer.
    pub(super) mapped: Option<SocketAddr>,
    pub(super) state: PathState,
    pub(super) rtt: Rtt,
    pub(super) loss: Loss,
    /// Probes in a row that count as missed.
    pub(super) missed: u32,
    /// An authenticated request came in on it, or an answer: records from there are accepted.
    pub(super) validated: bool,
    pub(super) last_answer: Option<Instant>,
    pub(super) last_probe: Option<Instant>,
    /// When a request of the other side last came by it, verified.
    pub(super) heard: Option<Instant>,
    /// They came often, and do no more.
    pub(super) silent: bool,
    pub(super) probes: u32,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    in_flight: VecDeque<Probe>,
}

#[derive(Debug)]
struct Probe {
    id: TransId,
    sent: Instant,
    /// When it counts as missed.
    due: Instant,
    counted: bool,
    /// It has been given more time.
    forgiven: bool,
}

/// What an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// The path was alive before.
    StillAlive,
    /// The path is alive from now on.
    NowAlive,
}

impl Path {
    pub(super) fn new(id: PathId, local: SocketAddr, remote: SocketAddr, via: Via) -> Self {
        Self {
            id,
            local,
            remote,
            via,
            mapped: None,
            state: PathState::Unproven,
            heard: None,
            silent: false,
            rtt: Rtt::default(),
            loss: Loss::default(),
            missed: 0,
            validated: false,
            last_answer: None,
            last_probe: None,
            probes: 0,
            bytes_sent: 0,
            bytes_received: 0,
            in_flight: VecDeque::new(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> PathId {
        self.id
    }

    /// The local socket's address.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The other side's address.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Whether it lives.
    #[must_use]
    pub fn state(&self) -> PathState {
        self.state
    }

    /// The smoothed round-trip time, once an answer has come.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt.smoothed()
    }

    /// The least round-trip time of late, without the queues that we may have filled ourselves, and
    /// the last one.
    #[must_use]
    pub fn rtt_range(&self) -> Option<[Duration; 2]> {
        self.rtt.least().map(|least| [least, self.rtt.latest()])
    }

    /// The share of lost probes, 0 to 1, both directions together.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.loss.share()
    }

    /// Bytes of datagrams sent and received on it, probes included.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes_sent, self.bytes_received)
    }

    /// Whether somebody passes on every datagram.
    pub(crate) fn is_relayed(&self) -> bool {
        matches!(self.via, Via::Turn | Via::Hub)
    }

    pub(super) fn is_alive(&self) -> bool {
        self.state == PathState::Alive
    }

    /// Whether an answer is late, so that the path may be dying.
    pub(crate) fn is_suspect(&self) -> bool {
        self.missed > 0 || self.silent || self.state != PathState::Alive
    }

    /// Notes a probe sent.
    pub(super) fn probe_sent(&mut self, now: Instant, id: TransId) {
        let due = now + self.rtt.patience().max(MIN_PATIENCE);
        self.probes = self.probes.saturating_add(1);
        self.last_probe = Some(now);
        self.in_flight.push_back(Probe { id, sent: now, due, counted: false, forgiven: false });
        if self.in_flight.len() > MAX_IN_FLIGHT {
            self.in_flight.pop_front();
        }
    }

    /// Notes an answer to a probe of this path. Older probes without one are lost.
    pub(super) fn answered(&mut self, now: Instant, id: TransId) -> Answered {
        while let Some(probe) = self.in_flight.pop_front() {
            // Those that went unanswered because it was dead say nothing about its loss.
            if self.is_alive() || probe.id == id {
                self.loss.sample(now, probe.id != id);
            }
            if probe.id == id {
                self.rtt.sample(now.saturating_duration_since(probe.sent));
                break;
            }
        }
        (self.missed, self.silent) = (0, false);
        self.validated = true;
        self.last_answer = Some(now);
        let before = std::mem::replace(&mut self.state, PathState::Alive);
        if before == PathState::Alive { Answered::StillAlive } else { Answered::NowAlive }
    }

    /// Counts the probes whose time is over; true if the path died of them. One that `delivers` has
    /// more time: its answers wait in a queue, likely.
    pub(super) fn count_missed(&mut self, now: Instant, delivers: bool) -> bool {
        for probe in self.in_flight.iter_mut().filter(|p| !p.counted && p.due <= now) {
            probe.counted = true;
            self.missed += 1;
        }
        let allowed = if delivers { MAX_MISSES } else { self.loss.allowed_misses() };
        let dies = self.is_alive() && self.missed >= allowed;
        if dies {
            self.state = PathState::Dead;
        }
        dies
    }

    /// Gives the probes in flight more time: this process was late, not the network. Each once
    /// only, for a process that is always late must find out, too.
    pub(super) fn forgive(&mut self, now: Instant, lateness: Duration) {
        for probe in self.in_flight.iter_mut().filter(|p| !p.counted && !p.forgiven) {
            probe.due += lateness;
            probe.forgiven = true;
        }
        self.heard = self.heard.map(|at| now.min(at + lateness));
    }

    /// Gives back memory that is of no use while nothing happens.
    pub(super) fn rest(&mut self) {
        spare(&mut self.in_flight);
    }

    /// When the next probe counts as missed.
    pub(super) fn next_miss(&self) -> Option<Instant> {
        self.in_flight.iter().filter(|p| !p.counted).map(|p| p.due).min()
    }

    /// Whether a transaction is one of its probes.
    pub(super) fn owns(&self, id: TransId) -> bool {
        self.in_flight.iter().any(|p| p.id == id)
    }
}

/// Below this a late answer is more likely this machine's scheduling than the network.
const MIN_PATIENCE: Duration = Duration::from_millis(25);

/// Probes remembered: an answer that comes after so many later ones says nothing.
const MAX_IN_FLIGHT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn alive(now: Instant) -> Path {
        let mut path = Path::new(PathId(0), addr(1), addr(2), Via::Host);
        for i in 0..200 {
            let t = now + 50 * i * MS;
            let id = TransId::new();
            path.probe_sent(t, id);
            path.answered(t + MS, id);
        }
        path
    }

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn dies_of_three_misses() {
        let now = crate::util::clock::now();
        let mut path = alive(now);
        let cut = now + 10_000 * MS;
        for i in 0..3 {
            path.probe_sent(cut + 50 * i * MS, TransId::new());
        }
        assert!(!path.count_missed(cut + 124 * MS, false));
        assert!(path.is_suspect());
        assert!(path.count_missed(cut + 125 * MS, false));
        assert_eq!(path.state(), PathState::Dead);
        assert!(path.loss() < 0.001, "a death is not loss");
    }

    #[test]
    fn acknowledgements_give_it_more_time_but_no_eternal_life() {
        let now = crate::util::clock::now();
        let mut path = alive(now);
        let cut = now + 10_000 * MS;
        let mut died = None;
        for i in 0..20 {
            path.probe_sent(cut + 50 * i * MS, TransId::new());
            if path.count_missed(cut + (50 * i + 49) * MS, true) {
                died = died.or(Some(i + 1));
            }
        }
        assert_eq!(died, Some(MAX_MISSES));
    }

    #[test]
    fn a_death_is_not_loss_when_it_comes_back_either() {
        let now = crate::util::clock::now();
        let mut path = alive(now);
        let cut = now + 10_000 * MS;
        for i in 0..20 {
            path.probe_sent(cut + 50 * i * MS, TransId::new());
            path.count_missed(cut + 50 * i * MS, false);
        }
        let id = TransId::new();
        path.probe_sent(cut + 1000 * MS, id);
        assert_eq!(path.answered(cut + 1001 * MS, id), Answered::NowAlive);
        assert!(path.loss() < 0.001 && path.loss.allowed_misses() == 3);
    }

    #[test]
    fn a_late_answer_saves_it() {
        let now = crate::util::clock::now();
        let mut path = alive(now);
        let id = TransId::new();
        path.probe_sent(now, id);
        path.probe_sent(now + 50 * MS, TransId::new());
        path.count_missed(now + 90 * MS, false);
        assert_eq!(path.missed, 2);
        assert_eq!(path.answered(now + 95 * MS, id), Answered::StillAlive);
        assert!(!path.is_suspect());
    }

    #[test]
    fn own_lateness_is_forgiven() {
        let now = crate::util::clock::now();
        let mut path = alive(now);
        path.probe_sent(now, TransId::new());
        path.forgive(now + 25 * MS, 500 * MS);
        path.count_missed(now + 400 * MS, false);
        assert_eq!(path.missed, 0);
    }
}
