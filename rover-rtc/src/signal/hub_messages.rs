//! What a named peer and its hub say to each other about other peers: JSON texts on a channel of
//! the peer's own link to the hub, or over HTTP while that link has no path.
//!
//! The hub reads the address on a signal message, never the signal message: that is signed by its
//! writer ([`SignedMessage`]), so a hub can lose, delay or repeat it, but not write one.

use serde::{Deserialize, Serialize};

use super::signed::SignedMessage;
pub use crate::link::RESERVED;
use crate::link::{ChannelConfig, Priority};

/// The channel for that, on either side.
pub(crate) fn channel() -> ChannelConfig {
    ChannelConfig { priority: Priority::High, ..ChannelConfig::plain(CHANNEL) }
}

/// What a peer asks of its hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToHub {
    /// Pass a signal message on. If nobody of that name is there, the hub says [`FromHub::Absent`]
    /// now and [`FromHub::Present`] when that changes.
    Send {
        /// The name of who gets it.
        to: String,
        /// The call that it belongs to, as in the signal message.
        call: String,
        /// Whether it offers a transport: the hub then hands out a relay channel for the call,
        /// and limits their number.
        offer: bool,
        /// The signal message.
        #[serde(rename = "letter")]
        signal: Box<SignedMessage>,
    },
    /// Hand out a relay channel for a call, again if it has one: the hub may have been restarted.
    Relay {
        /// The name of the other end.
        to: String,
        /// The call.
        call: String,
    },
    /// A call is over: its relay channel is free.
    End {
        /// The call.
        call: String,
    },
}

/// What a hub tells a named peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromHub {
    /// Others find this peer under its name now.
    Registered {
        /// The name.
        name: String,
    },
    /// Others do not find it: the name belongs to another key, for example.
    NotRegistered {
        /// The name.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A signal message of another peer.
    Deliver {
        /// The signal message.
        #[serde(rename = "letter")]
        signal: Box<SignedMessage>,
    },
    /// Datagrams of a call can go through the hub, in ChannelData frames of this number.
    Channel {
        /// The call.
        call: String,
        /// 0x4000 to 0x4FFF (RFC 8656 section 12).
        number: u16,
    },
    /// Nobody of that name is there.
    Absent {
        /// The name.
        name: String,
        /// The call that was to begin.
        call: String,
    },
    /// Somebody of a name that was asked for is there now.
    Present {
        /// The name.
        name: String,
    },
    /// A message of this peer's has been acknowledged, and nobody has got it: those who have its
    /// channel cannot take it. Earlier versions know nothing of this.
    Undelivered {
        /// The channel.
        label: String,
        /// The message's number there.
        number: u64,
        /// Its size in bytes.
        size: usize,
    },
    /// The hub did not do what it was asked to.
    Rejected {
        /// The call that this was about.
        call: String,
        /// Why, and what to do.
        reason: String,
    },
}

/// The label of the channel that carries these texts. Labels that begin with `rover-rtc/` are this
/// library's.
pub const CHANNEL: &str = "rover-rtc/signal";

/// What a peer signs to show that a session is its own; the session's id is the challenge.
pub const PROOF_CONTEXT: &str = "rover-rtc session";

/// The HTTP header with that signature, in base64.
pub const PROOF_HEADER: &str = "Rover-Proof";

/// Longest text of either kind in bytes.
pub const MAX_TEXT: usize = 64 * 1024;
