//! What a session says about the name that it wants, and what it has shown of it.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::identity::{Fingerprint, valid_name, verify};
use crate::net::Prefix;
use crate::server::registry::OwnerId;
use crate::signal::description::Description;
use crate::signal::hub_messages::PROOF_CONTEXT;

/// A session's claim to a name.
#[derive(Debug)]
pub(in crate::server) struct Claim {
    pub(in crate::server) name: String,
    pub(in crate::server) fingerprint: Fingerprint,
    /// Whether its key is kept, so that the name can be bound to it for good.
    pub(in crate::server) kept: bool,
    certificate: Vec<u8>,
    /// Where it comes from, if it has shown no token.
    pub(in crate::server) stranger: Option<Prefix>,
    /// Who it turned out to be, once it was proven and registered.
    pub(in crate::server) owner: Option<OwnerId>,
    /// Why it is not registered although it was proven.
    pub(in crate::server) refusal: Option<String>,
    /// Whether the peer knows of `owner` or `refusal`.
    pub(in crate::server) told: bool,
    /// The last signature that was found good: a peer may show one again and again.
    shown: Vec<u8>,
    /// When it last made a call with a good signature.
    pub(in crate::server) called: Option<Instant>,
}

impl Claim {
    /// The claim in an offer; `None` if it makes none.
    ///
    /// # Errors
    ///
    /// With the reason, if the name is none, or the certificate not that of the offer.
    pub(in crate::server) fn of(offer: &Description) -> Result<Option<Self>, &'static str> {
        let Some(rover) = &offer.rover else { return Ok(None) };
        let (Some(name), Some(certificate)) = (&rover.name, &rover.certificate) else {
            return Ok(None);
        };
        if !valid_name(name) {
            return Err("a name has 1 to 64 bytes, no white space, no control characters, no '/'");
        }
        let certificate = Some(certificate).filter(|c| c.len() <= MAX_CERTIFICATE);
        let certificate = certificate.and_then(|c| BASE64.decode(c).ok());
        let certificate = certificate.ok_or("the certificate is not a short DER in base64")?;
        let fingerprint = Fingerprint::of(&certificate);
        if Fingerprint::in_sdp(&offer.sdp) != Some(fingerprint) {
            return Err("the certificate is not the one that the offer's a=fingerprint names");
        }
        Ok(Some(Self {
            name: name.clone(),
            fingerprint,
            kept: rover.kept,
            certificate,
            stranger: None,
            owner: None,
            refusal: None,
            told: false,
            shown: Vec::new(),
            called: None,
        }))
    }

    /// Whether a signature in base64 shows that its sender holds the certificate's key.
    pub(in crate::server) fn verify(&mut self, session: &str, proof: &str) -> bool {
        let proof = Some(proof.trim()).filter(|p| p.len() <= MAX_SIGNATURE);
        let Some(signature) = proof.and_then(|p| BASE64.decode(p).ok()) else { return false };
        if !self.shown.is_empty() && same(&self.shown, &signature) {
            return true;
        }
        let by = verify(&self.certificate, PROOF_CONTEXT, session.as_bytes(), &signature);
        let good = by.is_ok_and(|fingerprint| fingerprint == self.fingerprint);
        if good {
            self.shown = signature;
        }
        good
    }
}

/// Whether two secrets are the same, in a time that does not tell how much of them is.
pub(in crate::server) fn same(one: &[u8], two: &[u8]) -> bool {
    let differing = one.iter().zip(two).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differing) == 0 && one.len() == two.len()
}

/// In base64. Those of this library have some 400 bytes.
const MAX_CERTIFICATE: usize = 8 * 1024;

/// In base64: ECDSA P-256 in DER takes 72 bytes at most.
const MAX_SIGNATURE: usize = 96;
