//! Counters of a link.

use std::time::Duration;

use crate::link::{ChannelStats, LinkState};
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
