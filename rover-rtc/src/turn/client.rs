//! One allocation on one TURN server, without I/O (RFC 8656).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{fmt, mem};

use turn_client_proto::api::{Transmit, TurnRecvRet};
use turn_client_proto::api::{TurnClientApi, TurnConfig, TurnEvent as Event, TurnPollRet};
use turn_client_proto::prelude::DelayedTransmitBuild as _;
use turn_client_proto::stun::Instant as ProtoInstant;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::types::{AddressFamily, TransportType, TurnCredentials};
use turn_client_proto::udp::TurnClientUdp;

use super::binding::{FIRST_RTO, MAX_RTO, TRIES};
use super::frame::{self, FrameBuffer};
use super::peers::Peers;
use super::requests::{Requests, Verdict};
use super::server::IceServer;

turn_client_proto::impl_client!(Client, (Udp, TurnClientUdp), (Tcp, TurnClientTcp));

/// How the bytes travel between us and the server; TLS counts as TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Each input and each transmit is one datagram.
    Udp,
    /// Input comes in chunks of any size; each transmit is a piece of the stream.
    Tcp,
}

/// What an allocation has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TurnEvent {
    /// The server relays. Comes once.
    Allocated {
        /// The address at the server that peers reach.
        relayed: SocketAddr,
        /// Our own public address as the server sees it.
        mapped: Option<SocketAddr>,
    },
    /// A peer sent a datagram to the relayed address.
    Data {
        /// Its address as the server sees it.
        peer: SocketAddr,
        /// The datagram.
        data: Vec<u8>,
    },
    /// The server does not relay; says why. The last event.
    Failed(String),
    /// The relayed address is gone: the server forgot it or could not be reached for too long.
    /// The last event.
    Expired,
}

/// An allocation and the requests that create and keep it.
///
/// Each call with a `now` may leave something for [`poll_transmit`](Self::poll_transmit) and
/// [`poll_event`](Self::poll_event), and may move [`poll_timeout`](Self::poll_timeout). Refreshes,
/// permissions (5 min), channels (10 min) and changed nonces are handled inside.
pub struct TurnAllocation {
    client: Client,
    local: SocketAddr,
    server: SocketAddr,
    transport: Transport,
    /// The zero of the client's own clock.
    base: Instant,
    frames: FrameBuffer,
    requests: Requests,
    peers: Peers,
    relayed: Option<SocketAddr>,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<TurnEvent>,
    deadline: Option<Instant>,
    done: bool,
}

impl TurnAllocation {
    /// Begins an allocation of the family of `local`.
    ///
    /// `unix_seconds` is the time for credentials made from a secret. A `stun:` server fails at
    /// once.
    #[must_use]
    pub fn new(
        now: Instant,
        ice_server: &IceServer,
        transport: Transport,
        local: SocketAddr,
        server: SocketAddr,
        unix_seconds: u64,
    ) -> Self {
        let credentials = ice_server.credentials(unix_seconds);
        let (user, password) =
            credentials.as_ref().map_or(("", ""), |c| (&c.username, c.password()));
        let mut config = TurnConfig::new(TurnCredentials::new(user, password));
        let family = if local.is_ipv6() { AddressFamily::IPV6 } else { AddressFamily::IPV4 };
        config.set_address_family(family);
        config.set_request_retransmits(FIRST_RTO, MAX_RTO, TRIES, MAX_RTO);
        let client = match transport {
            Transport::Udp => Client::Udp(TurnClientUdp::allocate(local, server, config)),
            Transport::Tcp => Client::Tcp(TurnClientTcp::allocate(local, server, config)),
        };
        let mut allocation = Self {
            client,
            local,
            server,
            transport,
            base: now,
            frames: FrameBuffer::default(),
            requests: Requests::default(),
            peers: Peers::default(),
            relayed: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            deadline: None,
            done: false,
        };
        match credentials {
            Some(_) => allocation.turn(now),
            None => allocation.end(TurnEvent::Failed("it is a STUN server".to_owned())),
        }
        allocation
    }

    /// The relayed address, once there is one.
    #[must_use]
    pub fn relayed(&self) -> Option<SocketAddr> {
        self.relayed
    }

    /// Takes a datagram, or a chunk of the stream, that came from the server.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if self.done {
            return;
        }
        match self.transport {
            Transport::Udp => self.handle_message(now, bytes),
            Transport::Tcp => {
                let mut frames = mem::take(&mut self.frames);
                frames.push(bytes);
                loop {
                    match frames.next() {
                        Ok(Some(message)) => self.handle_message(now, message),
                        Ok(None) => break,
                        Err(frame::NotTurn) => {
                            self.fail("what answers is no TURN server".to_owned());
                            break;
                        }
                    }
                }
                self.frames = frames;
            }
        }
        self.turn(now);
    }

    /// Sends a datagram from the relayed address to a peer.
    ///
    /// It is lost while there is no permission for the peer's address, which the first datagram
    /// asks for, and beyond [`MAX_PEERS`](super::MAX_PEERS) addresses. A peer that is sent more
    /// than a few gets a channel, which saves 32 bytes of each datagram.
    pub fn send(&mut self, now: Instant, peer: SocketAddr, data: &[u8]) {
        let Some(relayed) = self.relayed.filter(|_| !self.done) else { return };
        let nowhere = peer.ip().is_unspecified() || peer.ip().is_multicast() || peer.port() == 0;
        if relayed.is_ipv4() != peer.is_ipv4() || nowhere || data.len() > MAX_DATA {
            return;
        }
        let time = self.to_proto(now);
        if self.client.have_permission(TransportType::Udp, peer.ip()) {
            let built = self.client.send_to(TransportType::Udp, peer, data, time);
            if let Ok(Some(built)) = built {
                self.push(built.data.build());
            }
            if !self.peers.wants_channel(now, peer) {
                return;
            }
            let _ = self.client.bind_channel(TransportType::Udp, peer, time);
        } else {
            if !self.peers.wants_permission(now, peer.ip()) {
                return;
            }
            let _ = self.client.create_permission(TransportType::Udp, peer.ip(), time);
        }
        self.turn(now);
    }

    /// Lets time pass: retransmissions and refreshes.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.turn(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline.filter(|_| !self.done)
    }

    /// The next bytes for the server.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<TurnEvent> {
        self.events.pop_front()
    }

    /// Ends the allocation with a request of lifetime 0, which is left for
    /// [`poll_transmit`](Self::poll_transmit). It is sent once: if it is lost, the server keeps the
    /// relayed address until its lifetime (30 min) is over.
    pub fn close(&mut self, now: Instant) {
        let now = self.to_proto(now);
        if self.client.delete(now).is_ok() {
            // The client keeps its requests 50 ms apart, but this is the last one.
            for turn in 1..=LAST_REQUESTS {
                match self.client.poll_transmit(now + turn * REQUEST_PACE) {
                    Some(transmit) => self.push(transmit.data.to_vec()),
                    None => break,
                }
            }
        }
        self.done = true;
        self.relayed = None;
    }

    fn handle_message(&mut self, now: Instant, message: &[u8]) {
        if self.done {
            return;
        }
        match self.requests.judge(message) {
            Verdict::Pass => {}
            Verdict::Failed(reason) => return self.fail(reason),
            Verdict::Forgotten => return self.end(TurnEvent::Expired),
        }
        let now = self.to_proto(now);
        let transport = self.client.transport();
        let input = Transmit::new(message, transport, self.server, self.local);
        if let TurnRecvRet::PeerData(data) = self.client.recv(input, now) {
            let (peer, data) = (data.peer, data.data().to_vec());
            self.events.push_back(TurnEvent::Data { peer, data });
        }
    }

    /// Moves the client on until it has nothing more to do now.
    fn turn(&mut self, now: Instant) {
        let time = self.to_proto(now);
        for _ in 0..MAX_TURNS {
            if self.done {
                return;
            }
            while let Some(event) = self.client.poll_event() {
                self.on_event(now, event);
            }
            while let Some(transmit) = self.client.poll_transmit(time) {
                self.requests.sent(&transmit.data);
                self.push(transmit.data.to_vec());
            }
            match self.client.poll(time) {
                TurnPollRet::WaitUntil(until) if until > time => {
                    let nanos = u64::try_from(until.as_nanos()).unwrap_or(0);
                    self.deadline = Some(self.base + Duration::from_nanos(nanos));
                    return;
                }
                TurnPollRet::Closed => {
                    if self.relayed.is_none() {
                        self.fail(self.requests.refusal());
                    } else {
                        self.end(TurnEvent::Expired);
                    }
                }
                // The others belong to TCP allocations (RFC 6062), which are never made.
                _ => {}
            }
        }
        self.deadline = Some(now + SHORTLY);
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::AllocationCreated(_, relayed) if self.relayed.is_none() => {
                self.relayed = Some(relayed);
                let mapped = self.requests.mapped();
                self.events.push_back(TurnEvent::Allocated { relayed, mapped });
            }
            Event::AllocationCreateFailed(_) => self.fail(self.requests.refusal()),
            Event::PermissionCreateFailed(_, ip) => {
                tracing::debug!(server = %self.server, peer = %ip, "no turn permission");
                self.peers.permission_failed(now, ip, self.requests.take_refused());
            }
            Event::ChannelCreateFailed(_, peer) => {
                tracing::debug!(server = %self.server, %peer, "no turn channel");
                self.peers.channel_failed(now, peer, self.requests.take_refused());
            }
            _ => {}
        }
    }

    fn push(&mut self, mut bytes: Vec<u8>) {
        if self.transport == Transport::Tcp {
            frame::pad(&mut bytes);
        }
        self.transmits.push_back(bytes);
    }

    fn fail(&mut self, reason: String) {
        self.end(TurnEvent::Failed(reason));
    }

    fn end(&mut self, event: TurnEvent) {
        if !mem::replace(&mut self.done, true) {
            self.events.push_back(event);
        }
    }

    fn to_proto(&self, now: Instant) -> ProtoInstant {
        let since = now.saturating_duration_since(self.base).as_nanos();
        ProtoInstant::from_nanos(i64::try_from(since).unwrap_or(i64::MAX))
    }
}

/// Not derived: the client's own shows the password.
impl fmt::Debug for TurnAllocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnAllocation")
            .field("local", &self.local)
            .field("server", &self.server)
            .field("transport", &self.transport)
            .field("relayed", &self.relayed)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

/// Bytes of data in one message at most: the length field has 16 bits, and a STUN message needs
/// room for its other attributes.
const MAX_DATA: usize = 65_000;

/// What the client waits between two requests.
const REQUEST_PACE: Duration = Duration::from_millis(50);

/// Requests that may lie in front of the last one.
const LAST_REQUESTS: u32 = 8;

/// Turns of the client in one call, against a bug that would hold up the driver.
const MAX_TURNS: usize = 64;

/// When it goes on after that many.
const SHORTLY: Duration = Duration::from_millis(5);

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
