//! What can go wrong with a journal.

use std::io;
use std::path::PathBuf;

use redb::Error;

/// A journal could not be opened, or did not keep a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The journal is open already, in this process or another. Give each peer or hub its own.
    #[error("{} is in use: give each peer or hub a state directory of its own", .0.display())]
    InUse(PathBuf),
    /// A newer version of this program wrote the journal. Use that one, or begin a new journal.
    #[error(
        "the journal has format {found}, this version reads up to {supported}: use the newer \
         version that wrote it, or move the file away to begin a new one"
    )]
    Version {
        /// The format of the file.
        found: u64,
        /// The latest format that is known here.
        supported: u64,
    },
    /// The file does not hold what was written: caused by the disk, or by whoever changed it.
    /// Nothing of it is delivered.
    #[error(
        "the journal is damaged ({0}): restore the file, or move it away to begin a new one \
         without the messages in it"
    )]
    Corrupt(String),
    /// There is no room for this message: the other side has not acknowledged the earlier ones.
    /// Send again when it has, or raise the limit.
    #[error("the journal is full ({limit} bytes): wait until messages are acknowledged")]
    Full {
        /// [`JournalConfig::max_bytes`](super::JournalConfig::max_bytes).
        limit: u64,
    },
    /// The disk failed, is full or read-only. The record was not kept; the next ones are tried
    /// anew, so it is enough to correct the disk and send again.
    #[error("the journal cannot be written: {0}: check the disk, then send again")]
    Storage(String),
}

impl JournalError {
    /// What the database says.
    pub(super) fn from_redb(error: impl Into<Error>) -> Self {
        match error.into() {
            Error::Corrupted(text) => Self::Corrupt(text),
            Error::Io(error) => Self::from_io(&error),
            error @ (Error::UpgradeRequired(_)
            | Error::TableTypeMismatch { .. }
            | Error::TableIsMultimap(_)
            | Error::TableDoesNotExist(_)
            | Error::TypeDefinitionChanged { .. }) => Self::Corrupt(error.to_string()),
            error => Self::Storage(error.to_string()),
        }
    }

    /// What the operating system says, or the database of a file that ends too early.
    pub(super) fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Self::Corrupt(error.to_string())
            }
            _ => Self::Storage(error.to_string()),
        }
    }
}
