//! A network that is slower, narrower or worse than the real one, played by the fault layer on what
//! this side sends. Where both sides play it, each direction has it.

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use rover_rtc::net::{FaultRule, Faults, scan};
use serde_json::{Value, json};

/// Options of the emulated network.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Emulated network, of what this side sends; give both the same")]
pub(super) struct NetOptions {
    /// Milliseconds that each datagram takes longer: half of what the round trip grows by. They
    /// leave up to 1 ms later, in batches, for that is what timers are good to
    #[arg(long, value_name = "MS")]
    net_delay: Option<f64>,
    /// Megabits per second, for each local address, not counting IP and UDP headers
    #[arg(long, value_name = "MBIT")]
    net_rate: Option<f64>,
    /// Kilobytes (1,000 bytes) that may wait for their turn under that rate; what comes on top is
    /// lost. Default: what the rate carries in a round trip (twice the delay) and in 20 ms at
    /// least, but no less than 64
    #[arg(long, value_name = "KB", requires = "net_rate")]
    net_queue: Option<u32>,
    /// Percent of datagrams that are lost, at random
    #[arg(long, value_name = "PERCENT")]
    net_loss: Option<f64>,
}

impl NetOptions {
    /// What clap cannot say.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let within = |value: Option<f64>, least: f64, most: f64| {
            value.is_none_or(|value| (least..=most).contains(&value))
        };
        match self {
            _ if !within(self.net_delay, 0.0, 10_000.0) => {
                Err("--net-delay must be from 0 to 10000 ms")
            }
            _ if !within(self.net_rate, 0.001, 100_000.0) => {
                Err("--net-rate must be from 0.001 to 100000 Mbit/s")
            }
            _ if !within(self.net_loss, 0.0, 100.0) => Err("--net-loss must be from 0 to 100 %"),
            _ => Ok(()),
        }
    }

    /// The faults of a peer that uses these local addresses, or those of all interfaces that are
    /// there now.
    pub(super) fn faults(&self, bind: &[IpAddr], offers: bool) -> Faults {
        // Two sides that lose the same datagrams by number would be a strange network.
        let faults = Faults::new(if offers { 1 } else { 2 });
        let Some(rule) = self.rule() else { return faults };
        let all = || scan().unwrap_or_default().iter().map(|i| i.addr).collect();
        let addresses: Vec<IpAddr> = if bind.is_empty() { all() } else { bind.to_vec() };
        addresses.into_iter().for_each(|ip| faults.set(ip, rule));
        faults
    }

    /// As in the results; null where the network is as it is.
    pub(super) fn shown(&self) -> Value {
        let Some(rule) = self.rule() else { return Value::Null };
        json!({
            "delay_ms": self.net_delay.unwrap_or_default(),
            "rate_mbit": self.net_rate,
            "queue_kb": rule.rate_bps.map(|_| rule.queue_bytes / 1000),
            "loss_percent": self.net_loss.unwrap_or_default(),
        })
    }

    fn rule(&self) -> Option<FaultRule> {
        let Self { net_delay, net_rate, net_loss, .. } = self;
        net_delay.or(*net_rate).or(*net_loss)?;
        Some(FaultRule {
            delay: Duration::from_secs_f64(net_delay.unwrap_or_default() / 1e3),
            rate_bps: net_rate.map(|mbit| (mbit * 1e6) as u64),
            queue_bytes: self.queue(),
            loss_out: net_loss.unwrap_or_default() / 100.0,
            ..FaultRule::default()
        })
    }

    fn queue(&self) -> usize {
        let kilobytes = self.net_queue.map_or_else(
            || {
                let round_trip_ms = self.net_delay.unwrap_or_default() * 2.0;
                let bytes_in_ms = self.net_rate.unwrap_or_default() * 1e3 / 8.0;
                (bytes_in_ms * round_trip_ms.max(LEAST_QUEUE_MS) / 1e3).max(LEAST_QUEUE_KB) as usize
            },
            |kilobytes| kilobytes as usize,
        );
        kilobytes * 1000
    }
}

/// So that what a driver sends in one turn, and a burst of a timer, has room on short ways.
const LEAST_QUEUE_MS: f64 = 20.0;
const LEAST_QUEUE_KB: f64 = 64.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn options(delay: Option<f64>, rate: Option<f64>, queue: Option<u32>) -> NetOptions {
        NetOptions { net_delay: delay, net_rate: rate, net_queue: queue, net_loss: None }
    }

    #[test]
    fn the_queue_is_a_round_trip_unless_told() {
        // 100 Mbit/s are 12.5 KB in a millisecond.
        for (delay, rate, queue, kilobytes) in [
            (Some(50.0), 100.0, None, 1250),
            (None, 100.0, None, 250),
            (Some(1.0), 1.0, None, 64),
            (Some(50.0), 100.0, Some(10), 10),
        ] {
            let rule = options(delay, Some(rate), queue).rule().unwrap();
            assert_eq!(rule.queue_bytes, kilobytes * 1000);
            assert_eq!(rule.rate_bps, Some((rate * 1e6) as u64));
        }
    }

    #[test]
    fn without_options_there_are_no_faults() {
        let here = [IpAddr::from([127, 0, 0, 1])];
        let none = options(None, None, None);
        assert!(!none.faults(&here, true).is_active() && none.shown().is_null());
        let slow = options(Some(5.0), None, None);
        assert!(slow.faults(&here, true).is_active() && slow.shown()["queue_kb"].is_null());
        assert!(slow.faults(&[], false).is_active());
    }

    #[test]
    fn absurd_networks_are_refused() {
        for (delay, rate) in [(-1.0, 1.0), (f64::NAN, 1.0), (1.0, 0.0), (f64::INFINITY, 1.0)] {
            assert!(options(Some(delay), Some(rate), None).check().is_err(), "{delay} {rate}");
        }
        assert!(options(Some(50.0), Some(100.0), None).check().is_ok());
    }
}
