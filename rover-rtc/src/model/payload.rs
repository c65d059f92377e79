//! What the seed's peers exchange on the channel "test".
//!
//! The only file that names bincode, which is unmaintained (RUSTSEC-2025-0141): its standard
//! configuration with a size limit, and nothing may follow the value.

use bincode::{Decode, Encode, config};

/// Some bytes and when they were made.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Payload {
    /// The content.
    pub data: Vec<u8>,
    /// When it was made, in nanoseconds since the Unix epoch.
    pub timestamp: i64,
}

/// Bytes are not a [`Payload`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The bytes do not decode: the sender wrote something else, or more than [`MAX_BYTES`].
    #[error("not a payload: {0}")]
    Decode(String),
    /// Bytes follow the value.
    #[error("{0} bytes follow the payload")]
    Trailing(usize),
}

impl Payload {
    /// A payload made now.
    pub fn now(data: impl Into<Vec<u8>>) -> Self {
        Self { data: data.into(), timestamp: crate::util::clock::unix_nanos() }
    }

    /// Its bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        bincode::encode_to_vec(self, config::standard()).expect("a Vec takes all that is written")
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// If the bytes are not exactly one payload.
    pub fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let config = config::standard().with_limit::<MAX_BYTES>();
        let (payload, used) = bincode::decode_from_slice(bytes, config)
            .map_err(|e| PayloadError::Decode(e.to_string()))?;
        match bytes.len() - used {
            0 => Ok(payload),
            more => Err(PayloadError::Trailing(more)),
        }
    }
}

/// Largest payload in bytes that is read.
pub const MAX_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let payload = Payload::now(*b"hello");
        assert_eq!(Payload::decode(&payload.encode()).unwrap(), payload);
        assert!(payload.timestamp > 1_600_000_000_000_000_000);
    }

    #[test]
    fn refuses_the_rest() {
        let mut bytes = Payload::now(*b"hello").encode();
        bytes.push(0);
        assert!(matches!(Payload::decode(&bytes), Err(PayloadError::Trailing(1))));
        assert!(Payload::decode(&[]).is_err());
        // A length of 2^64 - 1 must not allocate.
        assert!(Payload::decode(&[253, 255, 255, 255, 255, 255, 255, 255, 255]).is_err());
    }
}
