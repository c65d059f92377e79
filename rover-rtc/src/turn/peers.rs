//! Which peers may have a permission or a channel, and when to ask again.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Peer addresses that an allocation serves at most; each costs the server and us two timers.
pub const MAX_PEERS: usize = 64;

/// The peers of one allocation.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// When a permission was asked for last, or refused.
    asked: HashMap<IpAddr, Instant>,
    /// How much was sent.
    sent: HashMap<SocketAddr, Sent>,
}

#[derive(Debug)]
struct Sent {
    datagrams: u32,
    /// No channel before that time.
    not_before: Option<Instant>,
}

impl Peers {
    /// Whether to ask for a permission now; it counts as asked then.
    pub(super) fn wants_permission(&mut self, now: Instant, peer: IpAddr) -> bool {
        if self.asked.len() >= MAX_PEERS {
            // One that is still in use only asks once more.
            self.asked.retain(|_, asked| now.saturating_duration_since(*asked) < IDLE);
        }
        let full = self.asked.len() >= MAX_PEERS;
        match self.asked.get(&peer) {
            Some(asked) if now < *asked => false,
            None if full => false,
            _ => {
                self.asked.insert(peer, now);
                true
            }
        }
    }

    /// The server refused, did not answer, or the permission ran out.
    pub(super) fn permission_failed(&mut self, now: Instant, peer: IpAddr, refused: bool) {
        self.asked.insert(peer, now + pause(refused));
    }

    /// Counts a datagram, and says whether the peer deserves a channel now.
    pub(super) fn wants_channel(&mut self, now: Instant, peer: SocketAddr) -> bool {
        if self.sent.len() >= MAX_PEERS && !self.sent.contains_key(&peer) {
            return false;
        }
        let sent = self.sent.entry(peer).or_insert(Sent { datagrams: 0, not_before: None });
        sent.datagrams = sent.datagrams.saturating_add(1);
        let waits = sent.not_before.is_some_and(|time| now < time);
        // Asked once per so many datagrams: the client knows whether there is one already.
        let wants = !waits && sent.datagrams.is_multiple_of(CHANNEL_AFTER);
        if wants {
            // But not whether it has just asked.
            sent.not_before = Some(now + ANSWERED);
        }
        wants
    }

    /// The server refused a channel, did not answer, or it ran out.
    pub(super) fn channel_failed(&mut self, now: Instant, peer: SocketAddr, refused: bool) {
        if let Some(sent) = self.sent.get_mut(&peer) {
            sent.not_before = Some(now + pause(refused));
        }
    }
}

fn pause(refused: bool) -> Duration {
    if refused { REFUSED } else { SILENT }
}

/// Datagrams to a peer before it gets a channel: more than the connectivity checks of a pair that
/// is not chosen, less than a second of probes on one that is.
const CHANNEL_AFTER: u32 = 16;

/// When a request has been answered or has failed.
const ANSWERED: Duration = Duration::from_secs(10);

/// How long a refusal is respected: the peer's address may be forbidden for good.
const REFUSED: Duration = Duration::from_secs(30);

/// The pause after silence: the network may be back at any moment.
const SILENT: Duration = Duration::from_secs(1);

/// When an address makes room for another: the lifetime of a permission (RFC 8656 section 9).
const IDLE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::clock;

    #[test]
    fn permissions_are_bounded_and_refusals_respected() {
        let now = clock::now();
        let mut peers = Peers::default();
        for last in 0..MAX_PEERS {
            assert!(peers.wants_permission(now, IpAddr::from([10, 0, 0, last as u8])));
        }
        let more = IpAddr::from([10, 0, 1, 0]);
        assert!(!peers.wants_permission(now, more));
        assert!(peers.wants_permission(now + IDLE, more));
        peers.permission_failed(now, more, true);
        assert!(!peers.wants_permission(now + REFUSED / 2, more));
        assert!(peers.wants_permission(now + REFUSED, more));
    }

    #[test]
    fn a_channel_comes_after_some_datagrams() {
        let now = clock::now();
        let mut peers = Peers::default();
        let peer = SocketAddr::from(([10, 0, 0, 1], 9));
        let mut asked = |now, n: u32| (0..n).filter(|_| peers.wants_channel(now, peer)).count();
        assert_eq!(asked(now, CHANNEL_AFTER - 1), 0);
        assert_eq!(asked(now, 1), 1);
        assert_eq!(asked(now, 2 * CHANNEL_AFTER), 0, "while it waits for the answer");
        assert_eq!(asked(now + ANSWERED, CHANNEL_AFTER), 1);
        peers.channel_failed(now, peer, true);
        let mut asked = |now, n: u32| (0..n).filter(|_| peers.wants_channel(now, peer)).count();
        assert_eq!(asked(now, CHANNEL_AFTER), 0);
        assert_eq!(asked(now + REFUSED, CHANNEL_AFTER), 1);
    }
}
