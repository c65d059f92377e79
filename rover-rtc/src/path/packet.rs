//! A datagram, told apart by its first byte (RFC 7983) and parsed once, before it is handed down.

use str0m::ice::StunMessage;

use super::frame;

/// What a datagram is.
#[derive(Debug)]
#[non_exhaustive]
// There is one at a time, on the stack, and it is handed down by reference.
#[allow(clippy::large_enum_variant)]
pub enum Packet<'a> {
    /// A STUN message, and its bytes for the agent, which parses by itself.
    Stun(StunMessage<'a>, &'a [u8]),
    /// One DTLS record, or some that came together. Not looked at yet.
    Record(&'a [u8]),
    /// A ChannelData frame: its number, and the datagram in it.
    ChannelData(u16, &'a [u8]),
}

impl<'a> Packet<'a> {
    /// Tells what a datagram is; `None` if it is nothing that is spoken here, or garbled.
    #[must_use]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        match datagram.first()? {
            0..=3 => Some(Self::Stun(StunMessage::parse(datagram).ok()?, datagram)),
            20..=63 => Some(Self::Record(datagram)),
            _ => frame::read(datagram).map(|(number, data)| Self::ChannelData(number, data)),
        }
    }
}

/// What came of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handled {
    /// Whether it was taken. Else it is of no kind that belongs here, or from a place that no STUN
    /// exchange has validated.
    pub taken: bool,
    /// Whether it was of interest to more than the paths' probes: then messages may be moved, and
    /// the link is to be pumped.
    pub moved: bool,
}

impl Handled {
    /// Nobody wants it.
    pub(crate) const REFUSED: Self = Self { taken: false, moved: false };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells() {
        let kind = |first: u8| {
            let mut datagram = [0; 24];
            datagram[0] = first;
            Packet::parse(&datagram).map(|packet| match packet {
                Packet::Stun(..) => "stun",
                Packet::Record(_) => "record",
                Packet::ChannelData(..) => "frame",
            })
        };
        for first in 0..=u8::MAX {
            let expected = match first {
                20..=63 => Some("record"),
                0x40..=0x4f => Some("frame"),
                // Without the magic cookie it is no STUN message (RFC 8489 section 5).
                _ => None,
            };
            assert_eq!(kind(first), expected, "{first}");
        }
        assert!(Packet::parse(&[]).is_none() && Packet::parse(&[0x40, 0, 0, 9, 1]).is_none());
        let (_, request) = super::super::stun::request(
            &super::super::stun::Generation {
                local: crate::util::random::ice_credentials(),
                remote: crate::util::random::ice_credentials(),
            },
            super::super::stun::Role { controlling: true, tie_breaker: 7 },
        );
        assert!(matches!(Packet::parse(&request), Some(Packet::Stun(..))));
    }
}
