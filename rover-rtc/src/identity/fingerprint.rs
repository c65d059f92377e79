//! The SHA-256 fingerprint of a certificate.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// SHA-256 of a DTLS certificate in DER: who a peer is.
///
/// Its text is that of SDP (RFC 8122 section 5): 32 bytes in upper-case hexadecimal with colons
/// between. Reading also takes lower case, and a leading `sha-256 `.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

/// A text is no fingerprint: caused by whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 fingerprint: 32 bytes in hexadecimal with colons between are due")]
pub struct FingerprintError;

impl Fingerprint {
    /// The fingerprint of a certificate in DER. Any bytes have one: that they are a certificate is
    /// not looked at.
    #[must_use]
    pub fn of(certificate_der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, certificate_der).as_ref());
        Self(bytes)
    }

    /// The fingerprint that an SDP announces in its `a=fingerprint:sha-256` line.
    ///
    /// `None` if there is no such line, if one cannot be read or has another hash, or if two
    /// differ: a description of one peer has one certificate, and which of several DTLS would
    /// check is not for whoever wrote it to choose.
    #[must_use]
    pub fn in_sdp(sdp: &str) -> Option<Self> {
        let mut found = None;
        for line in sdp.lines() {
            if !line.to_ascii_lowercase().contains("fingerprint") {
                continue;
            }
            let value = line.strip_prefix("a=fingerprint:")?;
            let (hash, digits) = value.trim().split_once(' ')?;
            if !hash.eq_ignore_ascii_case(HASH) {
                return None;
            }
            let this = parse(digits.trim()).ok()?;
            if found.replace(this).is_some_and(|other| other != this) {
                return None;
            }
        }
        found
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<Fingerprint> for str0m::config::Fingerprint {
    fn from(from: Fingerprint) -> Self {
        Self { hash_func: HASH.to_owned(), bytes: from.0.to_vec() }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let text = text.trim();
        match text.split_once(' ') {
            Some((hash, digits)) if hash.eq_ignore_ascii_case(HASH) => parse(digits.trim()),
            Some(_) => Err(FingerprintError),
            None => parse(text),
        }
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Reads `AB:CD:..`.
fn parse(digits: &str) -> Result<Fingerprint, FingerprintError> {
    let mut bytes = [0; 32];
    let mut pairs = digits.split(':');
    for byte in &mut bytes {
        // `from_str_radix` alone would take a sign.
        let pair = pairs.next().filter(|p| p.bytes().all(|b| b.is_ascii_hexdigit()));
        let pair = pair.filter(|p| p.len() == 2).ok_or(FingerprintError)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| FingerprintError)?;
    }
    if pairs.next().is_some() {
        return Err(FingerprintError);
    }
    Ok(Fingerprint(bytes))
}

/// The name of SHA-256 in SDP (RFC 8122 section 5).
const HASH: &str = "sha-256";

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of nothing (FIPS 180-4 examples).
    const EMPTY: &str = "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:\
                         27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";

    #[test]
    fn text_goes_out_and_comes_back() {
        let of = Fingerprint::of(b"");
        assert_eq!(of.to_string(), EMPTY);
        assert_eq!(format!("{of:?}"), format!("Fingerprint({EMPTY})"));
        let lower = EMPTY.to_lowercase();
        for text in [EMPTY, &lower, &format!("sha-256 {EMPTY}"), &format!(" SHA-256  {lower}\n")] {
            assert_eq!(text.parse(), Ok(of), "{text}");
        }
        let json = serde_json::to_string(&of).unwrap();
        assert_eq!(json, format!("\"{EMPTY}\""));
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), of);
        assert!(serde_json::from_str::<Fingerprint>("\"AB\"").is_err());
    }

    #[test]
    fn other_texts_are_refused() {
        let bad = [
            String::new(),
            EMPTY[1..].to_owned(),
            EMPTY[3..].to_owned(),
            format!("{EMPTY}:"),
            format!("{EMPTY}:00"),
            EMPTY.replace(':', ""),
            EMPTY.replacen("E3", "+3", 1),
            EMPTY.replacen("E3", "\u{e9}", 1),
            format!("sha-1 {EMPTY}"),
            format!("sha-256 sha-256 {EMPTY}"),
        ];
        for text in bad {
            assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError), "{text}");
        }
    }

    #[test]
    fn reads_the_one_of_an_sdp() {
        let of = Fingerprint::of(b"");
        let line = |f: &str| format!("a=fingerprint:sha-256 {f}\r\n");
        let other = line(&Fingerprint::of(b"x").to_string());
        let ours = line(EMPTY);
        assert_eq!(Fingerprint::in_sdp(&format!("v=0\r\n{ours}a=mid:0\r\n")), Some(of));
        assert_eq!(Fingerprint::in_sdp(&format!("{ours}m=x\r\n{ours}")), Some(of));
        // DTLS would check the first one, which is whoever's.
        assert_eq!(Fingerprint::in_sdp(&format!("a=fingerprint:sha-1 AB\r\n{ours}")), None);
        for bad in [
            "v=0\r\n".to_owned(),
            "a=fingerprint:sha-1 AB:CD\r\n".to_owned(),
            "a=fingerprint:\r\n".to_owned(),
            format!("{ours}{other}"),
            format!("{ours}{}", line("AB")),
        ] {
            assert_eq!(Fingerprint::in_sdp(&bad), None, "{bad}");
        }
    }

    #[test]
    fn is_str0ms_fingerprint_of_the_same_certificate() {
        let theirs = str0m::config::Fingerprint::from(Fingerprint::of(b""));
        assert_eq!(theirs.to_string(), format!("sha-256 {EMPTY}"));
    }
}
