//! What `benches/` needs of the internals: a benchmark is a crate of its own. Nothing here is for
//! anybody else, and it may change at any time.

use std::net::SocketAddr;

pub use crate::link::measured::{MuxPair, decode, encode, push_and_pop};
use crate::path::Packet;
use crate::path::demux::Demux;

/// Finds whose a datagram is among many clients.
#[derive(Debug, Default)]
pub struct Clients(Demux<u32>);

impl Clients {
    /// Adds a client: its ICE user name, and the sources of its records.
    pub fn add(&mut self, id: u32, user: &str, source: (SocketAddr, SocketAddr)) {
        self.0.add_ufrag(user, id);
        self.0.add_source(source, id);
    }

    /// Whose it is.
    #[must_use]
    pub fn find(&self, source: (SocketAddr, SocketAddr), datagram: &[u8]) -> Option<u32> {
        self.0.find(source, &Packet::parse(datagram)?)
    }
}
