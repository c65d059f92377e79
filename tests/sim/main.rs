//! Two ends in virtual time over an emulated network: hours of bad weather in milliseconds.
//!
//! All randomness of the network comes from a seed that a failing test prints.

#![allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test, not a library"
)]

mod bulk;
mod closing;
mod modes;
mod net;
mod network;
mod pair;
mod rendezvous;
mod restart;
mod weather;
