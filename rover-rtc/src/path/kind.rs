//! What kind of way a path is, and the addresses that stand for the hub as a relay.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What an address at one end of a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// Of the host itself.
    Host,
    /// Of a NAT in front of it.
    Reflexive,
    /// Of a TURN server.
    Turn,
    /// Of the hub's relay: it stands for a channel, and no datagram is ever sent to it.
    Hub,
}

impl Via {
    /// By the `typ` of a candidate (RFC 8839 section 5.1).
    pub(crate) fn of_candidate(address: IpAddr, typ: &str) -> Self {
        match typ {
            _ if is_relay(address) => Self::Hub,
            "host" => Self::Host,
            "relay" => Self::Turn,
            _ => Self::Reflexive,
        }
    }
}

/// An address under which the other side may find this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address to tell.
    pub address: SocketAddr,
    /// The socket behind it.
    pub base: SocketAddr,
    /// What it is.
    pub via: Via,
}

impl LocalAddress {
    /// A socket's own address.
    #[must_use]
    pub fn host(address: SocketAddr) -> Self {
        Self { address, base: address, via: Via::Host }
    }

    /// The address that a NAT gives a socket.
    #[must_use]
    pub fn reflexive(address: SocketAddr, base: SocketAddr) -> Self {
        Self { address, base, via: Via::Reflexive }
    }

    /// The address that a TURN server gives a socket.
    #[must_use]
    pub fn turn(address: SocketAddr, base: SocketAddr) -> Self {
        Self { address, base, via: Via::Turn }
    }

    /// This end of a channel at the hub.
    #[must_use]
    pub fn hub(address: SocketAddr) -> Self {
        Self { address, base: address, via: Via::Hub }
    }

    /// As ICE names it; `None` for an address that it has no candidate for.
    pub(crate) fn candidate(self) -> Option<str0m::Candidate> {
        use str0m::Candidate;
        match self.via {
            Via::Host => Candidate::host(self.address, "udp"),
            Via::Reflexive => Candidate::server_reflexive(self.address, self.base, "udp"),
            Via::Turn | Via::Hub => Candidate::relayed(self.address, self.base, "udp"),
        }
        .ok()
    }

    /// Whether datagrams go out by it: those of a NAT's address go out by the socket.
    pub(crate) fn is_path_end(self) -> bool {
        self.via != Via::Reflexive
    }
}

/// What a path goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum PathKind {
    /// Nothing but routers: both ends see each other's own addresses.
    Direct,
    /// At least one NAT.
    Reflexive,
    /// A TURN server.
    Turn,
    /// The hub.
    Hub,
}

impl PathKind {
    /// Whether somebody passes on every datagram: such a path carries only while no other can.
    #[must_use]
    pub fn is_relayed(self) -> bool {
        matches!(self, Self::Turn | Self::Hub)
    }
}

impl std::fmt::Display for PathKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Direct => "direct",
            Self::Reflexive => "reflexive",
            Self::Turn => "turn",
            Self::Hub => "hub",
        })
    }
}

/// The addresses that stand for the two ends of a call's channel at the hub: of the side that
/// offers, and of the side that answers. Both sides know both from the call alone.
#[must_use]
pub fn relay_addresses(call: &str) -> (SocketAddr, SocketAddr) {
    let mut octets = RELAY_PREFIX;
    // The call is 128 random bits in hexadecimal; 72 of them are enough to tell calls apart.
    let digits = call.bytes().filter_map(|b| char::from(b).to_digit(16)).take(18);
    for (i, digit) in digits.enumerate() {
        octets[6 + i / 2] |= (digit as u8) << (4 * (1 - i % 2));
    }
    let end = |end: u8| {
        let mut octets = octets;
        octets[15] = end;
        SocketAddr::new(Ipv6Addr::from(octets).into(), RELAY_PORT)
    };
    (end(1), end(2))
}

/// Whether an address stands for a channel at the hub.
#[must_use]
pub fn is_relay(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.octets()[..6] == RELAY_PREFIX[..6])
}

/// A unique local prefix (RFC 4193) of our own, `fd72:6f76:6572::/48`: "rover" in ASCII.
const RELAY_PREFIX: [u8; 16] = [0xfd, 0x72, 0x6f, 0x76, 0x65, 0x72, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Any but 0; the discard port, should one of them ever leave this host.
const RELAY_PORT: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_addresses_of_their_own() {
        let (one, two) = relay_addresses("0123456789abcdef0123456789abcdef");
        assert_eq!(one.to_string(), "[fd72:6f76:6572:123:4567:89ab:cdef:101]:9");
        assert_eq!(two.to_string(), "[fd72:6f76:6572:123:4567:89ab:cdef:102]:9");
        assert!(is_relay(one.ip()) && is_relay(two.ip()));
        assert!(!is_relay("fd72:6f76:6573::1".parse().unwrap()));
        assert_ne!(one, relay_addresses("1123456789abcdef0123456789abcdef").0);
        // A call is a stranger's text.
        assert_eq!(relay_addresses("").0, relay_addresses("xyz").0);
    }
}
