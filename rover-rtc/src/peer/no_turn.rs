//! Stands in for [`turn`](crate) where the library is built without that feature: there are no
//! servers, so nothing is ever sent, received or said.

#![allow(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "as the real one")]

use std::net::SocketAddr;
use std::time::Instant;

/// No server at all.
#[derive(Debug)]
pub(super) struct TurnSet;

/// What is never said.
#[derive(Debug)]
#[allow(dead_code, reason = "the driver matches on what the real one says")]
pub(super) enum TurnSetEvent {
    Mapped { local: SocketAddr, public: SocketAddr },
    Relayed { local: SocketAddr, relayed: SocketAddr },
    Data { relayed: SocketAddr, peer: SocketAddr, data: Vec<u8> },
    Lost { relayed: SocketAddr, reason: String },
    Failed { server: String, reason: String },
}

impl TurnSet {
    pub(super) fn set_locals(&mut self, _: Instant, _: &[SocketAddr]) {}

    pub(super) fn retry(&mut self, _: Instant) {}

    pub(super) fn renew(&mut self, _: Instant, _: SocketAddr) {}

    pub(super) fn close(&mut self, _: Instant) {}

    pub(super) fn handle_datagram(
        &mut self,
        _: Instant,
        _: SocketAddr,
        _: SocketAddr,
        _: &[u8],
    ) -> bool {
        false
    }

    pub(super) fn send(&mut self, _: Instant, _: SocketAddr, _: SocketAddr, _: &[u8]) {}

    pub(super) fn is_relayed(&self, _: SocketAddr) -> bool {
        false
    }

    pub(super) fn handle_timeout(&mut self, _: Instant) {}

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    pub(super) fn poll_transmit(&mut self) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        None
    }

    pub(super) fn poll_event(&mut self) -> Option<TurnSetEvent> {
        None
    }

    pub(super) async fn ready(&mut self) {
        std::future::pending().await
    }
}
