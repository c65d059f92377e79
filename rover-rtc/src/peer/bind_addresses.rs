//! The sockets of a transport: one for each usable address.

use std::net::{IpAddr, SocketAddr};

use crate::config::PeerConfig;
use crate::net::NetworkError;
use crate::net::{Interface, InterfaceFilter, UdpSocket, is_local, scan, usable};

/// Where a peer's traffic goes, as far as it decides about sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HubScope {
    /// To this machine: loopback addresses are used, and no socket is bound to its interface,
    /// for what is sent to an address of one's own never leaves by it.
    SameHost,
    /// To other machines.
    OtherHost,
    /// Nobody knows: signaling is the application's.
    Unknown,
}

impl HubScope {
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
        if here { Self::SameHost } else { Self::OtherHost }
    }
}

/// An address to bind, with its interface unless it is left to the routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BindAddress {
    pub(super) ip: IpAddr,
    device: Option<String>,
    /// The number that the system gave the interface: one that was unplugged comes back as
    /// another one, even under the same name.
    index: u32,
}

/// The addresses that a peer is to use now.
pub(super) fn bind_addresses(
    config: &PeerConfig,
    scope: HubScope,
) -> Result<Vec<BindAddress>, NetworkError> {
    let interfaces = scan()?;
    let bind_address = |i: &Interface| BindAddress {
        ip: i.addr,
        index: i.index,
        device: (scope != HubScope::SameHost && !i.loopback).then(|| i.name.clone()),
    };
    if !config.bind.is_empty() {
        let known = |ip: &IpAddr| interfaces.iter().find(|i| i.addr == *ip).map(bind_address);
        // Of one that no interface has, binding says what is wrong.
        let bind_address =
            |ip| known(ip).unwrap_or(BindAddress { ip: *ip, device: None, index: 0 });
        return Ok(config.bind.iter().map(bind_address).collect());
    }
    let filter = InterfaceFilter {
        loopback: scope != HubScope::OtherHost,
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
    Ok(found.into_iter().map(bind_address).collect())
}

/// Binds a socket at a place, on a port of the system's choice.
pub(super) fn bind(bind_address: &BindAddress) -> Result<UdpSocket, NetworkError> {
    let address = SocketAddr::new(bind_address.ip, 0);
    Ok(UdpSocket::bind(address, bind_address.device.as_deref())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_hub_on_this_machine() {
        for here in ["http://127.0.0.1:3000", "localhost:3000", "http://[::1]:3000/x"] {
            assert_eq!(HubScope::of(here), HubScope::SameHost, "{here}");
        }
        for away in ["http://192.0.2.7:3000", "hub.example:3000", "https://[2001:db8::1]"] {
            assert_eq!(HubScope::of(away), HubScope::OtherHost, "{away}");
        }
    }

    #[test]
    fn uses_the_interfaces_that_the_settings_name() {
        let found = |interfaces: &[&str], no_interfaces: &[&str]| {
            let [interfaces, no_interfaces] =
                [interfaces, no_interfaces].map(|list| list.iter().map(|p| (*p).into()).collect());
            let config = PeerConfig { interfaces, no_interfaces, ..PeerConfig::default() };
            bind_addresses(&config, HubScope::SameHost)
        };
        let scanned = scan().unwrap();
        let loopback = scanned.iter().find(|i| i.loopback).unwrap();
        let only = found(&[&loopback.name], &[]).unwrap();
        assert!(!only.is_empty() && only.iter().all(|bind_address| bind_address.ip.is_loopback()));
        let nothing = [found(&["no-such-*"], &[]), found(&[], &["*"]), found(&["lo*"], &["l*"])];
        assert!(nothing.iter().all(|it| matches!(it, Err(NetworkError::NoInterface))));
    }
}
