//! The interfaces of this host, and which of their addresses are worth a socket.
//!
//! A scan is a snapshot; who follows changes scans again.

use std::{io, net::IpAddr};

/// An address of an interface; an interface with several addresses appears as often
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Interface {
    /// The name, such as `wlan0`; what [`UdpSocket::bind`](super::UdpSocket::bind) takes
    pub name: String,
    /// The number that the kernel gave the interface
    pub index: u32,
    /// The address
    pub addr: IpAddr,
    /// Whether the address reaches this host only
    pub loopback: bool,
    /// Whether the address is valid on its own link only, and so ambiguous without the interface
    pub link_local: bool,
}

/// The addresses of all interfaces, in the order of the kernel
///
/// # Errors
///
/// What the kernel says, for example when no file descriptor is left.
pub fn scan() -> io::Result<Vec<Interface>> {
    let found = if_addrs::get_if_addrs()?;
    // Not only those that are "running": the kernel sets that up to a second after a cable or
    // radio has come up. An address that leads nowhere costs some probes, no more.
    Ok(found.into_iter().filter_map(from_kernel).collect())
}

/// The addresses that `filter` lets through
pub fn usable(
    interfaces: &[Interface],
    filter: InterfaceFilter,
) -> impl Iterator<Item = &Interface> {
    interfaces.iter().filter(move |interface| filter.allows(interface))
}

/// Which interfaces to use; the default takes those that lead to other hosts
///
/// Link-local addresses are never used: candidates carry no interface to make them unique.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceFilter {
    /// Use loopback addresses, for peers on the same host; off by default
    pub loopback: bool,
    /// Use the bridges of containers and virtual machines; off by default
    ///
    /// They lead nowhere but into this host, and each costs a socket and its probes.
    pub bridges: bool,
}

impl InterfaceFilter {
    /// Whether to use `interface`
    pub fn allows(self, interface: &Interface) -> bool {
        !interface.link_local
            && (self.loopback || !interface.loopback)
            && (self.bridges || !is_bridge(&interface.name))
    }
}

/// The address under which other hosts most likely reach this one
///
/// It is the first usable IPv4 address, else the first usable IPv6 address. The last resort, on
/// a host without a network, is the loopback address `127.0.0.1`, so that a demo works there too.
///
/// # Errors
///
/// See [`NoInterface`].
pub fn select_host_address() -> Result<IpAddr, NoInterface> {
    select(&scan().map_err(NoInterface::Scan)?).ok_or(NoInterface::Empty)
}

/// Whether `addr` is an address of this host
///
/// Asks the kernel on each call. When that fails, only loopback addresses are known.
pub fn is_local(addr: IpAddr) -> bool {
    let addr = addr.to_canonical();
    addr.is_loopback()
        || scan().is_ok_and(|found| found.iter().any(|interface| interface.addr == addr))
}

/// Why there is no address of this host
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoInterface {
    /// The kernel did not answer
    #[error("cannot list the network interfaces")]
    Scan(#[source] io::Error),
    /// Not even loopback is up: bring an interface up, for example with `ip link set lo up`
    #[error("no network interface is up: connect a network, or bring up at least loopback")]
    Empty,
}

/// `None` for an interface that vanished during the scan: it has an address but no number
fn from_kernel(found: if_addrs::Interface) -> Option<Interface> {
    Some(Interface {
        index: found.index?,
        addr: found.ip(),
        loopback: found.is_loopback(),
        link_local: is_link_local(found.ip()),
        name: found.name,
    })
}

fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// The choice of [`select_host_address`] among `interfaces`
fn select(interfaces: &[Interface]) -> Option<IpAddr> {
    let last_resort = InterfaceFilter { loopback: true, ..InterfaceFilter::default() };
    [InterfaceFilter::default(), last_resort].into_iter().find_map(|filter| {
        let addrs = || usable(interfaces, filter).map(|interface| interface.addr);
        addrs().find(IpAddr::is_ipv4).or_else(|| addrs().next())
    })
}

fn is_bridge(name: &str) -> bool {
    BRIDGE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// How Docker, libvirt and the network plugins of Kubernetes name their interfaces
const BRIDGE_PREFIXES: [&str; 6] = ["docker", "br-", "veth", "virbr", "cni", "flannel"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scan_finds_loopback() {
        let found = scan().unwrap();
        let localhost = found.iter().find(|interface| interface.addr.is_loopback()).unwrap();
        assert!(localhost.loopback && !localhost.link_local && localhost.index > 0);
    }

    #[test]
    fn the_default_leaves_out_what_leads_nowhere() {
        let interfaces = host();
        let names = |filter| usable(&interfaces, filter).map(|i| &i.name[..]).collect::<Vec<_>>();
        assert_eq!(names(InterfaceFilter::default()), ["wlan0", "wwan0"]);
        let loopback = InterfaceFilter { loopback: true, ..InterfaceFilter::default() };
        assert_eq!(names(loopback), ["lo", "lo", "wlan0", "wwan0"]);
        let bridges = InterfaceFilter { bridges: true, ..InterfaceFilter::default() };
        assert_eq!(names(bridges), ["docker0", "wlan0", "wwan0", "br-4f2a"]);
    }

    #[test]
    fn the_host_address_is_ipv4_then_ipv6_then_loopback() {
        let mut interfaces = host();
        assert_eq!(select(&interfaces), Some("10.64.0.7".parse().unwrap()));
        interfaces.retain(|interface| interface.name != "wwan0");
        assert_eq!(select(&interfaces), Some("2001:db8::7".parse().unwrap()));
        interfaces.retain(|interface| interface.name != "wlan0" || interface.link_local);
        assert_eq!(select(&interfaces), Some("127.0.0.1".parse().unwrap()));
        interfaces.retain(|interface| !interface.loopback);
        assert_eq!(select(&interfaces), None);
    }

    #[test]
    fn local_addresses_are_known() {
        assert!(is_local(select_host_address().unwrap()));
        assert!(is_local("127.0.1.1".parse().unwrap()));
        assert!(is_local("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!is_local("198.51.100.1".parse().unwrap()));
        assert!(!is_local("0.0.0.0".parse().unwrap()));
    }

    fn host() -> Vec<Interface> {
        [
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("docker0", "172.17.0.1"),
            ("wlan0", "fe80::7"),
            ("wlan0", "169.254.3.4"),
            ("wlan0", "2001:db8::7"),
            ("wwan0", "10.64.0.7"),
            ("br-4f2a", "172.18.0.1"),
        ]
        .into_iter()
        .map(|(name, addr)| {
            let addr: IpAddr = addr.parse().unwrap();
            Interface {
                name: name.into(),
                index: 1,
                addr,
                loopback: addr.is_loopback(),
                link_local: is_link_local(addr),
            }
        })
        .collect()
    }
}
