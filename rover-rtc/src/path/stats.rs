//! Counters of paths.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::{Path, PathKind, PathState};
use crate::util::seconds::maybe_seconds;

/// What the path layer sent and saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StunStats {
    /// Probes sent.
    pub probes: u64,
    /// Probes not answered in time.
    pub misses: u64,
    /// Answers to them.
    pub answers: u64,
    /// Authenticated requests of the other side.
    pub requests: u64,
    /// Messages refused: not authentic, not parsable or from the wrong place.
    pub refused: u64,
    /// Datagrams that the operating system refused to send.
    pub send_errors: u64,
    /// Times that another path took over.
    pub switches: u64,
    /// Records sent a second time.
    pub duplicates: u64,
}

/// One path as seen now.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PathStats {
    /// The local socket.
    pub local: SocketAddr,
    /// The other side.
    pub remote: SocketAddr,
    /// What it goes through.
    pub kind: PathKind,
    /// Whether it lives.
    pub state: PathState,
    /// Whether it carries the records.
    pub selected: bool,
    /// Smoothed round-trip time.
    #[serde(serialize_with = "maybe_seconds")]
    pub rtt: Option<Duration>,
    /// Share of probes lost, 0 to 1, both directions together.
    pub loss: f64,
    /// Bytes sent on it.
    pub bytes_sent: u64,
    /// Bytes received on it.
    pub bytes_received: u64,
}

impl PathStats {
    pub(crate) fn of(path: &Path, kind: PathKind, selected: bool) -> Self {
        let (bytes_sent, bytes_received) = path.bytes();
        Self {
            local: path.local(),
            remote: path.remote(),
            kind,
            state: path.state(),
            selected,
            rtt: path.rtt(),
            loss: path.loss(),
            bytes_sent,
            bytes_received,
        }
    }
}
