//! Counters of links and paths, with what has changed since the last look.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use rover_rtc::link::{LinkState, LinkStats};
use rover_rtc::path::{PathKind, PathState, PathStats};
use rover_rtc::util::clock;

/// A link as seen now; the one with the hub has no name.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: Option<String>,
    pub(super) stats: LinkStats,
    /// The path that carries comes first.
    pub(super) paths: Vec<PathRow>,
}

/// A path as seen now.
#[derive(Debug)]
pub(super) struct PathRow {
    pub(super) stats: PathStats,
    /// Bytes per second, out and in.
    pub(super) rates: (f64, f64),
}

/// Remembers what the counters were.
#[derive(Debug, Default)]
pub(super) struct Meter {
    at: Option<Instant>,
    before: HashMap<Key, (u64, u64)>,
}

/// A path, and the link that it is of.
type Key = (Option<String>, SocketAddr, SocketAddr);

impl Meter {
    /// Takes the counters of all links.
    pub(super) fn rows(
        &mut self,
        now: Instant,
        links: Vec<(Option<String>, LinkStats)>,
    ) -> Vec<Row> {
        let since = self.at.replace(now).map(|at| now.saturating_duration_since(at));
        let before = std::mem::take(&mut self.before);
        let mut row = |(name, mut stats): (Option<String>, LinkStats)| {
            let mut paths: Vec<_> = std::mem::take(&mut stats.paths)
                .into_iter()
                .map(|path| {
                    let key = (name.clone(), path.local, path.remote);
                    let bytes = (path.bytes_sent, path.bytes_received);
                    let old = before.get(&key).copied().unwrap_or_default();
                    self.before.insert(key, bytes);
                    let rates = (rate(since, old.0, bytes.0), rate(since, old.1, bytes.1));
                    PathRow { stats: path, rates }
                })
                .collect();
            paths.sort_by_key(|p| (!p.stats.selected, p.stats.state != PathState::Alive));
            Row { name, stats, paths }
        };
        links.into_iter().map(&mut row).collect()
    }
}

/// Per second. A counter that has gone back is that of another path between the same addresses.
fn rate(since: Option<Duration>, old: u64, new: u64) -> f64 {
    let seconds = since.map_or(0.0, |since| since.as_secs_f64());
    let bytes = new.checked_sub(old).unwrap_or(new);
    if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 }
}

impl Row {
    /// Who is at the other end.
    pub(super) fn title(&self) -> &str {
        self.name.as_deref().unwrap_or("hub")
    }

    /// Whether messages can flow.
    pub(super) fn state(&self) -> String {
        match self.stats.outage {
            Some(outage) => format!("down {}", seconds(outage)),
            None => self.word().to_owned(),
        }
    }

    /// The same for programs.
    fn word(&self) -> &'static str {
        match self.stats.state {
            LinkState::Connecting => "connecting",
            LinkState::Up => "up",
            LinkState::Outage => "down",
            LinkState::Closed => "closed",
        }
    }

    /// How often another path took over, and why the one of now carries.
    pub(super) fn switches(&self) -> String {
        let cause = self.stats.last_switch.map(|cause| format!(" ({cause:?})"));
        format!("{}{}", self.stats.switches, cause.unwrap_or_default())
    }

    /// How many outages there were, the longest and the last.
    pub(super) fn outages(&self) -> String {
        let LinkStats { outages, longest_outage, last_outage, .. } = &self.stats;
        let last = last_outage
            .map(|last| format!(" (longest {}, last {})", seconds(*longest_outage), seconds(last)));
        format!("{outages}{}", last.unwrap_or_default())
    }

    /// As one object; times in seconds unless named.
    pub(super) fn json(&self) -> Value {
        let stats = &self.stats;
        let millis = |time: Option<Duration>| time.map(|t| t.as_secs_f64() * 1e3);
        let paths: Vec<_> = self
            .paths
            .iter()
            .map(|PathRow { stats: path, rates }| {
                json!({
                    "local": path.local.to_string(),
                    "remote": path.remote.to_string(),
                    "kind": path.kind,
                    "state": format!("{:?}", path.state).to_lowercase(),
                    "carrying": path.selected,
                    "rtt_ms": millis(path.rtt),
                    "loss": path.loss,
                    "bytes_sent": path.bytes_sent,
                    "bytes_received": path.bytes_received,
                    "bytes_sent_per_s": rates.0.round(),
                    "bytes_received_per_s": rates.1.round(),
                })
            })
            .collect();
        let channels: Vec<_> = stats
            .channels
            .iter()
            .map(|c| {
                json!({
                    "label": c.label,
                    "mode": format!("{:?}", c.mode).to_lowercase(),
                    "queued": c.queued,
                    "in_flight": c.in_flight,
                    "sent": c.counters.sent,
                    "acked": c.counters.acked,
                    "replayed": c.counters.replayed,
                    "received": c.counters.received,
                    "dropped": c.drops.total(),
                    "ack_p50_ms": millis(c.counters.ack_latency.quantile(0.5)),
                    "ack_p99_ms": millis(c.counters.ack_latency.quantile(0.99)),
                })
            })
            .collect();
        let selected = self.paths.first().filter(|p| p.stats.selected);
        let outage = stats.outage;
        json!({
            "time": clock::unix_nanos() as f64 / 1e9,
            "hub": self.name.is_none(),
            "name": self.name,
            "state": self.word(),
            "rtt_ms": selected.and_then(|p| millis(p.stats.rtt)),
            "loss": selected.map(|p| p.stats.loss),
            "messages_sent": stats.messages_sent,
            "messages_received": stats.messages_received,
            "messages_queued": stats.messages_queued,
            "messages_dropped": stats.messages_dropped,
            "transports": stats.transports,
            "switches": stats.switches,
            "last_switch": stats.last_switch.map(|cause| format!("{cause:?}").to_lowercase()),
            "outages": stats.outages,
            "outage": outage.map(|t| t.as_secs_f64()),
            "last_outage": stats.last_outage.map(|t| t.as_secs_f64()),
            "longest_outage": stats.longest_outage.as_secs_f64(),
            "channels": channels,
            "paths": paths,
        })
    }
}

impl PathRow {
    /// Its two ends; those of a channel at the hub have no addresses that mean anything.
    pub(super) fn ends(&self) -> String {
        match self.stats.kind {
            PathKind::Hub => "by the hub's relay".to_owned(),
            _ => format!("{} -> {}", self.stats.local, self.stats.remote),
        }
    }

    pub(super) fn rtt(&self) -> String {
        let rtt = self.stats.rtt.map(|rtt| format!("{:.1} ms", rtt.as_secs_f64() * 1e3));
        rtt.unwrap_or_else(|| "-".to_owned())
    }

    pub(super) fn loss(&self) -> String {
        format!("{:.1} %", self.stats.loss * 100.0)
    }
}

/// Bytes per second, for people.
pub(super) fn speed(rate: f64) -> String {
    match rate {
        r if r < 1e3 => format!("{r:.0} B/s"),
        r if r < 1e6 => format!("{:.1} kB/s", r / 1e3),
        r => format!("{:.1} MB/s", r / 1e6),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn path(bytes: u64, selected: bool) -> PathStats {
        PathStats {
            local: SocketAddr::from(([10, 0, 0, 1], if selected { 1 } else { 2 })),
            remote: SocketAddr::from(([10, 0, 0, 2], 3)),
            kind: if selected { PathKind::Direct } else { PathKind::Hub },
            state: PathState::Alive,
            selected,
            rtt: Some(Duration::from_micros(1250)),
            loss: 0.02,
            bytes_sent: bytes,
            bytes_received: bytes / 2,
        }
    }

    pub(in super::super) fn link(bytes: u64) -> LinkStats {
        let paths = vec![path(bytes, false), path(10 * bytes, true)];
        LinkStats { paths, state: LinkState::Up, transports: 1, ..LinkStats::default() }
    }

    #[test]
    fn rates_are_those_of_each_path_and_link() {
        let (mut meter, now) = (Meter::default(), clock::now());
        let links = |a, b| vec![(None, link(a)), (Some("hub".to_owned()), link(b))];
        let first = meter.rows(now, links(1000, 5000));
        assert_eq!(first[0].paths[1].rates, (0.0, 0.0));
        let rows = meter.rows(now + Duration::from_secs(2), links(3000, 100));
        assert!(rows[0].paths[0].stats.selected);
        assert_eq!(rows[0].paths[0].rates, (10_000.0, 5_000.0));
        assert_eq!(rows[0].paths[1].rates, (1_000.0, 500.0));
        // Its counter went back: it is another path.
        assert_eq!(rows[1].paths[1].rates, (50.0, 25.0));
    }

    #[test]
    fn json_tells_hub_and_rovers_apart() {
        let outage = Some(Duration::from_secs(3));
        let stats = LinkStats { state: LinkState::Outage, outage, outages: 1, ..link(0) };
        let rows =
            Meter::default().rows(clock::now(), vec![(None, stats), (Some("a".into()), link(0))]);
        let (hub, rover) = (rows[0].json(), rows[1].json());
        assert_eq!(
            (&hub["hub"], &hub["state"], &hub["outage"]),
            (&json!(true), &json!("down"), &json!(3.0))
        );
        assert_eq!(
            (&rover["name"], &rover["state"], &rover["rtt_ms"]),
            (&json!("a"), &json!("up"), &json!(1.25))
        );
        assert_eq!(rover["paths"][1]["kind"], "hub");
    }
}
