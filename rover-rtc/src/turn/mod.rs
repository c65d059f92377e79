//! STUN and TURN servers of the user's own.
mod binding;
mod client;
mod frame;
mod peers;
mod requests;
mod server;

pub use binding::{BindingEvent, StunQuery};
pub use client::{Transport, TurnAllocation, TurnEvent};
pub use peers::MAX_PEERS;
pub use server::{Credentials, IceServer, IceServerError, ServerKind};
