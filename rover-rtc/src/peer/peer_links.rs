//! The driver's side of links with other peers: handles, signal messages, closing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::calls::Caller;
use super::driver::{Command, Driver, LinkId, waker};
use super::frontend::LinkFrontend;
use super::handle::PeerLink;
use crate::event::Event;
use crate::link::LinkStats;
use crate::link::{LinkEvent, Message};
use crate::rendezvous::DialError;
use crate::rendezvous::{RemotePeerEvent, RemotePeerId, Rendezvous};
use crate::signal::hub_messages::{FromHub, MAX_TEXT};
use crate::util::limiter::{Limiter, with_withheld};
use crate::util::spare::PAUSE;

/// What the application sees of links with other peers.
#[derive(Debug)]
pub(super) struct PeerLinks {
    pub(super) frontends: HashMap<RemotePeerId, LinkFrontend>,
    /// Who waits for a link to come up.
    dialing: HashMap<RemotePeerId, Vec<oneshot::Sender<Result<PeerLink, DialError>>>>,
    /// Links that others have called.
    called: Caller,
    commands: mpsc::WeakSender<Box<Command>>,
    /// Since when signal messages have no link to travel on.
    cut_off: Option<Instant>,
    /// The way that signal messages had at the last turn.
    signal_route: SignalRoute,
    /// HTTP is not asked for signal messages before.
    mailbox_after: Option<Instant>,
    /// How often it is said that something of others was refused.
    refusals: Limiter,
}

/// How signal messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignalRoute {
    /// Not at all.
    None,
    /// On the link with the hub.
    Link,
    /// Over HTTP.
    Http,
}

impl PeerLinks {
    pub(super) fn new(called: Caller, commands: mpsc::WeakSender<Box<Command>>) -> Self {
        Self {
            frontends: HashMap::new(),
            dialing: HashMap::new(),
            called,
            commands,
            cut_off: None,
            signal_route: SignalRoute::None,
            mailbox_after: None,
            refusals: Limiter::default(),
        }
    }

    /// Does not ask for signal messages over HTTP for a while.
    pub(super) fn pause_mailbox(&mut self, now: Instant) {
        self.mailbox_after = Some(now + MAILBOX_PAUSE);
    }

    /// A handle on a link; `None` when the peer is being dropped.
    fn handle(&mut self, rendezvous: &mut Rendezvous, id: RemotePeerId) -> Option<PeerLink> {
        let peer = rendezvous.peer(id)?;
        let (name, fingerprint) = (peer.name().into(), peer.fingerprint());
        let (guard, directory, events) = self.frontends.get_mut(&id)?.hold();
        let commands = self.commands.upgrade()?;
        let owner = LinkId::Remote(id);
        Some(PeerLink { owner, name, fingerprint, commands, events, directory, _guard: guard })
    }
}

/// What a turn of the links with other peers leaves to be done.
#[derive(Debug, Default)]
pub(super) struct PeerTurn {
    /// There is more to hand over to their transports.
    pub(super) more: bool,
    /// The outbox of the link with the hub has got signal messages.
    pub(super) queued: bool,
}

impl Driver {
    /// Calls another peer, or finds the link that there is.
    pub(super) fn dial_peer(
        &mut self,
        now: Instant,
        name: &str,
        patience: Option<Duration>,
        reply: oneshot::Sender<Result<PeerLink, DialError>>,
    ) {
        let Some(mut rendezvous) = self.rendezvous.take() else {
            let _ = reply.send(Err(DialError::Nameless));
            return;
        };
        self.take_back(now, &mut rendezvous, name);
        match rendezvous.dial(now, name, patience.unwrap_or(Duration::MAX)) {
            Err(error) => {
                let _ = reply.send(Err(error));
            }
            Ok(id) => {
                self.frontend_of(&mut rendezvous, id);
                let up = rendezvous.peer(id).is_some_and(|t| t.is_up()) || patience.is_none();
                // A handle that is made and dropped would close the link.
                match up.then(|| self.peer_links.handle(&mut rendezvous, id)).flatten() {
                    Some(link) => {
                        let _ = reply.send(Ok(link));
                    }
                    None => self.peer_links.dialing.entry(id).or_default().push(reply),
                }
            }
        }
        self.rendezvous = Some(rendezvous);
    }

    /// A link that is being closed is no answer to a call: one that was only let go of goes on, any
    /// other ends now.
    fn take_back(&mut self, now: Instant, rendezvous: &mut Rendezvous, name: &str) {
        let Some(id) = rendezvous.find(name) else { return };
        let Some(frontend) = self.peer_links.frontends.get_mut(&id) else { return };
        let Some(closing) = &frontend.closing else { return };
        if !closing.told && closing.waiting.is_empty() {
            return frontend.reopen();
        }
        if !closing.told {
            rendezvous.say_bye(now, id);
        }
        rendezvous.hang_up(now, id);
        self.forget(id);
    }

    /// All links with other peers: names and counters.
    pub(super) fn links(&mut self, now: Instant) -> Vec<(String, LinkStats)> {
        let Some(rendezvous) = &mut self.rendezvous else { return Vec::new() };
        let frontends = &self.peer_links.frontends;
        let stats = rendezvous.peers().filter_map(|peer| {
            let frontend = frontends.get(&peer.id())?;
            Some((peer.name().to_owned(), frontend.stats(now, peer.link())))
        });
        stats.collect()
    }

    /// When something is due that the links themselves do not know of.
    pub(super) fn peer_links_deadline(&mut self, now: Instant) -> Option<Instant> {
        let rendezvous = self.rendezvous.as_mut()?;
        let http =
            self.peer_links.cut_off.filter(|_| self.peer_links.signal_route == SignalRoute::None);
        let http = http.map(|since| since + HTTP_AFTER).filter(|due| *due > now);
        let closing = self.peer_links.frontends.values().filter_map(|l| l.closing.as_ref());
        let closing = closing.map(|c| c.until).min();
        let mailbox_poll = self.peer_links.mailbox_after.filter(|due| *due > now);
        [rendezvous.poll_timeout(now), http, closing, mailbox_poll].into_iter().flatten().min()
    }

    /// Takes what the hub says about other peers.
    pub(super) fn on_hub_message(&mut self, now: Instant, text: &[u8]) {
        if text.len() > MAX_TEXT {
            return tracing::debug!(bytes = text.len(), "the hub says too much at a time");
        }
        match serde_json::from_slice::<FromHub>(text) {
            Ok(message) => self.on_post(now, message),
            Err(error) => tracing::debug!(%error, "the hub says what nobody understands"),
        }
    }

    pub(super) fn on_post(&mut self, now: Instant, message: FromHub) {
        match (message, &mut self.rendezvous) {
            (FromHub::Undelivered { label, size, .. }, _) => {
                self.hub_link.undelivered(&label, size)
            }
            (message, Some(rendezvous)) => rendezvous.handle_hub_message(now, message),
            _ => {}
        }
    }

    /// Lets time pass on the links with other peers, and moves signal messages: those for the hub
    /// are in its link's outbox then.
    pub(super) fn turn_peer_links(&mut self, now: Instant) -> PeerTurn {
        let Some(mut rendezvous) = self.rendezvous.take() else { return PeerTurn::default() };
        self.choose_signal_route(now, &mut rendezvous);
        if rendezvous.poll_timeout(now).is_some_and(|t| t <= now) {
            rendezvous.handle_timeout(now);
        }
        let mut turn = PeerTurn { more: rendezvous.pump_some(now), queued: false };
        let mut pruned = false;
        while let Some((id, event)) = rendezvous.poll_event() {
            pruned |= self.on_peer_event(now, &mut rendezvous, id, event);
        }
        pruned |= self.close_peer_links(now, &mut rendezvous);
        pruned |= self.drop_calls(now, &mut rendezvous);
        while let Some(request) = rendezvous.poll_to_hub() {
            match self.peer_links.signal_route {
                SignalRoute::Link => {
                    let text = serde_json::to_string(&request).expect("strings have a JSON form");
                    let outbox = self.hub_link.signal.and_then(|id| self.hub_link.link.outbox(id));
                    let queued = outbox.map(|o| o.try_push(now, Message::text(text)));
                    turn.queued |= matches!(queued, Some(Ok(_)));
                    if !matches!(queued, Some(Ok(_))) {
                        tracing::debug!("a signal message was not sent: too many are waiting");
                    }
                }
                SignalRoute::Http => {
                    if let Some(hub_session) = &mut self.hub_link.hub_session {
                        hub_session.signaling.send(request);
                    }
                }
                SignalRoute::None => {}
            }
        }
        while let Some(why) = rendezvous.poll_refusal() {
            if let Some(withheld) = self.peer_links.refusals.admit(now) {
                self.hub_link.frontend.trouble(with_withheld(why, withheld));
            }
        }
        self.rendezvous = Some(rendezvous);
        if pruned {
            self.prune_sockets(now);
        }
        turn
    }

    /// Ends all links at once.
    pub(super) fn end_peer_links(&mut self, now: Instant) {
        let Some(mut rendezvous) = self.rendezvous.take() else { return };
        let ids: Vec<_> = rendezvous.peers().map(|t| t.id()).collect();
        ids.into_iter().for_each(|id| rendezvous.end(now, id));
        self.rendezvous = Some(rendezvous);
        self.peer_links.frontends.values_mut().for_each(LinkFrontend::end);
        for reply in self.peer_links.dialing.drain().flat_map(|(_, replies)| replies) {
            let _ = reply.send(Err(DialError::Closed));
        }
    }

    /// Decides how signal messages travel, and looks for those that wait at the hub.
    fn choose_signal_route(&mut self, now: Instant, rendezvous: &mut Rendezvous) {
        let linked = self.hub_link.carries_signals();
        if let Some(trouble) = self.hub_link.take_trouble() {
            rendezvous.set_hub_trouble(Some(trouble));
        }
        let Some(hub_session) = &mut self.hub_link.hub_session else { return };
        let signal_route = if linked {
            self.peer_links.cut_off = None;
            SignalRoute::Link
        } else {
            let since = *self.peer_links.cut_off.get_or_insert(now);
            let patient = now.saturating_duration_since(since) < HTTP_AFTER;
            if patient || !hub_session.signaling.has_session() {
                SignalRoute::None
            } else {
                SignalRoute::Http
            }
        };
        if signal_route != self.peer_links.signal_route {
            self.peer_links.signal_route = signal_route;
            rendezvous.set_reachable(now, signal_route != SignalRoute::None);
        }
        let paused = self.peer_links.mailbox_after.is_some_and(|t| t > now);
        // Without a link, who may be called has to ask.
        hub_session.signaling.poll_mailbox(signal_route == SignalRoute::Http && !paused);
    }

    /// True if sockets may have become free.
    fn on_peer_event(
        &mut self,
        now: Instant,
        rendezvous: &mut Rendezvous,
        id: RemotePeerId,
        event: RemotePeerEvent,
    ) -> bool {
        self.frontend_of(rendezvous, id);
        match event {
            RemotePeerEvent::Wanted { fresh } => {
                let addresses = if fresh {
                    self.fresh_addresses(now)
                } else {
                    rendezvous.local_addresses().to_vec()
                };
                rendezvous.begin(now, id, &addresses);
            }
            RemotePeerEvent::Released => return true,
            RemotePeerEvent::Called => {
                let link = self.peer_links.handle(rendezvous, id);
                if !link.is_some_and(|link| self.peer_links.called.push(link)) {
                    if let Some(withheld) = self.peer_links.refusals.admit(now) {
                        tracing::warn!(withheld, "a call was not taken: nobody asks for calls");
                    }
                    rendezvous.turn_away(now, id);
                    rendezvous.hang_up(now, id);
                    self.forget(id);
                    return true;
                }
            }
            RemotePeerEvent::Link(event) => {
                let connected = matches!(event, LinkEvent::Connected);
                let free = connected || matches!(event, LinkEvent::TransportClosed(_));
                if let Some(frontend) = self.peer_links.frontends.get_mut(&id)
                    && let Some(peer) = rendezvous.peer(id)
                {
                    frontend.on_event(now, peer.link(), event);
                }
                if connected {
                    self.pause = Some(now + PAUSE);
                    for reply in self.peer_links.dialing.remove(&id).unwrap_or_default() {
                        let link = self.peer_links.handle(rendezvous, id).ok_or(DialError::Closed);
                        // Who does not wait any more drops the handle with the answer.
                        let _ = reply.send(link);
                    }
                }
                return free;
            }
            RemotePeerEvent::Restarting => self.emit(id, Event::Restarting),
            RemotePeerEvent::Dialing(n) => self.emit(id, Event::Dialing(n)),
            RemotePeerEvent::Trouble(why) => {
                if let Some(frontend) = self.peer_links.frontends.get_mut(&id) {
                    frontend.their_trouble(now, why);
                }
            }
            RemotePeerEvent::Ended(why) => {
                self.emit(id, Event::Disconnected((&why).into()));
                for reply in self.peer_links.dialing.remove(&id).unwrap_or_default() {
                    let _ = reply.send(Err(why.clone()));
                }
                self.forget(id);
                return true;
            }
        }
        false
    }

    /// Closes links that the application has let go of, when what was queued is sent.
    /// True if sockets may have become free.
    fn close_peer_links(&mut self, now: Instant, rendezvous: &mut Rendezvous) -> bool {
        let mut ended = false;
        let mut ending = Vec::new();
        for (id, frontend) in &mut self.peer_links.frontends {
            if let Some(peer) = rendezvous.peer(*id) {
                frontend.resume_receiving(now, peer.link());
            }
            if frontend.is_dropped() {
                frontend.close(now);
            }
            if frontend.closing.is_some() {
                ending.push(*id);
            }
        }
        for id in ending {
            let Some(peer) = rendezvous.peer(id) else { continue };
            let frontend = self.peer_links.frontends.get_mut(&id);
            let Some(closing) = frontend.and_then(|l| l.closing.as_mut()) else { continue };
            let late = closing.until <= now || !peer.is_alive();
            peer.link().hasten_acks(now);
            // Acknowledgements that are ready leave with the good-bye, which has them, too.
            if !late && (!peer.link().is_flushed() || peer.link().is_recording()) {
                continue;
            }
            if !closing.told {
                closing.told = true;
                rendezvous.say_bye(now, id);
            }
            let flushed = rendezvous.peer(id).is_none_or(|t| t.link().is_flushed());
            if late || flushed {
                rendezvous.hang_up(now, id);
                self.forget(id);
                ended = true;
            }
        }
        ended
    }

    /// Gives up calls whose callers do not wait any more.
    /// True if sockets may have become free.
    fn drop_calls(&mut self, now: Instant, rendezvous: &mut Rendezvous) -> bool {
        for replies in self.peer_links.dialing.values_mut() {
            replies.retain(|reply| !reply.is_closed());
        }
        let given_up = self.peer_links.dialing.extract_if(|_, replies| replies.is_empty());
        let given_up: Vec<_> = given_up.collect();
        for (id, _) in &given_up {
            // Who has called without waiting has the link still.
            if !self.peer_links.frontends.get(id).is_some_and(LinkFrontend::is_held) {
                rendezvous.hang_up(now, *id);
                self.forget(*id);
            }
        }
        !given_up.is_empty()
    }

    /// The line of a link, which is made when it is first asked for.
    fn frontend_of(&mut self, rendezvous: &mut Rendezvous, id: RemotePeerId) {
        if let Some(peer) = rendezvous.peer(id) {
            let (wake, inbox_bytes) = (&self.wake, self.config.inbox_bytes);
            let frontend = || {
                peer.link().set_waker(waker(wake));
                LinkFrontend::new(peer.link(), wake.clone(), inbox_bytes, false)
            };
            self.peer_links.frontends.entry(id).or_insert_with(frontend);
        }
    }

    fn emit(&self, id: RemotePeerId, event: Event) {
        if let Some(frontend) = self.peer_links.frontends.get(&id) {
            frontend.emit(event);
        }
    }

    fn forget(&mut self, id: RemotePeerId) {
        self.demux.remove(LinkId::Remote(id));
        if let Some(mut frontend) = self.peer_links.frontends.remove(&id) {
            frontend.end();
        }
    }
}

/// How long signal messages wait for the link with the hub before they go over HTTP.
const HTTP_AFTER: Duration = Duration::from_secs(1);

/// After a call for signal messages that failed: at most three tries in 10 s, as for dials.
const MAILBOX_PAUSE: Duration = Duration::from_secs(4);
