//! The real binary and real peers in two network namespaces, joined by two networks that break.
//!
//! Two rovers behind NATs are another lab. Needs Linux, root, `ip` (iproute2), `nft` (nftables),
//! `setpriv` (util-linux) and `conntrack`. Nothing outside the namespaces is touched. Each test
//! prints its figures to standard error.

#![cfg(target_os = "linux")]
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test, not a library"
)]

mod call;
mod chaos;
#[path = "../support/coturn.rs"]
mod coturn;
mod count;
mod hub;
mod lab;
mod namespace;
mod nat;
mod nat_cuts;
mod nat_hub;
mod nat_kinds;
mod nat_matrix;
mod outage;
#[path = "../support/process.rs"]
mod process;
mod programs;
mod role;
mod routes;
mod scene;
#[path = "../support/mod.rs"]
mod support;
mod switch;
mod turn;
mod watch;
