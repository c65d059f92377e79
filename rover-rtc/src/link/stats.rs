//! Counters of a link.

use std::time::Duration;

use serde::Serialize;

use crate::link::{ChannelStats, LinkState};
use crate::path::{PathStats, StunStats, SwitchCause};
use crate::util::histogram::Histogram;
use crate::util::seconds::{maybe_seconds, seconds};

/// One link as seen now. Serialised, durations are seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
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
    #[serde(serialize_with = "maybe_seconds")]
    pub outage: Option<Duration>,
    /// The last outage that has ended.
    #[serde(serialize_with = "maybe_seconds")]
    pub last_outage: Option<Duration>,
    /// The longest of them that has ended.
    #[serde(serialize_with = "seconds")]
    pub longest_outage: Duration,
    /// All that have ended, together.
    #[serde(serialize_with = "seconds")]
    pub outage_time: Duration,
    /// How long they were.
    pub outage_lengths: Histogram,
    /// Retransmissions forced by a step of the transport's clock.
    pub warps: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_serialised_with_durations_in_seconds() {
        let mut outage_lengths = Histogram::default();
        outage_lengths.record(Duration::from_millis(1500));
        let longest_outage = Duration::from_millis(1500);
        let stats = LinkStats { longest_outage, outage_lengths, ..LinkStats::default() };
        let json = serde_json::to_value(&stats).unwrap();
        assert_eq!((&json["longest_outage"], &json["outage"]), (&1.5.into(), &().into()));
        assert_eq!(json["outage_lengths"]["count"], 1);
        assert_eq!(json["outage_lengths"]["longest"], 1.5);
        assert!(json["state"].is_string(), "{json}");
    }
}
