//! What a link asks its journal to keep, and what it gets back.

use std::sync::Arc;

use crate::link::channel::message::Message;

/// What a link asks its journal to keep.
///
/// Numbers count from 1 within an epoch. A message may take several of them, one for each of its
/// pieces; the next message begins behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A message is queued. The first one of another epoch than before ends that epoch: what was
    /// kept of it is forgotten.
    Append {
        /// The channel's label.
        label: Arc<str>,
        /// This side's epoch.
        epoch: u64,
        /// The number of the message's first piece.
        seq: u64,
        /// The message.
        message: Message,
    },
    /// All pieces up to `through` have been acknowledged. Messages that begin there or before are
    /// forgotten, so `through` must be the last piece of one: the journal cannot keep the rest of a
    /// message. The number itself is remembered, so that none is used twice. Of no effect if the
    /// epoch is not the one of the channel.
    Acked {
        /// The channel's label.
        label: Arc<str>,
        /// This side's epoch.
        epoch: u64,
        /// The last number that was acknowledged.
        through: u64,
    },
    /// All pieces up to `through` of the other side have been taken.
    Received {
        /// The channel's label.
        label: Arc<str>,
        /// The other side's epoch. Another one than before replaces it.
        epoch: u64,
        /// The last number that was taken.
        through: u64,
    },
}

/// What a journal remembers of one channel of one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The channel's label.
    pub label: Arc<str>,
    /// What this side sent, if anything.
    pub outgoing: Option<SavedOutgoing>,
    /// The other side's epoch and the last number taken of it, if anything was.
    pub incoming: Option<(u64, u64)>,
}

/// What was sent and is not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedOutgoing {
    /// This side's epoch.
    pub epoch: u64,
    /// The last number that was acknowledged, 0 for none. Numbers go on behind it, and behind the
    /// last message.
    pub acked: u64,
    /// The messages with the number of the first piece of each, in order.
    pub messages: Vec<(u64, Message)>,
}
