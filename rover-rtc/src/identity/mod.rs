//! Who a peer is, and whose word it takes.
//!
//! A peer is the key of its DTLS certificate, told by the certificate's [`Fingerprint`]. An
//! [`Identity`] holds certificate and key, in memory or in a state directory, and signs signal
//! messages (offers, answers, registrations) that travel through hands which are not trusted.
//! [`verify`] checks a signal message. [`KnownPeers`] binds names to fingerprints: by a roster
//! file, or on first use, and refuses signal messages that were seen before.
//!
//! Certificates are valid for a year by their own account, and by that of nobody else: no
//! authority signed them, so nothing here looks at dates. The fingerprint is the identity.
//!
//! Loading and storing block on the disk for some milliseconds: they happen at start, at the first
//! meeting with a peer, and for each signal message that is accepted, never for a packet.

mod error;
mod fingerprint;
mod keys;
mod known;
mod numbers;
mod pem;
mod table;
mod trust;
mod verify;

pub use error::IdentityError;
pub use fingerprint::{Fingerprint, FingerprintError};
pub use keys::Identity;
#[cfg(feature = "server")]
pub(crate) use known::Bound;
pub use known::KnownPeers;
pub(crate) use known::Terms;
pub use table::TableError;
pub use trust::{Origin, Trust, TrustError};
pub use verify::{VerifyError, verify};

pub use crate::util::name::valid_name;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_printable() {
        for good in ["a", "rover-2", "r\u{f6}ver", "a#b", "...", &"x".repeat(64)] {
            assert!(valid_name(good), "{good:?}");
        }
        let long = ["x".repeat(65), "\u{f6}".repeat(33)];
        let bad = ["", "a b", "a\t", "a\u{a0}b", "a\0", "a\u{7f}", "a/b", "#a", ".", ".."];
        for bad in bad.into_iter().chain(long.iter().map(String::as_str)) {
            assert!(!valid_name(bad), "{bad:?}");
        }
    }
}
