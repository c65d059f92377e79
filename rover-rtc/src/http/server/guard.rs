//! The listener that faces the network.
//!
//! It accepts until it is told to stop, whatever `accept` says, and gives every connection a slot,
//! a task and an end. Refusing costs less than serving: the answer is ready-made, few are given at
//! a time, and beyond that a connection is closed without a word.

#![allow(clippy::disallowed_methods, reason = "a driver: it waits by itself")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::backend::HttpHandover;
use super::connection::{Connection, ConnectionContext, refuse};
use super::exchange::HttpLimits;
use super::slots::ConnectionSlots;
use crate::util::clock;
use crate::util::limiter::Limiter;

/// The accept loop. Dropping it stops it without waiting.
#[derive(Debug)]
pub(super) struct Guard {
    local_addr: SocketAddr,
    /// Dropping it is the sign to stop.
    running: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Guard {
    /// Serves what arrives at `listener`.
    pub(super) fn start(
        listener: TcpListener,
        local_addr: SocketAddr,
        limits: HttpLimits,
        handover: Arc<HttpHandover>,
    ) -> Self {
        let (running, stop) = watch::channel(());
        let accepting = Accepting {
            slots: ConnectionSlots::new(limits.max_connections, limits.max_connections_per_address),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            stop: Stop(stop),
            tasks: JoinSet::new(),
            warnings: Limiter::new(1, WARN_INTERVAL),
            handover,
            limits,
        };
        let task = tokio::spawn(accepting.run(listener));
        Self { local_addr, running, task }
    }

    pub(super) const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Ends the accept loop and all connections.
    pub(super) async fn shutdown(self) {
        drop(self.running);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the accept loop had ended before");
        }
    }
}

/// Binds with a long queue: when a flood fills it, the system drops good clients' first packets
/// too, and they try again only after a second.
pub(super) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted hub gets its port back at once. On Windows this would mean to share the port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// The sign to stop, as the tasks see it.
#[derive(Debug, Clone)]
pub(super) struct Stop(watch::Receiver<()>);

impl Stop {
    /// Returns when it is time to stop.
    pub(super) async fn requested(&mut self) {
        // Nothing is ever sent: a change is the end of the sender.
        let _ = self.0.changed().await;
    }
}

struct Accepting {
    slots: Arc<ConnectionSlots>,
    refusals: Arc<Semaphore>,
    stop: Stop,
    tasks: JoinSet<()>,
    warnings: Limiter,
    handover: Arc<HttpHandover>,
    limits: HttpLimits,
}

impl Accepting {
    async fn run(mut self, listener: TcpListener) {
        let context = Arc::new(ConnectionContext::new(
            self.limits.clone(),
            self.handover.clone(),
            self.slots.clone(),
        ));
        loop {
            tokio::select! {
                () = self.stop.requested() => break,
                Some(ended) = self.tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "an http connection ended in a panic");
                    }
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, remote)) => self.admit(stream, remote, &context),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        warn(&mut self.warnings, &error);
                        // Too few descriptors or too little memory, and fewer connections help.
                        self.slots.shrink(clock::now());
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        // Connections have heard of the stop and end by themselves, but for the slow.
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(STOP_PATIENCE, all_ended).await.is_err() {
            self.tasks.shutdown().await;
        }
    }

    fn admit(&mut self, stream: TcpStream, remote: SocketAddr, context: &Arc<ConnectionContext>) {
        match self.slots.take(remote.ip(), clock::now()) {
            Ok((slot, eviction)) => {
                let connection =
                    Connection::new(stream, remote, slot, Arc::clone(context), self.stop.clone());
                self.tasks.spawn(connection.run(eviction));
            }
            Err(refusal) => {
                // Out of permits, the client sees its connection closed.
                if let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
                    self.tasks.spawn(async move {
                        refuse(stream, refusal).await;
                        drop(permit);
                    });
                }
            }
        }
    }
}

/// Errors that `accept` reports in place of a connection that has failed already. To pause for
/// them would let clients slow down each other.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};

    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Warns about failing accepts, but not at each.
fn warn(limiter: &mut Limiter, error: &io::Error) {
    if let Some(withheld) = limiter.admit(clock::now()) {
        tracing::warn!(%error, withheld, "cannot accept connections");
    }
}

/// The system's own limit may be lower (`net.core.somaxconn` on Linux).
const BACKLOG: u32 = 4096;
/// Refusals under way at the same time.
const MAX_REFUSALS: usize = 64;
/// For descriptors to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Between warnings about failing accepts.
const WARN_INTERVAL: Duration = Duration::from_secs(5);
/// Longer than a lingering close takes.
const STOP_PATIENCE: Duration = Duration::from_millis(800);
