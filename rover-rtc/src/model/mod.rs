//! What hub and peers deal in: clients, payloads, and events passed between clients.

#[cfg(feature = "server")]
pub mod client;
pub mod payload;
#[cfg(feature = "server")]
pub mod propagated;
