//! `rover_rtc._native`: what the Python package `rover_rtc` is made of.
//!
//! It is small on purpose. Nothing here blocks, but for calls that say so, which let other Python
//! threads run meanwhile. The library's threads never call Python and never wait for it: they mark
//! what has happened, a descriptor gets readable, and Python pulls when it likes. So a cancelled
//! task, a closed event loop or an interpreter that ends has nothing to wait for.
//!
//! Everything is thread-safe without the global lock of the interpreter: classes are frozen, and
//! what changes is behind locks of the core's or of its own.

mod channel;
mod command;
mod config;
mod error;
mod event;
mod fork;
mod link;
mod log;
mod message;
mod payload;
mod peer;
mod server;
mod stats;
mod tag;
mod wait;
mod words;

use pyo3::prelude::pymodule;

/// The part of `rover_rtc` that is not Python. Use that instead.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use crate::channel::Channel;
    #[pymodule_export]
    use crate::command::main;
    #[pymodule_export]
    use crate::config::{channel_defaults, peer_defaults, server_defaults};
    #[pymodule_export]
    use crate::fork::forks;
    #[pymodule_export]
    use crate::link::Link;
    #[pymodule_export]
    use crate::log::{after_fork, log_fileno, set_log, take_logs};
    #[pymodule_export]
    use crate::message::Message;
    #[pymodule_export]
    use crate::peer::Peer;
    #[pymodule_export]
    use crate::server::Server;
    #[pymodule_export]
    use crate::wait::Wait;

    /// The version of the library.
    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
