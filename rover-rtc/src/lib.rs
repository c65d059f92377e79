//! rover-rtc

#![forbid(unsafe_code)]

pub mod error;
pub mod link;
pub mod path;
pub mod session;
pub mod stats;
pub mod util;
