//! What a peer or hub tells its owner.

use std::fmt;
use std::time::Duration;

pub use str0m::IceConnectionState;

pub use crate::link::ChannelId;
pub use crate::path::{PathKind, SwitchCause};

use crate::rendezvous::DialError;

/// An event of a peer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// An offer of this side, its password hidden.
    Offer(String),
    /// The answer to it, its password hidden.
    Answer(String),
    /// The connection's state, as the path layer sees it.
    IceConnectionStateChange(IceConnectionState),
    /// A channel can be used, for the first time or on a new transport.
    ChannelOpen(ChannelId, String),
    /// A channel was closed by the other side.
    ChannelClosed(ChannelId),
    /// A message of several pieces is coming in on a framed channel.
    Progress {
        /// The channel.
        channel: ChannelId,
        /// Bytes that are here.
        bytes: usize,
        /// Bytes of the message.
        total: usize,
    },
    /// Messages of the other side will not come: it has dropped some, or lost its state.
    Gap {
        /// The channel.
        channel: ChannelId,
        /// How many pieces (of 4 KiB at most) are missing; `None` if nobody knows, for the other
        /// side was restarted.
        lost: Option<u64>,
    },
    /// Messages of this side that `send` had taken were dropped: nobody gets them. What makes room
    /// in a full outbox, or has waited for too long, is not told like this; the statistics of the
    /// channel count all.
    Dropped {
        /// The channel.
        channel: ChannelId,
        /// How many.
        messages: u64,
        /// Why, in words for people.
        why: String,
    },
    /// The link goes on on a new transport: what had not arrived is sent once more.
    Resumed {
        /// Messages that are.
        replayed: u64,
    },
    /// The process of the other side was restarted.
    PeerRestarted,
    /// Another path carries the messages.
    PathSwitch {
        /// The local and remote address of the path now.
        path: (std::net::SocketAddr, std::net::SocketAddr),
        /// What it goes through.
        kind: PathKind,
        /// Why.
        cause: SwitchCause,
    },
    /// No path lives any more; messages wait.
    Outage,
    /// Messages flow again.
    Recovered {
        /// How long they did not.
        outage: Duration,
        /// What brought them back.
        by: Recovery,
    },
    /// ICE is being restarted through the signaling route, by this side or the hub.
    Restarting,
    /// A new transport is being dialed, for the n-th time since the link was last healthy.
    Dialing(u32),
    /// Signaling or negotiation failed; it will be tried again.
    Trouble(String),
    /// The transport is over, or the link with it: see [`DisconnectReason::ends_link`].
    Disconnected(Disconnection),
    /// The link is closed for good. If this side has not closed it,
    /// [`Event::Disconnected`] has said why just before.
    Closed,
}

/// How a transport or a link ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disconnection {
    /// Why, for programs.
    pub reason: DisconnectReason,
    /// Why, for people.
    pub text: String,
}

impl Disconnection {
    /// Of a transport, with the error that ended it; `None` if the other side has closed it.
    #[must_use]
    pub fn of_transport(error: Option<String>) -> Self {
        match error {
            Some(text) => Self { reason: DisconnectReason::TransportFailed, text },
            None => Self {
                reason: DisconnectReason::TransportClosed,
                text: "the other side said good-bye".to_owned(),
            },
        }
    }
}

/// Of a link, with the error that ended it.
impl From<&DialError> for Disconnection {
    fn from(error: &DialError) -> Self {
        let reason = match error {
            DialError::Bye(_) => DisconnectReason::Bye,
            DialError::GivenUp(_) => DisconnectReason::GivenUp,
            DialError::TimedOut { .. } => DisconnectReason::TimedOut,
            DialError::Distrusted(_) => DisconnectReason::Distrusted,
            DialError::Journal(_) => DisconnectReason::NotStored,
            DialError::Closed => DisconnectReason::Closed,
            // Of these there has never been a link.
            DialError::BadName(_)
            | DialError::Oneself(_)
            | DialError::Nameless
            | DialError::TooMany(_) => DisconnectReason::Refused,
        };
        Self { reason, text: error.to_string() }
    }
}

impl fmt::Display for Disconnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a transport or a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The transport failed; the link goes on with a new one.
    TransportFailed,
    /// The other side has closed the transport: it, or the hub, is being stopped or restarted. The
    /// link goes on with a new one.
    TransportClosed,
    /// The other peer has ended the link.
    Bye,
    /// The other peer was away for longer than links wait
    /// ([`RecoveryConfig::resume_window`](crate::RecoveryConfig::resume_window)).
    GivenUp,
    /// The other peer was not reached in the time that the call had.
    TimedOut,
    /// What came in the other peer's name was not from it.
    Distrusted,
    /// The journal could not be read or written: caused by the disk.
    NotStored,
    /// This side refuses the link: its name cannot be called, or there are too many links.
    Refused,
    /// This side has closed the link.
    Closed,
}

impl DisconnectReason {
    /// Whether the link itself is over, so that [`Event::Closed`] follows; else it goes on with a
    /// new transport.
    #[must_use]
    pub fn ends_link(self) -> bool {
        !matches!(self, Self::TransportFailed | Self::TransportClosed)
    }
}

/// What ended an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// A path of the same transport came back, or a new one was found by an ICE restart.
    Path,
    /// A new transport.
    Transport,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_whether_the_link_is_over() {
        let of = |error: DialError| Disconnection::from(&error);
        let name = || "rover-2".to_owned();
        let timed_out = DialError::TimedOut { name: name(), reason: None };
        for (error, reason) in [
            (DialError::Bye(name()), DisconnectReason::Bye),
            (DialError::GivenUp(name()), DisconnectReason::GivenUp),
            (timed_out, DisconnectReason::TimedOut),
            // The text of another reason makes it none.
            (DialError::Distrusted("rover-2 said good-bye".into()), DisconnectReason::Distrusted),
            (DialError::Journal("no space".into()), DisconnectReason::NotStored),
            (DialError::TooMany(8), DisconnectReason::Refused),
            (DialError::Closed, DisconnectReason::Closed),
        ] {
            let text = error.to_string();
            assert_eq!(of(error), Disconnection { reason, text });
            assert!(reason.ends_link());
        }
        for (error, reason) in [
            (None, DisconnectReason::TransportClosed),
            (Some("rover-2 said good-bye".to_owned()), DisconnectReason::TransportFailed),
        ] {
            assert_eq!(Disconnection::of_transport(error).reason, reason);
            assert!(!reason.ends_link());
        }
    }
}
