//! The hub's status, as clients and HTTP get it.

use std::time::Instant;

use bytes::Bytes;

use super::hub::Hub;

impl Hub {
    /// The status as JSON, with so many names at most. Flat, so that a page can show it as it is.
    pub(super) fn status(&self, now: Instant, names: usize) -> Bytes {
        let (clients, connected) = self.count();
        let relay = self.relay.totals();
        let status = serde_json::json!({
            "type": "status",
            "uptime_s": now.saturating_duration_since(self.started).as_secs(),
            "clients": clients,
            "connected": connected,
            "relayed": self.relayed,
            "refused_datagrams": self.refused,
            "registered": self.names.len(),
            "names": self.names.list(names),
            "letters": self.post.letters,
            "letters_dropped": self.post.dropped + self.names.mail_dropped(),
            "malformed": self.post.malformed,
            "relay_calls": self.relay.len(),
            "relay_datagrams": relay.datagrams,
            "relay_bytes": relay.bytes,
            "relay_dropped_rate": relay.dropped_rate,
            "relay_dropped_path": relay.dropped_path,
            "relay_refused": relay.refused,
        });
        status.to_string().into()
    }
}
