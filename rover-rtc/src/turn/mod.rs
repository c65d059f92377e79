//! STUN and TURN servers of the user's own.
//!
//! A STUN server tells a socket's public address, a TURN server lends an address that relays. Both
//! help where the hub cannot: without a hub, or when the hub is not reached from outside either.
//!
//! | type | what it is |
//! |---|---|
//! | [`IceServer`] | a server as the user names it, with credentials |
//! | [`TurnAllocation`] | one relayed address on one server, without I/O |
//! | [`StunQuery`] | one socket's public address, asked again and again, without I/O |
//! | [`TurnSet`] | all of them for a driver: lookups, TCP and TLS connections, tries and pauses |
//!
//! The relayed address is the local address of an ICE candidate: a transport sends "from" it, and
//! the driver hands that to [`TurnSet::send`]. A pair of two relayed addresses needs a permission
//! on both servers; ICE's checks from both sides bring them about.

mod binding;
mod client;
mod frame;
mod out;
mod parse;
mod peers;
mod remote;
mod requests;
mod server;
mod set;
mod slot;
mod stream;
mod tls;

pub use binding::{BindingEvent, StunQuery};
pub use client::{Transport, TurnAllocation, TurnEvent};
pub use peers::MAX_PEERS;
pub use server::{Credentials, IceServer, IceServerError, ServerKind};
pub use set::{TurnSet, TurnSetEvent};
