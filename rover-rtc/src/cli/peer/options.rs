//! The arguments of `rover-rtc peer`.

use std::convert::Infallible;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use rover_rtc::http::client::is_reachable;
use rover_rtc::identity::valid_name;
use rover_rtc::net::{FaultRule, scan};
use rover_rtc::turn::{IceServer, IceServerError};
use rover_rtc::util::state_dir;
use rover_rtc::{NetworkError, PeerConfig, Redundancy, Token, WebrtcError};

/// Runs a peer: connects to a hub, exchanges payloads on "test", with the hub's other clients or
/// with rovers that it calls or that call it, and prints what it gets.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  rover-rtc peer
  rover-rtc peer --server hub.example:3000 --name rover-1
  rover-rtc peer --name rover-2 --to rover-1
  rover-rtc peer --name rover-2 --to rover-1 --status
  rover-rtc peer --name rover-2 --to rover-1 --status --json | jq .rtt_ms
  rover-rtc peer --name rover-1 --roster fleet.txt --state /var/lib/rover
  ROVER_RTC_ICE_SERVERS='turn:rover:secret@turn.example' rover-rtc peer --name rover-1
  rover-rtc peer --every 100 --redundancy always
  rover-rtc peer --interface 'wlan*' --interface wwan0
  rover-rtc peer --loss 2      (plays a network that loses 2 % each way)")]
pub(crate) struct PeerOptions {
    /// The hub, and this rover.
    #[command(flatten)]
    pub(crate) connect: ConnectOptions,
    /// Rover to call: payloads go to it, peer to peer, and not to the hub's clients; repeat it for
    /// several. One that says good-bye is called again
    #[arg(long, value_name = "NAME", requires = "name", value_parser = name)]
    pub(crate) to: Vec<String>,
    /// How long a rover may take to be reached until this ends with exit code 1; 0: for ever
    #[arg(long, value_name = "SECONDS", default_value = "30", requires = "to",
        value_parser = seconds)]
    pub(crate) wait: Duration,
    /// Milliseconds between the payloads sent; 0 sends none
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub(crate) every: u64,
    /// Show all links and their paths: on a terminal a table in place, else a line for each link.
    /// `--status=5` does so every 5 s
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
        default_missing_value = "1", value_parser = interval)]
    pub(crate) status: Option<Duration>,
    /// Print the status as JSON, one object for each link in each line, and nothing else
    #[arg(long, requires = "status")]
    pub(crate) json: bool,
    /// Prints no message, only events
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// How a rover gets to its hub and to others: the options that all rovers of the command line
/// share.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectOptions {
    /// The hub. Default: the first of 127.0.0.1:3000 and 172.17.0.1:3000 that answers
    #[arg(long, value_name = "URL", env = "ROVER_RTC_SERVER")]
    pub(crate) server: Option<String>,
    /// Name under which others find this peer at the hub; with one it can call and be called
    #[arg(long, value_parser = name)]
    pub(crate) name: Option<String>,
    /// Directory of this rover's key and of the keys that it knows. Default:
    /// $XDG_STATE_HOME/rover-rtc/NAME or ~/.local/state/rover-rtc/NAME
    #[arg(long, value_name = "DIR", requires = "name")]
    pub(crate) state: Option<PathBuf>,
    /// Keep nothing: a new key each time, and no memory of others
    #[arg(long, requires = "name", conflicts_with = "state")]
    pub(crate) no_state: bool,
    /// File of names and fingerprints, one rover in each line; nobody else is called or answered
    #[arg(long, value_name = "FILE", requires = "name")]
    pub(crate) roster: Option<PathBuf>,
    /// Token that the hub asks for. Others on this machine can read arguments: prefer the
    /// environment
    #[arg(long, value_name = "TOKEN", env = "ROVER_RTC_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<Token>,
    /// Do not let the hub relay between this rover and others
    #[arg(long)]
    pub(crate) no_relay: bool,
    /// Use only the hub's relay or a TURN server to other rovers, which then do not learn the
    /// addresses of this one
    #[arg(long)]
    pub(crate) relay_only: bool,
    /// STUN or TURN server for links with other rovers: stun:HOST, turn:USER:PASSWORD@HOST,
    /// turns:..., turn:HOST?secret=TEXT; repeat it for several. Others on this machine can read
    /// arguments: prefer the environment, where white space separates several
    #[arg(long, value_name = "URL", env = "ROVER_RTC_ICE_SERVERS", hide_env_values = true)]
    pub(crate) ice_server: Vec<IceServers>,
    /// Local address to use; repeat it for several. Default: those of all usable interfaces
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bind: Vec<std::net::IpAddr>,
    /// Interface to use, * for any characters; repeat it for several. Default: all but bridges
    #[arg(long, value_name = "PATTERN", conflicts_with = "bind")]
    pub(crate) interface: Vec<String>,
    /// Interface not to use, even if --interface matches it; repeat it for several
    #[arg(long, value_name = "PATTERN", conflicts_with = "bind")]
    pub(crate) no_interface: Vec<String>,
    /// Whether messages are sent twice: off, auto or always
    #[arg(long, value_name = "WHEN", default_value_t, value_parser = redundancy_parser())]
    pub(crate) redundancy: Redundancy,
    /// Fault to play: percent of packets lost each way
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub(crate) loss: f64,
}

impl PeerOptions {
    /// Whether it takes the whole screen, so that other lines would spoil it.
    #[must_use]
    pub(crate) fn takes_screen(&self) -> bool {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        self.status.is_some() && !self.json && !dumb && std::io::stdout().is_terminal()
    }

    /// How long a rover may take to be reached.
    pub(super) fn patience(&self) -> Duration {
        if self.wait.is_zero() { FOR_EVER } else { self.wait }
    }
}

impl ConnectOptions {
    /// The settings of the peer. If no hub was named, the usual places are asked.
    ///
    /// # Errors
    ///
    /// [`WebrtcError::IceServer`] if one cannot be used, [`WebrtcError::Network`] if the machine's
    /// addresses are needed and cannot be read.
    pub(crate) async fn config(&self) -> Result<PeerConfig, WebrtcError> {
        let mut config = PeerConfig::new(self.hub().await);
        config.name.clone_from(&self.name);
        config.state = self.state_dir();
        config.roster.clone_from(&self.roster);
        config.token.clone_from(&self.token);
        config.relay = !self.no_relay;
        config.relay_only = self.relay_only;
        for servers in &self.ice_server {
            config.ice_servers.extend(servers.0.clone()?);
        }
        config.bind.clone_from(&self.bind);
        config.interfaces.clone_from(&self.interface);
        config.no_interfaces.clone_from(&self.no_interface);
        config.path.redundancy = self.redundancy;
        if self.loss > 0.0 {
            for ip in scan().map_err(NetworkError::from)? {
                config.faults.set(ip.addr, FaultRule::loss(self.loss / 100.0));
            }
        }
        Ok(config)
    }

    /// The hub that was named, or the first of the usual places where one answers.
    async fn hub(&self) -> String {
        if let Some(server) = &self.server {
            return server.clone();
        }
        for server in USUAL_SERVERS {
            if is_reachable(server).await {
                return server.to_owned();
            }
        }
        USUAL_SERVERS[0].to_owned()
    }

    fn state_dir(&self) -> Option<PathBuf> {
        let default = || self.name.as_deref().filter(|_| !self.no_state).and_then(state_dir);
        self.state.clone().or_else(default)
    }
}

/// STUN and TURN servers, separated by white space, or what is wrong with the text: it is told
/// later, because the command line's own errors repeat the text, which may hold a password.
#[derive(Debug, Clone)]
pub(crate) struct IceServers(Result<Vec<IceServer>, IceServerError>);

impl FromStr for IceServers {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.split_whitespace().map(str::parse).collect()))
    }
}

/// Takes a policy by its name, and shows all names in the help.
pub(crate) fn redundancy_parser() -> impl TypedValueParser<Value = Redundancy> {
    // Only names that there are come through.
    PossibleValuesParser::new(Redundancy::NAMES).map(|name| name.parse().unwrap_or_default())
}

fn name(text: &str) -> Result<String, &'static str> {
    let named = valid_name(text).then(|| text.to_owned());
    named.ok_or("1 to 64 bytes without white space, control characters or / are needed")
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("a number from 0 to 100 is needed".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=1e6).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number from 0 to 1000000 is needed".to_owned()),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number from 0.1 to 3600 is needed".to_owned()),
    }
}

/// A hub on this machine, and the one of the seed: the host of a Docker container.
const USUAL_SERVERS: [&str; 2] = ["http://127.0.0.1:3000", "http://172.17.0.1:3000"];

/// A hundred years: long enough, and far from what the clock can count to.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ice_servers_are_not_shown() {
        let good: IceServers = "stun:a  turn:u:sesame@b".parse().unwrap();
        assert_eq!(good.0.as_ref().unwrap().len(), 2);
        let bad: IceServers = "turn:u:sesame@".parse().unwrap();
        assert!(bad.0.is_err());
        assert!(!format!("{good:?} {bad:?}").contains("sesame"));
    }
}
