//! What one local socket has to do with one server.

use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::binding::{BindingEvent, StunQuery};
use super::client::{Transport, TurnAllocation, TurnEvent};
use super::out::{End, Out};
use super::remote::{Remote, pause};
use super::server::ServerKind;
use super::stream::{StreamEvent, Target, TurnStream};
use crate::util::clock;

/// A pair of a local socket and a server, through all its tries.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) server: usize,
    pub(super) local: SocketAddr,
    state: State,
    failures: u32,
    /// The public address that was told last.
    mapped: Option<SocketAddr>,
    /// What the stream brought, until time passes.
    incoming: Vec<StreamEvent>,
}

#[derive(Debug)]
enum State {
    /// Waits for that time, and for an address of the server.
    Idle(Instant),
    /// Only asks for the public address.
    Query { server: SocketAddr, query: StunQuery },
    /// The query keeps the NAT's mapping alive, and shows when it has changed: for the server, the
    /// allocation belongs to the old one.
    Udp { server: SocketAddr, allocation: Box<TurnAllocation>, query: StunQuery, seen: Seen },
    /// The allocation begins when the connection stands.
    Stream { server: SocketAddr, stream: TurnStream, allocation: Option<Box<TurnAllocation>> },
}

/// The address from which the server saw the allocation made.
type Seen = Option<SocketAddr>;

impl Slot {
    pub(super) fn new(now: Instant, server: usize, local: SocketAddr) -> Self {
        let state = State::Idle(now);
        Self { server, local, state, failures: 0, mapped: None, incoming: Vec::new() }
    }

    /// The relayed address that hangs on this socket.
    pub(super) fn relayed(&self) -> Option<SocketAddr> {
        self.allocation().and_then(TurnAllocation::relayed)
    }

    /// Whether it waits for an address of the server, since that time or from then on.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        matches!(self.state, State::Idle(time) if time <= now)
    }

    /// Ends a pause.
    pub(super) fn retry(&mut self, now: Instant) {
        if let State::Idle(time) = &mut self.state {
            *time = (*time).min(now);
            self.failures = 0;
        }
    }

    /// Starts the next try, if its time has come and the server has an address.
    pub(super) fn start(&mut self, now: Instant, remote: &Remote, keep_alive: Duration) {
        if !self.is_idle(now) {
            return;
        }
        let Some(server) = remote.address(self.local, self.failures) else { return };
        let ice = &remote.server;
        self.incoming.clear();
        self.state = match ice.kind() {
            ServerKind::Stun => State::Query { server, query: StunQuery::new(now, keep_alive) },
            ServerKind::TurnUdp => {
                let allocation =
                    Box::new(allocate(now, remote, Transport::Udp, self.local, server));
                // Also at once: it tells the public address two round trips earlier.
                let query = StunQuery::new(now, keep_alive);
                State::Udp { server, allocation, query, seen: None }
            }
            kind @ (ServerKind::TurnTcp | ServerKind::TurnTls) => {
                let tls = (kind == ServerKind::TurnTls)
                    .then(|| (ice.host().to_owned(), ice.ca().map(Into::into)));
                let target = Target { local: self.local.ip(), server, tls };
                State::Stream { server, stream: TurnStream::connect(target), allocation: None }
            }
        };
    }

    /// Takes a datagram; `true` if it came from this server.
    pub(super) fn handle_datagram(&mut self, now: Instant, from: SocketAddr, data: &[u8]) -> bool {
        match &mut self.state {
            State::Query { server, query } if *server == from => query.handle_input(now, data),
            State::Udp { server, allocation, query, .. } if *server == from => {
                if !query.handle_input(now, data) {
                    allocation.handle_input(now, data);
                }
                true
            }
            _ => false,
        }
    }

    /// Whether datagrams from there are for this slot alone.
    pub(super) fn talks_to(&self, address: SocketAddr) -> bool {
        match &self.state {
            State::Query { server, .. } | State::Udp { server, .. } => *server == address,
            State::Idle(_) | State::Stream { .. } => false,
        }
    }

    /// Sends a datagram to a peer through the relay.
    pub(super) fn send(&mut self, now: Instant, peer: SocketAddr, data: &[u8]) {
        if let State::Udp { allocation, .. } | State::Stream { allocation: Some(allocation), .. } =
            &mut self.state
        {
            allocation.send(now, peer, data);
        }
    }

    /// Lets time pass, and takes what the stream has brought.
    pub(super) fn handle_timeout(&mut self, now: Instant, remote: &Remote, out: &mut Out) {
        let mut closed = None;
        match &mut self.state {
            State::Idle(_) => {}
            State::Query { query, .. } => query.handle_timeout(now),
            State::Udp { allocation, query, .. } => {
                allocation.handle_timeout(now);
                query.handle_timeout(now);
            }
            State::Stream { server, allocation, .. } => {
                for event in self.incoming.drain(..) {
                    match (event, &mut *allocation) {
                        (StreamEvent::Connected, allocation) => {
                            let local = SocketAddr::new(self.local.ip(), 0);
                            let new = allocate(now, remote, Transport::Tcp, local, *server);
                            *allocation = Some(Box::new(new));
                        }
                        (StreamEvent::Data(data), Some(allocation)) => {
                            allocation.handle_input(now, &data);
                        }
                        (StreamEvent::Data(_), None) => {}
                        (StreamEvent::Closed(reason), _) => closed = Some(End::Failed(reason)),
                    }
                }
                if let Some(allocation) = allocation {
                    allocation.handle_timeout(now);
                }
            }
        }
        self.drain(now, remote, out);
        if let Some(end) = closed {
            self.end(now, remote, end, out);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) or [`start`](Self::start) has to be called.
    pub(super) fn poll_timeout(&self, remote: &Remote) -> Option<Instant> {
        match &self.state {
            // Without an address, the lookup wakes it.
            State::Idle(time) => remote.address(self.local, self.failures).map(|_| *time),
            State::Query { query, .. } => Some(query.poll_timeout()),
            State::Udp { allocation, query, .. } => {
                let query = query.poll_timeout();
                Some(allocation.poll_timeout().map_or(query, |time| time.min(query)))
            }
            State::Stream { allocation, .. } => allocation.as_ref().and_then(|a| a.poll_timeout()),
        }
    }

    /// Takes what its stream has; `true` if there is something for
    /// [`handle_timeout`](Self::handle_timeout).
    pub(super) fn poll_stream(&mut self, cx: &mut Context<'_>) -> bool {
        if let State::Stream { stream, .. } = &mut self.state {
            while self.incoming.len() < MAX_INCOMING
                && !matches!(self.incoming.last(), Some(StreamEvent::Closed(_)))
                && let Poll::Ready(event) = stream.poll_recv(cx)
            {
                self.incoming.push(event);
            }
        }
        !self.incoming.is_empty()
    }

    /// Gives the relayed address back to the server. The slot is of no use afterwards.
    pub(super) fn close(&mut self, now: Instant, remote: &Remote, why: &str, out: &mut Out) {
        if let Some(relayed) = self.relayed() {
            out.lost(relayed, why);
        }
        if let State::Udp { allocation, .. } | State::Stream { allocation: Some(allocation), .. } =
            &mut self.state
        {
            allocation.close(now);
        }
        self.drain(now, remote, out);
        self.state = State::Idle(now + FORGETTING);
    }

    /// Moves out what there is to send and to tell.
    pub(super) fn drain(&mut self, now: Instant, remote: &Remote, out: &mut Out) {
        let local = self.local;
        let mut ended = None;
        match &mut self.state {
            State::Idle(_) => {}
            State::Query { server, query } => {
                let all = std::iter::from_fn(|| query.poll_transmit());
                out.transmits.extend(all.map(|data| (local, *server, data)));
                while let Some(event) = query.poll_event() {
                    match event {
                        BindingEvent::Mapped(public) => {
                            self.failures = 0;
                            out.mapped(local, public, &mut self.mapped);
                        }
                        BindingEvent::Unanswered => {
                            ended = Some(End::Failed("the server does not answer".to_owned()));
                        }
                    }
                }
            }
            State::Udp { server, allocation, query, seen } => {
                while let Some(data) = allocation.poll_transmit().or_else(|| query.poll_transmit())
                {
                    out.transmits.push_back((local, *server, data));
                }
                let relayed = allocation.relayed();
                while let Some(event) = allocation.poll_event() {
                    if let TurnEvent::Allocated { mapped, .. } = &event {
                        self.failures = 0;
                        *seen = *mapped;
                        if let Some(public) = mapped {
                            out.mapped(local, *public, &mut self.mapped);
                        }
                    }
                    ended = out.take(local, relayed, event).or(ended);
                }
                while let Some(event) = query.poll_event() {
                    if let BindingEvent::Mapped(public) = event {
                        out.mapped(local, public, &mut self.mapped);
                        if seen.is_some_and(|seen| seen != public) {
                            let end = End::Stale("the network gave the socket a new address");
                            ended = ended.or(Some(end));
                        }
                    }
                }
            }
            State::Stream { stream, allocation: Some(allocation), .. } => {
                while let Some(data) = allocation.poll_transmit() {
                    stream.send(data);
                }
                let relayed = allocation.relayed();
                while let Some(event) = allocation.poll_event() {
                    if matches!(event, TurnEvent::Allocated { .. }) {
                        self.failures = 0;
                    }
                    ended = out.take(local, relayed, event).or(ended);
                }
            }
            State::Stream { allocation: None, .. } => {}
        }
        if let Some(end) = ended {
            self.end(now, remote, end, out);
        }
    }

    /// Starts again, now or after a pause.
    fn end(&mut self, now: Instant, remote: &Remote, end: End, out: &mut Out) {
        let relayed = self.relayed();
        let pause = match &end {
            End::Failed(_) => {
                self.failures = self.failures.saturating_add(1);
                pause(self.failures)
            }
            End::Stale(_) => Duration::ZERO,
        };
        self.state = State::Idle(now + pause);
        self.incoming.clear();
        match (relayed, end) {
            (Some(relayed), End::Failed(reason)) => out.lost(relayed, &reason),
            (Some(relayed), End::Stale(reason)) => out.lost(relayed, reason),
            (None, End::Failed(reason)) => {
                out.failed(remote.server.to_string(), Some(self.local), reason);
            }
            (None, End::Stale(_)) => {}
        }
    }

    fn allocation(&self) -> Option<&TurnAllocation> {
        match &self.state {
            State::Udp { allocation, .. } | State::Stream { allocation: Some(allocation), .. } => {
                Some(allocation)
            }
            _ => None,
        }
    }
}

fn allocate(
    now: Instant,
    remote: &Remote,
    transport: Transport,
    local: SocketAddr,
    server: SocketAddr,
) -> TurnAllocation {
    let unix_seconds = u64::try_from(clock::unix_nanos() / 1_000_000_000).unwrap_or(0);
    TurnAllocation::new(now, &remote.server, transport, local, server, unix_seconds)
}

/// What a server needs to forget an allocation that was given back. coturn does it once a second,
/// and answers 437 to another one from the same socket until then.
const FORGETTING: Duration = Duration::from_millis(1200);

/// Chunks that are taken from a stream in one turn; the rest waits in its queue.
const MAX_INCOMING: usize = 32;
