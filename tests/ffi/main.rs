//! The C interface as C programs meet it: its header, its symbols, its packages, and its behaviour.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    unreachable_pub,
    reason = "tests"
)]
#![cfg(target_os = "linux")]

mod behaviour;
mod cross;
mod docs;
#[path = "../support/docs.rs"]
mod guide;
mod header;
mod package;
#[path = "../support/rovers.rs"]
mod peers;
mod rig;
mod rovers;
#[path = "../support/scratch.rs"]
mod scratch;
#[path = "../support/mod.rs"]
mod support;
mod unified;
mod wrapper;
