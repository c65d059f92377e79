//! What a link asks its journal to keep, and what a journal remembers of it.

use std::sync::Arc;

use crate::link::message::Message;

/// What a link asks its journal to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A message is queued.
    Append {
        /// The channel.
        label: Arc<str>,
        /// Names the sequence of its pieces.
        epoch: u64,
        /// The number of the first piece.
        seq: u64,
        /// The message.
        message: Message,
    },
    /// The other side needs the pieces up to `through` no more. Their messages may be forgotten,
    /// but not the number: it is never given to others.
    Acked {
        /// The channel.
        label: Arc<str>,
        /// Names the sequence of its pieces.
        epoch: u64,
        /// The last piece.
        through: u64,
    },
    /// The pieces of the other side up to `through` have been taken.
    Received {
        /// The channel.
        label: Arc<str>,
        /// Names the other side's sequence.
        epoch: u64,
        /// The last piece.
        through: u64,
    },
}

/// What a journal remembers of one channel of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The channel.
    pub label: Arc<str>,
    /// What this side has sent, if anything.
    pub outgoing: Option<SavedOutgoing>,
    /// The other side's sequence, and up to where it was taken.
    pub incoming: Option<(u64, u64)>,
}

/// The sending side of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedOutgoing {
    /// Names the sequence of its pieces.
    pub epoch: u64,
    /// Up to where they have been acknowledged.
    pub acked: u64,
    /// Messages that were not, by the number of their first piece, in order.
    pub messages: Vec<(u64, Message)>,
}
