//! How many shards a hub has, on which addresses, and what each of them begins with.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::available_parallelism;

use crate::config::ServerConfig;
use crate::error::WebrtcError;
use crate::identity::{KnownPeers, TableError};
use crate::net::NetworkError;
use crate::net::{SocketSet, UdpSocket, select_host_address};
use crate::server::Hub;
use crate::server::registry::known_names::KnownNames;
use crate::server::shard::router::HubShared;
use crate::util::clock;
use crate::util::file::create_dir;

/// What all shards of a hub begin with.
#[derive(Debug)]
pub(in crate::server) struct ShardSetup {
    pub(in crate::server) config: ServerConfig,
    pub(in crate::server) shared: Arc<HubShared>,
    known: KnownNames,
    addresses: Vec<SocketAddr>,
}

impl ShardSetup {
    pub(in crate::server) fn new(config: ServerConfig) -> Result<Self, WebrtcError> {
        let known = known_peers(&config).map_err(|e| WebrtcError::Server(e.to_string()))?;
        let shared = Arc::new(HubShared::new(shards(&config)));
        let addresses = udp_addresses(&config)?;
        Ok(Self { config, shared, known: KnownNames::new(known), addresses })
    }

    /// Opens a shard's sockets, in the runtime of now; returns the addresses that clients are told,
    /// too.
    pub(in crate::server) fn open(
        &self,
        shard: usize,
    ) -> Result<(SocketSet, Vec<SocketAddr>), NetworkError> {
        let mut sockets = SocketSet::new(self.config.faults.clone());
        let mut udp = Vec::new();
        for (i, first) in self.addresses.iter().enumerate() {
            let shards = self.shared.count();
            let ports = |source| match (shards, first.port()) {
                (1, _) | (_, 0) => NetworkError::from(source),
                _ => NetworkError::Ports { shards, first: *first, source },
            };
            let address =
                moved(*first, shard).ok_or(NetworkError::NoPort { shards, first: *first })?;
            let socket = UdpSocket::bind(address, None).map_err(ports)?;
            let bound = socket.local_addr();
            let advertised = self.config.advertise.get(i).map(|a| match a.port() {
                0 => Some(SocketAddr::new(a.ip(), bound.port())),
                _ => moved(*a, shard),
            });
            let advertised = match advertised {
                Some(None) => return Err(NetworkError::NoPort { shards, first: *first }),
                Some(advertised) => advertised,
                None => None,
            };
            udp.push(advertised.unwrap_or(bound));
            sockets.insert(socket, advertised);
        }
        Ok((sockets, udp))
    }

    /// The state that a shard begins with, on these addresses.
    pub(in crate::server) fn hub(&self, shard: usize, udp: Vec<SocketAddr>) -> Hub {
        let (config, known) = (self.config.clone(), self.known.clone());
        Hub::of_shard(clock::now(), config, udp, known, (shard, self.shared.clone()))
    }
}

/// The address of a shard, where the first one has this: the port that is so much further, or
/// any.
fn moved(first: SocketAddr, shard: usize) -> Option<SocketAddr> {
    let port = match first.port() {
        0 => 0,
        port => port.checked_add(u16::try_from(shard).ok()?)?,
    };
    Some(SocketAddr::new(first.ip(), port))
}

/// As many as there are cores, unless somebody has said which addresses it shall be: what further
/// ones would take has perhaps not been opened in a firewall.
fn shards(config: &ServerConfig) -> usize {
    let shards = match config.shards {
        0 if config.udp.is_empty() => available_parallelism().map_or(1, usize::from),
        shards => shards,
    };
    shards.clamp(1, MAX_SHARDS)
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

/// More than any hub has work for.
pub(in crate::server) const MAX_SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_nothing_gets_a_shard_for_each_core() {
        let cores = available_parallelism().map_or(1, usize::from).min(MAX_SHARDS);
        let of = |udp: &[&str], shards| {
            let udp = udp.iter().map(|a| a.parse().unwrap()).collect();
            super::shards(&ServerConfig { udp, shards, ..ServerConfig::default() })
        };
        assert_eq!((of(&[], 0), of(&[], 3)), (cores, 3));
        assert_eq!((of(&["10.0.0.5:40000"], 0), of(&["10.0.0.5:40000"], 2)), (1, 2));
        assert_eq!(of(&[], 1_000_000), MAX_SHARDS);
    }

    #[test]
    fn each_shard_has_its_port() {
        let first = |port| SocketAddr::from(([10, 0, 0, 5], port));
        assert_eq!(moved(first(40_000), 3), Some(first(40_003)));
        assert_eq!(
            (moved(first(0), 3), moved(first(65_534), 1)),
            (Some(first(0)), Some(first(65_535)))
        );
        assert_eq!(moved(first(65_534), 2), None);
    }
}
