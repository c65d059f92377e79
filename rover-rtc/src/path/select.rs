//! Which path carries the records.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::one::{Path, PathId};
use super::{PathEvent, PathSet};

/// Why another path carries the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum SwitchCause {
    /// The first one of the transport.
    First,
    /// The one before is dead or gone.
    Died,
    /// None lived, and this one came back.
    CameBack,
    /// It is clearly faster than the one before, which works.
    Faster,
    /// It needs no relay, and the one before does.
    Direct,
}

/// What selection remembers.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) selected: Option<PathId>,
    pub(super) dead_since: Option<Instant>,
    /// A better path, since when it is one, and when to look again.
    wish: Option<(PathId, Instant, Instant)>,
    /// When the last records went out, oldest first.
    records: VecDeque<Instant>,
}

impl Selection {
    /// Notes a record, for the replay window's sake.
    pub(super) fn note_record(&mut self, now: Instant) {
        if self.records.len() >= REPLAY_ROOM {
            self.records.pop_front();
        }
        self.records.push_back(now);
    }

    /// Whether records follow each other closely.
    pub(super) fn is_dense(&self, now: Instant) -> bool {
        let since = |t: &Instant| now.saturating_duration_since(*t);
        self.records.len() >= REPLAY_ROOM && self.records.front().is_some_and(|t| since(t) < DENSE)
    }

    /// Whether records sent from now on, `lead` earlier at the other side than those in flight,
    /// leave these inside DTLS's replay window of 64 records (RFC 6347 section 4.1.2.6).
    fn is_quiet(&self, now: Instant, lead: Duration) -> bool {
        self.records.len() < REPLAY_ROOM
            || self.records.front().is_some_and(|t| now.saturating_duration_since(*t) > lead)
    }

    pub(super) fn wish_due(&self) -> Option<Instant> {
        self.wish.map(|(.., due)| due)
    }
}

impl PathSet {
    /// Looks at all paths anew, and switches if need be.
    pub(super) fn evaluate(&mut self, now: Instant) {
        if !self.connected {
            return;
        }
        let current = self.carrying_index();
        let best = self.best(None);
        let Some(best) = best else {
            if self.selection.dead_since.is_none() && current.is_none_or(|i| !self.unproven(i)) {
                self.selection.dead_since = Some(now);
                self.selection.wish = None;
                self.events.push_back(PathEvent::AllDead);
            }
            return;
        };
        if let Some(since) = self.selection.dead_since.take() {
            let outage = now.saturating_duration_since(since);
            self.events.push_back(PathEvent::Revived { outage });
            if current != Some(best) {
                self.select(now, self.paths[best].id, SwitchCause::CameBack);
            }
            return;
        }
        match current {
            Some(i) if self.paths[i].is_alive() => self.consider_better(now, i, best),
            // The pair that ICE connected by has a moment to answer its first probe.
            Some(i) if self.unproven(i) && self.paths[i].missed == 0 => {}
            _ => self.select(now, self.paths[best].id, SwitchCause::Died),
        }
    }

    /// The index of the best living path beside `current`: one that shares neither its socket nor
    /// its remote address if there is one, for either network may be the one that dies.
    pub(super) fn second_best(&self, current: usize) -> Option<usize> {
        let one = &self.paths[current];
        let others = (0..self.paths.len()).filter(|i| *i != current && self.paths[*i].is_alive());
        others.min_by_key(|i| {
            let path = &self.paths[*i];
            let shared = u8::from(path.local == one.local) + u8::from(path.remote == one.remote);
            (path.missed > 0, path.is_relayed(), shared, score(path))
        })
    }

    pub(super) fn select(&mut self, now: Instant, to: PathId, cause: SwitchCause) {
        let from = self.selection.selected.replace(to);
        self.selection.wish = None;
        if from == Some(to) {
            return;
        }
        self.stats.switches += u64::from(from.is_some());
        self.events.push_back(PathEvent::Switched { from, to, cause });
        // What is in doubt now is this one.
        self.probe_selected_soon(now);
    }

    fn best(&self, except: Option<usize>) -> Option<usize> {
        let alive = (0..self.paths.len()).filter(|i| self.paths[*i].is_alive());
        // A path that misses its probes is the last choice even before it counts as dead.
        alive.filter(|i| Some(*i) != except).min_by_key(|i| {
            let path = &self.paths[*i];
            (path.missed, path.is_relayed(), score(path))
        })
    }

    fn unproven(&self, index: usize) -> bool {
        let path = &self.paths[index];
        path.last_answer.is_none() && path.missed < UNPROVEN_MISSES
    }

    /// A working path is left for one that is better, which means direct or clearly faster, only
    /// after a while, and only when the records in flight on it cannot fall out of DTLS's replay
    /// window.
    fn consider_better(&mut self, now: Instant, current: usize, best: usize) {
        let (one, other) = (&self.paths[current], &self.paths[best]);
        let (old, new) = (score(one), score(other));
        let cause = match (one.is_relayed(), other.is_relayed()) {
            (true, false) => Some(SwitchCause::Direct),
            (false, true) => None,
            _ if new + MIN_GAIN < old && new.mul_f64(GAIN) < old => Some(SwitchCause::Faster),
            _ => None,
        };
        let Some(cause) = cause.filter(|_| best != current && !other.is_suspect()) else {
            self.selection.wish = None;
            return;
        };
        let id = other.id;
        let since = match self.selection.wish {
            Some((wished, since, _)) if wished == id => since,
            _ => now,
        };
        let wait = if cause == SwitchCause::Direct { DIRECT_TIME } else { WISH_TIME };
        let waited = now.saturating_duration_since(since);
        let quiet = self.selection.is_quiet(now, old.saturating_sub(new));
        if waited >= wait && (quiet || waited >= WISH_PATIENCE) {
            self.select(now, id, cause);
        } else {
            let due = if waited < wait { since + wait } else { since + WISH_PATIENCE };
            self.selection.wish = Some((id, since, due));
        }
    }
}

/// Lower is better.
fn score(path: &Path) -> Duration {
    path.rtt.smoothed().unwrap_or(Duration::MAX / 4)
}

/// Room kept in the replay window of 64 for what the new path overtakes.
const REPLAY_ROOM: usize = 48;

/// So many in this time, one each 2 ms: a loss shows within some of them.
const DENSE: Duration = Duration::from_millis(100);

/// Misses after which the pair that ICE connected by counts as dead although it never answered.
const UNPROVEN_MISSES: u32 = 3;

/// A faster path must be so by these, for this long; a busy link goes over after the last.
const MIN_GAIN: Duration = Duration::from_millis(5);
const GAIN: f64 = 1.4;
const WISH_TIME: Duration = Duration::from_secs(2);
const WISH_PATIENCE: Duration = Duration::from_secs(10);

/// A path without a relay must have worked for this long, in which it is probed as often as the
/// selected one.
const DIRECT_TIME: Duration = Duration::from_millis(300);
