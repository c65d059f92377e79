//! What a hub passes on of relayed calls, and the order in which it does what has come up.

use std::time::Instant;

use super::between::Frame;
use super::hub::Hub;
use super::relay::Hop;
use crate::link::Outgoing;
use crate::model::client::{Client, ClientId};
use crate::path::demux::Source;
use crate::path::frame;

impl Hub {
    /// Takes a frame for another peer: it goes out by the path that carries that peer's own.
    pub(super) fn handle_frame(
        &mut self,
        now: Instant,
        id: ClientId,
        source: Source,
        datagram: &[u8],
    ) {
        let accepts = |c: &mut Client| c.accept_foreign(now, source.0, source.1, datagram.len());
        let accepted = self.clients.get_mut(&id).is_some_and(accepts);
        let owner = self.names.owner_of(id).filter(|_| accepted);
        let Some(owner) = owner else { return self.relay.refuse() };
        let Some((hop, data)) = self.relay.forward(now, owner, datagram) else { return };
        let framed = || {
            let mut datagram = Vec::with_capacity(frame::HEADER + data.len());
            frame::write(&mut datagram, hop.number, data);
            datagram
        };
        if self.place.has(hop.to) {
            self.send_frame(now, hop, data.len(), framed);
        } else {
            let Hop { to, number, flows } = hop;
            self.place.forward(Frame { to, number, flows, datagram: framed() });
        }
    }

    /// Takes a frame of another driver's peer.
    pub(super) fn on_frame(&mut self, now: Instant, frame: Frame) {
        let Frame { to, number, flows, datagram } = frame;
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
        let way = transport.and_then(|t| t.paths().carrying().map(|p| (p.local(), p.remote())));
        self.relay.forwarded(hop, bytes, way.is_some());
        let Some((local, remote)) = way else { return };
        self.outgoing.push_back(Outgoing { local, remote, datagram: framed() });
        if let Some(to) = to.filter(|_| hop.flows) {
            self.with_client(now, to, |client, _| client.note_use(now));
        }
    }

    /// Does what has come up: names, messages for others, letters.
    pub(super) fn relay(&mut self, now: Instant) {
        loop {
            if let Some((client, news)) = self.news.pop_front() {
                self.on_news(now, client, news);
            } else if let Some(event) = self.propagated.pop_front() {
                self.spread(now, event);
            } else if !self.turn_acknowledged(now) && !self.turn_post(now) {
                break;
            }
        }
        self.place.set_tally(self.clients.len(), self.half_open.len());
    }
}
