//! What was measured, as a table or as JSON.

use rover_rtc::cli::ExitCode;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::options::LoadOptions;
use super::tally::{Faults, Tally};

/// The result of a run.
#[derive(Debug)]
pub(super) struct Report {
    options: LoadOptions,
    connect_seconds: f64,
    tally: Tally,
    cost: Cost,
}

/// What it took, in the window that is measured.
#[derive(Debug)]
pub(super) struct Cost {
    /// Seconds.
    pub(super) window: f64,
    /// CPU seconds of this process, and of the hub's.
    pub(super) own_cpu: f64,
    pub(super) hub_cpu: Option<f64>,
    /// Messages that came through the hub.
    pub(super) passed: u64,
    /// KiB of the hub's: before the clients came, when they were connected, at the end.
    pub(super) memory: [Option<u64>; 3],
}

impl Report {
    pub(super) fn new(
        options: &LoadOptions,
        connect_seconds: f64,
        mut tally: Tally,
        cost: Cost,
    ) -> Self {
        tally.from_due.sort_unstable();
        tally.from_sent.sort_unstable();
        Self { options: options.clone(), connect_seconds, tally, cost }
    }

    /// A failure if a message was lost, repeated or out of order.
    pub(super) fn code(&self) -> ExitCode {
        if self.tally.faults == Faults::default() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Prints it; what is wrong on standard error, too.
    #[allow(clippy::print_stdout, reason = "the command line")]
    pub(super) fn show(&self, as_json: bool) {
        match as_json {
            true => println!("{}", self.json()),
            false => print!("{}", self.table()),
        }
        let Faults { lost, repeated, reordered, strange, unsent } = self.tally.faults;
        if unsent > 0 {
            eprintln!(
                "rover-rtc: {unsent} messages were not sent, being 10 s late: the rate is more \
                 than this machine, or the hub, can do; lower --rate or --clients"
            );
        }
        if lost + repeated + reordered + strange > 0 {
            eprintln!(
                "rover-rtc: {lost} messages were lost (did not come within 5 s), {repeated} \
                 repeated, {reordered} out of order, {strange} of somebody else; the hub's log, \
                 and `rover-rtc server` with RUST_LOG=debug, may tell why"
            );
        }
    }

    fn json(&self) -> Value {
        let Self { options, tally, cost, .. } = self;
        let mut result = json!({
            "clients": options.clients,
            "channel": options.channel.name(),
            "threads": options.threads,
            "connect_s": thousandths(self.connect_seconds),
            "window_s": thousandths(cost.window),
            "cpu_s": thousandths(cost.own_cpu),
        });
        if !options.idle {
            let Faults { lost, repeated, reordered, strange, unsent } = tally.faults;
            let latency = |samples: &[u32]| {
                let of =
                    |(name, share): (&str, f64)| (name.to_owned(), json!(micros(samples, share)));
                Value::Object(SHARES.into_iter().map(of).collect())
            };
            let load = json!({
                "rate": options.rate,
                "size": options.size,
                "unread": options.unread,
                "sent": tally.sent,
                "received": tally.received,
                "lost": lost,
                "repeated": repeated,
                "reordered": reordered,
                "strange": strange,
                "unsent": unsent,
                "latency_us": latency(&tally.from_due),
                "latency_from_send_us": latency(&tally.from_sent),
            });
            extend(&mut result, load);
        }
        if let Some(cpu) = cost.hub_cpu {
            let [before, connected, after] = cost.memory;
            let hub = json!({
                "hub_cpu_share": thousandths(cpu / cost.window * 100.0) / 100.0,
                "hub_cpu_us_per_message": self.hub_cpu_per_message().map(thousandths),
                "hub_rss_before_kib": before,
                "hub_rss_connected_kib": connected,
                "hub_rss_after_kib": after,
                "hub_kib_per_client": self.memory_per_client().map(thousandths),
            });
            extend(&mut result, hub);
        }
        result
    }

    fn table(&self) -> String {
        let Self { options, tally, cost, .. } = self;
        let mut out = String::new();
        let mut row = |name: &str, value: String| {
            let _ = writeln!(out, "{name:<24}{value}");
        };
        let kind = options.channel.name();
        row("clients", format!("{}, {kind} channel", options.clients));
        row("connected after", format!("{:.1} s", self.connect_seconds));
        row("measured", format!("{:.1} s", cost.window));
        if !options.idle {
            let Faults { lost, repeated, reordered, unsent, .. } = tally.faults;
            let (rate, size) = (options.rate, options.size);
            row("each sends and gets", format!("{rate} messages a second of {size} bytes"));
            if options.unread > 0 {
                row("unread", format!("{} more clients", options.unread));
            }
            row("sent, received", format!("{}, {}", tally.sent, tally.received));
            row("lost", lost.to_string());
            row("repeated, reordered", format!("{repeated}, {reordered}"));
            if unsent > 0 {
                row("not sent", unsent.to_string());
            }
            for (name, samples) in
                [("latency since due", &tally.from_due), ("latency since sent", &tally.from_sent)]
            {
                let of = |(name, share): (&str, f64)| match micros(samples, share) {
                    Some(micros) => format!("{name} {micros} us"),
                    None => format!("{name} -"),
                };
                row(name, SHARES.map(of).join(", "));
            }
        }
        row("cpu of this process", share(cost.own_cpu, cost.window));
        if let Some(cpu) = cost.hub_cpu {
            row("cpu of the hub", share(cpu, cost.window));
            if let Some(micros) = self.hub_cpu_per_message() {
                row("  for each message", format!("{micros:.1} us"));
            }
            let memory = cost.memory.map(|kib| kib.unwrap_or_default());
            let [before, connected, after] = memory;
            row(
                "memory of the hub",
                format!("{before} KiB before, {connected} KiB connected, {after} KiB after"),
            );
            if let Some(kib) = self.memory_per_client() {
                row("  for each client", format!("{kib:.1} KiB"));
            }
        }
        out
    }

    fn hub_cpu_per_message(&self) -> Option<f64> {
        let cpu = self.cost.hub_cpu.filter(|_| self.cost.passed > 0)?;
        Some(cpu * 1e6 / self.cost.passed as f64)
    }

    /// KiB, of what the hub has grown by.
    fn memory_per_client(&self) -> Option<f64> {
        let [before, _, after] = self.cost.memory;
        let grown = after? as f64 - before? as f64;
        Some(grown / (self.options.clients + self.options.unread) as f64)
    }
}

/// What that share of the sorted samples did not exceed, in microseconds.
fn micros(samples: &[u32], share: f64) -> Option<f64> {
    let rank = (share * samples.len() as f64).ceil().max(1.0) as usize;
    samples.get(rank - 1).map(|tenths| f64::from(*tenths) / 10.0)
}

fn share(cpu: f64, window: f64) -> String {
    format!("{cpu:.2} s, {:.1} % of a core", cpu / window * 100.0)
}

fn thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn extend(result: &mut Value, more: Value) {
    if let (Some(result), Value::Object(more)) = (result.as_object_mut(), more) {
        result.extend(more);
    }
}

const SHARES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact() {
        let samples: Vec<_> = (1..=1000).collect();
        let found = SHARES.map(|(_, share)| micros(&samples, share));
        assert_eq!(found, [Some(50.0), Some(99.0), Some(99.9), Some(100.0)]);
        assert_eq!(micros(&[70], 0.5), Some(7.0));
        assert_eq!(micros(&[], 0.5), None);
    }
}
