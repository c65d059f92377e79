//! Clock, hash, randomness, logging, signals, the state's directory, and the address that a hub shows.

pub mod clock;
pub mod crypto;
mod dirs;
pub mod histogram;
mod log;
pub mod random;
mod signal;
pub(crate) mod spare;

pub use dirs::state_dir;
pub use log::{LogSink, init_log, log_to};
pub use signal::stop_requested;

pub use crate::net::select_host_address;
