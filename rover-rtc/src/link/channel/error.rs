//! Why a message or a channel was not taken.

/// A message was not taken by a channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The channel's outbox is full and its policy is to refuse. Send again when there is room.
    #[error("the channel's outbox is full")]
    Full,
    /// The message is empty, which SCTP cannot carry. Send a byte that means it.
    #[error("an empty message cannot be sent")]
    Empty,
    /// The message alone is larger than the channel's limit.
    #[error("the message has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The message has a key and its channel none, or the key has more than 255 bytes: caused by
    /// the caller.
    #[error("a key is for channels of mode latest, and has 255 bytes at most")]
    Key,
    /// The journal could not keep the message, so it is not sent: caused by the disk, or the
    /// journal's limit. The text says more.
    #[error("the journal did not keep the message: {0}")]
    NotStored(String),
    /// The channel or the peer it belongs to is closed.
    #[error("the channel is closed")]
    Closed,
}

/// A channel's label cannot be one: caused by the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// It is empty or too long: choose another.
    #[error("{0:?} is no label: 1 to 255 bytes")]
    Length(String),
    /// It is one of the library's own: choose another.
    #[error("the label {0:?} begins with \"rover-rtc/\", which is kept for the library itself")]
    Reserved(String),
}
