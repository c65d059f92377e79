//! A call that outlives the link on which it came.
//!
//! Who lets go of a link and calls again writes a good-bye, which goes by the link's own path, and
//! then an offer, which goes through the hub. The offer may be there first. It looks like a new
//! transport of the link that still is, and is answered as one; when that link ends, the call goes
//! on as what it is: the next link.

use std::time::Instant;

use super::remote_peer::Plan;
use super::{RemotePeerEvent, RemotePeerId, Rendezvous};
use crate::identity::Fingerprint;
use crate::link::Transport;
use crate::signal::signed::Content;

/// A call of the other side without a link.
#[derive(Debug)]
pub(super) struct OrphanedCall {
    from: RemotePeerId,
    name: String,
    key: Option<Fingerprint>,
    offered: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Its sockets are being opened.
    Planned(Plan),
    /// It was answered, with this, and has until then to come up.
    Answered(Box<Transport>, (String, Content), Option<Instant>),
}

impl Rendezvous {
    /// Takes the call of the other side that is under way from a link that ends.
    pub(super) fn take_call(&mut self, id: RemotePeerId) -> Option<OrphanedCall> {
        let peer = self.peer(id)?;
        let stage = if matches!(peer.plan, Some(Plan::Answer(..))) {
            Stage::Planned(peer.plan.take()?)
        } else {
            let call = peer.link.next_transport()?.call().to_owned();
            let answered = peer.answered.take_if(|(answered, _)| *answered == call)?;
            Stage::Answered(Box::new(peer.link.take_next()?), answered, peer.answer_until)
        };
        Some(OrphanedCall {
            from: id,
            name: peer.name.clone(),
            key: peer.key,
            offered: peer.offered,
            stage,
        })
    }

    /// Gives such a call a link of its own, when the one before is gone.
    pub(super) fn adopt_call(&mut self, now: Instant, orphan: OrphanedCall) {
        let OrphanedCall { from, name, key, offered, stage } = orphan;
        let peer = match self.add_peer(now, &name, false) {
            Ok(peer) => peer,
            Err(error) => return self.refuse(format!("a call of {name} was not taken: {error}")),
        };
        (peer.key, peer.offered) = (key, offered);
        peer.before = Some(from);
        // The link before had the shared sockets, and its last records may still be under way.
        peer.used = true;
        let id = peer.id;
        match stage {
            Stage::Planned(plan) => {
                peer.plan = Some(plan);
                self.events.push_back((id, RemotePeerEvent::Wanted { fresh: true }));
            }
            Stage::Answered(transport, answered, until) => {
                peer.answered = Some(answered);
                peer.answer_until = until;
                peer.link.adopt(*transport);
            }
        }
        self.changed = true;
        self.index_numbers();
    }
}
