//! The sockets of a peer, as interfaces come and go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::bind_addresses::{self, BindAddress, HubScope};
use super::driver::Driver;
#[cfg(not(feature = "turn"))]
use super::no_turn::{TurnSet, TurnSetEvent};
use crate::config::PeerConfig;
use crate::net::NetworkError;
use crate::net::SocketSet;
use crate::path::{LocalAddress, PathState};
use crate::rendezvous::Rendezvous;
#[cfg(feature = "turn")]
use crate::turn::{TurnSet, TurnSetEvent};
use crate::util::spare::add;

/// Sockets, and what is known of them.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) sockets: SocketSet,
    /// Servers of the user's own.
    pub(super) turn: TurnSet,
    /// Addresses that they give us: the socket, the address.
    relayed: Vec<(SocketAddr, SocketAddr)>,
    config: Arc<PeerConfig>,
    scope: HubScope,
    /// What each socket is bound to: an interface that comes back may be another one.
    bind_addresses: Vec<(SocketAddr, BindAddress)>,
    /// The sockets that new transports use.
    pub(super) shared: Vec<SocketAddr>,
    /// Public addresses that others see: socket, who sees it, address.
    mapped: Vec<(SocketAddr, SocketAddr, SocketAddr)>,
}

impl Network {
    #[cfg_attr(not(feature = "turn"), allow(unused_variables, reason = "for `turn` alone"))]
    pub(super) fn new(now: Instant, config: &Arc<PeerConfig>, has_hub: bool) -> Self {
        Self {
            sockets: SocketSet::new(config.faults.clone()),
            #[cfg(feature = "turn")]
            turn: TurnSet::new(now, config.ice_servers.clone()),
            #[cfg(not(feature = "turn"))]
            turn: TurnSet,
            relayed: Vec::new(),
            scope: if has_hub { HubScope::of(&config.server) } else { HubScope::Unknown },
            config: Arc::clone(config),
            bind_addresses: Vec::new(),
            shared: Vec::new(),
            mapped: Vec::new(),
        }
    }

    /// Binds a fresh socket at each place that there is now; their addresses.
    pub(super) fn bind(&mut self) -> Result<Vec<SocketAddr>, NetworkError> {
        let mut bound = Vec::new();
        let mut failed = None;
        for bind_address in bind_addresses::bind_addresses(&self.config, self.scope)? {
            match self.bind_to(bind_address) {
                Ok(socket) => bound.push(socket),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if bound.is_empty() => Err(error),
            _ => Ok(bound),
        }
    }

    /// Closes sockets whose place is gone, and binds one at each new place, to be shared by all
    /// transports. Returns both; `None` if nothing has changed.
    fn follow(&mut self) -> Option<(Vec<SocketAddr>, Vec<SocketAddr>)> {
        let bind_addresses = match bind_addresses::bind_addresses(&self.config, self.scope) {
            Ok(bind_addresses) => bind_addresses,
            Err(NetworkError::NoInterface) => Vec::new(),
            // Without descriptors, for example: that says nothing about the interfaces.
            Err(error) => {
                tracing::warn!(%error, "the interfaces cannot be listed");
                return None;
            }
        };
        let is_gone =
            |s: &SocketAddr| self.bind_address(*s).is_none_or(|p| !bind_addresses.contains(p));
        let gone: Vec<_> = self.sockets.local_addrs().filter(is_gone).collect();
        gone.iter().for_each(|socket| self.remove(*socket));
        let covered =
            |p: &&BindAddress| self.shared.iter().any(|s| self.bind_address(*s) == Some(*p));
        let new: Vec<_> = bind_addresses.iter().filter(|p| !covered(p)).cloned().collect();
        // An IPv6 address that is not ready yet is tried again at the next change.
        let new: Vec<_> =
            new.into_iter().filter_map(|bind_address| self.bind_to(bind_address).ok()).collect();
        self.shared.extend(&new);
        (!gone.is_empty() || !new.is_empty()).then_some((gone, new))
    }

    /// What a socket is bound to.
    fn bind_address(&self, socket: SocketAddr) -> Option<&BindAddress> {
        self.bind_addresses.iter().find(|(s, _)| *s == socket).map(|(_, bind_address)| bind_address)
    }

    /// Closes a socket.
    fn remove(&mut self, socket: SocketAddr) {
        self.sockets.remove(socket);
        self.bind_addresses.retain(|(s, _)| *s != socket);
        self.shared.retain(|s| *s != socket);
        self.mapped.retain(|(s, ..)| *s != socket);
        self.relayed.retain(|(s, _)| *s != socket);
    }

    /// Sends a datagram from a socket, or from an address that a TURN server gives us.
    pub(super) fn send(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) {
        if !self.relayed.is_empty() && self.turn.is_relayed(local) {
            self.turn.send(now, local, remote, datagram);
        } else {
            self.sockets.send(local, remote, datagram);
        }
    }

    /// Notes the address under which somebody sees a socket; true if it is news.
    pub(super) fn note_mapped(
        &mut self,
        socket: SocketAddr,
        seen_by: SocketAddr,
        public: SocketAddr,
    ) -> bool {
        let known = (socket, seen_by, public);
        if self.mapped.contains(&known) {
            return false;
        }
        self.mapped.retain(|(s, by, _)| (*s, *by) != (socket, seen_by));
        if self.mapped.len() < MAX_MAPPED {
            add(&mut self.mapped, known);
        }
        true
    }

    /// All addresses under which others may find this peer.
    pub(super) fn addresses(&self) -> Vec<LocalAddress> {
        let mut all: Vec<_> = self.sockets.local_addrs().map(LocalAddress::host).collect();
        for (socket, _, public) in &self.mapped {
            let bind_address = LocalAddress::reflexive(*public, *socket);
            if public != socket && !all.contains(&bind_address) {
                all.push(bind_address);
            }
        }
        all.extend(self.relayed.iter().map(|(socket, ours)| LocalAddress::turn(*ours, *socket)));
        all
    }

    fn bind_to(&mut self, bind_address: BindAddress) -> Result<SocketAddr, NetworkError> {
        let socket = bind_addresses::bind(&bind_address)?;
        let address = socket.local_addr();
        self.sockets.insert(socket, None);
        add(&mut self.bind_addresses, (address, bind_address));
        Ok(address)
    }
}

impl Driver {
    /// The system has told of a change, or has said nothing for a while.
    pub(super) fn on_watch(&mut self, now: Instant, heard: bool) {
        let changed = self.follow_interfaces(now);
        if heard || changed {
            // If only a route has changed: what was dead may live.
            self.hub_link.link.look_again(now);
            self.network.turn.retry(now);
        } else {
            self.renew_relayed(now);
        }
        if let Some(rendezvous) = self.rendezvous.as_mut().filter(|_| heard || changed) {
            rendezvous.network_changed(now, changed);
        }
        if let Some(hub_session) = self.hub_link.hub_session.as_mut().filter(|_| changed) {
            hub_session.escalation.network_changed(now);
            // It may wait on a connection that is dead; the next turn asks again.
            hub_session.signaling.poll_mailbox(false);
        }
    }

    /// Brings sockets and candidates in line with the interfaces of now; true if they were not.
    pub(super) fn follow_interfaces(&mut self, now: Instant) -> bool {
        let changed = self.network.follow();
        if let Some((gone, new)) = &changed {
            tracing::info!(?gone, ?new, "interfaces have changed");
            for (turn, transport) in self.hub_link.link.transports().enumerate() {
                for socket in gone {
                    transport.remove_local(now, LocalAddress::host(*socket));
                }
                // One transport only may have it, and that is the one in use.
                for socket in new.iter().filter(|_| turn == 0) {
                    transport.add_local(now, LocalAddress::host(*socket));
                }
            }
            let both = self.hub_link.link.transports().count() > 1;
            if let Some(hub_session) =
                self.hub_link.hub_session.as_mut().filter(|_| both && !new.is_empty())
            {
                // The dial under way knows nothing of it: another one does.
                hub_session.escalation.redial(now);
            }
            gone.iter().for_each(|socket| self.demux.remove_local(*socket));
            self.tell_local_addresses(now);
        }
        changed.is_some()
    }

    /// The sockets of the home transport become those of new transports: the hub's answers tell
    /// how others see them.
    pub(super) fn share_hub_sockets(&mut self, now: Instant) {
        let Some(transport) = self.hub_link.link.transport() else { return };
        self.network.shared = transport.locals().iter().map(|l| l.base).collect();
        self.tell_local_addresses(now);
    }

    /// Tells the links with other peers which addresses there are.
    pub(super) fn tell_local_addresses(&mut self, now: Instant) {
        if let Some(rendezvous) = &mut self.rendezvous {
            let network = &mut self.network;
            // An address by which a link goes stays, with the socket that it hangs on.
            let in_use = network.relayed.iter().filter(|(_, ours)| rendezvous.has_local(*ours));
            let kept = in_use.map(|(base, _)| *base);
            let locals: Vec<_> = network.shared.iter().copied().chain(kept).collect();
            network.turn.set_locals(now, &locals);
            rendezvous.set_local_addresses(now, &network.addresses(), &network.shared);
        }
    }

    /// Takes what the servers of the user's own have to say.
    pub(super) fn on_turn_events(&mut self, now: Instant) {
        while let Some(event) = self.network.turn.poll_event() {
            match event {
                // Whichever of them says so: they all see the same NAT.
                TurnSetEvent::Mapped { local, public } => {
                    if self.network.note_mapped(local, local, public) {
                        self.tell_local_addresses(now);
                    }
                }
                TurnSetEvent::Relayed { local, relayed } => {
                    self.network.relayed.push((local, relayed));
                    self.tell_local_addresses(now);
                }
                TurnSetEvent::Data { relayed, peer, data } => {
                    self.on_datagram(now, relayed, peer, &data);
                }
                TurnSetEvent::Lost { relayed, reason } => {
                    tracing::warn!(%relayed, reason, "relayed address lost");
                    self.network.relayed.retain(|(_, ours)| *ours != relayed);
                    self.tell_local_addresses(now);
                }
                TurnSetEvent::Failed { server, reason, .. } => {
                    self.hub_link.frontend.trouble(format!("{server}: {reason}"));
                }
            }
        }
    }

    /// Asks for new addresses in the place of those by which nothing comes any more: a server that
    /// was restarted does not say so.
    fn renew_relayed(&mut self, now: Instant) {
        let Some(rendezvous) = &mut self.rendezvous else { return };
        let relayed: Vec<_> = self.network.relayed.iter().map(|(_, ours)| *ours).collect();
        for address in relayed {
            let mut states = Vec::new();
            for peer in rendezvous.peers() {
                let paths = peer.link().transport().map(|t| t.paths().iter());
                let here = paths.into_iter().flatten().filter(|p| p.local() == address);
                states.extend(here.map(|p| p.state()));
            }
            if states.contains(&PathState::Dead) && !states.contains(&PathState::Alive) {
                self.network.turn.renew(now, address);
            }
        }
    }

    /// Sockets that no transport has used, for a transport that must not meet the records of
    /// another one. The hub is shown them, so that it tells how others see them.
    pub(super) fn fresh_addresses(&mut self, now: Instant) -> Vec<LocalAddress> {
        let sockets = match self.network.bind() {
            Ok(sockets) => sockets,
            Err(error) => {
                tracing::warn!(%error, "no fresh sockets");
                return Vec::new();
            }
        };
        if let Some(hub_link) = self.hub_link.link.transport() {
            for socket in &sockets {
                hub_link.add_local(now, LocalAddress::host(*socket));
            }
        }
        sockets.into_iter().map(LocalAddress::host).collect()
    }

    /// Closes sockets that no transport uses any more.
    pub(super) fn prune_sockets(&mut self, now: Instant) {
        // A good-bye may still be on its way out by one of them.
        self.flush(now);
        let relays = |s: &SocketAddr, rendezvous: &Rendezvous| {
            let mut relayed = self.network.relayed.iter();
            relayed.any(|(base, ours)| base == s && rendezvous.has_local(*ours))
        };
        let used = |s: &SocketAddr| {
            self.network.shared.contains(s)
                || self.hub_link.link.next_has_local(*s)
                || match &self.rendezvous {
                    // The hub is shown sockets of other links, and needs them no longer.
                    Some(rendezvous) => rendezvous.has_local(*s) || relays(s, rendezvous),
                    None => self.hub_link.link.has_local(*s),
                }
        };
        let unused: Vec<_> = self.network.sockets.local_addrs().filter(|s| !used(s)).collect();
        for socket in unused {
            for transport in self.hub_link.link.transports() {
                transport.remove_local(now, LocalAddress::host(socket));
            }
            self.network.remove(socket);
            self.demux.remove_local(socket);
        }
    }
}

/// Public addresses remembered: of some sockets, as some hubs see them.
const MAX_MAPPED: usize = 32;
