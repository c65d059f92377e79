//! Settings of a hub.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::health::HealthConfig;
use crate::http::Token;
use crate::http::server::HttpLimits;
use crate::link::{OutboxConfig, WhenFull};
use crate::net::Faults;
use crate::path::PathConfig;
use crate::session::Pace;

/// Settings of a hub.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where HTTP listens. Default `0.0.0.0:3000`.
    pub listen: SocketAddr,
    /// UDP addresses. Default none given: a random port on the selected host address, and on
    /// loopback, so that peers on the same machine find it.
    pub udp: Vec<SocketAddr>,
    /// Addresses under which others see the UDP sockets, in the same order: for a hub behind a
    /// static NAT. Default none: as bound. A port of 0 stands for the bound one.
    pub advertise: Vec<SocketAddr>,
    /// Drivers: parts of the hub that work at the same time, each with clients and UDP sockets of
    /// its own, the first in the task that runs the hub and each other one in a thread. Default 0:
    /// one for each core if no UDP addresses are given, else one. With more, each UDP address
    /// stands for as many ports in a row (0: any port for each), and so does each advertised one.
    /// At most 64. What clients of different shards tell each other costs a hand-over between two
    /// threads.
    pub shards: usize,
    /// The health rule. Defaults are the seed's numbers.
    pub health: HealthConfig,
    /// How often the status message goes to all clients. Default 5 s.
    pub status_interval: Duration,
    /// How paths are probed and whether records are sent twice.
    pub path: PathConfig,
    /// How fast transports' clocks run towards peers of ours.
    pub pace: Pace,
    /// Limits of each channel's outbox on the hub. Default 4,096 messages or 4 MiB; the oldest
    /// are dropped, and counted, when a client does not take what others send.
    pub outbox: OutboxConfig,
    /// Channels that one client can open. Default 16.
    pub max_channels: usize,
    /// Largest message in bytes that the hub takes, and passes on, on a framed channel. Default
    /// 1 MiB: each channel of each client may have one that is half there.
    pub max_message: usize,
    /// Clients in all. Default 10,000; more are told 503.
    pub max_clients: usize,
    /// Clients that have an answer but no connection yet. Default 64; more are told 503 with
    /// Retry-After. When there are as many, one from an address that has few of them takes the
    /// place of the oldest from the address that has most. With `tokens`, a quarter of them is for
    /// those who show one, who also take the place of any other.
    pub max_half_open: usize,
    /// How many of them may come from one IPv4 address, or one /64 network of IPv6 addresses.
    /// Default 32; more are told 429 with Retry-After. Not for loopback, where a proxy may stand
    /// for all its users, nor for those who show a token.
    pub max_half_open_per_address: usize,
    /// Offers that one such address may make in a second, on average: ten times as many at once.
    /// Default 100; more are told 429 with Retry-After. With the same exceptions. Each costs the
    /// hub less than a millisecond.
    pub offers_per_second: u32,
    /// How long a client may be half open. Default 15 s. One that shows its key over HTTP, at least
    /// every 30 s, is none.
    pub half_open_time: Duration,
    /// Of who asks for a name, one of these is wanted (`Authorization: Bearer TOKEN`). Default
    /// none: anybody may have a name that no other key has. Never shown and never logged.
    pub tokens: Vec<Token>,
    /// A directory in which the names of kept keys are remembered. Default none: they are
    /// remembered until the hub ends. There is room for 4096: those of strangers, who have shown no
    /// token, make room for others when they have not been seen for long, and one address may bind
    /// 64 new ones in an hour. What is not bound belongs to its key while that is there.
    pub state: Option<PathBuf>,
    /// A file of names and the fingerprints of their keys; then nobody else gets a name. Default
    /// none: a name belongs to the first key that has it.
    pub roster: Option<PathBuf>,
    /// Sessions that one name may ask for in a minute, from one address. Default 5; more are told
    /// 429 with Retry-After. Clients without a registered name are not counted.
    pub sessions_per_minute: u32,
    /// Calls that one name may begin to one other in a minute. Default 5; more are rejected.
    pub offers_per_minute: u32,
    /// Whether datagrams between peers are relayed. Default true. They are encrypted between the
    /// peers.
    pub relay: bool,
    /// Bytes per second that are relayed in each direction of a call. Default 4,000,000, with
    /// bursts of a quarter of a second; 0 sets no limit. What is over is dropped, and counted.
    pub relay_rate: u64,
    /// Calls of one name that are relayed at the same time. Default 64, at most 4095.
    pub relay_calls: usize,
    /// Limits of the HTTP front.
    pub http: HttpLimits,
    /// Faults to be played on this hub's networks; for tests and demonstrations.
    pub faults: Faults,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let outbox = OutboxConfig { when_full: WhenFull::DropOldest, ..OutboxConfig::default() };
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 3000)),
            udp: Vec::new(),
            advertise: Vec::new(),
            shards: 0,
            health: HealthConfig::default(),
            status_interval: Duration::from_secs(5),
            path: PathConfig { keeps_alive: false, ..PathConfig::default() },
            pace: Pace::OURS,
            outbox,
            max_channels: 16,
            max_message: 1024 * 1024,
            max_clients: 10_000,
            max_half_open: 64,
            max_half_open_per_address: 32,
            offers_per_second: 100,
            half_open_time: Duration::from_secs(15),
            tokens: Vec::new(),
            state: None,
            roster: None,
            sessions_per_minute: 5,
            offers_per_minute: 5,
            relay: true,
            relay_rate: 4_000_000,
            relay_calls: 64,
            http: HttpLimits::default(),
            faults: Faults::default(),
        }
    }
}
