//! What an act has shown, and what it promises.

use std::time::Duration;

use serde_json::{Value, json};

use super::stream::Record;

/// The outcome of one act, both directions together.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) name: &'static str,
    promise: Promise,
    longest_gap: Duration,
    sent: u64,
    delivered: u64,
    lost: u64,
    duplicated: u64,
    reordered: u64,
    /// Messages that came once more after a crash, and were known by their number.
    known: u64,
    /// From the end of the fault to the first message.
    back_after: Option<Duration>,
    /// What went beside the messages, and how late the latest of 100 messages was meanwhile.
    bulk: Option<Bulk>,
}

/// A transfer beside the messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bulk {
    /// Million bytes per second.
    pub(super) rate: f64,
    pub(super) p99: Duration,
}

/// What an act promises.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promise {
    /// No gap is longer.
    pub(super) longest_gap: Option<Duration>,
    /// Messages flow again this soon after the fault has ended.
    pub(super) back_after: Option<Duration>,
    /// 99 of 100 messages take no longer, beside a transfer.
    pub(super) p99: Option<Duration>,
}

impl Report {
    pub(super) fn new(
        name: &'static str,
        promise: Promise,
        records: &[Record],
        back_after: Option<Duration>,
    ) -> Self {
        let sum = |f: fn(&Record) -> u64| records.iter().map(f).sum();
        Self {
            name,
            promise,
            longest_gap: records.iter().map(Record::longest_gap).max().unwrap_or_default(),
            sent: sum(Record::sent),
            delivered: sum(Record::delivered),
            lost: sum(Record::lost),
            duplicated: sum(Record::duplicated),
            reordered: sum(Record::reordered),
            known: sum(Record::known),
            back_after,
            bulk: None,
        }
    }

    /// The same, with what went beside.
    pub(super) fn with_bulk(self, bulk: Option<Bulk>) -> Self {
        Self { bulk, ..self }
    }

    /// The promises that were not kept, in words.
    pub(super) fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if let Some(most) = self.promise.longest_gap.filter(|most| self.longest_gap > *most) {
            broken.push(format!("longest gap {} > {}", ms(self.longest_gap), ms(most)));
        }
        if let Some(most) = self.promise.back_after
            && self.back_after.is_none_or(|back| back > most)
        {
            let back = self.back_after.map_or_else(|| "never".to_owned(), ms);
            broken.push(format!("back after {back}, not {}", ms(most)));
        }
        if let Some(most) = self.promise.p99
            && self.bulk.is_none_or(|bulk| bulk.p99 > most)
        {
            let p99 = self.bulk.map_or_else(|| "no end".to_owned(), |bulk| ms(bulk.p99));
            broken.push(format!("p99 {p99} > {}", ms(most)));
        }
        // Each act promises that.
        if self.lost + self.duplicated + self.reordered > 0 {
            broken.push("messages were lost, duplicated or reordered".to_owned());
        }
        broken
    }

    /// One line for the timeline.
    pub(super) fn summary(&self) -> String {
        let back = self.back_after.map(|b| format!(", back after {}", ms(b))).unwrap_or_default();
        let bulk = self.bulk.map_or_else(String::new, |bulk| {
            format!("{:.1} MB/s beside commands with p99 {}; ", bulk.rate, ms(bulk.p99))
        });
        format!(
            "{bulk}longest gap {}{back}; sent {}, lost {}, duplicated {}, reordered {}",
            ms(self.longest_gap),
            self.sent,
            self.lost,
            self.duplicated,
            self.reordered
        )
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "longest_gap_ms": round(self.longest_gap),
            "back_after_ms": self.back_after.map(round),
            "bulk_mb_per_s": self.bulk.map(|bulk| (bulk.rate * 10.0).round() / 10.0),
            "p99_ms": self.bulk.map(|bulk| round(bulk.p99)),
            "sent": self.sent,
            "delivered": self.delivered,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "reordered": self.reordered,
            "known": self.known,
        })
    }
}

/// Prints the closing table, or the JSON object.
#[allow(clippy::print_stdout, reason = "the command line")]
pub(super) fn print(reports: &[Report], as_json: bool) {
    if as_json {
        let acts: Vec<_> = reports.iter().map(Report::json).collect();
        return println!("{}", json!({ "acts": acts }));
    }
    println!();
    println!(
        "{:<20} {:>12} {:>7} {:>10} {:>5} {:>11} {:>10}  promise",
        "act", "longest gap", "sent", "delivered", "lost", "duplicated", "reordered"
    );
    for r in reports {
        let broken = r.broken_promises();
        let verdict = if broken.is_empty() { "kept".to_owned() } else { broken.join("; ") };
        println!(
            "{:<20} {:>12} {:>7} {:>10} {:>5} {:>11} {:>10}  {verdict}",
            r.name,
            ms(r.longest_gap),
            r.sent,
            r.delivered,
            r.lost,
            r.duplicated,
            r.reordered
        );
    }
}

fn ms(d: Duration) -> String {
    format!("{:.1} ms", d.as_secs_f64() * 1e3)
}

/// Milliseconds with one place.
fn round(d: Duration) -> f64 {
    (d.as_secs_f64() * 1e4).round() / 10.0
}
