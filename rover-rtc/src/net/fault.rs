//! Faults on demand: cut, thin out, delay or throttle a network while the program runs.
//!
//! A network is a local IP address. Rules are decided here and carried out by the
//! [`SocketSet`](super::SocketSet), on real sockets: what the layers above meet is what a bad
//! network does to them, without root, network namespaces or a rebuilt program.
//!
//! [`FaultState`] is the pure part. The same seed and the same calls give the same verdicts.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// A handle to switch faults on and off; its clones share the rules
///
/// Without a rule, a question to it costs one relaxed load.
#[derive(Clone, Debug)]
pub struct Faults {
    shared: Arc<Shared>,
}

impl Faults {
    /// No rules yet; `seed` decides which datagrams later get lost, and the jitter
    pub fn new(seed: u64) -> Self {
        let state = Mutex::new(FaultState::new(seed));
        Self { shared: Arc::new(Shared { is_active: AtomicBool::new(false), state }) }
    }

    /// Sets the rule for the network of the local address `ip`, in place of an earlier one
    ///
    /// It applies to datagrams when they are flushed or read: those already delayed leave when
    /// they were going to, those still in the receive buffer of the kernel meet the new rule.
    pub fn set(&self, ip: IpAddr, rule: FaultRule) {
        self.change(|state| state.set(ip, rule));
    }

    /// Heals the network of the local address `ip`
    pub fn clear(&self, ip: IpAddr) {
        self.change(|state| state.clear(ip));
    }

    /// Heals all networks
    pub fn clear_all(&self) {
        self.change(FaultState::clear_all);
    }

    /// Whether there is any rule
    pub fn is_active(&self) -> bool {
        // The rules themselves are read under the lock, so nothing hangs on the order here.
        self.shared.is_active.load(Ordering::Relaxed)
    }

    /// What happens to a datagram of `len` bytes that leaves from `ip` to `to`
    pub fn on_send(&self, now: Instant, ip: IpAddr, to: IpAddr, len: usize) -> Verdict {
        if self.is_active() { self.state().on_send(now, ip, to, len) } else { Verdict::Pass }
    }

    /// Whether a datagram that has come in at `ip` from `from` is delivered
    pub fn on_recv(&self, ip: IpAddr, from: IpAddr) -> bool {
        !self.is_active() || self.state().on_recv(ip, from)
    }

    fn change(&self, change: impl FnOnce(&mut FaultState)) {
        let mut state = self.state();
        change(&mut state);
        self.shared.is_active.store(state.is_active(), Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, FaultState> {
        // No call leaves the state half changed, so a panic elsewhere is no reason for one here.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Faults {
    /// With a fixed seed
    fn default() -> Self {
        Self::new(DEFAULT_SEED)
    }
}

/// What is wrong with a network; the default is: nothing
///
/// Combine with `..FaultRule::default()`. A sent datagram meets the fields in this order: cut,
/// loss, rate, delay. Nothing but cut and loss applies to received datagrams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaultRule {
    /// Nothing comes in
    pub drop_in: bool,
    /// Nothing goes out
    pub drop_out: bool,
    /// The share of datagrams that get lost on the way in, 0 to 1
    pub loss_in: f64,
    /// The share of datagrams that get lost on the way out, 0 to 1
    pub loss_out: f64,
    /// The time that each datagram takes longer on the way out
    pub delay: Duration,
    /// A random time on top of `delay`, evenly spread from zero to this
    ///
    /// Jitter changes the order of datagrams that are less than this apart.
    pub jitter: Duration,
    /// Bits per second on the way out, not counting IP and UDP headers; 0 lets nothing out
    pub rate_bps: Option<u64>,
    /// The other end to which all this does not apply, such as a hub that is still reached while
    /// other peers are not
    pub spares: Option<IpAddr>,
    /// Bytes that may wait for their turn under `rate_bps`; what comes on top is lost
    ///
    /// The default is 64 KiB: half a second at 1 Mbit/s. Less than a datagram lets nothing out.
    pub queue_bytes: usize,
}

impl FaultRule {
    /// A cut cable: nothing in, nothing out, and no error to tell
    pub fn cut() -> Self {
        Self { drop_in: true, drop_out: true, ..Self::default() }
    }

    /// Random loss of the same `share`, 0 to 1, each way
    pub fn loss(share: f64) -> Self {
        Self { loss_in: share, loss_out: share, ..Self::default() }
    }

    /// A longer way out
    pub fn delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// A narrow way out, with the default queue
    pub fn rate(bits_per_second: u64) -> Self {
        Self { rate_bps: Some(bits_per_second), ..Self::default() }
    }
}

impl Default for FaultRule {
    fn default() -> Self {
        Self {
            drop_in: false,
            drop_out: false,
            loss_in: 0.0,
            loss_out: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate_bps: None,
            spares: None,
            queue_bytes: DEFAULT_QUEUE_BYTES,
        }
    }
}

/// What happens to a datagram on its way out
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes out at once
    Pass,
    /// It is lost
    Drop,
    /// It goes out at this time
    DelayUntil(Instant),
}

/// The rules and what they remember
#[derive(Debug)]
pub struct FaultState {
    networks: HashMap<IpAddr, Network>,
    random: Random,
}

impl FaultState {
    /// No rules yet; `seed` decides which datagrams later get lost, and the jitter
    pub fn new(seed: u64) -> Self {
        Self { networks: HashMap::new(), random: Random(seed) }
    }

    /// Sets the rule for the network of the local address `ip`, in place of an earlier one
    pub fn set(&mut self, ip: IpAddr, rule: FaultRule) {
        // The queue of an earlier rule stays, so that a new rate lets no datagram overtake it.
        self.networks.entry(ip).or_insert(Network { rule, busy_until: None }).rule = rule;
    }

    /// Heals the network of the local address `ip`
    pub fn clear(&mut self, ip: IpAddr) {
        self.networks.remove(&ip);
    }

    /// Heals all networks
    pub fn clear_all(&mut self) {
        self.networks.clear();
    }

    /// Whether there is any rule
    pub fn is_active(&self) -> bool {
        !self.networks.is_empty()
    }

    /// What happens to a datagram of `len` bytes that leaves from `ip` to `to`
    pub fn on_send(&mut self, now: Instant, ip: IpAddr, to: IpAddr, len: usize) -> Verdict {
        let network = self.networks.get_mut(&ip).filter(|n| n.rule.spares != Some(to));
        let Some(network) = network else { return Verdict::Pass };
        let FaultRule { drop_out, loss_out, delay, jitter, .. } = network.rule;
        if drop_out || self.random.unit() < loss_out {
            return Verdict::Drop;
        }
        let Some(sent) = network.transmit(now, len) else { return Verdict::Drop };
        let jitter = jitter.mul_f64(self.random.unit());
        match delay.checked_add(jitter).and_then(|delay| sent.checked_add(delay)) {
            Some(due) if due > now => Verdict::DelayUntil(due),
            Some(_) => Verdict::Pass,
            // A delay beyond the end of time
            None => Verdict::Drop,
        }
    }

    /// Whether a datagram that has come in at `ip` from `from` is delivered
    pub fn on_recv(&mut self, ip: IpAddr, from: IpAddr) -> bool {
        let network = self.networks.get(&ip).filter(|n| n.rule.spares != Some(from));
        let Some(network) = network else { return true };
        !network.rule.drop_in && self.random.unit() >= network.rule.loss_in
    }
}

#[derive(Debug)]
struct Shared {
    is_active: AtomicBool,
    state: Mutex<FaultState>,
}

#[derive(Debug)]
struct Network {
    rule: FaultRule,
    /// When the last datagram will have left, under a limited rate
    busy_until: Option<Instant>,
}

impl Network {
    /// When a datagram of `len` bytes has left; `None` when the queue is full
    fn transmit(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.rule.rate_bps else { return Some(now) };
        let start = self.busy_until.map_or(now, |busy| busy.max(now));
        let nanobits = (start - now).as_nanos().saturating_mul(u128::from(rate));
        let backlog = nanobits / NANOBITS_PER_BYTE;
        if backlog + len as u128 > self.rule.queue_bytes as u128 {
            return None;
        }
        let nanos = (len as u128 * NANOBITS_PER_BYTE).checked_div(u128::from(rate))?;
        let end = start.checked_add(Duration::from_nanos(u64::try_from(nanos).ok()?))?;
        self.busy_until = Some(end);
        Some(end)
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): even enough for loss, and seeded by any number
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// A number from 0 to below 1
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // A double holds 53 bits exactly.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const DEFAULT_SEED: u64 = 0x0072_6f76_6572;

const DEFAULT_QUEUE_BYTES: usize = 64 << 10;

const NANOBITS_PER_BYTE: u128 = 8 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tests::now;

    #[test]
    fn without_a_rule_everything_passes() {
        let (now, faults) = (now(), Faults::default());
        assert!(!faults.is_active());
        assert_eq!(faults.on_send(now, LAN, PEER, 100), Verdict::Pass);
        assert!(faults.on_recv(LAN, PEER));
    }

    #[test]
    fn a_rule_hits_its_own_network_until_it_is_cleared() {
        let (now, faults) = (now(), Faults::default());
        let other = faults.clone();
        faults.set(LAN, FaultRule::cut());
        assert_eq!(other.on_send(now, LAN, PEER, 100), Verdict::Drop);
        assert!(!other.on_recv(LAN, PEER));
        assert_eq!(other.on_send(now, WAN, PEER, 100), Verdict::Pass);
        assert!(other.on_recv(WAN, PEER));

        faults.set(WAN, FaultRule::default());
        faults.clear(LAN);
        assert!(faults.is_active());
        assert_eq!(other.on_send(now, LAN, PEER, 100), Verdict::Pass);
        faults.clear_all();
        assert!(!other.is_active());
    }

    #[test]
    fn a_cut_may_spare_one() {
        let (now, mut state) = (now(), FaultState::new(1));
        state.set(LAN, FaultRule { spares: Some(WAN), ..FaultRule::cut() });
        assert_eq!(state.on_send(now, LAN, PEER, 100), Verdict::Drop);
        assert_eq!(state.on_send(now, LAN, WAN, 100), Verdict::Pass);
        assert!(!state.on_recv(LAN, PEER) && state.on_recv(LAN, WAN));
    }

    #[test]
    fn a_cut_may_be_one_way() {
        let (now, mut state) = (now(), FaultState::new(1));
        state.set(LAN, FaultRule { drop_out: true, ..FaultRule::default() });
        assert_eq!(state.on_send(now, LAN, PEER, 100), Verdict::Drop);
        assert!(state.on_recv(LAN, PEER));
        state.set(LAN, FaultRule { drop_in: true, ..FaultRule::default() });
        assert_eq!(state.on_send(now, LAN, PEER, 100), Verdict::Pass);
        assert!(!state.on_recv(LAN, PEER));
    }

    #[test]
    fn loss_has_the_rate_asked_for_and_follows_the_seed() {
        let now = now();
        let lost = |seed| {
            let mut state = FaultState::new(seed);
            state.set(LAN, FaultRule::loss(0.2));
            let lost_out = (0..10_000).map(|_| state.on_send(now, LAN, PEER, 100) == Verdict::Drop);
            let mut lost: Vec<bool> = lost_out.collect();
            lost.extend((0..10_000).map(|_| !state.on_recv(LAN, PEER)));
            lost
        };
        let first = lost(1);
        for direction in first.chunks(10_000) {
            let count = direction.iter().filter(|lost| **lost).count();
            assert!((1_850..2_150).contains(&count), "{count} of 10,000");
        }
        assert_eq!(first, lost(1));
        assert_ne!(first, lost(2));
    }

    #[test]
    fn shares_out_of_range_lose_all_or_nothing() {
        let (now, mut state) = (now(), FaultState::new(1));
        for (share, verdict) in [
            (1.0, Verdict::Drop),
            (7.0, Verdict::Drop),
            (0.0, Verdict::Pass),
            (-1.0, Verdict::Pass),
            (f64::NAN, Verdict::Pass),
        ] {
            state.set(LAN, FaultRule { loss_out: share, ..FaultRule::default() });
            assert!((0..1_000).all(|_| state.on_send(now, LAN, PEER, 100) == verdict), "{share}");
        }
    }

    #[test]
    fn delay_and_jitter_add_up() {
        let (now, mut state) = (now(), FaultState::new(1));
        let ms = Duration::from_millis;
        state.set(LAN, FaultRule::delay(ms(20)));
        assert_eq!(state.on_send(now, LAN, PEER, 100), Verdict::DelayUntil(now + ms(20)));

        state.set(LAN, FaultRule { jitter: ms(10), ..FaultRule::delay(ms(20)) });
        let delays: Vec<_> = (0..1_000)
            .map(|_| match state.on_send(now, LAN, PEER, 100) {
                Verdict::DelayUntil(due) => due - now,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(delays.iter().all(|delay| (ms(20)..ms(30)).contains(delay)));
        assert!(delays.iter().min().unwrap() < &ms(21));
        assert!(delays.iter().max().unwrap() > &ms(29));
    }

    #[test]
    fn rate_spaces_datagrams_and_the_queue_drops_its_tail() {
        let (now, mut state) = (now(), FaultState::new(1));
        let ms = Duration::from_millis;
        // 1,000 bytes at 1 Mbit/s take 8 ms.
        let rule = FaultRule { queue_bytes: 3_000, ..FaultRule::rate(1_000_000) };
        state.set(LAN, rule);
        for position in 1..=3 {
            let due = now + ms(8) * position;
            assert_eq!(state.on_send(now, LAN, PEER, 1_000), Verdict::DelayUntil(due));
        }
        assert_eq!(state.on_send(now, LAN, PEER, 1_000), Verdict::Drop);
        // One has left, so one more fits.
        let later = now + ms(8);
        assert_eq!(state.on_send(later, LAN, PEER, 1_000), Verdict::DelayUntil(now + ms(32)));
        assert_eq!(state.on_send(later, LAN, PEER, 1_000), Verdict::Drop);
        // An idle link starts from now.
        let idle = now + ms(500);
        assert_eq!(state.on_send(idle, LAN, PEER, 1_000), Verdict::DelayUntil(idle + ms(8)));
    }

    #[test]
    fn absurd_rules_do_not_panic() {
        let (now, mut state) = (now(), FaultState::new(1));
        for rule in [
            FaultRule::rate(0),
            FaultRule { jitter: Duration::MAX, ..FaultRule::delay(Duration::MAX) },
            FaultRule { queue_bytes: 0, ..FaultRule::rate(1) },
        ] {
            state.set(LAN, rule);
            assert_eq!(state.on_send(now, LAN, PEER, 1_000), Verdict::Drop, "{rule:?}");
        }
        state.set(LAN, FaultRule { queue_bytes: usize::MAX, ..FaultRule::rate(1) });
        state.on_send(now, LAN, PEER, usize::MAX);
        state.on_send(now, LAN, PEER, 65_535);
        state.set(LAN, FaultRule { queue_bytes: usize::MAX, ..FaultRule::rate(u64::MAX) });
        state.on_send(now, LAN, PEER, usize::MAX);
    }

    const LAN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));
    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 2, 1));
    const WAN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 1, 1));
}
