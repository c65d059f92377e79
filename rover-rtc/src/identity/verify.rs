//! Signed signal messages: what is signed, and how a stranger's signature is checked.

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::Fingerprint;

/// A signal message is not by the owner of the certificate that came with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The certificate cannot be read, or its key is not of ECDSA on P-256: caused by the sender.
    /// Signal messages are signed by this library only, whose certificates are all of that kind.
    #[error("the certificate is damaged, or of another kind than ECDSA P-256")]
    Certificate,
    /// The signature is not by the certificate's key, or the signal message was changed on its way.
    /// Drop the signal message.
    #[error(
        "the signature does not match: the signal message was changed, or is not by whom it says"
    )]
    Signature,
}

/// Checks that the owner of a certificate signed a message
/// ([`Identity::sign`](super::Identity::sign) with the same `context`), and returns who that is.
///
/// The certificate's dates, names and own signature are not looked at: who owns the key is all that
/// it tells. Whether that owner is trusted is for [`KnownPeers`](super::KnownPeers) to say. Anybody
/// can put a foreign public key into a certificate of their own: have the message name the
/// fingerprint that it is for, as an SDP does, if that matters.
///
/// # Errors
///
/// [`VerifyError`] for whatever is not so; no input panics.
pub fn verify(
    certificate_der: &[u8],
    context: &str,
    message: &[u8],
    signature: &[u8],
) -> Result<Fingerprint, VerifyError> {
    let der = CertificateDer::from(certificate_der);
    let certificate = EndEntityCert::try_from(&der).map_err(|_| VerifyError::Certificate)?;
    certificate
        .verify_signature(
            webpki::aws_lc_rs::ECDSA_P256_SHA256,
            &signed(context, message),
            signature,
        )
        .map_err(|e| match e {
            webpki::Error::InvalidSignatureForPublicKey => VerifyError::Signature,
            _ => VerifyError::Certificate,
        })?;
    Ok(Fingerprint::of(certificate_der))
}

/// What is signed: a context says what the message is for, so that a signature for one purpose is
/// worth nothing for another. The zero keeps it apart from the message.
pub(super) fn signed(context: &str, message: &[u8]) -> Vec<u8> {
    [context.as_bytes(), &[0], message].concat()
}

#[cfg(test)]
mod tests {
    use super::super::Identity;
    use super::*;

    #[test]
    fn takes_what_was_signed_and_nothing_else() {
        let (a, b) = (Identity::fresh().unwrap(), Identity::fresh().unwrap());
        let signature = a.sign("offer", b"message");
        let check =
            |certificate, context, message| verify(certificate, context, message, &signature);
        assert_eq!(check(a.certificate(), "offer", b"message"), Ok(a.fingerprint()));
        let refused = Err(VerifyError::Signature);
        assert_eq!(check(a.certificate(), "offer", b"messagf"), refused);
        assert_eq!(check(a.certificate(), "answer", b"message"), refused);
        assert_eq!(check(a.certificate(), "offe", b"rmessage"), refused);
        assert_eq!(check(b.certificate(), "offer", b"message"), refused);
        assert_eq!(check(b"", "offer", b"message"), Err(VerifyError::Certificate));
    }

    /// Truncated at every length, and each bit flipped: never a panic, never somebody else's word.
    #[test]
    fn survives_damage() {
        let identity = Identity::fresh().unwrap();
        let certificate = identity.certificate();
        let signature = identity.sign("offer", b"message");
        let check = |certificate: &[u8], signature: &[u8]| {
            verify(certificate, "offer", b"message", signature)
        };
        for cut in 0..certificate.len() {
            assert_eq!(check(&certificate[..cut], &signature), Err(VerifyError::Certificate));
        }
        for cut in 0..signature.len() {
            assert_eq!(check(certificate, &signature[..cut]), Err(VerifyError::Signature));
        }
        for bit in 0..signature.len() * 8 {
            assert_eq!(check(certificate, &flipped(&signature, bit)), Err(VerifyError::Signature));
        }
        for bit in 0..certificate.len() * 8 {
            // A flip outside the key may pass, but only as another identity.
            assert_ne!(check(&flipped(certificate, bit), &signature), Ok(identity.fingerprint()));
        }
        let longer = [certificate, &[0]].concat();
        assert_eq!(check(&longer, &signature), Err(VerifyError::Certificate));
        assert_eq!(
            check(certificate, &[&signature[..], &[0]].concat()),
            Err(VerifyError::Signature)
        );
    }

    fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    }
}
