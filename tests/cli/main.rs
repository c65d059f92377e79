//! The real binary: what it prints, how it ends, what it does when the hub is not there, what it
//! keeps to itself, and what the guide says of it.

#![allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::disallowed_methods,
    reason = "a test, not a library"
)]
#![allow(clippy::unwrap_used)]

#[path = "../support/docs.rs"]
mod guide;

#[path = "../support/process.rs"]
mod process;

#[path = "../support/scratch.rs"]
mod scratch;

mod arguments;
mod bench;
mod docs;
mod files;
mod keys;
mod layers;
mod load;
mod output;
mod restarts;
mod rovers;
mod secrets;
mod shards;
mod signals;
mod status;
