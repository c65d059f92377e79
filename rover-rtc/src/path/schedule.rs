//! When paths are probed, and the timers of the path layer.

use std::time::{Duration, Instant};

use super::one::{Path, PathState};
use super::{PathSet, Transmit, stun};

impl PathSet {
    /// Lets time pass: counts missed probes, sends due ones and due duplicates.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.connected {
            return;
        }
        // If this process was held up, answers may lie unread in the socket: the time lost is
        // ours, not the network's.
        if let Some(late) = self.deadline.take().map(|d| now.saturating_duration_since(d))
            && late > LATE
        {
            self.paths.iter_mut().for_each(|p| p.forgive(now, late + UNREAD));
        }
        let age = self.delivered.map(|at| now.saturating_duration_since(at));
        let delivers = age.is_some_and(|age| age < self.config.probe_interval);
        let selected = self.selection.selected.filter(|_| delivers);
        for path in &mut self.paths {
            let before = path.missed;
            let died = path.count_missed(now, selected == Some(path.id));
            self.stats.misses += u64::from(path.missed - before);
            if died {
                tracing::debug!(path = path.id.0, local = %path.local, remote = %path.remote,
                    loss = path.loss.share(), "path dead");
            }
        }
        self.evaluate(now);
        self.probe_due(now);
        while let Some((id, datagram)) = self.duplicates.poll(now) {
            if let Some(path) = self.paths.iter_mut().find(|p| p.id == id) {
                path.bytes_sent += datagram.len() as u64;
                let (local, remote) = (path.local, path.remote);
                self.transmits.push_back(Transmit { local, remote, datagram });
            }
        }
    }

    /// When [`PathSet::handle_timeout`] is due.
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        if !self.connected {
            return None;
        }
        let probe = self.paths.iter().filter_map(|p| self.next_probe(now, p)).min();
        let miss = self.paths.iter().filter_map(Path::next_miss).min();
        let wish = self.selection.wish_due();
        let deadline = [probe, miss, wish, self.duplicates.next_due()].into_iter().flatten().min();
        // What is due already has been since it was first told: that is how late this process is.
        let overdue = |d: Instant| d <= now && deadline.is_some_and(|d| d <= now);
        self.deadline =
            self.deadline.filter(|d| overdue(*d)).or_else(|| deadline.map(|d| d.max(now)));
        deadline
    }

    /// Sends the probes that are due.
    pub(super) fn probe_due(&mut self, now: Instant) {
        for index in 0..self.paths.len() {
            if self.next_probe(now, &self.paths[index]).is_some_and(|due| due <= now) {
                let path = &self.paths[index];
                // Who has probed it twenty times a second, and does no more, has lost or left it.
                let silence = path.heard.map(|at| now.saturating_duration_since(at));
                let unit = self.config.probe_interval;
                let fallen = |t: Duration| (VOUCHED * unit..RARER * unit).contains(&t);
                let silent = silence.is_some_and(fallen) && self.is_vouched_for(path);
                self.paths[index].silent |= silent;
                self.probe(now, index);
            }
        }
    }

    /// Probes all paths that do not live, and in quick order from now on: the network has changed.
    pub fn look_again(&mut self, now: Instant) {
        for index in 0..self.paths.len() {
            if self.connected && !self.paths[index].is_alive() {
                self.paths[index].probes = 0;
                self.probe_back(now, index);
            }
        }
    }

    /// Probes the selected path now, unless it has just been.
    pub(super) fn probe_selected_soon(&mut self, now: Instant) {
        let Some(index) = self.carrying_index() else { return };
        let fresh = |t: Instant| now.saturating_duration_since(t) < self.config.probe_interval;
        if !self.paths[index].last_probe.is_some_and(fresh) {
            self.probe(now, index);
        }
    }

    /// Probes a path on which the other side has just proven its direction.
    pub(super) fn probe_back(&mut self, now: Instant, index: usize) {
        let fresh = |t: Instant| now.saturating_duration_since(t) < MIN_PROBE_BACK;
        if !self.paths[index].last_probe.is_some_and(fresh) {
            self.probe(now, index);
        }
    }

    fn probe(&mut self, now: Instant, index: usize) {
        let mut newest_first = self.generations.iter().rev();
        let Some(generation) = newest_first.nth(usize::from(self.unconfirmed)) else { return };
        let (id, datagram) = stun::request(generation, self.role);
        let path = &mut self.paths[index];
        path.probe_sent(now, id);
        path.bytes_sent += datagram.len() as u64;
        self.stats.probes += 1;
        let (local, remote) = (path.local, path.remote);
        self.transmits.push_back(Transmit { local, remote, datagram });
    }

    /// When a path is to be probed next; `None` if only the other side does.
    fn next_probe(&self, now: Instant, path: &Path) -> Option<Instant> {
        let interval = self.probe_interval(now, path)?;
        let Some(last) = path.last_probe else { return Some(now) };
        let due = last + interval;
        if !self.is_vouched_for(path) {
            return Some(due);
        }
        let silent = path.heard.map_or(due, |heard| heard + VOUCHED * self.config.probe_interval);
        Some(due.max(silent.min(last + RARER * interval)))
    }

    /// Whether the side that keeps the link alive, which probes the path in both directions, is all
    /// that is needed to know of it as long as it is heard: most of what a hub would send its
    /// clients are probes else.
    fn is_vouched_for(&self, path: &Path) -> bool {
        let carries = self.selection.selected == Some(path.id);
        !self.config.keeps_alive && carries && !path.is_suspect()
    }

    fn probe_interval(&self, now: Instant, path: &Path) -> Option<Duration> {
        let config = &self.config;
        let fast = config.probe_interval.max(MIN_INTERVAL);
        let active = self.usage.is_active(now);
        let idle = config.keeps_alive.then_some(config.idle_interval);
        if let Some(since) = self.selection.dead_since {
            // Nothing lives. The side that keeps the link alive looks for a way back; the other
            // one answers, and looks only if it has something to say.
            let outage = now.saturating_duration_since(since);
            return match (config.keeps_alive, active) {
                (true, _) => Some(seek_interval(fast, outage)),
                (false, true) => Some(seek_interval(fast, outage).max(Duration::from_secs(1))),
                (false, false) => None,
            };
        }
        let selected = self.selection.selected == Some(path.id);
        if path.state == PathState::Unproven && path.probes < UNPROVEN_PROBES {
            return Some(fast * (1 << path.probes.min(6)));
        }
        // An answer that is on its way is no reason to ask again: where the round trip is longer
        // than the interval there always is one.
        if selected && (active || path.is_suspect()) {
            return Some(fast);
        }
        let doubtful = self.selected().is_some_and(Path::is_suspect);
        // What could take over from a relay has to show that it works.
        let better = active && self.selected().is_some_and(Path::is_relayed) && !path.is_relayed();
        match path.state {
            PathState::Alive if !selected && (doubtful || better || path.missed > 0) => Some(fast),
            PathState::Alive if active => Some(config.standby_interval),
            PathState::Dead if active => Some(config.standby_interval * patience(now, path)),
            PathState::Alive | PathState::Dead => idle,
            PathState::Unproven => idle.map(|d| d.max(UNPROVEN_INTERVAL)),
        }
    }
}

/// A path that has been dead for long belongs to an address that is no more, likely.
fn patience(now: Instant, path: &Path) -> u32 {
    let silence = path.last_answer.map_or(Duration::ZERO, |t| now.saturating_duration_since(t));
    match silence.as_secs() {
        0..60 => 1,
        60..600 => 5,
        _ => 15,
    }
}

/// How often all paths are probed while none lives: quickly at first, for that is when it comes
/// back; less for a network that is gone for hours.
fn seek_interval(fast: Duration, outage: Duration) -> Duration {
    let factor = match outage.as_secs() {
        0..60 => 2,
        60..600 => 5,
        _ => 20,
    };
    fast * factor
}

/// Of a path by which the other side was heard less than so many intervals ago, answers are wanted
/// so many times more rarely.
const VOUCHED: u32 = 2;
const RARER: u32 = 5;

/// A timer that comes later than this says something about this process.
const LATE: Duration = Duration::from_millis(50);

/// Then an answer has so much time to be read.
const UNREAD: Duration = Duration::from_millis(10);

/// Whatever the settings say.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// A request of the other side is answered with a probe of ours at most this often.
const MIN_PROBE_BACK: Duration = Duration::from_millis(20);

/// A pair that has never worked is tried some times in quick order, then rarely.
const UNPROVEN_PROBES: u32 = 6;
const UNPROVEN_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::stun::Generation;
    use super::super::{PathConfig, PathEvent, Via};
    use super::*;
    use crate::util::{clock, random};

    const MS: Duration = Duration::from_millis(1);

    /// Two ends that are connected; each has an address of its own.
    fn ends(now: Instant) -> [PathSet; 2] {
        let creds = [(); 2].map(|()| random::ice_credentials());
        [0, 1].map(|end| {
            let (local, remote) = (creds[end].clone(), creds[1 - end].clone());
            let mut set = PathSet::new(PathConfig::default(), local.clone(), end == 0, 7);
            set.add_generation(Generation { local, remote }, true);
            set.add_local(address(end), Via::Host);
            set.add_remote(address(1 - end), Via::Host);
            set.connected(now, address(end), address(1 - end));
            set
        })
    }

    fn address(end: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, end as u8], 4000))
    }

    fn take_stun(
        end: &mut PathSet,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        bytes: &[u8],
    ) {
        let Some(crate::path::Packet::Stun(message, _)) = crate::path::Packet::parse(bytes) else {
            panic!("it is STUN that paths send");
        };
        end.handle_stun(now, local, remote, &message, bytes.len());
    }

    /// As a driver does: timers that are due, then what there is to send, which comes at once.
    fn turn(ends: &mut [PathSet; 2], now: Instant) {
        for end in ends.iter_mut() {
            end.message_sent(now);
            if end.poll_timeout(now).is_some_and(|t| t <= now) {
                end.handle_timeout(now);
            }
        }
        for end in [0, 1, 0] {
            while let Some(out) = ends[end].poll_transmit() {
                take_stun(&mut ends[1 - end], now, out.remote, out.local, &out.datagram);
            }
        }
    }

    #[test]
    fn who_slept_does_not_blame_the_network() {
        let start = clock::now();
        let mut ends = ends(start);
        (0..2000).for_each(|ms| turn(&mut ends, start + ms * MS));
        // Its probe goes out, and the answer lies unread in the socket while the process stands.
        let sent = start + 2060 * MS;
        ends[0].handle_timeout(sent);
        let probe = ends[0].poll_transmit().unwrap();
        let (local, remote) = (probe.local, probe.remote);
        take_stun(&mut ends[1], sent, remote, local, &probe.datagram);
        let answer = std::iter::from_fn(|| ends[1].poll_transmit()).last().unwrap();
        ends[0].poll_timeout(sent);
        let awake = sent + 300 * MS;
        assert!(ends[0].poll_timeout(awake).is_some_and(|t| t <= awake));
        ends[0].handle_timeout(awake);
        assert_eq!((ends[0].misses(), ends[0].is_alive(local, remote)), (0, true));
        take_stun(&mut ends[0], awake, local, remote, &answer.datagram);
        let died = |e: PathEvent| matches!(e, PathEvent::AllDead);
        assert!(!std::iter::from_fn(|| ends[0].poll_event()).any(died));
    }

    #[test]
    fn who_is_always_late_finds_out_too() {
        let start = clock::now();
        let mut ends = ends(start);
        (0..2000).for_each(|ms| turn(&mut ends, start + ms * MS));
        // From now on nobody answers, and each of its timers is 60 ms late.
        let (mut now, cut) = (start + 2000 * MS, start + 2000 * MS);
        while ends[0].dead_since().is_none() {
            assert!(now < cut + 2000 * MS, "it never finds out");
            ends[0].message_sent(now);
            let due = ends[0].poll_timeout(now).unwrap();
            now = due.max(now) + 60 * MS;
            ends[0].handle_timeout(now);
            while ends[0].poll_transmit().is_some() {}
        }
    }
}
