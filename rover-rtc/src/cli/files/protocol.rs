//! What the two sides tell each other, on one channel that is reliable and in order. Texts are
//! JSON; what is binary is a part of a file.
//!
//! | sender | receiver |
//! |---|---|
//! | `offer`: name, size, time | |
//! | | `have`: how much of it is here, and the hash of that |
//! | `from`: where it goes on, which is 0 if the hash is of something else | |
//! | parts | |
//! | `end`: the hash of all | |
//! | | `done`: under which name it is kept |
//!
//! Each offer has an id, which all that follows repeats. Whoever was restarted, or sees that the
//! other was, leads to a new offer: a receiver that does not know an id says `again`.

use bytes::Bytes;
use rover_rtc::{ChannelConfig, Message, Priority};
use serde::{Deserialize, Serialize};

/// What is said beside the parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Say {
    /// A file is to be sent.
    Offer {
        /// Of this attempt.
        id: u64,
        /// Without directories.
        name: String,
        /// In bytes.
        size: u64,
        /// When it was changed last, in nanoseconds since 1970.
        modified: i64,
    },
    /// So many bytes of it are here.
    Have {
        /// Of the offer.
        id: u64,
        /// From the beginning.
        bytes: u64,
        /// SHA-256 of these.
        sha256: String,
    },
    /// The parts begin here.
    From {
        /// Of the offer.
        id: u64,
        /// In bytes; 0 or what the other side has.
        offset: u64,
    },
    /// All parts were sent.
    End {
        /// Of the offer.
        id: u64,
        /// SHA-256 of the file.
        sha256: String,
    },
    /// The file is on disk, and right.
    Done {
        /// Of the offer.
        id: u64,
        /// The name that it has there.
        name: String,
    },
    /// Another hash came out.
    Damaged {
        /// Of the offer.
        id: u64,
    },
    /// What came is not known to go with an offer.
    Again {
        /// Of what came.
        id: u64,
    },
    /// The receiver cannot, or does not want to.
    Refused {
        /// Of the offer.
        id: u64,
        /// In words.
        why: String,
    },
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Of the offer.
    pub(super) id: u64,
    /// Where it belongs.
    pub(super) offset: u64,
    pub(super) data: Bytes,
}

/// A message of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    Say(Say),
    Part(Part),
}

impl Say {
    pub(super) fn message(&self) -> Message {
        // Plain data always has a JSON form.
        Message::text(serde_json::to_string(self).unwrap_or_default())
    }

    /// Which offer it is about.
    pub(super) fn id(&self) -> u64 {
        match self {
            Self::Offer { id, .. }
            | Self::Have { id, .. }
            | Self::From { id, .. }
            | Self::End { id, .. }
            | Self::Done { id, .. }
            | Self::Damaged { id }
            | Self::Again { id }
            | Self::Refused { id, .. } => *id,
        }
    }
}

impl Part {
    pub(super) fn message(&self) -> Message {
        let mut data = Vec::with_capacity(HEAD + self.data.len());
        data.extend_from_slice(&self.id.to_le_bytes());
        data.extend_from_slice(&self.offset.to_le_bytes());
        data.extend_from_slice(&self.data);
        Message::binary(data)
    }
}

impl Heard {
    /// Reads a message; `None` if it makes no sense.
    pub(super) fn of(message: &Message) -> Option<Self> {
        if !message.binary {
            return serde_json::from_slice(&message.data).ok().map(Self::Say);
        }
        let number = |at: usize| {
            let bytes = message.data.get(at..at + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let (id, offset) = (number(0)?, number(8)?);
        Some(Self::Part(Part { id, offset, data: message.data.slice(HEAD..) }))
    }
}

/// The channel of files: whatever else there is goes first. The receiver acknowledges what it has
/// on disk.
pub(super) fn channel() -> ChannelConfig {
    ChannelConfig { priority: Priority::Low, manual_ack: true, ..ChannelConfig::new(LABEL) }
}

/// Its label.
pub(super) const LABEL: &str = "files";

/// Id and offset.
const HEAD: usize = 16;

/// Bytes of a part, so that a message with it has 64 KiB.
pub(super) const PART: usize = 64 * 1024 - HEAD;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        let say = Say::Offer { id: u64::MAX, name: "a b".to_owned(), size: 3, modified: -1 };
        assert_eq!(Heard::of(&say.message()), Some(Heard::Say(say)));
        let part = Part { id: 1, offset: u64::MAX, data: Bytes::from_static(b"abc") };
        assert_eq!(Heard::of(&part.message()), Some(Heard::Part(part)));
        assert_eq!(Heard::of(&Message::binary(vec![0; 15])), None);
        assert_eq!(Heard::of(&Message::text("{}")), None);
    }
}
