//! The C interface as C programs meet it: its header, its symbols, its packages, and its behaviour.

#![allow(clippy::unwrap_used, reason = "tests")]

mod header;
