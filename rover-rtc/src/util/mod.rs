//! Clock, hash, randomness, logging and its limits, signals, the state's directory, and the address
//! that a hub shows.

pub mod clock;
pub mod crypto;
mod dirs;
pub(crate) mod file;
pub mod histogram;
pub mod interfaces;
pub(crate) mod keyed;
pub(crate) mod limiter;
mod log;
pub mod name;
pub mod random;
pub(crate) mod seconds;
mod signal;
pub(crate) mod spare;
pub(crate) mod token_bucket;
pub(crate) mod watched;

pub use dirs::state_dir;
pub use histogram::Histogram;
pub use log::{LogSink, init_log, log_to};
pub use signal::stop_requested;

pub use interfaces::select_host_address;
