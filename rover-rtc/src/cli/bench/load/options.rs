//! The arguments of `bench load`.

use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use rover_rtc::Mode;

/// Options of `bench load`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Clients have no names, so a hub with default settings takes 10,000 of them and
does not count their sessions. 25 connect at a time, below its limit of 64 half-open clients. From
another machine it takes 64 HTTP connections of one address at a time, which is enough.

Latency since due counts from the moment at which a message was to be sent, so that a stall is seen
by all messages that it held up; the timers of this process add 1 ms to that. Latency since sent is
without. A message that does not come within 5 s is lost; then the exit status is 1.

Examples:
  rover-rtc server --listen 127.0.0.1:3000 --udp 127.0.0.1:0 & hub=$!
  rover-rtc bench load --server 127.0.0.1:3000 --clients 100 --hub-pid $hub
  rover-rtc bench load --server 127.0.0.1:3000 --clients 1000 --rate 10 --seconds 30 --json
What an idle client costs, first over 30 s, then for as long as you like:
  rover-rtc bench load --server 127.0.0.1:3000 --clients 1000 --idle --seconds 30 --hub-pid $hub
  rover-rtc bench load --server 127.0.0.1:3000 --clients 1000 --idle --hold
Whether stuck clients disturb others: 3 that read nothing, or a whole process that stands still:
  rover-rtc bench load --server 127.0.0.1:3000 --clients 20 --unread 3
  rover-rtc bench load --server 127.0.0.1:3000 --clients 10 --hold & sleep 5; kill -STOP $!"
)]
pub(crate) struct LoadOptions {
    /// The hub
    #[arg(long, value_name = "URL")]
    pub(super) server: String,
    /// How many clients; they come in pairs, unless idle
    #[arg(long, value_name = "N")]
    pub(super) clients: usize,
    /// Messages per second that each client sends, and gets
    #[arg(long, default_value_t = 10.0)]
    pub(super) rate: f64,
    /// Bytes of a message, 16 at least
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    pub(super) size: usize,
    /// Seconds to measure, after those of warming up
    #[arg(long, default_value_t = 10.0)]
    pub(super) seconds: f64,
    /// Seconds of the same load before that; for the first 5 s of a link thin traffic is sent twice
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub(super) warm_up: f64,
    /// What the channels promise
    #[arg(long, value_name = "MODE", value_enum, default_value_t)]
    pub(super) channel: LoadChannel,
    /// Local address of all clients
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(super) bind: IpAddr,
    /// The hub's process on this machine (Linux), to report its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub(super) hub_pid: Option<u32>,
    /// Send nothing: connect, and hold for the seconds to measure
    #[arg(long, conflicts_with_all = ["rate", "size", "unread"])]
    pub(super) idle: bool,
    /// After the report stay connected, until Ctrl-C
    #[arg(long)]
    pub(super) hold: bool,
    /// Threads over which the clients are spread
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) threads: usize,
    /// Further clients, each on the channel of a pair, that get what the pair sends and read none
    /// of it; they do not count in what is reported
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub(super) unread: usize,
    /// Report as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// Promises that lose nothing while a client stays connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub(super) enum LoadChannel {
    #[default]
    Reliable,
    Plain,
}

impl LoadChannel {
    pub(super) fn promise(self) -> Mode {
        match self {
            Self::Reliable => Mode::Reliable,
            Self::Plain => Mode::Plain,
        }
    }

    /// As in the results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reliable => "reliable",
            Self::Plain => "plain",
        }
    }
}

impl LoadOptions {
    /// What clap cannot say.
    pub(in crate::cli::bench) fn check(&self) -> Result<(), &'static str> {
        let is_time = |seconds: f64| seconds > 0.0 && seconds <= MAX_SECONDS;
        match self {
            _ if self.clients == 0 => Err("--clients must be 1 at least"),
            _ if !self.idle && !self.clients.is_multiple_of(2) => {
                Err("--clients must be even, for they come in pairs (without --idle)")
            }
            _ if self.threads == 0 => Err("--threads must be 1 at least"),
            _ if !is_time(self.seconds) => Err("--seconds must be above 0, and a day at most"),
            _ if self.warm_up != 0.0 && !is_time(self.warm_up) => {
                Err("--warm-up must be 0 or above, and a day at most")
            }
            _ if !(self.rate > 0.0 && self.rate <= MAX_RATE) => {
                Err("--rate must be above 0, and a million at most")
            }
            _ if !(16..=MAX_SIZE).contains(&self.size) => {
                Err("--size must be from 16 bytes to 256 KiB, what a hub takes in one message")
            }
            _ => Ok(()),
        }
    }

    /// The time that is measured.
    pub(super) fn window(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// The time before.
    pub(super) fn lead(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up)
    }

    pub(super) fn pairs(&self) -> usize {
        self.clients / 2
    }
}

const MAX_SECONDS: f64 = 86_400.0;
const MAX_RATE: f64 = 1e6;

/// Of a plain channel; that of framed ones is larger.
const MAX_SIZE: usize = 256 * 1024;
