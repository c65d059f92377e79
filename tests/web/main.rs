//! The hub's page in headless Chromium, driven by chromedriver, against the real server. All
//! traffic is on loopback.

#![allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::disallowed_methods,
    reason = "a test, not a library"
)]
#![allow(clippy::unwrap_used)]

#[path = "../support/process.rs"]
mod process;
#[path = "../support/mod.rs"]
mod support;

mod browser;
mod page;
