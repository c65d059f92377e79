//! The crypto that the transport carries, and the one hash of it that STUN needs.

use std::sync::OnceLock;

use str0m::crypto::CryptoProvider;

/// HMAC-SHA1 (RFC 2104) over the parts, one behind the other.
#[must_use]
pub fn sha1_hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    provider().sha1_hmac_provider.sha1_hmac(key, parts)
}

/// The process's crypto.
pub(crate) fn provider() -> &'static CryptoProvider {
    static PROVIDER: OnceLock<CryptoProvider> = OnceLock::new();
    PROVIDER.get_or_init(str0m::crypto::from_feature_flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_case_2_of_rfc_2202() {
        let mac = sha1_hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        let hex: String = mac.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    }
}
