//! # rover-rtc: the link that keeps a robot connected
//!
//! WebRTC data channels that carry on within a fraction of a second when the network under them
//! dies: Wi-Fi fades, LTE takes over, a NAT forgets, the hub restarts.
//!
//! A [`Peer`] keeps a link to a hub, or to another peer; [`server::run`] serves a hub. Below them
//! is a core without I/O, which takes time as an argument:
//!
//! | module | what it is |
//! |---|---|
//! | [`peer`], [`server`] | drivers: the only places where sockets, clock and state meet |
//! | [`pull`] | peers and hubs for programs with a loop of their own, such as C and Python |
//! | [`link`] | channels, what they promise, and their queues, over one transport after another |
//! | [`journal`] | what durable channels must not forget, on disk |
//! | [`session`] | sole owner of `str0m::Rtc`: ICE, DTLS, SCTP, on a clock of our own pace |
//! | [`path`] | probes, liveness, selection and duplication of paths |
//! | [`health`], [`recovery`] | the hub's rule and the peer's escalation, as data |
//! | [`identity`] | who a peer is: its certificate's fingerprint, and whose names it knows |
//! | [`journal`] | what links keep on disk: messages on their way, and what was received |
//! | [`net`] | sockets in batches, faults for tests, the interface scan |
//! | [`turn`] | STUN and TURN servers of the user's own: public and relayed addresses |
//! | [`signal`] | signaling messages, HTTP client and guarded HTTP server |
//!
//! ```no_run
//! use rover_rtc::{Peer, PeerConfig};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), rover_rtc::WebrtcError> {
//! let peer = Peer::connect(PeerConfig::new("http://127.0.0.1:3000"))?;
//! let test = peer.channel("test").expect("a default channel");
//! test.send("hello, hub").await?;
//! while let Some(message) = test.recv().await {
//!     println!("{} bytes", message.data.len());
//! }
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(feature = "server", feature = "turn", feature = "cli")),
    allow(
        dead_code,
        reason = "what only the hub, TURN or the command line ask of the layers below"
    )
)]

// So that the command line is written as programs are that use the library.
extern crate self as rover_rtc;

#[doc(hidden)]
pub mod bench_support;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod config;
mod error;
pub mod event;
pub mod health;
pub mod http;
pub mod identity;
pub mod journal;
pub mod link;
pub mod model;
pub mod net;
pub mod path;
pub mod peer;
pub mod pull;
pub mod recovery;
pub mod rendezvous;
#[cfg(feature = "server")]
pub mod server;
pub mod session;
pub mod signal;
#[cfg(feature = "turn")]
pub mod turn;
pub mod util;

pub use config::PeerConfig;
#[cfg(feature = "server")]
pub use config::ServerConfig;
pub use error::WebrtcError;
pub use event::Event;
pub use health::{ConnectionHealth, HealthConfig};
pub use http::Token;
pub use identity::Fingerprint;
pub use journal::JournalConfig;
pub use link::{
    ChannelConfig, LinkState, Message, Mode, OutboxConfig, Priority, SendError, Settled, WhenFull,
};
pub use net::NetworkError;
pub use path::{PathConfig, PathKind, Redundancy};
pub use peer::{Channel, Peer, PeerLink};
pub use recovery::RecoveryConfig;
pub use rendezvous::DialError;
#[cfg(feature = "server")]
pub use server::Server;
pub use session::SdpError;

/// The examples of the guide, which `cargo test` compiles.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/channels.md")]
    struct Channels;
    #[doc = include_str!("../../docs/hub.md")]
    struct Hub;
    #[doc = include_str!("../../docs/rust.md")]
    struct Rust;
}
