//! Real sockets on loopback.

#![allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::disallowed_methods,
    reason = "a test, not a library"
)]

mod http;
mod pairs;
mod recovery;
mod signaling;
