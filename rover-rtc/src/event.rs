//! What a peer or hub tells its owner.

use std::time::Duration;

pub use str0m::IceConnectionState;

pub use crate::link::ChannelId;
pub use crate::path::{PathKind, SwitchCause};

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
    /// The transport is over: the other side said good-bye, or an error that the text names.
    Disconnected(String),
    /// Closed by the application.
    Closed,
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
