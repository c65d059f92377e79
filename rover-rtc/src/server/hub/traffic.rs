//! What a hub passes on of relayed calls, and the order in which it does what has come up.

use std::time::Instant;

use crate::model::client::{Client, ClientId};
use crate::path::Transmit;
use crate::path::demux::Source;
use crate::path::frame;
use crate::server::hub::Hub;
use crate::server::relay::Hop;
use crate::server::shard::router::RelayedFrame;

impl Hub {
    /// Takes a frame for another peer: it goes out by the path that carries that peer's own.
    pub(in crate::server) fn handle_frame(
        &mut self,
        now: Instant,
        id: ClientId,
        source: Source,
        number: u16,
        data: &[u8],
    ) {
        let bytes = frame::HEADER + data.len();
        let accepts = |c: &mut Client| c.accept_foreign(source.0, source.1, bytes);
        let accepted = self.clients.get_mut(&id).is_some_and(accepts);
        let owner = self.names.owner_of(id).filter(|_| accepted);
        let Some(owner) = owner else { return self.relay.refuse() };
        let Some(hop) = self.relay.forward(now, owner, number, data.len()) else { return };
        let framed = || {
            let mut datagram = Vec::with_capacity(frame::HEADER + data.len());
            frame::write(&mut datagram, hop.number, data);
            datagram
        };
        if self.router.has(hop.to) {
            self.send_frame(now, hop, data.len(), framed);
        } else {
            let Hop { to, number, flows } = hop;
            self.router.forward(RelayedFrame { to, number, flows, datagram: framed() });
        }
    }

    /// Takes a frame of another shard's peer.
    pub(in crate::server) fn on_frame(&mut self, now: Instant, frame: RelayedFrame) {
        let RelayedFrame { to, number, flows, datagram } = frame;
        if self.relay.arrived(now, to, number) {
            let bytes = datagram.len().saturating_sub(frame::HEADER);
            self.send_frame(now, Hop { to, number, flows }, bytes, || datagram);
        }
    }

    fn send_frame(
        &mut self,
        now: Instant,
        hop: Hop,
        bytes: usize,
        framed: impl FnOnce() -> Vec<u8>,
    ) {
        let to = self.names.owner(hop.to).and_then(|owner| owner.client);
        let client = to.and_then(|to| self.clients.get_mut(&to));
        let transport = client.and_then(|client| client.link().transport());
        let way = transport.and_then(|t| t.paths().selected().map(|p| (p.local(), p.remote())));
        self.relay.forwarded(hop, bytes, way.is_some());
        let Some((local, remote)) = way else { return };
        self.outgoing.push_back(Transmit { local, remote, datagram: framed() });
        if let Some(to) = to.filter(|_| hop.flows) {
            self.with_client(now, to, |client, _| client.note_use(now));
        }
    }

    /// Does what has come up: names, messages for others, signal messages.
    pub(in crate::server) fn relay(&mut self, now: Instant) {
        loop {
            if let Some((client, client_changes)) = self.client_changes.pop_front() {
                self.on_client_change(now, client, client_changes);
            } else if self.turn_undelivered(now) {
                // Before later messages of the same writers, and before others come for them.
            } else if let Some(event) = self.propagated.pop_front() {
                self.spread(now, event);
            } else if !self.turn_acknowledged(now) && !self.turn_signal_queue(now) {
                break;
            }
        }
        self.router.set_clients(self.clients.len());
    }
}
