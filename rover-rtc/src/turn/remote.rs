//! A server's addresses: looked up in the background, and again when they do not work.

use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::server::IceServer;
use crate::util::random;

/// A server and what is known of its addresses.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) server: IceServer,
    addresses: Vec<SocketAddr>,
    lookup: Lookup,
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lookup {
    /// The host is an address.
    Never,
    /// Not before that time, and only if wanted.
    Due(Instant),
    Running,
}

/// The result of one lookup, and whose it is.
pub(super) type Found = (usize, Result<Vec<SocketAddr>, String>);

/// Lookups that run.
#[derive(Debug, Default)]
pub(super) struct Lookups(JoinSet<Found>);

impl Remote {
    pub(super) fn new(now: Instant, server: IceServer) -> Self {
        let literal = server.host().parse::<IpAddr>().ok();
        let addresses = literal.map(|ip| SocketAddr::new(ip, server.port())).into_iter().collect();
        let lookup = if literal.is_some() { Lookup::Never } else { Lookup::Due(now) };
        Self { server, addresses, lookup, failures: 0 }
    }

    /// An address that can be reached from `local`; with each failed `attempt` the next one.
    pub(super) fn address(&self, local: SocketAddr, attempt: u32) -> Option<SocketAddr> {
        let usable: Vec<_> = self.addresses.iter().filter(|a| reaches(local, **a)).collect();
        let position = usize::try_from(attempt).unwrap_or(0).checked_rem(usable.len())?;
        Some(*usable[position])
    }

    /// Starts a lookup, if it is time for one.
    pub(super) fn look_up(&mut self, now: Instant, index: usize, lookups: &mut Lookups) {
        if matches!(self.lookup, Lookup::Due(time) if time <= now) {
            self.lookup = Lookup::Running;
            lookups.start(index, self.server.host().to_owned(), self.server.port());
        }
    }

    /// Takes the result of a lookup. After a failure the old addresses stay.
    pub(super) fn found(
        &mut self,
        now: Instant,
        found: Result<Vec<SocketAddr>, String>,
    ) -> Result<(), String> {
        match found {
            Ok(addresses) => {
                tracing::debug!(server = %self.server, ?addresses, "ice server found");
                self.addresses = addresses;
                self.failures = 0;
                self.lookup = Lookup::Due(now + FRESH);
                Ok(())
            }
            Err(reason) => {
                self.failures = self.failures.saturating_add(1);
                self.lookup = Lookup::Due(now + pause(self.failures));
                Err(reason)
            }
        }
    }

    /// Ends the pause after a failure.
    pub(super) fn retry(&mut self, now: Instant) {
        if let Lookup::Due(time) = &mut self.lookup
            && self.failures > 0
        {
            *time = (*time).min(now);
        }
    }

    /// When to look up without being asked: only while there is no address at all.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.lookup {
            Lookup::Due(time) if self.addresses.is_empty() => Some(time),
            _ => None,
        }
    }
}

impl Lookups {
    fn start(&mut self, index: usize, host: String, port: u16) {
        self.0.spawn(async move {
            let found = match timeout(LOOKUP_TIMEOUT, lookup_host((host.as_str(), port))).await {
                Ok(Ok(found)) => Ok(found.take(MAX_ADDRESSES).collect::<Vec<_>>()),
                Ok(Err(error)) => Err(format!("cannot look up the host: {error}")),
                Err(_) => Err(format!("the host was not looked up within {LOOKUP_TIMEOUT:?}")),
            };
            let none = "the host has no address".to_owned();
            (index, found.and_then(|found| if found.is_empty() { Err(none) } else { Ok(found) }))
        });
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Found> {
        loop {
            match self.0.poll_join_next(cx) {
                Poll::Ready(Some(Ok(found))) => return Poll::Ready(found),
                // A lookup cannot panic, and is cancelled only with the set.
                Poll::Ready(Some(Err(_))) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// The pause after so many failures in a row: 1 s, doubled up to 60 s. Up to a quarter more, by
/// chance, keeps a fleet from coming back to a restarted server all at once.
pub(super) fn pause(failures: u32) -> Duration {
    let base = (MIN_PAUSE * 2u32.pow(failures.saturating_sub(1).min(6))).min(MAX_PAUSE);
    let quarter = u64::try_from(base.as_millis() / 4).unwrap_or(0);
    (base + Duration::from_millis(random::number() % (quarter + 1))).min(MAX_PAUSE)
}

/// Whether a packet from `local` can go to `server` at all.
fn reaches(local: SocketAddr, server: SocketAddr) -> bool {
    let is_link_local = |ip| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    local.is_ipv4() == server.is_ipv4()
        && local.ip().is_loopback() == server.ip().is_loopback()
        && is_link_local(local.ip()) == is_link_local(server.ip())
}

/// The first pause after a failure.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// How long a lookup may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long addresses are not questioned, whatever fails.
const FRESH: Duration = Duration::from_secs(60);

/// Addresses of one server that are kept.
const MAX_ADDRESSES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::clock;

    #[test]
    fn an_address_of_the_same_kind_is_taken_in_turn() {
        let now = clock::now();
        let mut remote = Remote::new(now, "stun:relay.example".parse().unwrap());
        let local = "192.0.2.1:7".parse().unwrap();
        assert_eq!(remote.address(local, 0), None);
        let all = ["[2001:db8::1]:1", "127.0.0.1:2", "198.51.100.1:3", "198.51.100.2:4"];
        remote.found(now, Ok(all.map(|a| a.parse().unwrap()).to_vec())).unwrap();
        let ports = |local: &str| {
            [0, 1, 2].map(|attempt| {
                remote.address(local.parse().unwrap(), attempt).map_or(0, |a| a.port())
            })
        };
        assert_eq!(ports("192.0.2.1:7"), [3, 4, 3]);
        assert_eq!(ports("127.0.0.1:7"), [2, 2, 2]);
        assert_eq!(ports("[2001:db8::7]:7"), [1, 1, 1]);
        assert_eq!(ports("[fe80::1]:7"), [0, 0, 0]);
    }

    #[test]
    fn pauses_grow_up_to_a_minute() {
        for (failures, least, most) in [(1, 1000, 1250), (3, 4000, 5000), (9, 60_000, 60_000)] {
            let millis = pause(failures).as_millis();
            assert!((least..=most).contains(&millis), "{millis} ms");
        }
    }

    #[test]
    fn a_lookup_that_failed_is_repeated_after_a_pause() {
        let now = clock::now();
        let mut remote = Remote::new(now, "stun:relay.example".parse().unwrap());
        assert_eq!(remote.poll_timeout(), Some(now));
        remote.found(now, Err("no".to_owned())).unwrap_err();
        assert!(remote.poll_timeout().unwrap() >= now + MIN_PAUSE);
        remote.retry(now);
        assert_eq!(remote.poll_timeout(), Some(now));
        let literal = Remote::new(now, "stun:192.0.2.1".parse().unwrap());
        assert_eq!(literal.poll_timeout(), None);
    }
}
