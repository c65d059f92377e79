//! `rover-rtc server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use rover_rtc::{ServerConfig, Token};

/// Runs a hub: signaling over HTTP, relay and status over UDP.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  rover-rtc server
  rover-rtc server --listen 127.0.0.1:8080
  rover-rtc server --udp 10.0.0.5:40000 --udp 10.1.0.5:40000
  rover-rtc server --udp 10.0.0.5:40000 --advertise 203.0.113.7:40000
  rover-rtc server --udp 10.0.0.5:40000 --shards 4
  ROVER_RTC_TOKEN=secret rover-rtc server --state /var/lib/rover-rtc --roster fleet.txt")]
pub(crate) struct ServerOptions {
    /// Where HTTP listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:3000")]
    pub(crate) listen: SocketAddr,
    /// UDP address to use; repeat it for several. Default: a random port on this machine's
    /// address, and on loopback
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) udp: Vec<SocketAddr>,
    /// Address under which others see the UDP address in the same place, for a hub behind a
    /// static NAT; port 0 stands for the same port
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) advertise: Vec<SocketAddr>,
    /// Parts of the hub that work at the same time, up to 64. With more than one, each UDP address
    /// stands for as many ports in a row; what clients of two parts tell each other is handed from
    /// thread to thread. Default: one for each core if no --udp is given, else one
    #[arg(long, visible_alias = "drivers", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) shards: Option<u16>,
    /// Token that a peer has to show to get a name; repeat it for several. Others on this machine
    /// can read arguments: prefer the environment. Default: anybody may have a free name
    #[arg(long, value_name = "TOKEN", env = "ROVER_RTC_TOKEN", hide_env_values = true)]
    pub(crate) token: Vec<Token>,
    /// Directory in which the hub remembers whose a name is. Default: it forgets when it ends
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// File of names and fingerprints, one peer in each line; nobody else gets a name then
    #[arg(long, value_name = "FILE")]
    pub(crate) roster: Option<PathBuf>,
    /// Hand out no relay channels: peers that have no direct path do not reach each other
    #[arg(long)]
    pub(crate) no_relay: bool,
    /// Bytes per second that are relayed for each call and direction; 0: no limit
    #[arg(long, value_name = "BYTES", default_value_t = ServerConfig::default().relay_rate)]
    pub(crate) relay_rate: u64,
}

impl ServerOptions {
    pub(crate) fn config(&self) -> ServerConfig {
        ServerConfig {
            listen: self.listen,
            udp: self.udp.clone(),
            advertise: self.advertise.clone(),
            shards: self.shards.map_or(0, usize::from),
            tokens: self.token.clone(),
            state: self.state.clone(),
            roster: self.roster.clone(),
            relay: !self.no_relay,
            relay_rate: self.relay_rate,
            ..ServerConfig::default()
        }
    }
}
