//! Answers to the question whether a key may have a name.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::Fingerprint;

/// Why a key may have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It had it before, or the roster says so.
    Known,
    /// Nobody had the name before. Tell the user: this is the moment to compare fingerprints.
    FirstUse,
}

/// A key may not have a name, or its signal message is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The text is no name (see [`valid_name`](super::valid_name)): caused by the peer. It is not
    /// shown: it may hold anything.
    #[error("not a name: 1 to 64 bytes without spaces, control characters or '/' are due")]
    Name,
    /// There is a roster, and the name is not in it: caused by whoever wrote the roster, or by a
    /// stranger.
    #[error("{name} is not in the roster: add it with its fingerprint if it belongs there")]
    NotInRoster {
        /// The name.
        name: String,
    },
    /// Another key had the name: somebody is in between, or the machine lost or renewed its key.
    #[error(
        "the key of {name} is not the one expected ({expected} expected, {found} found): somebody \
         may be in between; if it was really replaced, {origin}"
    )]
    Changed {
        /// The name.
        name: String,
        /// The fingerprint that it has by `origin`.
        expected: Fingerprint,
        /// The one that was shown.
        found: Fingerprint,
        /// Where the expected one is written.
        origin: Origin,
    },
    /// The signal message's number is not larger than that of the last one: caused by somebody who
    /// sends a signal message again, or by a peer that was put back to an old state.
    #[error("an old signal message of {name} was replayed: it is not used")]
    Replayed {
        /// The name.
        name: String,
    },
    /// No more names can be remembered.
    #[error("no room for {name}: 4096 names are known; forget some, or use a roster")]
    Full {
        /// The name.
        name: String,
    },
    /// The name and number are good, but could not be put on disk: caused by the disk. They hold
    /// until the process ends, and are written with the next change.
    #[error("what is known of peers cannot be kept: {}: {source}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Where a fingerprint is written. Its text is what to do if it is to be another one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// In this roster.
    Roster(PathBuf),
    /// In this file of known peers, on first use.
    File(PathBuf),
    /// Nowhere but in memory, on first use.
    Memory,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Roster(path) => write!(f, "correct its line in {}", path.display()),
            Self::File(path) => {
                write!(f, "stop this program and remove its line from {}", path.display())
            }
            Self::Memory => f.write_str("start this program again"),
        }
    }
}
