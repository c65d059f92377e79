//! All STUN and TURN servers of a driver, for all its sockets.

use std::future;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::out::Out;
use super::remote::{Found, Lookups, Remote};
use super::server::IceServer;
use super::slot::Slot;
use crate::util::clock;

/// What a [`TurnSet`] has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TurnSetEvent {
    /// A socket's public address became known or changed: a server reflexive candidate. Several
    /// servers may tell the same.
    Mapped {
        /// The socket.
        local: SocketAddr,
        /// Its address as the server sees it.
        public: SocketAddr,
    },
    /// A new relayed address: the local address of a relayed candidate.
    Relayed {
        /// The socket whose network leads to the server.
        local: SocketAddr,
        /// The address at the server.
        relayed: SocketAddr,
    },
    /// A datagram for a relayed address.
    Data {
        /// The relayed address.
        relayed: SocketAddr,
        /// Who sent it.
        peer: SocketAddr,
        /// The datagram.
        data: Vec<u8>,
    },
    /// A relayed address is gone. Another one is made, if its socket is still there.
    Lost {
        /// The relayed address.
        relayed: SocketAddr,
        /// Why.
        reason: String,
    },
    /// A server could not be used. It is tried again after a pause of 1 s, growing up to 60 s.
    Failed {
        /// The server, without credentials.
        server: String,
        /// The socket; none if the server's host was not found.
        local: Option<SocketAddr>,
        /// Why.
        reason: String,
    },
}

/// The queries and allocations of all pairs of a local socket and a server.
///
/// It belongs to a driver, which owns the UDP sockets and the clock. Each turn:
///
/// 1. a received datagram goes to [`handle_datagram`](Self::handle_datagram) first; if that says
///    `true`, it is done with;
/// 2. [`handle_timeout`](Self::handle_timeout), when [`poll_timeout`](Self::poll_timeout) is due;
/// 3. what [`poll_transmit`](Self::poll_transmit) gives goes out of its socket, and
///    [`poll_event`](Self::poll_event) is emptied;
/// 4. [`ready`](Self::ready) is one branch of what the driver sleeps on.
///
/// TCP and TLS connections are opened here, from the address and the interface of the socket that
/// they stand for. A server is asked only from sockets of its own address family, and from
/// loopback only if it is there itself. All this needs a tokio runtime.
#[derive(Debug)]
pub struct TurnSet {
    remotes: Vec<Remote>,
    slots: Vec<Slot>,
    lookups: Lookups,
    found: Vec<Found>,
    keep_alive: Duration,
    out: Out,
    /// Since when a stream or a lookup waits to be heard.
    woken: Option<Instant>,
}

impl TurnSet {
    /// Begins to look up the servers. [`set_locals`](Self::set_locals) sets them to work.
    ///
    /// Of several with the same scheme, transport, host and port only the first is used: a socket
    /// can have one allocation on a server.
    #[must_use]
    pub fn new(now: Instant, servers: Vec<IceServer>) -> Self {
        let mut remotes: Vec<Remote> = Vec::new();
        for server in servers {
            let place = server.to_string();
            if remotes.iter().all(|remote| remote.server.to_string() != place) {
                remotes.push(Remote::new(now, server));
            }
        }
        let mut set = Self {
            remotes,
            slots: Vec::new(),
            lookups: Lookups::default(),
            found: Vec::new(),
            keep_alive: KEEP_ALIVE,
            out: Out::default(),
            woken: None,
        };
        set.handle_timeout(now);
        set
    }

    /// Sets the pause between two Binding requests. Default 20 s; each costs some 100 bytes both
    /// ways. More than 25 s risks the mapping of a NAT that forgets after 30 s. It takes effect
    /// when a server is tried next.
    pub fn set_keep_alive(&mut self, interval: Duration) {
        self.keep_alive = interval;
    }

    /// Whether there is no server.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remotes.is_empty()
    }

    /// Says which sockets there are. What hung on others is lost; new ones are set to work.
    ///
    /// Pairs of a socket and a server beyond 64 are left out.
    pub fn set_locals(&mut self, now: Instant, locals: &[SocketAddr]) {
        let Self { remotes, slots, out, .. } = self;
        slots.retain_mut(|slot| {
            let stays = locals.contains(&slot.local);
            if !stays {
                slot.close(now, &remotes[slot.server], "its socket is gone", out);
            }
            stays
        });
        for local in locals {
            for server in 0..remotes.len() {
                let is_there = |slot: &Slot| (slot.server, slot.local) == (server, *local);
                if slots.len() < MAX_SLOTS && !slots.iter().any(is_there) {
                    slots.push(Slot::new(now, server, *local));
                }
            }
        }
        self.handle_timeout(now);
    }

    /// Ends all pauses after failures, for example because a network has come back.
    pub fn retry(&mut self, now: Instant) {
        self.remotes.iter_mut().for_each(|remote| remote.retry(now));
        self.slots.iter_mut().for_each(|slot| slot.retry(now));
        self.handle_timeout(now);
    }

    /// Gives a relayed address up and asks for a new one.
    ///
    /// A server that was restarted knows no allocation, and says so only when a permission is
    /// refreshed, every 4 min. Who sees no path through a relay answer knows earlier.
    pub fn renew(&mut self, now: Instant, relayed: SocketAddr) {
        let Self { remotes, slots, out, .. } = self;
        if let Some(slot) = slots.iter_mut().find(|slot| slot.relayed() == Some(relayed)) {
            slot.close(now, &remotes[slot.server], "given up", out);
        }
        self.handle_timeout(now);
    }

    /// Gives all relayed addresses back. Send what [`poll_transmit`](Self::poll_transmit) has
    /// before the sockets are closed.
    pub fn close(&mut self, now: Instant) {
        self.set_locals(now, &[]);
    }

    /// Takes a datagram that the socket `local` received; `true` if it came from a server.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let mut is_server = false;
        for slot in self.slots.iter_mut().filter(|slot| slot.local == local) {
            is_server |= slot.talks_to(remote);
            // A STUN and a TURN server may share a port.
            if slot.handle_datagram(now, remote, datagram) {
                slot.drain(now, &self.remotes[slot.server], &mut self.out);
                break;
            }
        }
        is_server
    }

    /// Sends a datagram to a peer from a relayed address; see [`TurnAllocation::send`].
    ///
    /// [`TurnAllocation::send`]: super::TurnAllocation::send
    pub fn send(&mut self, now: Instant, relayed: SocketAddr, peer: SocketAddr, data: &[u8]) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.relayed() == Some(relayed)) {
            slot.send(now, peer, data);
            slot.drain(now, &self.remotes[slot.server], &mut self.out);
        }
    }

    /// Whether there is such a relayed address.
    #[must_use]
    pub fn is_relayed(&self, address: SocketAddr) -> bool {
        self.slots.iter().any(|slot| slot.relayed() == Some(address))
    }

    /// Lets time pass, and takes what lookups and streams have brought.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.woken = None;
        for (index, found) in self.found.drain(..) {
            let remote = &mut self.remotes[index];
            if let Err(reason) = remote.found(now, found) {
                self.out.failed(remote.server.to_string(), None, reason);
            }
        }
        for slot in &mut self.slots {
            let remote = &mut self.remotes[slot.server];
            slot.handle_timeout(now, remote, &mut self.out);
            if slot.is_idle(now) {
                // In the background: this try still goes to the address that is known.
                remote.look_up(now, slot.server, &mut self.lookups);
                slot.start(now, remote, self.keep_alive);
                slot.drain(now, remote, &mut self.out);
            }
        }
        for (index, remote) in self.remotes.iter_mut().enumerate() {
            if remote.poll_timeout().is_some_and(|time| time <= now) {
                remote.look_up(now, index, &mut self.lookups);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let slots = self.slots.iter().filter_map(|s| s.poll_timeout(&self.remotes[s.server]));
        let remotes = self.remotes.iter().filter_map(Remote::poll_timeout);
        slots.chain(remotes).chain(self.woken).min()
    }

    /// The next datagram: the socket it leaves from, its destination, its bytes.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        self.out.transmits.pop_front()
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<TurnSetEvent> {
        self.out.events.pop_front()
    }

    /// Resolves when a lookup or a connection has something; may be dropped without loss.
    ///
    /// [`poll_timeout`](Self::poll_timeout) is due then. Without servers it never resolves.
    pub async fn ready(&mut self) {
        future::poll_fn(|cx| self.poll_ready(cx)).await;
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(found) = self.lookups.poll(cx) {
            self.found.push(found);
        }
        let mut ready = !self.found.is_empty();
        for slot in &mut self.slots {
            ready |= slot.poll_stream(cx);
        }
        if !ready {
            return Poll::Pending;
        }
        self.woken.get_or_insert_with(clock::now);
        Poll::Ready(())
    }
}

/// Between two Binding requests; the middle of what NATs that forget after 30 s leave room for.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Pairs of a socket and a server: eight networks with IPv4 and IPv6, and four servers.
const MAX_SLOTS: usize = 64;
