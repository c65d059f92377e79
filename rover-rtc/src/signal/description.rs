//! Bodies of signaling requests and answers: JSON, with the fields of a W3C session description.

use serde::{Deserialize, Serialize};

use crate::path::Redundancy;

/// An offer or answer. Unknown fields are ignored, so that browsers may send what they have.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description {
    /// Whether it is an offer or an answer.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The session description.
    pub sdp: String,
    /// What two sides that run this library tell each other beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rover: Option<Rover>,
}

/// What a [`Description`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Of the side that begins.
    Offer,
    /// To an offer.
    Answer,
}

/// Known only to this library.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rover {
    /// Version of this exchange; 1.
    pub version: u32,
    /// The peer's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// In an offer: the peer's certificate, DER in base64, under which it wants its name to be
    /// registered. It is the one that the description's fingerprint names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// In an offer: whether the peer keeps its key, so that the name can be bound to it for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
    /// In an offer: whether both sides are to send records twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redundancy: Option<Redundancy>,
    /// In an offer: the session that this one takes the place of once it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// In an answer: the session's id, as in its URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// Candidates that follow an offer or answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trickle {
    /// `candidate:...` lines.
    pub candidates: Vec<String>,
}

/// Why a request was refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// In words.
    pub error: String,
}

impl Description {
    /// An offer.
    #[must_use]
    pub fn offer(sdp: String, rover: Option<Rover>) -> Self {
        Self { kind: Kind::Offer, sdp, rover }
    }

    /// An answer.
    #[must_use]
    pub fn answer(sdp: String, rover: Option<Rover>) -> Self {
        Self { kind: Kind::Answer, sdp, rover }
    }

    /// Its JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers have a JSON form")
    }

    /// Reads a JSON text of this kind.
    ///
    /// # Errors
    ///
    /// With the reason in words, if it is none.
    pub fn from_json(text: &[u8], kind: Kind) -> Result<Self, String> {
        let read: Self = serde_json::from_slice(text).map_err(|e| format!("bad JSON: {e}"))?;
        let is = |k| if k == Kind::Offer { "an offer" } else { "an answer" };
        if read.kind == kind {
            Ok(read)
        } else {
            Err(format!("{} was sent where {} is due", is(read.kind), is(kind)))
        }
    }
}

/// The version that this library speaks.
pub const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_browsers_offer() {
        let json = br#"{"type":"offer","sdp":"v=0\r\n","extra":1}"#;
        let offer = Description::from_json(json, Kind::Offer).unwrap();
        assert_eq!((offer.sdp.as_str(), offer.rover), ("v=0\r\n", None));
        assert!(
            Description::from_json(json, Kind::Answer).unwrap_err().contains("an answer is due")
        );
        assert!(Description::from_json(b"{", Kind::Offer).unwrap_err().starts_with("bad JSON"));
    }
}
