//! Why a key could not be loaded or made.

use std::io;
use std::path::PathBuf;

/// An identity could not be made, loaded or stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The crypto library made no certificate: caused by a machine without random numbers.
    #[error("no certificate could be made: the system's crypto does not work")]
    Generate,
    /// A file or directory could not be read or written. Correct its path, owner or disk.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others may read the private key (Unix): caused by whoever copied the file.
    #[error(
        "{} may be read by others (mode {mode:o}): run `chmod 600 {}`, or remove the file for a \
         new identity if somebody may have read it", path.display(), path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no usable certificate and key. It is left as it is: the key might be saved.
    #[error(
        "{}: {reason}: restore it from a backup, or remove it for a new identity, which peers \
         that know the old one will refuse", path.display()
    )]
    Garbled {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file of the last number holds none: caused by whoever edited it, or the disk.
    #[error("{} holds no number: remove it, once the clock of this machine is right", path.display())]
    Number {
        /// The file.
        path: PathBuf,
    },
    /// Another identity is open on the same directory, in this process or another: two would
    /// number their signal messages past each other. Give each its own, or drop the first.
    #[error("{} is in use: give each peer or hub a state directory of its own", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
}
