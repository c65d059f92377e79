//! What a channel is: its name, its promise, its place among others.

pub(super) mod delivery;
pub(super) mod error;
pub(super) mod event;
pub(super) mod message;
pub(super) mod outbox;
mod queue;
pub(super) mod stats;

use std::time::Duration;

use str0m::channel::{ChannelConfig as SctpChannelConfig, Reliability};

use error::LabelError;
pub use message::Message;
use outbox::OutboxConfig;

/// What every label of this library's own channels begins with.
pub const RESERVED: &str = "rover-rtc/";

/// The channel on which a hub tells its status.
pub const STATUS: &str = "rover-rtc/status";

/// Largest message of a framed channel, in bytes, unless configured: 16 MiB.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Bytes that a piece of a message costs beside its content, at least: PROTOCOL.md.
pub(in crate::link) const PIECE_HEAD: usize = 3;

/// Names a channel within its link, on whichever transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub(super) usize);

impl ChannelId {
    /// Its place among the channels of its link, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }

    #[cfg(test)]
    pub(crate) fn from_index(index: usize) -> Self {
        Self(index)
    }
}

/// What a channel promises. All but [`Mode::Plain`] are spoken in frames of this library
/// (`PROTOCOL.md`), so the other side must speak them, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each message exactly once and in order, across path changes, new transports and outages, as
    /// long as both processes live. For commands, events, logs.
    #[default]
    Reliable,
    /// The same across a crash or restart of either process, by a journal on disk. For mission
    /// data and uploads.
    Durable,
    /// The newest message of each key wins; those it overtakes are skipped. For teleoperation,
    /// pose, telemetry.
    Latest,
    /// One try, in no order. For what is worthless a moment later.
    Datagram,
    /// What a W3C data channel does; what a browser or another stack opens. What is in flight when
    /// its transport is replaced is lost.
    Plain,
}

impl Mode {
    /// Whether it is spoken in frames.
    #[must_use]
    pub fn is_framed(self) -> bool {
        self != Self::Plain
    }

    /// Whether what was sent is kept until it is acknowledged, and sent again where needed.
    #[must_use]
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Reliable | Self::Durable)
    }

    pub(in crate::link) fn code(self) -> u8 {
        match self {
            Self::Reliable => 1,
            Self::Durable => 2,
            Self::Latest => 3,
            Self::Datagram => 4,
            Self::Plain => 0,
        }
    }

    pub(in crate::link) fn from_code(code: u8) -> Option<Self> {
        let framed = [Self::Reliable, Self::Durable, Self::Latest, Self::Datagram];
        framed.into_iter().find(|m| m.code() == code)
    }
}

/// Which channel goes first when several have something to send. The order is strict, but for one
/// turn in sixteen, so that nothing starves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Priority {
    /// Commands.
    High,
    /// Most things.
    #[default]
    Normal,
    /// Bulk.
    Low,
}

impl Priority {
    pub(in crate::link) const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];

    pub(in crate::link) fn code(self) -> u8 {
        self as u8
    }

    pub(in crate::link) fn from_code(code: u8) -> Self {
        Self::ALL.get(usize::from(code)).copied().unwrap_or(Self::Low)
    }
}

/// Settings of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelConfig {
    /// Its name: 1 to 255 bytes.
    pub label: String,
    /// What it promises. Default [`Mode::Reliable`].
    pub mode: Mode,
    /// Its place among the link's channels. Default [`Priority::Normal`].
    pub priority: Priority,
    /// How long a message may wait to be sent; after that it is dropped and counted. For
    /// [`Mode::Latest`] and [`Mode::Datagram`] only. Default none.
    pub ttl: Option<Duration>,
    /// Whether the application acknowledges what it receives, by
    /// [`Message::ack`](super::Message::ack), instead of the library. For [`Mode::Reliable`] and
    /// [`Mode::Durable`] only. Default false.
    pub manual_ack: bool,
    /// Whether messages arrive in the order sent, on a plain channel. Default true.
    pub ordered: bool,
    /// Times a lost message is sent again, on a plain channel; `None`, the default, until it
    /// arrives.
    pub max_retransmits: Option<u16>,
    /// Limits of its outbox.
    pub outbox: OutboxConfig,
}

impl ChannelConfig {
    /// A reliable channel of this name.
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            mode: Mode::default(),
            priority: Priority::default(),
            ttl: None,
            manual_ack: false,
            ordered: true,
            max_retransmits: None,
            outbox: OutboxConfig::default(),
        }
    }

    /// A channel of this name and mode.
    #[must_use]
    pub fn of_mode(label: impl Into<String>, mode: Mode) -> Self {
        let mut config = Self { mode, ..Self::new(label) };
        match mode {
            Mode::Plain => config.outbox.max_message = PLAIN_MESSAGE,
            Mode::Datagram => config.outbox.max_message = DATAGRAM_MESSAGE,
            _ => {}
        }
        config
    }

    /// What a W3C data channel of this name does: reliable while the transport lives, in order.
    #[must_use]
    pub fn plain(label: impl Into<String>) -> Self {
        Self::of_mode(label, Mode::Plain)
    }

    /// Checks the label.
    pub(crate) fn check(&self) -> Result<(), LabelError> {
        if self.label.starts_with(RESERVED) {
            return Err(LabelError::Reserved(self.label.clone()));
        }
        if self.label.is_empty() || self.label.len() > MAX_LABEL {
            return Err(LabelError::Length(self.label.clone()));
        }
        Ok(())
    }

    pub(in crate::link) fn sctp(&self) -> SctpChannelConfig {
        let reliability = self.max_retransmits.map_or(Reliability::Reliable, |retransmits| {
            Reliability::MaxRetransmits { retransmits }
        });
        let label = self.label.clone();
        SctpChannelConfig { label, ordered: self.ordered, reliability, ..Default::default() }
    }
}

/// What a browser takes unasked.
pub(in crate::link) const PLAIN_MESSAGE: usize = crate::session::DEFAULT_MAX_MESSAGE_SIZE as usize;

/// A datagram is one SCTP message: the more packets it takes, the surer it is lost.
pub(in crate::link) const DATAGRAM_MESSAGE: usize = 32 * 1024;

/// Longest label, in bytes.
const MAX_LABEL: usize = 255;
