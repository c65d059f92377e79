//! What a driver does for its peer's handles, and how it ends.

use std::time::Instant;

use super::{Command, Driver, LinkId, Request};
use crate::link::Link;
use crate::peer::frontend::CLOSE_PATIENCE;
use crate::peer::hub_link::{HubLink, HubSession};
use crate::util::clock;

impl Driver {
    pub(super) fn on_command(&mut self, Command { owner, request }: Command) {
        let now = clock::now();
        if let Request::Dial(name, patience, reply) = request {
            return self.dial_peer(now, &name, patience, reply);
        }
        if let Request::Links(reply) = request {
            let _ = reply.send(self.links(now));
            return;
        }
        if let Request::Fingerprint(reply) = request {
            let peer = match owner {
                LinkId::Hub => None,
                LinkId::Remote(id) => {
                    self.rendezvous.as_mut().and_then(|rendezvous| rendezvous.peer(id))
                }
            };
            let _ = reply.send(peer.and_then(|peer| peer.fingerprint()));
            return;
        }
        let (link, frontend) = match owner {
            LinkId::Hub => (&mut self.hub_link.link, &mut self.hub_link.frontend),
            LinkId::Remote(id) => {
                let peer = self.rendezvous.as_mut().and_then(|t| t.peer(id));
                let (Some(peer), Some(frontend)) = (peer, self.peer_links.frontends.get_mut(&id))
                else {
                    return;
                };
                (peer.link(), frontend)
            }
        };
        match request {
            Request::Open(config, reply) => {
                let _ = reply.send(frontend.open(now, link, config, self.shared_journal.is_some()));
            }
            Request::Stats(reply) => {
                let _ = reply.send(frontend.stats(now, link));
            }
            Request::AcceptAnswer(answer, reply) => {
                let _ = reply.send(self.hub_link.accept_answer(now, &answer));
            }
            Request::Close(reply) => frontend.close(now).waiting.push(reply),
            Request::Dial(..) | Request::Links(_) | Request::Fingerprint(_) => {}
        }
    }

    /// Makes requests that come in find their link by their user names.
    pub(super) fn register(&mut self) {
        let Some(rendezvous) = &mut self.rendezvous else { return };
        let names = |link: &mut Link| {
            let names = link.transports().flat_map(|t| t.paths().user_names().map(str::to_owned));
            names.collect::<Vec<_>>()
        };
        if self.hub_link.take_changed() {
            let names = names(&mut self.hub_link.link);
            self.demux.set_ufrags(names.iter().map(String::as_str), LinkId::Hub);
        }
        if rendezvous.take_changed() {
            for peer in rendezvous.peers() {
                let (owner, names) = (LinkId::Remote(peer.id()), names(peer.link()));
                self.demux.set_ufrags(names.iter().map(String::as_str), owner);
                // A call that goes on with another link takes its sources along.
                let Some(next) = peer.link().next_transport() else { continue };
                let sources = next.paths().iter().map(|p| (p.local(), p.remote()));
                for source in sources.filter(|s| next.paths().accepts_record(s.0, s.1)) {
                    if self.demux.owner(source).is_none() {
                        self.demux.add_source(source, owner);
                    }
                }
            }
        }
    }

    pub(super) fn has_closed(&mut self, now: Instant) -> bool {
        if self.hub_link.frontend.is_dropped() {
            self.hub_link.frontend.close(now);
        }
        let Some(closing) = &self.hub_link.frontend.closing else { return false };
        let patience = closing.until <= now;
        self.hub_link.link.hasten_acks(now);
        for frontend in self.peer_links.frontends.values_mut().filter(|l| l.closing.is_none()) {
            frontend.close(now);
            // At once, not when its time is up.
            self.wake.notify_one();
        }
        let link = &self.hub_link.link;
        let flushed = !self.hub_link.is_alive() || (link.is_flushed() && !link.owes_acks());
        patience || (flushed && self.peer_links.frontends.is_empty())
    }

    pub(super) async fn end(mut self: Box<Self>) {
        let now = clock::now();
        self.end_peer_links(now);
        self.hub_link.link.pump(now);
        self.keep_journal();
        self.hub_link.link.close(now);
        self.network.turn.close(now);
        self.flush(now);
        if let Some(HubSession { signaling, .. }) = self.hub_link.hub_session.as_deref_mut() {
            signaling.abort();
            if let Some(session) = signaling.session.take() {
                signaling.delete(session);
            }
            // The hub has heard the good-bye; the call is for one that has not.
            let _ = tokio::time::timeout(CLOSE_PATIENCE, signaling.finish()).await;
        }
        // Whoever waits for the end may open the state directory again.
        let Self { hub_link, identity, rendezvous, shared_journal, .. } = *self;
        let HubLink { mut frontend, hub_session, .. } = hub_link;
        drop((rendezvous, hub_session, identity, shared_journal));
        frontend.end();
    }
}
