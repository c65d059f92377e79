//! What the slots of a set have for others.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::client::TurnEvent;
use super::set::TurnSetEvent;

/// Where slots put what they have for others.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) transmits: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    pub(super) events: VecDeque<TurnSetEvent>,
}

/// Why a slot starts again.
pub(super) enum End {
    /// It failed, so there is a pause before the next try.
    Failed(String),
    /// It worked, but is of no use any more.
    Stale(&'static str),
}

impl Out {
    /// Passes an event of an allocation on; what ends it comes back.
    pub(super) fn take(
        &mut self,
        local: SocketAddr,
        relayed: Option<SocketAddr>,
        event: TurnEvent,
    ) -> Option<End> {
        match event {
            TurnEvent::Allocated { relayed, .. } => {
                tracing::info!(%local, %relayed, "turn address");
                self.events.push_back(TurnSetEvent::Relayed { local, relayed });
            }
            TurnEvent::Data { peer, data } => {
                let relayed = relayed?;
                self.events.push_back(TurnSetEvent::Data { relayed, peer, data });
            }
            TurnEvent::Failed(reason) => return Some(End::Failed(reason)),
            TurnEvent::Expired => {
                return Some(End::Failed("the server has forgotten the allocation".to_owned()));
            }
        }
        None
    }

    /// A public address, unless it was told last time.
    pub(super) fn mapped(
        &mut self,
        local: SocketAddr,
        public: SocketAddr,
        told: &mut Option<SocketAddr>,
    ) {
        if told.replace(public) != Some(public) {
            tracing::info!(%local, %public, "public address");
            self.events.push_back(TurnSetEvent::Mapped { local, public });
        }
    }

    /// A relayed address is gone.
    pub(super) fn lost(&mut self, relayed: SocketAddr, reason: &str) {
        tracing::info!(%relayed, reason, "turn address lost");
        self.events.push_back(TurnSetEvent::Lost { relayed, reason: reason.to_owned() });
    }

    /// A server could not be used.
    pub(super) fn failed(&mut self, server: String, local: Option<SocketAddr>, reason: String) {
        tracing::warn!(server, ?local, reason, "ice server failed");
        self.events.push_back(TurnSetEvent::Failed { server, local, reason });
    }
}
