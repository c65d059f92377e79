//! The hub: signaling over HTTP, and clients over UDP, whose connections it watches and whose
//! messages it relays.

mod broker;
mod entry;
mod hub;
mod registry;
mod relay;
mod shard;
mod signaling;
mod web;

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

pub use crate::server::entry::main;
pub use crate::server::hub::Hub;
pub use crate::server::hub::health::{attempt_connection_recovery, check_client_health};
pub use crate::server::shard::command_router::CommandRouter;
pub use crate::server::shard::{ShardQueues, read_socket_input};
pub use crate::server::web::{HubCommand, web_request};

use crate::server::shard::setup::ShardSetup;
use crate::server::shard::threads::ShardThreads;

use crate::config::ServerConfig;
use crate::error::WebrtcError;
use crate::http::server::HttpServer;
use crate::model::client::{Client, ClientOutput};
use crate::model::propagated::Propagated;
use crate::net::is_local;
use crate::path::Transmit;
use crate::session::SdpError;
use crate::signal::description::Description;

/// A hub whose sockets are open; [`run`] serves on it.
#[derive(Debug)]
pub struct Server {
    threads: ShardThreads,
    http: HttpServer,
    udp: Vec<SocketAddr>,
    router: CommandRouter,
}

/// Asks a hub how it fares while it serves.
#[derive(Debug, Clone)]
pub struct ServerStatus {
    router: CommandRouter,
}

impl ServerStatus {
    /// What `GET /v1/status` tells: a JSON object of numbers, and the names of registered peers.
    /// `None` if the hub is too busy to say, or has ended.
    pub async fn json(&self) -> Option<bytes::Bytes> {
        self.router.status().await
    }
}

impl Server {
    /// Opens the sockets.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::Network`] if a UDP address cannot be used, [`WebrtcError::Server`] if HTTP
    /// cannot listen, or the roster or the names known before cannot be read.
    pub async fn bind(config: ServerConfig) -> Result<Self, WebrtcError> {
        let setup = Arc::new(ShardSetup::new(config)?);
        let (router, commands) = CommandRouter::new(setup.shared.clone());
        let lines = ShardQueues::among(setup.shared.count());
        let mut threads = ShardThreads::new();
        let opened = async {
            let mut udp = Vec::new();
            for (shard, (commands, queues)) in commands.into_iter().zip(lines).enumerate() {
                udp.extend(threads.add(setup.clone(), shard, commands, queues).await?);
            }
            let asked = router.clone();
            let handler = move |exchange| web_request(exchange, &asked);
            let http = HttpServer::bind(setup.config.listen, setup.config.http.clone(), handler);
            Ok((udp, http.await.map_err(|e| WebrtcError::Server(e.to_string()))?))
        };
        match opened.await {
            Ok((udp, http)) => Ok(Self { threads, http, udp, router }),
            Err(error) => {
                // Who tries again finds the sockets closed that were open.
                threads.join().await;
                Err(error)
            }
        }
    }

    /// The UDP addresses that clients are told: those of the first shard, then of the others.
    #[must_use]
    pub fn udp_addresses(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// Who can be asked how the hub fares.
    #[must_use]
    pub fn status(&self) -> ServerStatus {
        ServerStatus { router: self.router.clone() }
    }

    /// Where HTTP listens.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http.local_addr()
    }
}

/// Lets the hub's shards serve all clients until `stop` resolves; then says good-bye to them. Each
/// shard has a thread and a runtime of its own: in one that others share, a datagram would wake one
/// thread so that it wakes another.
pub async fn run(server: Server, stop: impl Future<Output = ()>) {
    let Server { mut threads, http, .. } = server;
    threads.begin();
    tokio::select! {
        () = stop => tracing::info!("shutting down"),
        () = threads.stopped() => tracing::error!("a shard has ended"),
    }
    threads.join().await;
    http.shutdown().await;
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
    mut send: impl FnMut(Transmit),
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
