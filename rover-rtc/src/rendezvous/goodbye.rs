//! How links with other peers end.

use std::time::Instant;

use super::{RemotePeerId, Rendezvous};
use crate::link::FinalAck;
use crate::signal::signed::Content;

impl Rendezvous {
    /// Ends a link and forgets it. A call of the other side that is under way on it goes on: it is
    /// for the next link.
    pub fn hang_up(&mut self, now: Instant, id: RemotePeerId) {
        let call = self.take_call(id);
        self.remove(now, id, None);
        if let Some(call) = call {
            self.adopt_call(now, call);
        }
    }

    /// The same, with whatever is under way in it: this peer ends.
    pub fn end(&mut self, now: Instant, id: RemotePeerId) {
        self.remove(now, id, None);
    }

    /// Says good-bye on a link, with all acknowledgements that there are, and nothing more: what
    /// that takes to send must still go out.
    pub fn say_bye(&mut self, now: Instant, id: RemotePeerId) {
        let Some(peer) = self.peer(id) else { return };
        peer.link.hasten_acks(now);
        let acks = peer.link.final_acks();
        self.write_bye(now, id, acks);
    }

    /// Says good-bye on a link that nobody has taken: nothing that came on it has arrived.
    pub fn turn_away(&mut self, now: Instant, id: RemotePeerId) {
        self.write_bye(now, id, Vec::new());
    }

    pub(super) fn write_bye(&mut self, now: Instant, id: RemotePeerId, acks: Vec<FinalAck>) {
        let call = self.peer(id).and_then(|peer| peer.call().map(str::to_owned));
        if let Some(call) = call {
            self.write(now, id, call, Content::Bye { acks });
        }
        // Of this link alone: what others have to send has its turn.
        if let Some(peer) = self.peer(id) {
            peer.link.pump(now);
            self.collect(now, id);
        }
    }
}
