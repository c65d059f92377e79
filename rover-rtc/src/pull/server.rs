//! A hub in a process that has no runtime.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::wait::{wait_for, wait_within};
use super::worker::Worker;
use crate::config::ServerConfig;
use crate::error::WebrtcError;
use crate::server::{self, ServerStatus, run};

/// A hub that serves, with threads of its own. Dropping it stops it and waits.
#[derive(Debug)]
pub struct Server {
    worker: Worker,
    status: ServerStatus,
    http: SocketAddr,
    udp: Vec<SocketAddr>,
    serving: Mutex<Option<Serving>>,
}

#[derive(Debug)]
struct Serving {
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

impl Server {
    /// Opens the sockets and serves.
    ///
    /// # Errors
    ///
    /// See [`Server::bind`](server::Server::bind); [`WebrtcError::Network`] if there can be no
    /// thread.
    pub fn start(config: ServerConfig) -> Result<Self, WebrtcError> {
        let worker = Worker::start(THREAD)?;
        let server = worker.run(server::Server::bind(config))?;
        let (http, udp) = (server.http_address(), server.udp_addresses().to_vec());
        let status = server.status();
        let (stop, stopped) = oneshot::channel::<()>();
        let entered = worker.enter();
        let done = tokio::spawn(run(server, async {
            let _ = stopped.await;
        }));
        drop(entered);
        let serving = Mutex::new(Some(Serving { stop, done }));
        Ok(Self { worker, status, http, udp, serving })
    }

    /// Where HTTP listens.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// The UDP addresses that clients are told.
    #[must_use]
    pub fn udp_addresses(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// What `GET /v1/status` tells, as JSON; `None` if the hub is too busy to say within a second,
    /// or has ended.
    #[must_use]
    pub fn status(&self) -> Option<Bytes> {
        wait_within(self.status.json(), PATIENCE).flatten()
    }

    /// How many clients there are, and how many of them are connected; `None` as of
    /// [`Server::status`].
    #[must_use]
    pub fn count(&self) -> Option<(usize, usize)> {
        let status = self.status()?;
        let status: serde_json::Value = serde_json::from_slice(&status).ok()?;
        let number = |name: &str| usize::try_from(status[name].as_u64()?).ok();
        Some((number("clients")?, number("connected")?))
    }

    /// Says good-bye to the clients, ends the threads and waits for that. Without effect the second
    /// time.
    pub fn stop(&self) {
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Serving { stop, done }) = serving {
            let _ = stop.send(());
            let _ = wait_for(done);
        }
        self.worker.stop();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

const THREAD: &str = "rover-hub";

const PATIENCE: Duration = Duration::from_secs(1);
