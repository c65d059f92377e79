//! Settings of a peer.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::http::Token;
use crate::journal::JournalConfig;
use crate::link::{ChannelConfig, MAX_MESSAGE};
use crate::net::Faults;
use crate::path::PathConfig;
use crate::recovery::RecoveryConfig;
use crate::session::Pace;
#[cfg(feature = "turn")]
use crate::turn::IceServer;

/// Settings of a peer. All have defaults; change what you need.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The hub: `host:port` or a URL. Default `http://127.0.0.1:3000`.
    pub server: String,
    /// The peer's name, under which others find it at the hub: 1 to 64 bytes without white space.
    /// Default none: it can neither call other peers nor be called.
    pub name: Option<String>,
    /// Directory in which the peer keeps its key, which is who it is, and the keys of the peers
    /// that it has met. Made if it is not there. Default none: a new key each time, and no memory
    /// of others.
    pub state: Option<PathBuf>,
    /// File of the peers that may call and be called, a line each: name, fingerprint. Default
    /// none: the key that a name has at the first meeting is believed from then on.
    pub roster: Option<PathBuf>,
    /// What the hub asks for before it registers a name, if it does. Default none.
    pub token: Option<Token>,
    /// Links with other peers in all, whoever calls. Default 64.
    pub max_links: usize,
    /// STUN and TURN servers of the user's own, for links with other peers. Default none: the hub
    /// shows a peer its public addresses, and relays.
    #[cfg(feature = "turn")]
    pub ice_servers: Vec<IceServer>,
    /// Whether the hub may relay datagrams between this peer and others while they have no direct
    /// path. They stay encrypted end to end. Default true.
    pub relay: bool,
    /// Whether links with other peers use only what is relayed: by the hub, or by a TURN server of
    /// `ice_servers`. The other peers then never learn the addresses of this one. It is enough that
    /// one side of a link asks for it. Costs delay, and the relay's limits apply. Default false.
    /// Without `relay` and without a TURN server no link comes to be.
    pub relay_only: bool,
    /// How the journal of durable channels writes. It is in the state directory.
    pub journal: JournalConfig,
    /// Channels that the peer opens. Default one, the plain "test".
    pub channels: Vec<ChannelConfig>,
    /// Local addresses to use. Default none given: all of the usable interfaces, and loopback
    /// where the hub is on this machine. Docker and similar bridges are left out.
    pub bind: Vec<IpAddr>,
    /// Names of the interfaces to use; `*` stands for any characters: `wlan*`, `*.100`. Default
    /// none given: all but bridges, and a bridge that is named here is used too. Loopback has to
    /// be named where others are. An interface may come and go; it is used while it is there.
    /// Without meaning beside `bind`.
    pub interfaces: Vec<String>,
    /// Names of interfaces that are not to be used, such as those of a metered network, even if
    /// `interfaces` matches them; `*` as there. Default none. Without meaning beside `bind`.
    pub no_interfaces: Vec<String>,
    /// How paths are probed and whether records are sent twice.
    pub path: PathConfig,
    /// When ICE is restarted and a new transport dialed.
    pub recovery: RecoveryConfig,
    /// How fast the transport's clock runs. Default [`Pace::OURS`], and [`Pace::FOREIGN`] where
    /// a hub turns out to be another stack. Set that yourself where the application carries the
    /// signaling to another stack.
    pub pace: Pace,
    /// Bytes of unread messages per channel after which no more are taken, so that they stay with
    /// the sender. On a plain channel that stops the whole link, both ways. Default 16 MiB.
    pub inbox_bytes: usize,
    /// Channels that the link can have, whoever opens them. Default 16.
    pub max_channels: usize,
    /// Largest message in bytes that is taken on a framed channel; the other side is told. Default
    /// 16 MiB.
    pub max_message: usize,
    /// Faults to be played on this peer's networks; for tests and demonstrations.
    pub faults: Faults,
}

impl PeerConfig {
    /// The defaults, with this hub.
    #[must_use]
    pub fn new(server: impl Into<String>) -> Self {
        Self { server: server.into(), ..Self::default() }
    }
}

impl Default for PeerConfig {
    fn default() -> Self {
        Self {
            server: "http://127.0.0.1:3000".to_owned(),
            name: None,
            state: None,
            roster: None,
            token: None,
            max_links: 64,
            #[cfg(feature = "turn")]
            ice_servers: Vec::new(),
            relay: true,
            relay_only: false,
            journal: JournalConfig::default(),
            channels: vec![ChannelConfig::plain("test")],
            bind: Vec::new(),
            interfaces: Vec::new(),
            no_interfaces: Vec::new(),
            path: PathConfig::default(),
            recovery: RecoveryConfig::default(),
            pace: Pace::OURS,
            inbox_bytes: 16 * 1024 * 1024,
            max_channels: 16,
            max_message: MAX_MESSAGE,
            faults: Faults::default(),
        }
    }
}
