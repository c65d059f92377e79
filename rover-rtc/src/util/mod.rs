//! Clock, hash, randomness, logging, signals, and the address that a hub shows.

pub mod clock;
pub mod crypto;
mod log;
pub mod random;
mod signal;

pub use log::init_log;
pub use signal::stop_requested;

pub use crate::net::select_host_address;
