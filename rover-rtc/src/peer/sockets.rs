//! The sockets of a transport: one for each usable address.

use std::net::{IpAddr, SocketAddr};

use crate::config::PeerConfig;
use crate::error::NetworkError;
use crate::net::{Interface, InterfaceFilter, UdpSocket, is_local, scan, usable};

/// Where a peer's traffic goes, as far as it decides about sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// To this machine: loopback addresses are used, and no socket is bound to its interface,
    /// for what is sent to an address of one's own never leaves by it.
    Here,
    /// To other machines.
    Away,
    /// Nobody knows: signaling is the application's.
    Anywhere,
}

impl Reach {
    /// By the host part of the hub's URL.
    pub(super) fn of(server: &str) -> Self {
        let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or(rest);
        let host = match authority.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or(v6),
            None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
        };
        let here = match host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback() || ip.is_unspecified() || is_local(ip),
            Err(_) => host == "localhost",
        };
        if here { Self::Here } else { Self::Away }
    }
}

/// An address to bind, with its interface unless it is left to the routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) ip: IpAddr,
    device: Option<String>,
    /// The number that the system gave the interface: one that was unplugged comes back as
    /// another one, even under the same name.
    index: u32,
}

/// The addresses that a peer is to use now.
pub(super) fn places(config: &PeerConfig, reach: Reach) -> Result<Vec<Place>, NetworkError> {
    let interfaces = scan()?;
    let place = |i: &Interface| Place {
        ip: i.addr,
        index: i.index,
        device: (reach != Reach::Here && !i.loopback).then(|| i.name.clone()),
    };
    if !config.bind.is_empty() {
        let known = |ip: &IpAddr| interfaces.iter().find(|i| i.addr == *ip).map(place);
        // Of one that no interface has, binding says what is wrong.
        let place = |ip| known(ip).unwrap_or(Place { ip: *ip, device: None, index: 0 });
        return Ok(config.bind.iter().map(place).collect());
    }
    let filter = InterfaceFilter {
        loopback: reach != Reach::Away,
        bridges: false,
        only: config.interfaces.clone(),
        except: config.no_interfaces.clone(),
    };
    let mut found: Vec<&Interface> = usable(&interfaces, &filter).collect();
    // ICE prefers what comes first, and loopback leads nowhere more often than not.
    found.sort_by_key(|i| (i.loopback, i.addr.is_ipv6()));
    if found.is_empty() {
        return Err(NetworkError::NoInterface);
    }
    Ok(found.into_iter().map(place).collect())
}

/// Binds a socket at a place, on a port of the system's choice.
pub(super) fn bind(place: &Place) -> Result<UdpSocket, NetworkError> {
    let address = SocketAddr::new(place.ip, 0);
    Ok(UdpSocket::bind(address, place.device.as_deref())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_hub_on_this_machine() {
        for here in ["http://127.0.0.1:3000", "localhost:3000", "http://[::1]:3000/x"] {
            assert_eq!(Reach::of(here), Reach::Here, "{here}");
        }
        for away in ["http://192.0.2.7:3000", "hub.example:3000", "https://[2001:db8::1]"] {
            assert_eq!(Reach::of(away), Reach::Away, "{away}");
        }
    }

    #[test]
    fn uses_the_interfaces_that_the_settings_name() {
        let found = |interfaces: &[&str], no_interfaces: &[&str]| {
            let [interfaces, no_interfaces] =
                [interfaces, no_interfaces].map(|list| list.iter().map(|p| (*p).into()).collect());
            let config = PeerConfig { interfaces, no_interfaces, ..PeerConfig::default() };
            places(&config, Reach::Here)
        };
        let scanned = scan().unwrap();
        let loopback = scanned.iter().find(|i| i.loopback).unwrap();
        let only = found(&[&loopback.name], &[]).unwrap();
        assert!(!only.is_empty() && only.iter().all(|place| place.ip.is_loopback()));
        let nothing = [found(&["no-such-*"], &[]), found(&[], &["*"]), found(&["lo*"], &["l*"])];
        assert!(nothing.iter().all(|it| matches!(it, Err(NetworkError::NoInterface))));
    }
}
