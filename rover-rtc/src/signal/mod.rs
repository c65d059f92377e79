//! Signaling: what peers and hubs tell each other before they have a path, as data.

pub mod description;
pub mod hub_messages;
pub mod signed;
