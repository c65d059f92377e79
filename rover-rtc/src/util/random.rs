//! Secrets from the operating system's random source.

use str0m::IceCreds;

/// Fills an array with random bytes of the operating system.
///
/// # Panics
///
/// If the operating system has no random source: nothing secure can be done without one.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    getrandom::fill(&mut out).expect("the operating system has a random source");
    out
}

/// Fresh ICE credentials: 8 characters of user name, 32 of password, 6 bits each
/// (RFC 8445 section 5.3 asks for 24 and 128 bits at least).
#[must_use]
pub fn ice_credentials() -> IceCreds {
    IceCreds { ufrag: token::<8>(), pass: token::<32>() }
}

/// An unguessable name of `N` characters of the `ice-char` alphabet, 6 bits each; 22 hold 128 bits.
#[must_use]
pub fn token<const N: usize>() -> String {
    bytes::<N>().iter().map(|b| char::from(ALPHABET[usize::from(b & 63)])).collect()
}

/// An unguessable name for URLs: 128 bits in hexadecimal.
#[must_use]
pub fn id() -> String {
    bytes::<16>().iter().map(|b| format!("{b:02x}")).collect()
}

/// A random number.
#[must_use]
pub fn number() -> u64 {
    u64::from_le_bytes(bytes())
}

/// The `ice-char` alphabet of RFC 8839, in which `-` and `_` of base64url are `+` and `/`.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_differ_and_have_the_stated_length() {
        let (a, b) = (ice_credentials(), ice_credentials());
        assert_eq!((a.ufrag.len(), a.pass.len()), (8, 32));
        assert_ne!(a, b);
    }
}
