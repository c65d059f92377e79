//! Why a session description was not taken.

use crate::identity::Fingerprint;

/// An offer, answer or candidate could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// No `a=ice-ufrag` and `a=ice-pwd`: the writer left them out.
    #[error("the session description names no ICE credentials (a=ice-ufrag, a=ice-pwd)")]
    Credentials,
    /// The text does not parse, or asks for what data channels have not.
    #[error("unusable session description: {0}")]
    Invalid(String),
    /// An answer came to an offer that is not open, for example after a newer offer.
    #[error("no offer of ours waits for this answer")]
    NoPendingOffer,
    /// It names another certificate than the other side's: whoever wrote it is not who was
    /// called.
    #[error("the description names the certificate {}, not {expected}",
        named.map_or_else(|| "of nobody".to_owned(), |n| n.to_string()))]
    Fingerprint {
        /// The one that is known.
        expected: Fingerprint,
        /// The one that it names.
        named: Option<Fingerprint>,
    },
    /// This side has no channel to offer.
    #[error("nothing to offer: open a channel first")]
    NothingToOffer,
}
