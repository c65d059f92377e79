//! A certificate with its key, kept in a file or not.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use str0m::config::DtlsCert;

use super::error::IdentityError;
use super::numbers::Numbers;
use super::verify::{signed, verify};
use super::{Fingerprint, pem};
use crate::util::file;

/// A DTLS certificate with its private key, and the numbers of the signal messages that it signs.
///
/// `Debug` shows the fingerprint, never the key.
pub struct Identity {
    dtls: DtlsCert,
    key: EcdsaKeyPair,
    fingerprint: Fingerprint,
    numbers: Mutex<Numbers>,
    /// Holds the lock on the file as long as the identity lives. None if it is not kept.
    lock: Option<File>,
}

impl Identity {
    /// A new identity that ends with the process.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Generate`].
    pub fn fresh() -> Result<Self, IdentityError> {
        let provider = crate::util::crypto::provider().dtls_provider;
        let dtls = provider.generate_certificate().ok_or(IdentityError::Generate)?;
        Self::new(dtls).map_err(|_| IdentityError::Generate)
    }

    /// The identity kept in a state directory, made there the first time: `identity.pem` with
    /// certificate and key (`openssl x509 -in identity.pem -fingerprint -sha256` shows who it is),
    /// and `last_number`. The directory is created with mode 0700, the files with 0600.
    ///
    /// The file is locked until the identity is dropped. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// [`IdentityError`]. A file that is there is never replaced.
    pub fn load_or_create(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(FILE);
        let io = |source| IdentityError::Io { path: path.clone(), source };
        let mut opened = match file::open(&path).map_err(io)? {
            Some(opened) => opened,
            None => {
                let new = Self::fresh()?;
                file::create_dir(dir)
                    .and_then(|()| file::replace(&path, &pem::write(&new.dtls)))
                    .map_err(io)?;
                File::open(&path).map_err(io)?
            }
        };
        refuse_exposed(&opened, &path)?;
        match opened.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(IdentityError::InUse { path }),
            // Some network file systems have no locks.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        let mut identity = Self::read(&mut opened, &path)?;
        identity.numbers = Mutex::new(Numbers::load(dir.join(NUMBER_FILE))?);
        identity.lock = Some(opened);
        Ok(identity)
    }

    /// Who the identity in a state directory is, also while another process uses it; `None` if
    /// there is none. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// [`IdentityError`], but not `InUse`.
    pub fn fingerprint_in(dir: &Path) -> Result<Option<Fingerprint>, IdentityError> {
        let path = dir.join(FILE);
        let opened = file::open(&path);
        let opened = opened.map_err(|source| IdentityError::Io { path: path.clone(), source })?;
        let read = |mut opened| Self::read(&mut opened, &path);
        Ok(opened.map(read).transpose()?.map(|identity| identity.fingerprint))
    }

    /// Its certificate in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.dtls.certificate
    }

    /// Certificate and key for
    /// [`SessionConfig::certificate`](crate::session::SessionConfig::certificate).
    #[must_use]
    pub fn dtls(&self) -> DtlsCert {
        self.dtls.clone()
    }

    /// Who it is.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Whether it is kept in a state directory, and so the same after a restart.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.lock.is_some()
    }

    /// Signs a message: ECDSA on P-256 with SHA-256, in DER (at most 72 bytes), over `context`, a
    /// zero byte and `message`; [`verify`] is the other side of it. `context` says what the message
    /// is for: a constant text without a zero byte.
    ///
    /// # Panics
    ///
    /// If the operating system has no random source.
    #[must_use]
    pub fn sign(&self, context: &str, message: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(&SystemRandom::new(), &signed(context, message));
        signature.expect("the key was tried at its making").as_ref().to_vec()
    }

    /// A number for the next signal message, larger than all before: the time in nanoseconds since
    /// the Unix epoch, or one more than the last if the clock has not moved on. For a kept identity
    /// that holds across restarts too, even if the clock goes backwards; it writes a file, at most
    /// once a minute. If that fails, a warning is logged.
    pub fn next_number(&self, unix_nanos: u64) -> u64 {
        // Nothing in there can be left half done by a panic.
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).next(unix_nanos)
    }

    /// Reads certificate and key.
    fn read(opened: &mut File, path: &Path) -> Result<Self, IdentityError> {
        let garbled = |reason| IdentityError::Garbled { path: path.to_owned(), reason };
        let text = file::read(opened, MAX_FILE).map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData => garbled("not a text"),
            _ => IdentityError::Io { path: path.to_owned(), source },
        })?;
        pem::read(&text).and_then(Self::new).map_err(garbled)
    }

    /// Takes a certificate and key that belong together.
    fn new(dtls: DtlsCert) -> Result<Self, &'static str> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &dtls.private_key)
            .map_err(|_| "the key is damaged, or not of ECDSA P-256")?;
        let trial = key.sign(&SystemRandom::new(), &signed("trial", b""));
        let trial = trial.map_err(|_| "the key does not sign")?;
        let fingerprint = verify(&dtls.certificate, "trial", b"", trial.as_ref())
            .map_err(|_| "the certificate is damaged, or not that of the key")?;
        let numbers = Mutex::new(Numbers::in_memory());
        Ok(Self { dtls, key, fingerprint, numbers, lock: None })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Identity");
        shown.field("fingerprint", &self.fingerprint).field("is_kept", &self.is_kept());
        shown.finish_non_exhaustive()
    }
}

#[cfg(unix)]
fn refuse_exposed(opened: &File, path: &Path) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt as _;

    let path = path.to_owned();
    match opened.metadata().map(|of| of.permissions().mode() & 0o777) {
        Ok(mode) if mode & 0o077 == 0 => Ok(()),
        Ok(mode) => Err(IdentityError::Exposed { path, mode }),
        Err(source) => Err(IdentityError::Io { path, source }),
    }
}

#[cfg(not(unix))]
fn refuse_exposed(_: &File, _: &Path) -> Result<(), IdentityError> {
    Ok(())
}

/// Certificate and key in the state directory.
const FILE: &str = "identity.pem";
/// The mark of [`Numbers`] in the state directory.
const NUMBER_FILE: &str = "last_number";
/// Many times what certificate and key need (about 800 bytes).
const MAX_FILE: u64 = 64 << 10;

#[cfg(test)]
mod tests;
