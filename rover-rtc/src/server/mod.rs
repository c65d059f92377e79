//! The hub: signaling over HTTP, and clients over UDP, whose connections it watches and whose
//! messages it relays.

mod bucket;
mod claim;
mod health;
mod hub;
mod letters;
mod mailbox;
mod members;
mod names;
mod options;
mod passing;
mod post;
mod registration;
mod relay;
mod sessions;
mod status;
mod telling;
mod timers;
mod traffic;
mod web;

use std::collections::VecDeque;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::sync::mpsc;

pub use health::{attempt_connection_recovery, check_client_health};
pub use hub::Hub;
pub use options::{ServerOptions, main};
pub use web::{Command, web_request};

use crate::config::ServerConfig;
use crate::error::{NetworkError, SdpError, WebrtcError};
use crate::identity::{KnownPeers, TableError, create_dir};
use crate::link::Outgoing;
use crate::model::client::{Client, ClientOutput};
use crate::model::propagated::Propagated;
use crate::net::{RecvBatch, SocketSet, UdpSocket, is_local, select_host_address};
use crate::signal::HttpServer;
use crate::signal::message::Description;
use crate::util::clock;

/// A hub whose sockets are open; [`run`] serves on it.
#[derive(Debug)]
pub struct Server {
    hub: Hub,
    sockets: SocketSet,
    http: HttpServer,
    commands: mpsc::Receiver<Command>,
    udp: Vec<SocketAddr>,
}

impl Server {
    /// Opens the sockets.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Network`] if a UDP address cannot be used, [`WebrtcError::Server`] if HTTP
    /// cannot listen, or the roster or the names known before cannot be read.
    pub async fn bind(config: ServerConfig) -> Result<Self, WebrtcError> {
        let known = known_peers(&config).map_err(|e| WebrtcError::Server(e.to_string()))?;
        let mut sockets = SocketSet::new(config.faults.clone());
        let mut udp = Vec::new();
        for (i, address) in udp_addresses(&config)?.into_iter().enumerate() {
            let socket = UdpSocket::bind(address, None).map_err(NetworkError::from)?;
            let bound = socket.local_addr();
            let advertised = config.advertise.get(i).map(|a| match a.port() {
                0 => SocketAddr::new(a.ip(), bound.port()),
                _ => *a,
            });
            udp.push(advertised.unwrap_or(bound));
            sockets.insert(socket, advertised);
        }
        let (sender, commands) = mpsc::channel(COMMANDS);
        let handler = move |exchange| web_request(exchange, &sender);
        let http = HttpServer::bind(config.listen, config.http.clone(), handler)
            .await
            .map_err(|e| WebrtcError::Server(e.to_string()))?;
        let hub = Hub::with_names(clock::now(), config, udp.clone(), known);
        Ok(Self { hub, sockets, http, commands, udp })
    }

    /// The UDP addresses that clients are told.
    #[must_use]
    pub fn udp_addresses(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// Where HTTP listens.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http.local_addr()
    }
}

/// The hub's main loop: serves all clients until `stop` resolves; then says good-bye to them.
pub async fn run(mut server: Server, stop: impl Future<Output = ()>) {
    let mut batch = RecvBatch::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let now = clock::now();
        let Server { hub, sockets, commands, .. } = &mut server;
        if hub.poll_timeout() <= now {
            hub.handle_timeout(now);
        }
        flush(now, hub, sockets);
        let mut deadline = hub.poll_timeout();
        deadline = sockets.next_deadline().map_or(deadline, |d| deadline.min(d));
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = read_socket_input(hub, sockets, &mut batch, deadline) => {
                // A flood must not keep signaling out.
                for _ in 0..COMMAND_TURNS {
                    let Ok(command) = commands.try_recv() else { break };
                    hub.handle_command(clock::now(), command);
                }
            }
            Some(command) = commands.recv() => hub.handle_command(clock::now(), command),
        }
    }
    let Server { mut hub, mut sockets, http, .. } = server;
    let now = clock::now();
    tracing::info!(clients = hub.count().0, "shutting down");
    hub.close(now);
    flush(now, &mut hub, &mut sockets);
    http.shutdown().await;
}

/// Reads what the UDP sockets have, waiting for it until `deadline` at most, and gives it to the
/// clients it is for. Bounded: the clock has its turn after some batches.
pub async fn read_socket_input(
    hub: &mut Hub,
    sockets: &mut SocketSet,
    batch: &mut RecvBatch,
    deadline: Instant,
) {
    let Ok((mut local, _)) = tokio::time::timeout_at(deadline.into(), sockets.recv(batch)).await
    else {
        return;
    };
    for turn in 1.. {
        let now = clock::now();
        for (remote, datagram) in batch.datagrams() {
            hub.handle_datagram(now, local, remote, datagram);
        }
        if turn == RECV_TURNS {
            break;
        }
        flush(now, hub, sockets);
        match sockets.poll_recv(&mut Context::from_waker(Waker::noop()), batch) {
            Poll::Ready((next, _)) => local = next,
            Poll::Pending => break,
        }
    }
    hub.relay(clock::now());
}

/// Makes a client of an offer; returns it with the answer. Loopback addresses are offered only to
/// who is on this machine.
///
/// # Errors
///
/// If the offer is not usable.
pub fn spawn_new_client(
    now: Instant,
    hub: &Hub,
    offer: &Description,
    from: SocketAddr,
) -> Result<(Client, String), SdpError> {
    let near = from.ip().is_loopback() || is_local(from.ip());
    let locals: Vec<_> =
        hub.locals.iter().copied().filter(|l| near || !l.ip().is_loopback()).collect();
    let certificate = hub.certificate.clone();
    let (client, answer) = Client::new(now, &hub.config, certificate, &locals, offer)?;
    tracing::info!(id = %client.id(), name = client.name(), %from, "new client");
    Ok((client, answer))
}

/// Takes all that a client has to say; returns when it is to be polled again.
pub fn poll_client(
    now: Instant,
    client: &mut Client,
    mut send: impl FnMut(Outgoing),
    propagated: &mut VecDeque<Propagated>,
) -> Option<Instant> {
    loop {
        match client.poll_output(now) {
            ClientOutput::Transmit(outgoing) => send(outgoing),
            ClientOutput::Propagate(event) => propagated.push_back(event),
            ClientOutput::Connected | ClientOutput::Closed => {}
            ClientOutput::Timeout(deadline) => return deadline,
        }
    }
}

fn flush(now: Instant, hub: &mut Hub, sockets: &mut SocketSet) {
    while let Some(out) = hub.poll_transmit() {
        sockets.send(out.local, out.remote, &out.datagram);
    }
    let failed: Vec<_> = sockets.flush(now).iter().map(|f| (f.local, f.dst)).collect();
    failed.into_iter().for_each(|(local, remote)| hub.send_failed(now, local, remote));
}

fn known_peers(config: &ServerConfig) -> Result<KnownPeers, TableError> {
    let known = match &config.state {
        Some(dir) => {
            // Now, and not when the first name is to be kept: then it is too late to say so.
            let io = |source| TableError::Io { path: dir.clone(), source };
            create_dir(dir).map_err(io)?;
            KnownPeers::load(dir)?
        }
        None => KnownPeers::in_memory(),
    };
    match &config.roster {
        Some(path) => known.with_roster(path),
        None => Ok(known),
    }
}

fn udp_addresses(config: &ServerConfig) -> Result<Vec<SocketAddr>, NetworkError> {
    if !config.udp.is_empty() {
        return Ok(config.udp.clone());
    }
    let host = select_host_address().map_err(|_| NetworkError::NoInterface)?;
    let mut addresses = vec![SocketAddr::new(host, 0)];
    let loopback = IpAddr::from([127, 0, 0, 1]);
    if host != loopback {
        addresses.push(SocketAddr::new(loopback, 0));
    }
    Ok(addresses)
}

/// Signaling requests that may wait for the hub.
const COMMANDS: usize = 1024;

/// Signaling requests taken after them.
const COMMAND_TURNS: usize = 8;

/// Batches read in one go before the clock and signaling have their turn.
const RECV_TURNS: usize = 8;
