//! Addresses of this side, as they come and go.

use std::net::SocketAddr;
use std::time::Instant;

use super::{RemotePeerId, Rendezvous};
use crate::path::{LocalAddress, Via};
use crate::signal::signed::Content;

impl Rendezvous {
    /// Says which addresses there are now. `all` are those of all sockets; `shared` are the
    /// sockets that new transports use, and that others get for an interface that they have none
    /// of. Transports follow at once, and the other sides are told.
    pub fn set_local_addresses(
        &mut self,
        now: Instant,
        all: &[LocalAddress],
        shared: &[SocketAddr],
    ) {
        let allowed = all.iter().copied().filter(|p| self.may_use(p));
        self.addresses = allowed.collect();
        self.local_addresses = all.iter().copied().filter(|p| shared.contains(&p.base)).collect();
        for id in self.ids() {
            self.follow_local_addresses(now, id);
        }
    }

    /// Brings the addresses of a link's transports in line with those that there are.
    pub(super) fn follow_local_addresses(&mut self, now: Instant, id: RemotePeerId) {
        let all = self.addresses.clone();
        let shared: Vec<_> =
            self.local_addresses.iter().copied().filter(|p| self.may_use(p)).collect();
        let Some(peer) = self.peer(id) else { return };
        let mut news = Vec::new();
        // What one transport has must not bring its records to the other: shared sockets are for
        // the one in use, and the next gets them when it takes over.
        for (turn, transport) in peer.link.transports().enumerate() {
            let before = transport.locals().to_vec();
            let is_gone = |l: &&LocalAddress| l.via != Via::Hub && !all.contains(l);
            for gone in before.iter().filter(is_gone) {
                transport.remove_local(now, *gone);
            }
            let left = transport.locals().to_vec();
            let has_socket = |p: &LocalAddress| left.iter().any(|l| l.base == p.base);
            let has_address = |p: &LocalAddress| {
                left.iter().any(|l| l.via == Via::Host && l.base.ip() == p.base.ip())
            };
            let own = all.iter().filter(|p| has_socket(p));
            let new = shared.iter().filter(|p| turn == 0 && !has_address(p));
            let mut lines = Vec::new();
            for address in own.chain(new) {
                lines.extend(transport.add_local(now, *address));
            }
            if !lines.is_empty() {
                news.push((transport.call().to_owned(), lines));
            }
        }
        for (call, lines) in news {
            self.write(now, id, call, Content::Candidates { lines });
        }
        self.collect(now, id);
    }

    /// Whether an address may be used: all, unless only relayed ones are wanted.
    pub(super) fn may_use(&self, address: &LocalAddress) -> bool {
        !self.config.relay_only || matches!(address.via, Via::Turn | Via::Hub)
    }

    /// The addresses that new transports use.
    #[must_use]
    pub fn local_addresses(&self) -> &[LocalAddress] {
        &self.local_addresses
    }

    /// The network has changed: what is dead may live, and what failed may work. Addresses have
    /// `changed`, or only routes, which escalations do not wait for.
    pub fn network_changed(&mut self, now: Instant, changed: bool) {
        for peer in &mut self.peers {
            if changed {
                peer.escalation.network_changed(now);
            }
            peer.link.look_again(now);
        }
    }

    /// Tells the other side all addresses of now, by whatever way there is.
    pub(super) fn announce(&mut self, now: Instant, id: RemotePeerId) {
        let Some(transport) = self.peer(id).and_then(|t| t.link.transport()) else { return };
        let call = transport.call().to_owned();
        let locals = transport.locals().iter().filter(|l| l.via != Via::Hub);
        let lines: Vec<_> =
            locals.filter_map(|l| l.candidate()).map(|c| c.to_sdp_string()).collect();
        if !call.is_empty() && !lines.is_empty() {
            self.write(now, id, call, Content::Candidates { lines });
        }
    }
}
