//! What one subscriber cannot leave: by that, quotas count.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, or the /64 network of an IPv6 address, which is the least that a subscriber is
/// given (RFC 6177). An IPv4-mapped address is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Prefix(IpAddr);

impl Prefix {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) if !v6.is_loopback() => {
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)))
            }
            other => other,
        })
    }

    /// Whether it is this machine. A proxy on it stands for all its users, so that quotas which
    /// count addresses do not hold for it.
    pub(crate) fn is_loopback(self) -> bool {
        self.0.is_loopback()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V6(v6) if !v6.is_loopback() => write!(f, "{v6}/64"),
            address => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let prefix = |text: &str| Prefix::of(text.parse().unwrap());
        assert_eq!(prefix("2001:db8::1"), prefix("2001:db8::ffff:1"));
        assert_ne!(prefix("2001:db8:0:1::1"), prefix("2001:db8::1"));
        assert_eq!(prefix("::ffff:192.0.2.1"), prefix("192.0.2.1"));
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.2.2"));
        assert!(prefix("::1").is_loopback() && !prefix("2001:db8::1").is_loopback());
        assert!(prefix("::ffff:127.0.0.1").is_loopback());
        let shown = ["2001:db8::9", "192.0.2.1", "::1"].map(|text| prefix(text).to_string());
        assert_eq!(shown, ["2001:db8::/64", "192.0.2.1", "::1"]);
    }
}
