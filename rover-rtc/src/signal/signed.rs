//! Signal messages: what two peers tell each other to make and keep a transport. They are signed by
//! the writer's key and travel by any way there is, best of all by a path that the two still share.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::identity::{Fingerprint, Identity, VerifyError, verify};
use crate::link::FinalAck;
use crate::path::Redundancy;

/// A signal message of one peer to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalMessage {
    /// The writer's name.
    pub from: String,
    /// The name of who it is for.
    pub to: String,
    /// Names the transport that it is about: 128 random bits of the side that offers.
    pub call: String,
    /// Larger in each signal message of a key: an old one cannot be passed off as new.
    pub number: u64,
    /// What it says.
    pub content: Content,
}

/// What a signal message says.
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
    Bye {
        /// How far it has come with the channels of the reader. Older programs do not say, and
        /// ignore it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        acks: Vec<FinalAck>,
    },
}

/// A signal message with its writer's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedMessage {
    /// The writer's certificate: DER in base64.
    pub certificate: String,
    /// The JSON text of the [`SignalMessage`], exactly as it was signed.
    pub text: String,
    /// The signature: ECDSA P-256 with SHA-256, in base64.
    pub signature: String,
}

/// Why a signal message is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignedMessageError {
    /// It is not in the form of one: who wrote it speaks another version, or it was damaged.
    #[error("not a signal message: {0}")]
    Form(String),
    /// The signature is not the writer's: it was changed by somebody else.
    #[error(transparent)]
    Signature(#[from] VerifyError),
}

impl SignalMessage {
    /// Signs it.
    #[must_use]
    pub fn sign(&self, identity: &Identity) -> SignedMessage {
        let text = serde_json::to_string(self).expect("strings and numbers have a JSON form");
        SignedMessage {
            certificate: BASE64.encode(identity.certificate()),
            signature: BASE64.encode(identity.sign(CONTEXT, text.as_bytes())),
            text,
        }
    }
}

impl SignedMessage {
    /// Checks the signature; returns the signal message and the key of who signed it.
    ///
    /// # Errors
    ///
    /// See [`SignedMessageError`].
    pub fn verify(&self) -> Result<(SignalMessage, Fingerprint), SignedMessageError> {
        let decode =
            |text: &str| BASE64.decode(text).map_err(|e| SignedMessageError::Form(e.to_string()));
        let (certificate, signature) = (decode(&self.certificate)?, decode(&self.signature)?);
        let key = verify(&certificate, CONTEXT, self.text.as_bytes(), &signature)?;
        let signal = serde_json::from_str(&self.text)
            .map_err(|e| SignedMessageError::Form(e.to_string()))?;
        Ok((signal, key))
    }

    /// The call that it says it is about, for who cannot open it.
    #[must_use]
    pub fn claimed_call(&self) -> Option<String> {
        let signal: serde_json::Value = serde_json::from_str(&self.text).ok()?;
        signal["call"].as_str().map(str::to_owned)
    }
}

/// What a signature is for, so that it is good for nothing else.
const CONTEXT: &str = "rover-rtc letter";

#[cfg(test)]
mod tests {
    use super::*;

    fn signal() -> SignalMessage {
        let content = Content::Answer { sdp: "v=0".into() };
        let (from, to, call) = ("a".into(), "b".into(), "c1".into());
        SignalMessage { from, to, call, number: 7, content }
    }

    #[test]
    fn opens_with_the_key_of_who_sealed_it() {
        let identity = Identity::fresh().unwrap();
        let signed = signal().sign(&identity);
        let (opened, key) = signed.verify().unwrap();
        assert_eq!((opened, key), (signal(), identity.fingerprint()));
        assert_eq!(signed.claimed_call().as_deref(), Some("c1"));
    }

    #[test]
    fn a_change_is_found() {
        let signed = signal().sign(&Identity::fresh().unwrap());
        let text = signed.text.replace("\"number\":7", "\"number\":8");
        assert_ne!(text, signed.text);
        let changed = SignedMessage { text, ..signed.clone() };
        assert!(matches!(changed.verify(), Err(SignedMessageError::Signature(_))));
        let other = signal().sign(&Identity::fresh().unwrap());
        let swapped = SignedMessage { certificate: other.certificate, ..signed };
        assert!(matches!(swapped.verify(), Err(SignedMessageError::Signature(_))));
    }

    /// Programs before it had acknowledgements, and those after it may say more.
    #[test]
    fn a_good_bye_is_understood_by_programs_of_any_age() {
        #[derive(Debug, PartialEq, Deserialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        enum Former {
            Bye,
        }
        let ack = FinalAck { epoch: u64::MAX, received: 9, acked: 7 };
        let bye = Content::Bye { acks: vec![ack] };
        let text = serde_json::to_string(&bye).unwrap();
        let acks = r#"[{"epoch":18446744073709551615,"received":9,"acked":7}]"#;
        assert_eq!(text, format!(r#"{{"type":"bye","acks":{acks}}}"#));
        assert_eq!(serde_json::from_str::<Former>(&text).unwrap(), Former::Bye);
        let later =
            r#"{"why":"x","type":"bye","acks":[{"epoch":1,"received":2,"acked":2,"x":[]}]}"#;
        let read: Content = serde_json::from_str(later).unwrap();
        let ack = FinalAck { epoch: 1, received: 2, acked: 2 };
        assert_eq!(read, Content::Bye { acks: vec![ack] });
        let former = r#"{"type":"bye"}"#;
        let none = Content::Bye { acks: Vec::new() };
        assert_eq!(serde_json::from_str::<Content>(former).unwrap(), none);
        assert_eq!(serde_json::to_string(&none).unwrap(), former);
    }
}
