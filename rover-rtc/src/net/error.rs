//! Why a socket or an interface could not be used.

use std::io;

use super::BindError;

/// A socket or interface could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The machine has no interface with a usable address.
    #[error("no usable network interface: all are down or left out by the settings")]
    NoInterface,
    /// An address could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A hub of several shards needs a port for each, and one could not be bound.
    #[error("{shards} shards take {shards} ports in a row from {first} on, and the {source}")]
    Ports {
        /// How many shards there are to be.
        shards: usize,
        /// The first one's address.
        first: std::net::SocketAddr,
        /// Which address it was, and why.
        source: BindError,
    },
    /// A hub of several shards needs a port for each, and there are not as many: choose a lower
    /// one.
    #[error("{shards} shards take {shards} ports in a row, and from {first} on there are fewer")]
    NoPort {
        /// How many shards there are to be.
        shards: usize,
        /// The first one's address.
        first: std::net::SocketAddr,
    },
    /// Another call to the operating system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}
