//! One UDP socket: bound to an address and, where possible, to its device, with batched calls.
//!
//! tokio tells when the socket is readable, `quinn-udp` makes the calls (`recvmmsg`, GSO, GRO,
//! no IP fragmentation). Sending never waits, so it does not go through tokio at all.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll, ready},
};

use quinn_udp::UdpSocketState;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tracing::{debug, info, warn};

use super::RecvBatch;

/// A non-blocking UDP socket that sends and receives several datagrams per system call
#[derive(Debug)]
pub struct UdpSocket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

impl UdpSocket {
    /// Binds to `addr`; port 0 lets the kernel choose
    ///
    /// With `device`, the name of an interface, traffic also leaves and enters by that interface
    /// only: the source address alone would send Wi-Fi traffic out of an LTE default route.
    /// Linux allows it to everybody since 5.7; where it is refused, this is logged as a warning
    /// and the socket works without. It is ignored for loopback addresses and outside Linux.
    /// Sockets of the same host still reach this one by its address.
    ///
    /// An IPv6 socket takes no IPv4 traffic. Both kernel buffers are set to 4 MiB, or to what
    /// the kernel allows (`net.core.rmem_max` and `wmem_max` on Linux).
    ///
    /// # Errors
    ///
    /// See [`BindError`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O enabled, like every tokio socket.
    pub fn bind(addr: SocketAddr, device: Option<&str>) -> Result<Self, BindError> {
        let failed = |source| BindError::new(addr, source);

        let domain = Domain::for_address(addr);
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        if addr.is_ipv6() {
            socket.set_only_v6(true).map_err(failed)?;
        }
        enlarge("receive", |size| socket.set_recv_buffer_size(size));
        enlarge("send", |size| socket.set_send_buffer_size(size));
        if let Some(device) = device
            && !addr.ip().is_loopback()
        {
            pin(&socket, addr, device)?;
        }
        socket.bind(&addr.into()).map_err(failed)?;

        let io = tokio::net::UdpSocket::from_std(socket.into()).map_err(failed)?;
        let state = UdpSocketState::new((&io).into()).map_err(failed)?;
        let local = io.local_addr().map_err(failed)?;
        debug!(%local, device, gso = state.max_gso_segments(), "udp socket bound");
        Ok(Self { io, state, local })
    }

    /// The address that the socket is bound to
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The number of datagrams that one [`try_send`](Self::try_send) may carry
    ///
    /// 64 with GSO on Linux, else 1. It falls to 1 for good when the device turns out not to
    /// support GSO.
    pub fn max_gso_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Fills `batch` with what has arrived, and returns the number of datagrams
    ///
    /// `batch` is emptied first, whatever comes of it: who reads it after an error finds nothing.
    /// ICMP errors, which only say that an earlier datagram of ours
    /// did not arrive, are skipped: whether a path lives is the path layer's decision.
    pub fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        batch: &mut RecvBatch,
    ) -> Poll<io::Result<usize>> {
        // Not only by what receives: to learn whether there is anything may fail, too.
        batch.clear();
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            // Within one call: what arrives after the receive is an event that stays.
            let mut drained = None;
            let received = self.io.try_io(Interest::READABLE, || {
                let count = batch
                    .fill(|buffers, meta| self.state.recv((&self.io).into(), buffers, meta))?;
                if RECEIVES_ALL && !batch.is_full() {
                    drained = Some(count);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(count)
            });
            match (drained, received) {
                // Nothing is left, and need not be asked for: tokio watches for edges.
                (Some(count), _) => return Poll::Ready(Ok(count)),
                // `try_io` has cleared the readiness, so the next turn registers the waker.
                (_, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                (_, Err(error)) if is_icmp(&error) => {
                    debug!(local = %self.local, %error, "icmp error");
                }
                (_, received) => return Poll::Ready(received),
            }
        }
    }

    /// Whether something may have arrived; an error is something, too
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_recv_ready(cx).map(drop)
    }

    /// Sends `contents` to `dst` at once
    ///
    /// With `segment_size`, `contents` holds several datagrams of that size, of which the last
    /// one may be shorter. They go out in one call where the kernel supports it, else one by one.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the send buffer is full, and whatever else the kernel says
    /// (`EMSGSIZE`, `ENETUNREACH`, `EHOSTUNREACH`, `EPERM`). Treat all of them as a warning: UDP
    /// may lose, and the next datagram may pass. With several datagrams an error means that at
    /// least one was not sent.
    pub fn try_send(
        &self,
        dst: SocketAddr,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> io::Result<()> {
        let Some(size) = segment_size.filter(|size| (1..contents.len()).contains(size)) else {
            return self.transmit(dst, contents, None);
        };
        let segments = contents.len().div_ceil(size);
        if segments <= self.max_gso_segments() {
            match self.transmit(dst, contents, Some(size)) {
                // A device without GSO fails like this once; quinn-udp has just turned it off.
                Err(error) if segments > self.max_gso_segments() => {
                    info!(local = %self.local, %error, "segmentation offload is off");
                }
                sent => return sent,
            }
        }
        contents.chunks(size).try_for_each(|segment| self.transmit(dst, segment, None))
    }

    /// Makes the system call directly: tokio learns that a fresh socket is writable only at its
    /// next turn, and nobody here waits for a full buffer to drain.
    fn transmit(
        &self,
        destination: SocketAddr,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> io::Result<()> {
        let transmit =
            quinn_udp::Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
        self.state.try_send((&self.io).into(), &transmit)
    }
}

/// Why [`UdpSocket::bind`] failed
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another socket has the port: stop its process, or choose another port, 0 for any
    #[error("udp address {addr} is in use: choose another port, or 0 for any")]
    InUse {
        /// The address asked for
        addr: SocketAddr,
    },
    /// The address has gone, or never was of this host: scan the interfaces again
    #[error("{} is not an address of this host: choose one of its interfaces", addr.ip())]
    NotLocal {
        /// The address asked for
        addr: SocketAddr,
    },
    /// The process may not use the port: choose one from 1024 on, or grant the capability
    #[error("binding udp {addr} is not permitted: ports below 1024 need CAP_NET_BIND_SERVICE")]
    NotPermitted {
        /// The address asked for
        addr: SocketAddr,
    },
    /// The interface has gone, or never existed: scan the interfaces again
    #[error("cannot bind udp {addr} to interface `{device}`: check that it exists")]
    Device {
        /// The address asked for
        addr: SocketAddr,
        /// The interface asked for
        device: String,
        /// What the kernel said
        source: io::Error,
    },
    /// The kernel refused for another reason, for example because it has no IPv6
    #[error("cannot bind a udp socket to {addr}")]
    Io {
        /// The address asked for
        addr: SocketAddr,
        /// What the kernel said
        source: io::Error,
    },
}

impl BindError {
    fn new(addr: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { addr },
            io::ErrorKind::AddrNotAvailable => Self::NotLocal { addr },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { addr },
            _ => Self::Io { addr, source },
        }
    }
}

/// Binds `socket` to the interface `device`; a missing privilege is only a warning
#[cfg(any(target_os = "linux", target_os = "android", target_os = "fuchsia"))]
pub(crate) fn pin(socket: &Socket, addr: SocketAddr, device: &str) -> Result<(), BindError> {
    match socket.bind_device(Some(device.as_bytes())) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            warn!(%addr, device, %error, "socket not bound to its interface");
            Ok(())
        }
        bound => bound.map_err(|source| BindError::Device { addr, device: device.into(), source }),
    }
}

/// Warns that the platform cannot bind a socket to an interface
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "fuchsia")))]
pub(crate) fn pin(_: &Socket, addr: SocketAddr, device: &str) -> Result<(), BindError> {
    warn!(%addr, device, "binding a socket to its interface is not supported on this system");
    Ok(())
}

/// Asks for a kernel buffer of [`BUFFER_SIZE`], and for less where that is an error (BSD, macOS);
/// Linux grants what it allows without a word
fn enlarge(which: &str, set_size: impl Fn(usize) -> io::Result<()>) {
    let mut sizes = std::iter::successors(Some(BUFFER_SIZE), |size| Some(size / 2));
    if !sizes.by_ref().take(BUFFER_TRIES).any(|size| set_size(size).is_ok()) {
        debug!(which, "udp buffer keeps its default size");
    }
}

/// Whether the error on a receive is an ICMP message about an earlier send
///
/// Windows reports it as a reset connection.
fn is_icmp(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

/// Whether a receive call takes all that is there, if it has room for it: `recvmmsg` does.
const RECEIVES_ALL: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Bytes of each kernel buffer: what a gigabit link brings while a driver is busy for 33 ms
const BUFFER_SIZE: usize = 4 << 20;

/// Sizes to try, each half of the one before: 4 MiB down to 128 KiB
const BUFFER_TRIES: usize = 6;
