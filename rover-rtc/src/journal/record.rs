//! What records take.

pub use crate::link::{Record, Saved, SavedOutgoing};

impl Record {
    /// How much waits with it, in bytes.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Append { message, .. } => size(message.data.len()),
            Self::Acked { .. } | Self::Received { .. } => ROW,
        }
    }
}

/// What a message counts as, in bytes.
pub(super) fn size(data: usize) -> u64 {
    data as u64 + ROW
}

/// What a row takes beside the message: a key of 20 bytes, 5 of the value, 8 of redb's.
const ROW: u64 = 33;
