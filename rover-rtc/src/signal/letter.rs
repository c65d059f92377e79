//! Letters: what two peers tell each other to make and keep a transport. They are signed by the
//! writer's key and travel by any way there is, best of all by a path that the two still share.

use serde::{Deserialize, Serialize};

use crate::path::Redundancy;

/// A letter of one peer to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The writer's name.
    pub from: String,
    /// The name of who it is for.
    pub to: String,
    /// Names the transport that it is about: 128 random bits of the side that offers.
    pub call: String,
    /// Larger in each letter of a key: an old one cannot be passed off as new.
    pub number: u64,
    /// What it says.
    pub content: Content,
}

/// What a letter says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// An offer of a new transport.
    Offer {
        /// The session description.
        sdp: String,
        /// Whether both sides are to send records twice.
        redundancy: Redundancy,
    },
    /// The answer to it.
    Answer {
        /// The session description.
        sdp: String,
    },
    /// An offer to restart ICE of a transport.
    Restart {
        /// The session description.
        sdp: String,
    },
    /// The answer to it.
    Restarted {
        /// The session description.
        sdp: String,
    },
    /// Further candidates.
    Candidates {
        /// `candidate:...` lines.
        lines: Vec<String>,
    },
    /// The writer does not know the call (any more): it was restarted, or gave it up.
    Unknown,
    /// The writer does not want the call.
    Declined {
        /// Why, and what to do.
        reason: String,
    },
    /// The writer ends the link.
    Bye,
}

/// A letter with its writer's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The writer's certificate: DER in base64.
    pub certificate: String,
    /// The JSON text of the [`Letter`], exactly as it was signed.
    pub text: String,
    /// The signature: ECDSA P-256 with SHA-256, in base64.
    pub signature: String,
}
