//! `rover-rtc bench`: one end of a measured connection, by the driver contract that the
//! benchmarks' other drivers follow too. Signaling goes through files, and nobody else is needed;
//! or the two ends are rovers that find each other at a hub. `bench load` is many clients of a hub.

mod connect;
mod files;
mod load;
mod measure;
mod modes;
mod net;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use rover_rtc::cli::ExitCode;
use rover_rtc::cli::peer::redundancy_parser;
use rover_rtc::{ChannelConfig, Mode as Promise, OutboxConfig, PeerConfig, Priority, Redundancy};

/// Options of `bench`.
#[derive(Debug, Args)]
#[command(after_help = "Examples (two terminals, the same directory):
  rover-rtc bench answer --dir /tmp/run --mode throughput --size 16384
  rover-rtc bench offer  --dir /tmp/run --mode throughput --size 16384
The same with a journal on each side (both sides need the same --channel):
  rover-rtc bench answer --dir /tmp/run --mode throughput --size 16384 --channel durable
  rover-rtc bench offer  --dir /tmp/run --mode throughput --size 16384 --channel durable
Over a network of 100 Mbit/s and a round trip of 50 ms, which each side plays on what it sends:
  rover-rtc bench answer --dir /tmp/run --mode throughput --net-delay 25 --net-rate 100
  rover-rtc bench offer  --dir /tmp/run --mode throughput --net-delay 25 --net-rate 100
The same between two rovers of a hub, then by the hub's relay:
  rover-rtc server --listen 127.0.0.1:3000 --udp 127.0.0.1:0 --relay-rate 0
  rover-rtc bench answer --dir /tmp/run --mode latency --hub 127.0.0.1:3000 --name b
  rover-rtc bench offer  --dir /tmp/run --mode latency --hub 127.0.0.1:3000 --to b
  rover-rtc bench offer  ... --relay-only
A hub with 100 clients (more in `bench load --help`):
  rover-rtc bench load --server 127.0.0.1:3000 --clients 100")]
pub(crate) struct BenchOptions {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The side that offers, sends and measures
    Offer(RunOptions),
    /// The side that answers, receives and echoes
    Answer(RunOptions),
    /// Drive a hub with many clients that send each other messages, or stay idle
    Load(load::LoadOptions),
    /// Print the optional features of this driver
    Features,
}

/// Options of both sides.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunOptions {
    /// Directory shared with the other side
    #[arg(long)]
    dir: PathBuf,
    /// What to do
    #[arg(long, value_enum)]
    mode: Mode,
    /// Bytes of a message
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Seconds to measure or to send
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Messages per second
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Connections, in mode hold
    #[arg(long, default_value_t = 1)]
    num: usize,
    /// What the channel promises. Plain is what the other drivers measure, so it is the default
    #[arg(long, value_name = "MODE", value_enum, default_value_t)]
    channel: ChannelMode,
    /// Directory below which each role keeps its journal, for a durable channel. Default: `state`
    /// in the shared directory
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Bytes that may wait to be sent or acknowledged, in mode throughput, in KiB. A long link
    /// needs more than its rate times its round trip
    #[arg(long, value_name = "KIB", default_value_t = 1024)]
    buffer: usize,
    /// Open the channel unordered; for a plain one only
    #[arg(long)]
    unordered: bool,
    /// Send pings on a second channel beside the bulk: before it, unless the channel is plain
    #[arg(long)]
    pings: bool,
    /// Hub at which the other side is found by its name, instead of by files
    #[arg(long, value_name = "URL")]
    hub: Option<String>,
    /// Name of this side at the hub; the side that answers needs one
    #[arg(long, requires = "hub")]
    name: Option<String>,
    /// Name of the side that answers, for the one that offers
    #[arg(long, value_name = "NAME", requires = "hub")]
    to: Option<String>,
    /// Use only the hub's relay between the two
    #[arg(long, requires = "hub")]
    relay_only: bool,
    /// Local address to use; repeat it for several. Default: those of all usable interfaces
    #[arg(long, value_name = "ADDRESS")]
    bind: Vec<IpAddr>,
    /// Whether records are sent twice: off, auto or always
    #[arg(long, default_value_t, value_parser = redundancy_parser())]
    redundancy: Redundancy,
    #[command(flatten)]
    net: net::NetOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Setup,
    Throughput,
    Latency,
    Stream,
    Hold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
enum ChannelMode {
    Reliable,
    Durable,
    Latest,
    Datagram,
    #[default]
    Plain,
}

impl BenchOptions {
    /// Whether it tells by itself how far it is, so that other lines only spoil that.
    pub(crate) fn tells(&self) -> bool {
        matches!(self.role, Role::Load(_))
    }
}

impl ChannelMode {
    fn promise(self) -> Promise {
        match self {
            Self::Reliable => Promise::Reliable,
            Self::Durable => Promise::Durable,
            Self::Latest => Promise::Latest,
            Self::Datagram => Promise::Datagram,
            Self::Plain => Promise::Plain,
        }
    }

    /// As in the results.
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Whether all that is sent arrives, so that what is sent may be counted, too.
    fn is_whole(self) -> bool {
        !matches!(self, Self::Latest | Self::Datagram)
    }
}

impl RunOptions {
    /// The settings of the peer of this role, whose signaling is in `dir`.
    fn config(&self, dir: &Path, offers: bool) -> PeerConfig {
        let limits = match self.mode {
            // The contract: about 1 MiB for bulk, no limit for a stream that must not block.
            Mode::Throughput => OutboxConfig {
                max_messages: usize::MAX,
                max_bytes: self.buffer.saturating_mul(1024),
                ..OutboxConfig::default()
            },
            _ => OutboxConfig {
                max_messages: usize::MAX,
                max_bytes: usize::MAX,
                ..OutboxConfig::default()
            },
        };
        let channel = |label: &str, promise: Promise| {
            let mut channel = ChannelConfig::of_mode(label, promise);
            let max_message = channel.outbox.max_message.max(self.size);
            channel.outbox = OutboxConfig { max_message, ..limits };
            channel
        };
        let mut channels = vec![channel("bench", self.channel.promise())];
        channels[0].ordered = !self.unordered;
        if self.pings {
            // The contract wants it reliable and in order, whatever the bulk is.
            let plain = self.channel == ChannelMode::Plain;
            let promise = if plain { Promise::Plain } else { Promise::Reliable };
            channels.push(channel("ping", promise));
            if !plain {
                channels[0].priority = Priority::Low;
                channels[1].priority = Priority::High;
            }
        }
        let mut config = PeerConfig { channels, ..PeerConfig::default() };
        if self.channel == ChannelMode::Durable {
            let base = match &self.state {
                // One each, where there are many connections.
                Some(state) => state.join(dir.strip_prefix(&self.dir).unwrap_or(Path::new(""))),
                None => dir.join("state"),
            };
            config.state = Some(base.join(if offers { "offer" } else { "answer" }));
        }
        config.path.redundancy = self.redundancy;
        config.bind.clone_from(&self.bind);
        config.relay_only = self.relay_only;
        config.faults = self.net.faults(&self.bind, offers);
        config
    }

    /// What clap cannot say: two rovers have one link, and each side needs the other's name or its
    /// own.
    fn check(&self, offers: bool) -> Result<(), &'static str> {
        self.net.check()?;
        if self.unordered && self.channel != ChannelMode::Plain {
            return Err("--unordered is for a plain channel");
        }
        let (name, to) = (self.name.is_some(), self.to.is_some());
        match (&self.hub, offers) {
            (None, _) => Ok(()),
            (Some(_), _) if self.mode == Mode::Hold => Err("mode hold goes without --hub"),
            (Some(_), true) if !to => Err("bench offer --hub needs --to NAME"),
            (Some(_), false) if !name || to => Err("bench answer --hub needs --name, not --to"),
            (Some(_), _) => Ok(()),
        }
    }
}

/// Runs one end, or a load. Except for errors an end never returns: it stays connected until it is
/// killed.
pub(crate) fn main(options: BenchOptions) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let checked = match &options.role {
        Role::Offer(run) => run.check(true),
        Role::Answer(run) => run.check(false),
        Role::Load(run) => run.check(),
        Role::Features => Ok(()),
    };
    if let Err(why) = checked {
        eprintln!("rover-rtc: {why}");
        // As for other arguments that cannot be used.
        return Ok(ExitCode::from(2));
    }
    // One thread: a message that is sent or received costs no hand-over between cores.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match options.role {
        Role::Offer(run) => runtime.block_on(modes::offer(&run))?,
        Role::Answer(run) => runtime.block_on(modes::answer(&run))?,
        Role::Load(run) => return runtime.block_on(load::main(&run)),
        #[allow(clippy::print_stdout, reason = "the command line")]
        Role::Features => println!("pings"),
    }
    Ok(ExitCode::SUCCESS)
}
