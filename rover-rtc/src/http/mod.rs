//! Signaling over HTTP: the calls of a peer, and the server of a hub.

pub mod client;
#[cfg(feature = "server")]
pub mod server;
mod token;

pub use token::Token;
