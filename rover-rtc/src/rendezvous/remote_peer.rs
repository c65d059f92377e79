//! One other peer: a link, its escalation, and the calls under negotiation.

use std::time::{Duration, Instant};

use str0m::IceCreds;

use super::send::shortened;
use super::{RemotePeerEvent, Rendezvous, RendezvousConfig};
use crate::identity::Fingerprint;
use crate::link::{ChannelId, Link, LinkEvent, Saved, Transport};
use crate::path::{LocalAddress, Path, PathEvent, relay_addresses};
use crate::recovery::{Action, Escalation};
use crate::rendezvous::DialError;
use crate::session::SdpError;
use crate::session::SessionConfig;
use crate::signal::hub_messages;
use crate::signal::signed::{Content, SignalMessage};
use crate::util::clock::later;
use crate::util::random;

/// Names a link between two peers within its rendezvous; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RemotePeerId(pub(super) u64);

/// Everything between this peer and one other.
#[derive(Debug)]
pub struct RemotePeer {
    pub(super) id: RemotePeerId,
    /// The link on which its call began.
    pub(super) before: Option<RemotePeerId>,
    pub(super) name: String,
    pub(super) link: Link,
    /// The channel on which signal messages travel.
    pub(super) signal: ChannelId,
    pub(super) escalation: Escalation,
    /// The key of the other side, once it has shown it.
    pub(super) key: Option<Fingerprint>,
    /// The number of its last offer; 0 if there was none.
    pub(super) offered: u64,
    /// What a transport is wanted for, while its sockets are being opened.
    pub(super) plan: Option<Plan>,
    /// An offer of ours that has no answer yet.
    pub(super) offering: Option<PendingOffer>,
    /// The last answer of ours, should the offer come again.
    pub(super) answered: Option<(String, Content)>,
    /// Until when the transport that was answered with has to be up: who offered it may have given
    /// it up, for paths that came back.
    pub(super) answer_until: Option<Instant>,
    /// The largest number of an answer of the other side.
    pub(super) answer_number: u64,
    /// A restart of ours has no answer yet.
    pub(super) restarting: bool,
    /// The largest number of a restart of the other side.
    pub(super) restart_number: u64,
    /// A transport has been negotiated on the shared sockets.
    pub(super) used: bool,
    /// This side wants the link: its escalation dials.
    pub(super) ours: bool,
    /// It has been up.
    pub(super) up: bool,
    /// Until when it must be up for the first time.
    pub(super) until: Option<Instant>,
    /// Why it is not up yet, as far as is known.
    pub(super) reason: Option<String>,
    /// Since when nothing has been heard; after the resume window it is given up.
    pub(super) down_since: Option<Instant>,
    resume_window: Duration,
}

/// What a transport is wanted for.
#[derive(Debug)]
pub(super) enum Plan {
    Offer,
    /// An offer, and candidates of its writer that came right behind it.
    Answer(Box<SignalMessage>, Vec<String>),
}

/// An offer on its way.
#[derive(Debug)]
pub(super) struct PendingOffer {
    pub(super) call: String,
    pub(super) content: Content,
    /// When it is sent once more: signal messages get lost with the link that they were on.
    pub(super) again: Instant,
}

impl RemotePeer {
    pub(super) fn new(
        now: Instant,
        id: RemotePeerId,
        name: &str,
        ours: bool,
        config: &RendezvousConfig,
        saved: Option<Vec<Saved>>,
    ) -> Self {
        let defaults = config.channels.first().map(|c| c.outbox).unwrap_or_default();
        let mut link = Link::new(defaults, config.max_channels);
        link.set_framed();
        link.set_max_message(config.max_message);
        if let Some(saved) = saved {
            link.set_journal(saved);
        }
        for channel in &config.channels {
            link.open(now, channel.clone());
        }
        let (signal, _) = link.open(now, hub_messages::channel());
        let mut escalation = Escalation::new(now, config.recovery.clone(), random::number());
        if !ours {
            escalation.called(now);
        }
        Self {
            id,
            before: None,
            name: name.to_owned(),
            link,
            signal,
            escalation,
            key: None,
            offered: 0,
            plan: None,
            offering: None,
            answered: None,
            answer_until: None,
            answer_number: 0,
            restarting: false,
            restart_number: 0,
            used: false,
            ours,
            up: false,
            until: None,
            reason: None,
            down_since: None,
            resume_window: config.recovery.resume_window,
        }
    }

    /// Its name within the rendezvous.
    #[must_use]
    pub fn id(&self) -> RemotePeerId {
        self.id
    }

    /// The other peer's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that the other side has shown.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.key
    }

    /// The link.
    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// The call of the transport in use.
    #[must_use]
    pub fn call(&mut self) -> Option<&str> {
        self.link.transport().map(|t| t.call())
    }

    /// The channel that signal messages use, which is not the application's.
    #[must_use]
    pub fn signal_channel(&self) -> ChannelId {
        self.signal
    }

    pub(super) fn dialed(&mut self, now: Instant, patience: Duration) {
        self.ours = true;
        if !self.up {
            let until = later(now, patience);
            self.until = Some(self.until.map_or(until, |u| u.max(until)));
        }
    }

    /// Whether it has been up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Whether messages can flow now.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.link.is_alive()
    }

    pub(super) fn poll_timeout(&mut self, now: Instant, reachable: bool) -> Option<Instant> {
        // What the escalation does needs the hub.
        let escalation = self.escalation.deadline().filter(|_| reachable && self.plan.is_none());
        let again = self.offering.as_ref().map(|o| o.again).filter(|_| reachable);
        let given_up = self.down_since.map(|since| later(since, self.resume_window));
        [self.link.poll_timeout(now), escalation, again, self.until, self.answer_until, given_up]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Rendezvous {
    /// Makes the transport that [`RemotePeerEvent::Wanted`] asked for, on these addresses. Without
    /// any, it failed.
    pub fn begin(&mut self, now: Instant, id: RemotePeerId, local_addresses: &[LocalAddress]) {
        let Some(peer) = self.peer(id) else { return };
        let Some(plan) = peer.plan.take() else { return };
        // Fresh sockets are news.
        for address in local_addresses.iter().filter(|p| self.may_use(p)).collect::<Vec<_>>() {
            if !self.addresses.contains(address) {
                self.addresses.push(*address);
            }
        }
        if local_addresses.is_empty() {
            return self.failed(now, id, "no usable network interface".to_owned());
        }
        let done = match plan {
            Plan::Offer => self.offer(now, id, local_addresses),
            Plan::Answer(signal, lines) => {
                let answered = self.answer(now, id, &signal, local_addresses);
                self.add_candidates(now, id, &signal.call, &lines);
                answered
            }
        };
        if let Err(error) = done {
            self.failed(now, id, error.to_string());
            self.events.push_back((id, RemotePeerEvent::Released));
        }
        self.changed = true;
        self.index_numbers();
        self.collect(now, id);
    }

    /// Does what the remote peer's escalation and other deadlines ask for.
    pub(super) fn escalate(&mut self, now: Instant, id: RemotePeerId) {
        let reachable = self.reachable;
        let Some(peer) = self.peer(id) else { return };
        if peer.until.is_some_and(|until| until <= now) {
            let (name, reason) = (peer.name.clone(), peer.reason.take());
            let trouble = self.hub_trouble.clone().filter(|_| !reachable);
            let why = DialError::TimedOut { name, reason: trouble.or(reason) };
            return self.remove(now, id, Some(why));
        }
        if peer.down_since.is_some_and(|since| later(since, peer.resume_window) <= now) {
            let why = DialError::GivenUp(peer.name.clone());
            return self.remove(now, id, Some(why));
        }
        if peer.answer_until.is_some_and(|until| until <= now) {
            self.drop_next(id);
        }
        let Some(peer) = self.peer(id) else { return };
        if !reachable || peer.plan.is_some() {
            return;
        }
        if peer.offering.as_ref().is_some_and(|o| o.again <= now) {
            self.repeat_offer(now, id);
        }
        let Some(peer) = self.peer(id) else { return };
        match peer.escalation.poll(now) {
            Some(Action::Restart) => self.restart(now, id),
            // Who was called, and was never connected, waits to be called again.
            Some(Action::Dial) if !peer.up && !peer.ours => {
                let why = DialError::GivenUp(peer.name.clone());
                self.remove(now, id, Some(why));
            }
            Some(Action::Dial) => {
                let dials = peer.escalation.dials();
                let fresh = peer.used;
                peer.plan = Some(Plan::Offer);
                self.drop_next(id);
                self.events.push_back((id, RemotePeerEvent::Dialing(dials)));
                self.events.push_back((id, RemotePeerEvent::Wanted { fresh }));
            }
            None => {}
        }
    }

    /// Takes what the link has to say.
    pub(super) fn collect(&mut self, now: Instant, id: RemotePeerId) {
        let mut connected = false;
        loop {
            let Some(peer) = self.peer(id) else { return };
            let Some(event) = peer.link.poll_event() else { break };
            let signal = peer.signal;
            match &event {
                LinkEvent::Message(channel, message) if *channel == signal => {
                    let text = message.data.clone();
                    self.handle_text(now, id, &text);
                    continue;
                }
                LinkEvent::ChannelOpen { id: channel, .. } if *channel == signal => {
                    // All that the other side has offered is open by now.
                    peer.link.open_missing(now);
                    continue;
                }
                LinkEvent::ChannelClosed(channel) if *channel == signal => continue,
                LinkEvent::Connected => {
                    peer.escalation.healthy();
                    peer.offering = None;
                    peer.answer_until = None;
                    peer.until = None;
                    peer.reason = None;
                    peer.down_since = None;
                    peer.restarting = false;
                    let first = !std::mem::replace(&mut peer.up, true);
                    let called = first && !peer.ours;
                    if called {
                        self.events.push_back((id, RemotePeerEvent::Called));
                    }
                    self.tidy_numbers();
                    self.remember(now, id);
                    connected = true;
                }
                LinkEvent::Path(PathEvent::AllDead) => {
                    peer.escalation.paths_died(now);
                    peer.down_since.get_or_insert(now);
                    // What was told on a path that was dying may not have arrived.
                    self.announce(now, id);
                }
                LinkEvent::Path(PathEvent::Revived { .. }) => {
                    peer.escalation.healthy();
                    peer.restarting = false;
                    peer.down_since = None;
                    self.drop_next(id);
                    // What was told while there was no path may have found no other way.
                    self.announce(now, id);
                }
                LinkEvent::Stuck => peer.escalation.transport_stuck(now),
                LinkEvent::TransportClosed(_) => {
                    peer.escalation.transport_lost(now, false);
                    peer.down_since.get_or_insert(now);
                    self.tidy_numbers();
                }
                LinkEvent::DialFailed(reason) => {
                    let reason = reason.clone().unwrap_or_else(|| "the call ended".to_owned());
                    self.failed(now, id, reason);
                    self.events.push_back((id, RemotePeerEvent::Released));
                    continue;
                }
                _ => {}
            }
            self.events.push_back((id, RemotePeerEvent::Link(event)));
        }
        if connected {
            // What came up while the transport before was in use is for the new one, too.
            self.follow_local_addresses(now, id);
        }
    }

    /// A call did not come to anything; the escalation tries again.
    pub(super) fn failed(&mut self, now: Instant, id: RemotePeerId, reason: String) {
        let reason = shortened(&reason);
        let Some(peer) = self.peer(id) else { return };
        peer.escalation.dial_failed(now);
        peer.reason = Some(reason.clone());
        self.drop_next(id);
        self.events.push_back((id, RemotePeerEvent::Trouble(reason)));
    }

    /// Gives up what is being negotiated.
    pub(super) fn drop_next(&mut self, id: RemotePeerId) {
        let Some(peer) = self.peer(id) else { return };
        peer.offering = None;
        peer.answer_until = None;
        if peer.link.next_transport().is_some() {
            peer.link.hang_up();
            self.events.push_back((id, RemotePeerEvent::Released));
        }
        self.tidy_numbers();
    }

    fn offer(
        &mut self,
        now: Instant,
        id: RemotePeerId,
        local_addresses: &[LocalAddress],
    ) -> Result<(), SdpError> {
        let call = random::id();
        let name = self.peer(id).map(|t| t.name.clone()).unwrap_or_default();
        let expected = self.known.expected(&name);
        let transport = self.transport(now, &call, expected, true, local_addresses);
        let redundancy = self.config.path.redundancy;
        let Some(peer) = self.peer(id) else { return Ok(()) };
        let sdp = peer.link.dial(now, transport)?;
        let content = Content::Offer { sdp, redundancy };
        peer.offering = Some(PendingOffer { call, content, again: now });
        self.repeat_offer(now, id);
        Ok(())
    }

    fn answer(
        &mut self,
        now: Instant,
        id: RemotePeerId,
        signal: &SignalMessage,
        local_addresses: &[LocalAddress],
    ) -> Result<(), SdpError> {
        let Content::Offer { sdp, .. } = &signal.content else { return Ok(()) };
        let until = now + self.config.recovery.dial_timeout;
        let key = self.peer(id).and_then(|t| t.key);
        let transport = self.transport(now, &signal.call, key, false, local_addresses);
        let Some(peer) = self.peer(id) else { return Ok(()) };
        let sdp = peer.link.answer(now, transport, sdp)?;
        let content = Content::Answer { sdp };
        peer.used = true;
        peer.answer_until = Some(until);
        peer.answered = Some((signal.call.clone(), content.clone()));
        self.write(now, id, signal.call.clone(), content);
        Ok(())
    }

    fn transport(
        &self,
        now: Instant,
        call: &str,
        expected: Option<Fingerprint>,
        offers: bool,
        local_addresses: &[LocalAddress],
    ) -> Transport {
        let mut session = SessionConfig::new(random::ice_credentials());
        session.pace = self.config.pace;
        session.certificate = Some(self.identity.dtls());
        session.expected = expected;
        session.candidates.relay = true;
        let paths = self.config.path.clone();
        let transport = Transport::new(now, session, paths, offers, random::number());
        let mut transport = transport.of_call(call);
        // Without a local end, the paths to the other side's own addresses do not come to be.
        for address in local_addresses.iter().filter(|p| self.may_use(p)) {
            transport.add_local(now, *address);
        }
        if self.config.relay {
            let (offerer, answerer) = relay_addresses(call);
            let mine = if offers { offerer } else { answerer };
            transport.add_local(now, LocalAddress::hub(mine));
        }
        transport
    }

    fn restart(&mut self, now: Instant, id: RemotePeerId) {
        self.events.push_back((id, RemotePeerEvent::Restarting));
        let Some(peer) = self.peer(id) else { return };
        let new: IceCreds = random::ice_credentials();
        let call = peer.call().map(str::to_owned);
        match (call, peer.link.restart_offer(now, new)) {
            (Some(call), Ok(sdp)) => {
                peer.restarting = true;
                self.write(now, id, call, Content::Restart { sdp });
            }
            _ => peer.escalation.transport_lost(now, true),
        }
    }

    /// Sends the offer that has no answer yet.
    pub(super) fn repeat_offer(&mut self, now: Instant, id: RemotePeerId) {
        let Some(offering) = self.peer(id).and_then(|t| t.offering.as_mut()) else { return };
        offering.again = now + OFFER_AGAIN;
        let (call, content) = (offering.call.clone(), offering.content.clone());
        self.write(now, id, call, content);
    }
}

impl RemotePeer {
    /// The path that carries the messages.
    #[must_use]
    pub fn selected(&self) -> Option<&Path> {
        self.link.selected()
    }
}

/// After this an offer without answer is sent once more.
const OFFER_AGAIN: Duration = Duration::from_secs(1);
