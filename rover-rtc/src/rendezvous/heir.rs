//! A call that outlives the link on which it came.
//!
//! Who lets go of a link and calls again writes a good-bye, which goes by the link's own path, and
//! then an offer, which goes through the hub. The offer may be there first. It looks like a new
//! transport of the link that still is, and is answered as one; when that link ends, the call goes
//! on as what it is: the next link.

use std::time::Instant;

use super::tie::Plan;
use super::{Rendezvous, TieEvent, TieId};
use crate::identity::Fingerprint;
use crate::link::Transport;
use crate::signal::letter::Content;

/// A call of the other side without a link.
#[derive(Debug)]
pub(super) struct Heir {
    from: TieId,
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
    pub(super) fn take_call(&mut self, id: TieId) -> Option<Heir> {
        let tie = self.tie(id)?;
        let stage = if matches!(tie.plan, Some(Plan::Answer(..))) {
            Stage::Planned(tie.plan.take()?)
        } else {
            let call = tie.link.next_transport()?.call().to_owned();
            let answered = tie.answered.take_if(|(answered, _)| *answered == call)?;
            Stage::Answered(Box::new(tie.link.take_next()?), answered, tie.answer_until)
        };
        Some(Heir { from: id, name: tie.name.clone(), key: tie.key, offered: tie.offered, stage })
    }

    /// Gives such a call a link of its own, when the one before is gone.
    pub(super) fn go_on(&mut self, now: Instant, heir: Heir) {
        let Heir { from, name, key, offered, stage } = heir;
        let tie = match self.add_tie(now, &name, false) {
            Ok(tie) => tie,
            Err(error) => return self.refuse(format!("a call of {name} was not taken: {error}")),
        };
        (tie.key, tie.offered) = (key, offered);
        tie.before = Some(from);
        // The link before had the shared sockets, and its last records may still be under way.
        tie.used = true;
        let id = tie.id;
        match stage {
            Stage::Planned(plan) => {
                tie.plan = Some(plan);
                self.events.push_back((id, TieEvent::Wanted { fresh: true }));
            }
            Stage::Answered(transport, answered, until) => {
                tie.answered = Some(answered);
                tie.answer_until = until;
                tie.link.adopt(*transport);
            }
        }
        self.changed = true;
        self.index_numbers();
    }
}
