//! Counters of a link and its channels.

use std::time::Duration;

use crate::link::{LinkState, Mode};
use crate::path::{PathStats, StunStats, SwitchCause};
use crate::util::histogram::Histogram;

/// One link as seen now.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct LinkStats {
    /// The paths of its transport.
    pub paths: Vec<PathStats>,
    /// Probes and switches.
    pub stun: StunStats,
    /// Transports that the link has had.
    pub transports: u64,
    /// Messages handed to the transport.
    pub messages_sent: u64,
    /// Messages handed to the application.
    pub messages_received: u64,
    /// Messages dropped by a full outbox or inbox.
    pub messages_dropped: u64,
    /// Messages that wait in the outboxes.
    pub messages_queued: usize,
    /// Each channel.
    pub channels: Vec<ChannelStats>,
    /// Frames refused: malformed, or not what was agreed.
    pub frames_refused: u64,
    /// Times that a path lived and nothing was acknowledged, so that the transport was replaced.
    pub stuck: u64,
    /// Datagrams refused: from an unknown source, or of no known kind.
    pub datagrams_refused: u64,
    /// Times that another path took over, on all transports of the link; kept by peers, as are all
    /// below but the last.
    pub switches: u64,
    /// Whether messages can flow.
    pub state: LinkState,
    /// Why the path of now carries, or the last that did; `None` before the first.
    pub last_switch: Option<SwitchCause>,
    /// Times that no message could flow, ended or not.
    pub outages: u64,
    /// How long none has been able to flow by now; `None` while they flow, and before the first
    /// transport is up.
    pub outage: Option<Duration>,
    /// The last outage that has ended.
    pub last_outage: Option<Duration>,
    /// The longest of them that has ended.
    pub longest_outage: Duration,
    /// All that have ended, together.
    pub outage_time: Duration,
    /// How long they were.
    pub outage_lengths: Histogram,
    /// Retransmissions forced by a step of the transport's clock.
    pub warps: u64,
}

/// One channel as seen now.
#[derive(Debug, Clone, PartialEq)]
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
#[derive(Debug, Clone, Default, PartialEq)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
