//! How many drivers a hub has, on which addresses, and what each of them begins with.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::available_parallelism;

use super::Hub;
use super::between::Shared;
use super::known::Known;
use crate::config::ServerConfig;
use crate::error::{NetworkError, WebrtcError};
use crate::identity::{KnownPeers, TableError, create_dir};
use crate::net::{SocketSet, UdpSocket, select_host_address};
use crate::util::clock;

/// What all drivers of a hub begin with.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) config: ServerConfig,
    pub(super) shared: Arc<Shared>,
    known: Known,
    addresses: Vec<SocketAddr>,
}

impl Plan {
    pub(super) fn new(config: ServerConfig) -> Result<Self, WebrtcError> {
        let known = known_peers(&config).map_err(|e| WebrtcError::Server(e.to_string()))?;
        let shared = Arc::new(Shared::new(drivers(&config)));
        let addresses = udp_addresses(&config)?;
        Ok(Self { config, shared, known: Known::new(known), addresses })
    }

    /// Opens a driver's sockets, in the runtime of now; returns the addresses that clients are told,
    /// too.
    pub(super) fn open(&self, driver: usize) -> Result<(SocketSet, Vec<SocketAddr>), NetworkError> {
        let mut sockets = SocketSet::new(self.config.faults.clone());
        let mut udp = Vec::new();
        for (i, first) in self.addresses.iter().enumerate() {
            let drivers = self.shared.count();
            let ports = |source| match (drivers, first.port()) {
                (1, _) | (_, 0) => NetworkError::from(source),
                _ => NetworkError::Ports { drivers, first: *first, source },
            };
            let address =
                moved(*first, driver).ok_or(NetworkError::NoPort { drivers, first: *first })?;
            let socket = UdpSocket::bind(address, None).map_err(ports)?;
            let bound = socket.local_addr();
            let advertised = self.config.advertise.get(i).map(|a| match a.port() {
                0 => Some(SocketAddr::new(a.ip(), bound.port())),
                _ => moved(*a, driver),
            });
            let advertised = match advertised {
                Some(None) => return Err(NetworkError::NoPort { drivers, first: *first }),
                Some(advertised) => advertised,
                None => None,
            };
            udp.push(advertised.unwrap_or(bound));
            sockets.insert(socket, advertised);
        }
        Ok((sockets, udp))
    }

    /// The state that a driver begins with, on these addresses.
    pub(super) fn hub(&self, driver: usize, udp: Vec<SocketAddr>) -> Hub {
        let (config, known) = (self.config.clone(), self.known.clone());
        Hub::of_driver(clock::now(), config, udp, known, (driver, self.shared.clone()))
    }
}

/// The address of a driver, where the first one has this: the port that is so much further, or
/// any.
fn moved(first: SocketAddr, driver: usize) -> Option<SocketAddr> {
    let port = match first.port() {
        0 => 0,
        port => port.checked_add(u16::try_from(driver).ok()?)?,
    };
    Some(SocketAddr::new(first.ip(), port))
}

/// As many as there are cores, unless somebody has said which addresses it shall be: what further
/// ones would take has perhaps not been opened in a firewall.
fn drivers(config: &ServerConfig) -> usize {
    let drivers = match config.drivers {
        0 if config.udp.is_empty() => available_parallelism().map_or(1, usize::from),
        drivers => drivers,
    };
    drivers.clamp(1, MAX_DRIVERS)
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
pub(super) const MAX_DRIVERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_nothing_gets_a_driver_for_each_core() {
        let cores = available_parallelism().map_or(1, usize::from).min(MAX_DRIVERS);
        let of = |udp: &[&str], drivers| {
            let udp = udp.iter().map(|a| a.parse().unwrap()).collect();
            super::drivers(&ServerConfig { udp, drivers, ..ServerConfig::default() })
        };
        assert_eq!((of(&[], 0), of(&[], 3)), (cores, 3));
        assert_eq!((of(&["10.0.0.5:40000"], 0), of(&["10.0.0.5:40000"], 2)), (1, 2));
        assert_eq!(of(&[], 1_000_000), MAX_DRIVERS);
    }

    #[test]
    fn each_driver_has_its_port() {
        let first = |port| SocketAddr::from(([10, 0, 0, 5], port));
        assert_eq!(moved(first(40_000), 3), Some(first(40_003)));
        assert_eq!(
            (moved(first(0), 3), moved(first(65_534), 1)),
            (Some(first(0)), Some(first(65_535)))
        );
        assert_eq!(moved(first(65_534), 2), None);
    }
}
