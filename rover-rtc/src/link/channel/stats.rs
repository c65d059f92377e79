//! Counters of a channel.

use serde::Serialize;

use super::Mode;
use crate::util::histogram::Histogram;

/// One channel as seen now.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ChannelStats {
    /// Its name.
    pub label: String,
    /// What it promises.
    pub mode: Mode,
    /// Messages that wait to be sent.
    pub queued: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Messages sent, at least in part, and not acknowledged.
    pub in_flight: usize,
    /// What has been counted.
    pub counters: ChannelCounters,
    /// Messages dropped on the way out, by cause.
    pub drops: Drops,
}

/// What is counted of a channel.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ChannelCounters {
    /// Messages handed to the transport, replays not counted.
    pub sent: u64,
    /// Messages that the other side has acknowledged, where the mode has acknowledgements.
    pub acked: u64,
    /// Messages sent once more, on a new transport.
    pub replayed: u64,
    /// Messages that came in.
    pub received: u64,
    /// Datagrams that did not, or came later than others.
    pub missed: u64,
    /// From `send` to the acknowledgement.
    pub ack_latency: Histogram,
}

/// Messages dropped before they were sent, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Drops {
    /// The outbox was full.
    pub full: u64,
    /// They had waited for longer than their time to live.
    pub expired: u64,
    /// A newer message of their key took their place.
    pub overtaken: u64,
    /// The other side, or all who read the channel at the hub, do not take as much at a time.
    pub too_large: u64,
    /// The journal could not keep them.
    pub not_stored: u64,
}

impl Drops {
    /// All but those that were overtaken, which are no loss.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.full + self.expired + self.too_large + self.not_stored
    }
}
