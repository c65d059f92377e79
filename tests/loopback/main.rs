//! Real sockets on loopback.

#![allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test, not a library"
)]

#[path = "../support/coturn.rs"]
mod coturn;
mod goodbye;
mod hostile;
mod http;
mod liar;
mod links;
mod named;
mod names;
mod pairs;
mod passing;
mod pull;
mod recovery;
mod relayed;
mod relaying;
#[path = "../support/scratch.rs"]
mod scratch;
mod shards;
mod signaling;
mod signals;
#[path = "../support/mod.rs"]
mod support;
mod turn;
mod turn_set;
