//! SHA-256 that goes on from where it was.

use std::io::{self, Read};

use aws_lc_rs::digest::{Context, SHA256};

/// The hash of what it has been given.
#[derive(Clone)]
pub(super) struct Hash(Context);

impl Hash {
    /// Of nothing.
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Of what can be read, but of so many bytes at most. Returns how many there were, too.
    pub(super) fn of(source: impl Read, bytes: u64) -> io::Result<(Self, u64)> {
        let mut source = source.take(bytes);
        let (mut hash, mut sum) = (Self::new(), 0);
        let mut buffer = vec![0; BUFFER];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok((hash, sum)),
                Ok(read) => {
                    hash.add(&buffer[..read]);
                    sum += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn add(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// In hexadecimal digits, of what it has been given so far.
    pub(super) fn hex(&self) -> String {
        let digest = self.0.clone().finish();
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

const BUFFER: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_case_of_fips_180_4() {
        let (hash, bytes) = Hash::of(&b"abcdef"[..], 3).unwrap();
        let want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((hash.hex().as_str(), bytes), (want, 3));
    }
}
