//! The interfaces of this host, and which of their addresses are worth a socket.
//!
//! A scan is a snapshot; who follows changes scans again.

use std::{io, net::IpAddr};

/// An address of an interface; an interface with several addresses appears as often
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Interface {
    /// The name, such as `wlan0`; what [`UdpSocket::bind`](crate::net::UdpSocket::bind) takes
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
pub fn usable<'a>(
    interfaces: &'a [Interface],
    filter: &InterfaceFilter,
) -> impl Iterator<Item = &'a Interface> {
    interfaces.iter().filter(|interface| filter.allows(interface))
}

/// Which interfaces to use; the default takes those that lead to other hosts
///
/// In the patterns of [`only`](Self::only) and [`except`](Self::except) a `*` stands for any
/// characters, or none: `wlan*`, `*.100`, `br-*`. All else stands for itself.
///
/// Link-local addresses are never used: candidates carry no interface to make them unique.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceFilter {
    /// Use loopback addresses, for peers on the same host; off by default
    pub loopback: bool,
    /// Use the bridges of containers and virtual machines; off by default
    ///
    /// They lead nowhere but into this host, and each costs a socket and its probes. One that
    /// `only` names is used anyhow.
    pub bridges: bool,
    /// Patterns of the names to use; all names by default
    ///
    /// A pattern that begins as the names of bridges do (`docker0`, `br-*`) asks for them, while
    /// `*` alone does not. Loopback has to match too, beside `loopback`.
    pub only: Vec<String>,
    /// Patterns of the names not to use, whatever `only` says; none by default
    pub except: Vec<String>,
}

impl InterfaceFilter {
    /// Whether to use `interface`
    pub fn allows(&self, interface: &Interface) -> bool {
        let name = &interface.name;
        let matching = |pattern: &String| matches(pattern, name);
        let wanted = self.only.is_empty() || self.only.iter().any(matching);
        let bridges = self.bridges || self.only.iter().any(|p| is_bridge(p) && matching(p));
        !interface.link_local
            && (self.loopback || !interface.loopback)
            && (bridges || !is_bridge(name))
            && wanted
            && !self.except.iter().any(matching)
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
        let addrs = || usable(interfaces, &filter).map(|interface| interface.addr);
        addrs().find(IpAddr::is_ipv4).or_else(|| addrs().next())
    })
}

/// Whether `pattern` stands for `name`
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(start) else { return false };
    // The parts between two stars are sought from left to right; the first place of each leaves
    // most to the next ones. Only the last part is bound to a place, the end.
    let Some((middle, end)) = rest.rsplit_once('*') else { return name.ends_with(rest) };
    let found = middle.split('*').try_fold(name, |name, part| Some(name.split_once(part)?.1));
    found.is_some_and(|name| name.ends_with(end))
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
        let names = |filter| names(&interfaces, &filter);
        assert_eq!(names(InterfaceFilter::default()), ["wlan0", "wwan0"]);
        let loopback = InterfaceFilter { loopback: true, ..InterfaceFilter::default() };
        assert_eq!(names(loopback), ["lo", "lo", "wlan0", "wwan0"]);
        let bridges = InterfaceFilter { bridges: true, ..InterfaceFilter::default() };
        assert_eq!(names(bridges), ["docker0", "wlan0", "wwan0", "br-4f2a"]);
    }

    #[test]
    fn patterns_choose_by_name() {
        let interfaces = host();
        let chosen = |only: &[&str], except: &[&str]| {
            let [only, except] = [only, except].map(|p| p.iter().map(|p| (*p).into()).collect());
            names(&interfaces, &InterfaceFilter { only, except, ..InterfaceFilter::default() })
        };
        assert_eq!(chosen(&["wlan0"], &[]), ["wlan0"]);
        assert_eq!(chosen(&["w*"], &[]), ["wlan0", "wwan0"]);
        assert_eq!(chosen(&["wwan*", "eth*"], &[]), ["wwan0"]);
        assert_eq!(chosen(&["eth*"], &[]), [""; 0]);
        assert_eq!(chosen(&[], &["wwan*"]), ["wlan0"]);
        // What is left out stays out.
        assert_eq!(chosen(&["wlan0", "wwan0"], &["wlan*"]), ["wwan0"]);
        assert_eq!(chosen(&["docker0"], &["docker0"]), [""; 0]);
        // A bridge is used where it is asked for.
        assert_eq!(chosen(&["docker0"], &[]), ["docker0"]);
        assert_eq!(chosen(&["br-*", "wlan0"], &[]), ["wlan0", "br-4f2a"]);
        assert_eq!(chosen(&["*"], &[]), ["wlan0", "wwan0"]);
        assert_eq!(chosen(&["d*", "docker9"], &[]), [""; 0]);
        // Loopback and link-local addresses are not a matter of names.
        assert_eq!(chosen(&["lo"], &[]), [""; 0]);
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name) in [
            ("wlan0", "wlan0"),
            ("*", "wlan0"),
            ("*", ""),
            ("", ""),
            ("wlan*", "wlan"),
            ("wlan*", "wlan0.7"),
            ("*.100", "eth0.100"),
            ("e*0", "eth0"),
            ("**", "x"),
            ("*a*a*", "aa"),
            ("*ab*b", "aabab"),
            ("e*.*", "eth0.100"),
            ("*.1*0", "eth0.10"),
            ("a*a", "aa"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("wlan0", "wlan01"),
            ("wlan", "wlan0"),
            ("", "x"),
            ("lan*", "wlan0"),
            ("*.100", "eth0.1001"),
            ("a*a", "a"),
            ("*a*a*", "a"),
            ("*ab*b", "ab"),
            ("e?h0", "eth0"),
            ("ETH*", "eth0"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
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

    fn names<'a>(interfaces: &'a [Interface], filter: &InterfaceFilter) -> Vec<&'a str> {
        usable(interfaces, filter).map(|interface| &interface.name[..]).collect()
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
