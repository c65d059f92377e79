//! Clock, randomness, logging, and the address that a hub shows.

pub mod clock;
pub mod random;
