//! What hub and peers deal in: clients, payloads, and events passed between clients.

pub mod client;
pub mod payload;
pub mod propagated;
