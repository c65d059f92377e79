//! Ways out of this host for HTTP: the system's routes, or one interface by itself.
//!
//! UDP sockets are bound to their interfaces, and a dead one costs nothing but its own path. HTTP
//! follows the default route, which stays where it is when the network behind it dies without a
//! word. So a connection that does not come up is tried by each interface in turn, and the one by
//! which it does is the first to be tried the next time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{Client, Request, Response};

use crate::net::{InterfaceFilter, scan, usable};

/// HTTP clients, one for each way that has been needed.
#[derive(Debug, Clone)]
pub(super) struct HttpRoutes {
    filter: InterfaceFilter,
    cache: Arc<Mutex<RouteCache>>,
}

#[derive(Debug)]
struct RouteCache {
    /// The client that leaves it to the routes, and those of interfaces by name.
    clients: Vec<(Option<String>, Client)>,
    /// The way that worked last.
    best: Option<String>,
}

impl HttpRoutes {
    /// By the routes, or by the interfaces that the filter lets through.
    pub(super) fn new(filter: InterfaceFilter) -> reqwest::Result<Self> {
        let cache = RouteCache { clients: vec![(None, client(None)?)], best: None };
        Ok(Self { filter, cache: Arc::new(Mutex::new(cache)) })
    }

    /// A client with which a request can be built; [`HttpRoutes::send`] decides by which it goes.
    pub(super) fn builder(&self) -> Client {
        self.cache().clients[0].1.clone()
    }

    /// Sends a request by the way that worked last, or by another where no connection comes up.
    /// What has reached the hub is never sent twice.
    pub(super) async fn send(&self, mut request: Request) -> reqwest::Result<Response> {
        let mut interface = self.cache().best.clone();
        let mut tried = Vec::new();
        loop {
            // Bodies here are texts in memory, which can be copied.
            let again = request.try_clone();
            let result = self.client(interface.clone())?.execute(request).await;
            let dead_end = result.as_ref().is_err_and(is_dead_end);
            let (true, Some(again)) = (dead_end, again) else {
                if result.is_ok() {
                    self.cache().best = interface;
                }
                return result;
            };
            tried.push(interface);
            let Some(next) = self.names().into_iter().find(|name| !tried.contains(name)) else {
                return result;
            };
            tracing::debug!(interface = next, "no connection, trying another way");
            (interface, request) = (next, again);
        }
    }

    /// All ways that there are now.
    fn names(&self) -> Vec<Option<String>> {
        let mut names = vec![None];
        if cfg!(any(target_os = "linux", target_os = "android")) {
            let interfaces = scan().unwrap_or_default();
            for interface in usable(&interfaces, &self.filter).filter(|i| !i.loopback) {
                let name = Some(interface.name.clone());
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    fn client(&self, interface: Option<String>) -> reqwest::Result<Client> {
        let mut cache = self.cache();
        if let Some((_, client)) = cache.clients.iter().find(|(name, _)| *name == interface) {
            return Ok(client.clone());
        }
        let made = client(interface.as_deref())?;
        if cache.clients.len() > MAX_CLIENTS {
            cache.clients.truncate(1);
        }
        cache.clients.push((interface, made.clone()));
        Ok(made)
    }

    fn cache(&self) -> MutexGuard<'_, RouteCache> {
        // No code under the lock can panic halfway through a change.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn client(interface: Option<&str>) -> reqwest::Result<Client> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        // A connection kept open would outlive the interface it was made on.
        .pool_max_idle_per_host(0)
        .no_proxy();
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let builder = match interface {
        Some(name) => builder.interface(name),
        None => builder,
    };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = interface;
    builder.build()
}

/// Whether no connection came up although nobody refused it: another way may lead there.
fn is_dead_end(error: &reqwest::Error) -> bool {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let refused = cause
        .downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused);
    error.is_connect() && !refused
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// For a whole call.
pub(super) const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Interfaces come and go; more clients than this belong to some that are gone.
const MAX_CLIENTS: usize = 16;
