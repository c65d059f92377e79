//! All sockets of a driver, the datagrams on their way out, and the faults between the two.

use std::{
    future, io,
    net::SocketAddr,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tracing::{debug, trace, warn};

use super::{
    Faults, RecvBatch, SocketStats, UdpSocket, Verdict,
    batch::{SendBatch, Transmit},
    delay::DelayQueue,
};
use crate::util::{limiter::Limiter, spare::add};

/// The sockets of a driver, each known by its public local address
///
/// See the [module](super) for how a driver uses it.
#[derive(Debug, Default)]
pub struct SocketSet {
    sockets: Vec<Member>,
    /// The key of the next socket; never reused, so a datagram cannot meet a wrong socket
    next_key: usize,
    /// The position at which the next receive begins
    next_recv: usize,
    queued: SendBatch,
    /// Where a turn with faults puts together what is sent; few have any
    released: Option<Box<SendBatch>>,
    delayed: DelayQueue,
    faults: Faults,
    failures: Vec<SendFailure>,
    unroutable: u64,
}

impl SocketSet {
    /// No sockets yet; `faults` rules over those that come
    pub fn new(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Adds a socket, known by `advertised`, or else by the address that it is bound to
    ///
    /// `advertised` is for a host behind a static NAT, or a socket bound to a wildcard address.
    /// A socket that was known by the same address is removed and returned.
    pub fn insert(
        &mut self,
        socket: UdpSocket,
        advertised: Option<SocketAddr>,
    ) -> Option<UdpSocket> {
        let local = advertised.unwrap_or(socket.local_addr());
        let replaced = self.remove(local);
        add(&mut self.sockets, Member::new(self.next_key, local, socket));
        self.next_key += 1;
        replaced
    }

    /// Removes a socket; what was queued for it is lost
    pub fn remove(&mut self, local: SocketAddr) -> Option<UdpSocket> {
        let position = self.sockets.iter().position(|member| member.local == local)?;
        Some(self.sockets.remove(position).socket)
    }

    /// The public local addresses of all sockets
    pub fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().map(|member| member.local)
    }

    /// Fills `batch` from the next readable socket: its address, and how many datagrams
    ///
    /// Sockets take turns, one system call each, so none waits for a busier one. An error
    /// concerns one socket, and leaves `batch` empty; the others go on. Datagrams that the fault
    /// layer drops do not show.
    pub fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut RecvBatch,
    ) -> Poll<(SocketAddr, io::Result<usize>)> {
        // Without sockets nobody else does.
        batch.clear();
        let mut pending = 0;
        while pending < self.sockets.len() {
            let position = self.next_recv % self.sockets.len();
            self.next_recv = position + 1;
            let member = &mut self.sockets[position];
            match member.poll_recv(cx, batch, &self.faults) {
                Poll::Pending => pending += 1,
                Poll::Ready(Ok(0)) => pending = 0,
                Poll::Ready(received) => return Poll::Ready((member.local, received)),
            }
        }
        Poll::Pending
    }

    /// [`poll_recv`](Self::poll_recv) as a future, which may be dropped without loss
    ///
    /// Without sockets it never resolves.
    pub async fn recv(&mut self, batch: &mut RecvBatch) -> (SocketAddr, io::Result<usize>) {
        future::poll_fn(|cx| self.poll_recv(cx, batch)).await
    }

    /// Waits until [`poll_recv`](Self::poll_recv) is worth a call; without sockets, for ever
    pub async fn readable(&self) {
        future::poll_fn(|cx| {
            // All of them, so that each will wake the caller.
            let ready = self.sockets.iter().filter(|m| m.socket.poll_readable(cx).is_ready());
            if ready.count() > 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Queues a datagram from the socket `local` for the next [`flush`](Self::flush)
    ///
    /// It is lost, and counted as [`unroutable`](Self::unroutable), when there is no such socket.
    pub fn send(&mut self, local: SocketAddr, dst: SocketAddr, datagram: &[u8]) {
        match self.sockets.iter().find(|member| member.local == local) {
            Some(member) => self.queued.push(member.key, dst, datagram),
            None => {
                trace!(%local, %dst, "no such socket");
                self.unroutable += 1;
            }
        }
    }

    /// Sends what is queued and what was delayed until now; returns what the kernel refused
    ///
    /// Nothing is tried again. A datagram that meets a full send buffer is lost and counted, but
    /// no failure: the path is fine, only slower than its sender.
    pub fn flush(&mut self, now: Instant) -> &[SendFailure] {
        self.failures.clear();
        if self.faults.is_active() || !self.delayed.is_empty() {
            self.apply_faults(now);
        }
        let Self { sockets, queued, failures, unroutable, .. } = self;
        while let Some(run) = queued.next_run(|key| max_segments(sockets, key)) {
            match find(sockets, run.socket) {
                Some(member) => failures.extend(member.send(now, &run)),
                None => *unroutable += run.datagrams as u64,
            }
        }
        failures
    }

    /// Gives back the memory of a turn that sent more than the next one is likely to
    pub fn rest(&mut self) {
        self.queued.rest();
        self.released = None;
    }

    /// When [`flush`](Self::flush) has to be called for a delayed datagram
    pub fn next_deadline(&self) -> Option<Instant> {
        self.delayed.next_due()
    }

    /// The counters of each socket
    pub fn stats(&self) -> impl Iterator<Item = (SocketAddr, SocketStats)> {
        self.sockets.iter().map(|member| (member.local, member.stats))
    }

    /// Datagrams lost because their socket was gone, or never there
    pub fn unroutable(&self) -> u64 {
        self.unroutable
    }

    /// Replaces what is queued by what the faults let out now, in the order of a real network:
    /// what was delayed until now comes before what is new
    fn apply_faults(&mut self, now: Instant) {
        let Self { sockets, queued, released, delayed, faults, unroutable, .. } = self;
        let released = released.get_or_insert_default();
        while let Some(due) = delayed.pop_due(now) {
            released.push(due.socket, due.dst, &due.datagram);
        }
        for (key, dst, datagram) in queued.datagrams() {
            let Some(member) = find(sockets, key) else {
                *unroutable += 1;
                continue;
            };
            let is_alive = match faults.on_send(now, member.local.ip(), dst.ip(), datagram.len()) {
                Verdict::Drop => false,
                Verdict::DelayUntil(due) => delayed.push(due, key, dst, datagram),
                Verdict::Pass => {
                    released.push(key, dst, datagram);
                    true
                }
            };
            member.stats.faulted += u64::from(!is_alive);
        }
        queued.clear();
        std::mem::swap(queued, &mut **released);
    }
}

/// The kernel refused to send; the path cannot work at the moment
#[derive(Debug)]
#[non_exhaustive]
pub struct SendFailure {
    /// The socket, by its public local address
    pub local: SocketAddr,
    /// Where to
    pub dst: SocketAddr,
    /// The size of the datagrams, which matters when they were too large
    pub size: usize,
    /// What the kernel said
    pub error: io::Error,
}

/// A socket and what is known of it
#[derive(Debug)]
struct Member {
    key: usize,
    local: SocketAddr,
    socket: UdpSocket,
    stats: SocketStats,
    /// How often each error is logged as a warning, by its number
    warned: Vec<(Option<i32>, Limiter)>,
}

impl Member {
    fn new(key: usize, local: SocketAddr, socket: UdpSocket) -> Self {
        Self { key, local, socket, stats: SocketStats::default(), warned: Vec::new() }
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut RecvBatch,
        faults: &Faults,
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, batch).map(|received| match received {
            Ok(count) => {
                self.stats.on_recv(batch.datagrams().map(|(_, datagram)| datagram));
                if !faults.is_active() {
                    return Ok(count);
                }
                let left = batch.retain(|from, _| faults.on_recv(self.local.ip(), from.ip()));
                self.stats.faulted += (count - left) as u64;
                Ok(left)
            }
            Err(error) => {
                self.stats.recv_errors += 1;
                Err(error)
            }
        })
    }

    fn send(&mut self, now: Instant, transmit: &Transmit<'_>) -> Option<SendFailure> {
        let Transmit { dst, contents, segment_size, .. } = *transmit;
        let sent = self.socket.try_send(dst, contents, segment_size);
        self.stats.on_send(transmit, &sent);
        let error = sent.err()?;
        if self.may_warn(now, error.raw_os_error()) {
            warn!(local = %self.local, %dst, %error, "udp send failed");
        } else {
            debug!(local = %self.local, %dst, %error, "udp send failed");
        }
        let size = segment_size.unwrap_or(contents.len());
        (error.kind() != io::ErrorKind::WouldBlock).then_some(SendFailure {
            local: self.local,
            dst,
            size,
            error,
        })
    }

    /// Whether the last warning about `errno` is long enough ago; if so, this is the next one
    fn may_warn(&mut self, now: Instant, errno: Option<i32>) -> bool {
        if !self.warned.iter().any(|(known, _)| *known == errno) {
            add(&mut self.warned, (errno, Limiter::new(1, WARN_INTERVAL)));
        }
        let limiter = self.warned.iter_mut().find(|(known, _)| *known == errno);
        limiter.is_some_and(|(_, limiter)| limiter.admit(now).is_some())
    }
}

/// A driver has few sockets, so a search beats a map.
fn find(sockets: &mut [Member], key: usize) -> Option<&mut Member> {
    sockets.iter_mut().find(|member| member.key == key)
}

/// How many datagrams the socket takes in one call
fn max_segments(sockets: &[Member], key: usize) -> usize {
    let member = sockets.iter().find(|member| member.key == key);
    member.map_or(1, |member| member.socket.max_gso_segments())
}

/// The least time between two warnings of the same kind about the same socket
const WARN_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tests::now;

    #[tokio::test]
    async fn warnings_are_limited_by_errno() {
        let socket = UdpSocket::bind(([127, 0, 0, 1], 0).into(), None).unwrap();
        let mut member = Member::new(0, socket.local_addr(), socket);
        let start = now();
        let mut at =
            |seconds, errno| member.may_warn(start + Duration::from_secs(seconds), Some(errno));
        assert!(at(0, 1));
        assert!(!at(9, 1));
        assert!(at(9, 2));
        assert!(at(10, 1));
        assert!(!at(19, 1));
        assert!(at(20, 1));
    }
}
