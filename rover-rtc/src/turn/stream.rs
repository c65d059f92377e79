//! TCP and TLS connections to TURN servers: one task each, with bounded queues both ways.

use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::tls;
use crate::net;

/// The driver's end of a connection. When it is dropped, what is queued still goes out.
#[derive(Debug)]
pub(super) struct TurnStream {
    outbound: mpsc::Sender<Vec<u8>>,
    inbound: mpsc::Receiver<StreamEvent>,
}

/// What a connection has to tell.
#[derive(Debug)]
pub(super) enum StreamEvent {
    /// It stands; the first event, if not the last.
    Connected,
    /// Bytes of the server.
    Data(Vec<u8>),
    /// It failed or ended; the last event.
    Closed(String),
}

/// Where to, and how.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The address to connect from, by its interface.
    pub(super) local: IpAddr,
    pub(super) server: SocketAddr,
    /// With TLS: the name that the certificate must have, and a further authority.
    pub(super) tls: Option<(String, Option<PathBuf>)>,
}

impl TurnStream {
    /// Begins to connect, on a task of its own.
    pub(super) fn connect(target: Target) -> Self {
        let (outbound, to_send) = mpsc::channel(QUEUE);
        let (received, inbound) = mpsc::channel(QUEUE);
        tokio::spawn(run(target, to_send, received));
        Self { outbound, inbound }
    }

    /// Queues a message; it is lost when the queue is full, as a datagram would be.
    pub(super) fn send(&self, bytes: Vec<u8>) {
        if self.outbound.try_send(bytes).is_err() {
            tracing::trace!("a message to a turn server is lost: its connection is slow");
        }
    }

    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<StreamEvent> {
        let ended = || StreamEvent::Closed("its task ended".to_owned());
        self.inbound.poll_recv(cx).map(|event| event.unwrap_or_else(ended))
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn run(
    target: Target,
    to_send: mpsc::Receiver<Vec<u8>>,
    received: mpsc::Sender<StreamEvent>,
) {
    let connection = tokio::select! {
        connection = timeout(CONNECT_TIMEOUT, open(&target)) => connection,
        () = received.closed() => return,
    };
    let reason = match connection {
        Ok(Ok(stream)) => {
            let _ = received.send(StreamEvent::Connected).await;
            // Dropped on our side, it may finish what it has to send, but not for ever.
            let lingering = async {
                received.closed().await;
                let _ = timeout(LINGER, pending::<()>()).await;
            };
            tokio::select! {
                reason = relay(stream, to_send, &received) => reason,
                () = lingering => return,
            }
        }
        Ok(Err(error)) => format!("cannot connect: {error}"),
        Err(_) => format!("no connection within {CONNECT_TIMEOUT:?}"),
    };
    let _ = received.send(StreamEvent::Closed(reason)).await;
}

async fn open(target: &Target) -> io::Result<Box<dyn Stream>> {
    let stream = connect(target.local, target.server).await?;
    match &target.tls {
        None => Ok(Box::new(stream)),
        Some((name, ca)) => Ok(Box::new(tls::handshake(stream, name, ca.clone()).await?)),
    }
}

async fn connect(local: IpAddr, server: SocketAddr) -> io::Result<TcpStream> {
    let domain = Domain::for_address(server);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    // A network that has died says nothing. Without these, the kernel would wait for 15 minutes.
    socket.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3),
    )?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(2 * KEEPALIVE))?;
    let place = SocketAddr::new(local, 0);
    if let Some(device) = device_of(local) {
        net::pin(&socket, place, &device).map_err(io::Error::other)?;
    }
    socket.bind(&place.into())?;
    TcpSocket::from_std_stream(socket.into()).connect(server).await
}

/// The name of the interface with this address; none for loopback.
fn device_of(local: IpAddr) -> Option<String> {
    let interfaces = net::scan().ok()?;
    let found = interfaces.into_iter().find(|interface| interface.addr == local)?;
    (!found.loopback).then_some(found.name)
}

/// Moves bytes both ways until one side ends; says which.
async fn relay(
    stream: Box<dyn Stream>,
    mut to_send: mpsc::Receiver<Vec<u8>>,
    received: &mpsc::Sender<StreamEvent>,
) -> String {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let read = async {
        let mut buffer = vec![0; CHUNK];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) => return "the server closed the connection".to_owned(),
                Ok(length) => {
                    let chunk = StreamEvent::Data(buffer[..length].to_vec());
                    if received.send(chunk).await.is_err() {
                        // Nobody listens; the writer ends it.
                        return pending().await;
                    }
                }
                Err(error) => return format!("the connection broke: {error}"),
            }
        }
    };
    let write = async {
        while let Some(mut bytes) = to_send.recv().await {
            // Small messages together: one record, one segment.
            while bytes.len() < CHUNK
                && let Ok(more) = to_send.try_recv()
            {
                bytes.extend(more);
            }
            writer.write_all(&bytes).await?;
            writer.flush().await?;
        }
        writer.shutdown().await
    };
    tokio::select! {
        reason = read => reason,
        written = write => match written {
            Ok(()) => "closed".to_owned(),
            Err(error) => format!("the connection broke: {error}"),
        },
    }
}

/// How long connecting may take, with the TLS handshake: three tries of the kernel's SYN.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last messages may take.
const LINGER: Duration = Duration::from_secs(2);

/// A silent connection is asked after this time, and given up after twice as long.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Messages, and chunks, that wait in a queue at most.
const QUEUE: usize = 128;

/// Bytes of a chunk: one TLS record.
const CHUNK: usize = 16 << 10;
