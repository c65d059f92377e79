//! Signal messages in: who may say what about which call.

use std::time::Instant;

use super::remote_peer::Plan;
use super::send::shortened;
use super::{RemotePeer, RemotePeerEvent, RemotePeerId, Rendezvous};
use crate::identity::{Fingerprint, Terms, Trust, TrustError};
use crate::rendezvous::DialError;
use crate::signal::hub_messages::MAX_TEXT;
use crate::signal::signed::{Content, SignalMessage, SignedMessage};
use crate::util::random;

impl Rendezvous {
    /// Takes a signal message that came on a link's own channel: by that way a peer writes of the
    /// call that it is on, in its own name, and nothing else.
    pub(super) fn handle_text(&mut self, now: Instant, id: RemotePeerId, text: &[u8]) {
        let signed = match serde_json::from_slice::<SignedMessage>(text) {
            Ok(signed) if text.len() <= MAX_TEXT => signed,
            Ok(_) => return tracing::debug!("a signal message that is too long"),
            Err(error) => return tracing::debug!(%error, "a signal message that cannot be read"),
        };
        let Some(peer) = self.peer(id) else { return };
        let (name, key, call) = (peer.name.clone(), peer.key, peer.call().map(str::to_owned));
        let Ok((signal, by)) = signed.verify() else { return };
        let own = signal.from == name && signal.to == self.config.name;
        if own && Some(by) == key && Some(&signal.call) == call.as_ref() {
            if !matches!(signal.content, Content::Offer { .. }) {
                self.changed = true;
                self.handle_message(now, signal, by);
            }
        } else {
            self.refuse(format!("{name} sent a signal message that is not its own"));
        }
    }

    /// Takes a signal message: checks who wrote it, to whom and when, then what it says.
    pub(super) fn handle_signed(&mut self, now: Instant, signed: &SignedMessage) {
        let (signal, key) = match signed.verify() {
            Ok(opened) => opened,
            Err(error) => {
                // Not to be trusted, but it tells whom to tell.
                let call = signed.claimed_call();
                let why =
                    format!("a signal message was changed on its way through the hub: {error}");
                return self.distrust(now, call.as_deref(), why);
            }
        };
        let SignalMessage { from, to, call, .. } = &signal;
        if *from == self.config.name {
            let why =
                format!("a signal message came in this peer's own name, {from}: the hub lies");
            return self.distrust(now, Some(call), why);
        }
        if *to != self.config.name {
            let why = format!(
                "the hub delivered a signal message of {from} for {to} to {}: it mixes up its peers",
                self.config.name
            );
            let reason =
                format!("this is {}, not {to}: the hub mixes up its peers", self.config.name);
            if matches!(signal.content, Content::Offer { .. }) {
                self.reply(now, &signal, Content::Declined { reason });
            }
            // Whose answer it was instead of, nobody can say; who waits for one is told.
            for peer in self.peers.iter_mut().filter(|t| t.offering.is_some()) {
                peer.reason = Some(shortened(&why));
            }
            return self.refuse(why);
        }
        if let Some(peer) = self.peers.iter_mut().find(|t| t.offering_call() == Some(call.as_str()))
            && peer.name != *from
        {
            let why = match &signal.content {
                Content::Declined { reason } => reason.clone(),
                _ => format!("{from} answered a call to {}: the hub mixes up its peers", peer.name),
            };
            return self.distrust(now, Some(call), why);
        }
        let trusted = match &signal.content {
            // Only a new call can be an old one once more.
            Content::Offer { .. } if !self.is_repeated(&signal) => self.admit(now, &signal, key),
            _ => self.known.check(from, key).map(|_| ()),
        };
        if let Err(error) = trusted {
            let is_offer = matches!(signal.content, Content::Offer { .. });
            if is_offer && !matches!(error, TrustError::Replayed { .. }) {
                // Whoever it is learns no more than that: not which key is expected, nor why.
                let reason = format!("{} does not take this key for that of {from}", signal.to);
                self.reply(now, &signal, Content::Declined { reason });
            }
            return self.distrust(now, Some(call), error.to_string());
        }
        self.changed = true;
        self.handle_message(now, signal, key);
    }

    /// Whether a new call may be taken. A name that nobody had before is not written down for a
    /// signal message, which costs its writer nothing, but when the link is up.
    fn admit(
        &mut self,
        now: Instant,
        signal: &SignalMessage,
        key: Fingerprint,
    ) -> Result<(), TrustError> {
        self.known.set_time(self.unix(now));
        if self.known.check(&signal.from, key)? == Trust::FirstUse {
            let peer = self.peers.iter().find(|t| t.name == signal.from);
            return match peer.is_some_and(|t| t.offered >= signal.number) {
                true => Err(TrustError::Replayed { name: signal.from.clone() }),
                false => Ok(()),
            };
        }
        let terms = Terms { admitted: false, in_use: &|name| is_tied(&self.peers, name) };
        match self.known.accept_on(&signal.from, key, signal.number, terms) {
            Ok(_) => Ok(()),
            // It holds until the process ends, which is no reason to lose a link.
            Err(error @ TrustError::Store { .. }) => {
                self.refuse(error.to_string());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// A link is up for the first time since its key was shown: whoever has the name from now on
    /// has this key. One that was called from here makes no room for those who call.
    pub(super) fn remember(&mut self, now: Instant, id: RemotePeerId) {
        self.known.set_time(self.unix(now));
        let Some(peer) = self.peer(id) else { return };
        let key = peer.link.transport().and_then(|t| t.session().expected());
        let (Some(key), name, number) = (key, peer.name.clone(), peer.offered) else { return };
        let admitted = peer.ours;
        let terms = Terms { admitted, in_use: &|name| is_tied(&self.peers, name) };
        let known = match self.known.check(&name, key) {
            Ok(Trust::FirstUse) if number > 0 => self.known.accept_on(&name, key, number, terms),
            _ => self.known.bind_on(&name, key, terms),
        };
        if let Err(error) = known {
            self.refuse(error.to_string());
        }
    }

    fn handle_message(&mut self, now: Instant, signal: SignalMessage, key: Fingerprint) {
        let found = self.find(&signal.from);
        if let Content::Offer { .. } = &signal.content {
            return self.on_offer(now, signal, key, found);
        }
        let Some(id) = found else {
            if let Content::Restart { .. } = &signal.content {
                self.reply(now, &signal, Content::Unknown);
            }
            return;
        };
        let (call, number) = (signal.call.clone(), signal.number);
        match &signal.content {
            Content::Offer { .. } => {}
            Content::Answer { sdp } => {
                // Only an answer that was asked for: another one could make us deaf to calls.
                if let Some(peer) = self.peer(id).filter(|t| t.offering_call() == Some(&call)) {
                    peer.answer_number = peer.answer_number.max(number);
                }
                self.on_answer(now, id, &call, sdp, key);
            }
            Content::Restart { sdp } => {
                if !self.on_restart(now, id, &call, number, sdp) {
                    self.reply(now, &signal, Content::Unknown);
                }
            }
            Content::Restarted { sdp } => {
                let Some(peer) = self.peer(id) else { return };
                if peer.restarting && peer.call() == Some(call.as_str()) {
                    peer.restarting = false;
                    if let Err(error) = peer.link.accept_restart(now, sdp) {
                        self.events.push_back((id, RemotePeerEvent::Trouble(error.to_string())));
                    }
                }
            }
            Content::Candidates { lines } => {
                self.add_candidates(now, id, &call, lines);
            }
            Content::Unknown => {
                let Some(peer) = self.peer(id) else { return };
                if peer.call() == Some(call.as_str()) && !peer.is_alive() {
                    peer.escalation.transport_lost(now, true);
                }
            }
            Content::Declined { reason } => {
                if self.peer(id).is_some_and(|t| t.offering_call() == Some(call.as_str())) {
                    self.failed(now, id, reason.clone());
                }
            }
            Content::Bye { acks } => {
                let Some(peer) = self.peer(id) else { return };
                if peer.link.transport_of(&call).is_some() {
                    peer.link.on_final_acks(now, acks);
                    // Its writer may be waiting for some, too.
                    peer.link.hasten_acks(now);
                    let why = DialError::Bye(peer.name.clone());
                    // Its writer has called again since, and that signal message was faster.
                    let again = number < peer.offered && peer.call() == Some(call.as_str());
                    let next = if again { self.take_call(id) } else { None };
                    self.remove(now, id, Some(why));
                    if let Some(next) = next {
                        self.adopt_call(now, next);
                    }
                }
            }
        }
        self.collect(now, id);
    }

    fn on_offer(
        &mut self,
        now: Instant,
        signal: SignalMessage,
        key: Fingerprint,
        found: Option<RemotePeerId>,
    ) {
        let Content::Offer { sdp, .. } = &signal.content else { return };
        if Fingerprint::in_sdp(sdp) != Some(key) {
            return self.refuse(format!(
                "the offer of {} names another certificate than the one that signed it",
                signal.from
            ));
        }
        let ours_wins = self.config.name < signal.from;
        let Some(id) = found.or_else(|| self.add_called(now, &signal)) else { return };
        let Some(peer) = self.peer(id) else { return };
        // Who answers a call has dropped its own: this one was under way meanwhile.
        if signal.number < peer.answer_number {
            return;
        }
        if let Some(answer) = peer.answer_to(&signal.call) {
            return self.write(now, id, signal.call, answer);
        }
        // Both sides call at once: the call of the smaller name is the one that counts.
        if peer.offering.is_some() && ours_wins {
            return self.repeat_offer(now, id);
        }
        if matches!(peer.plan, Some(Plan::Offer)) && ours_wins {
            return;
        }
        peer.key = Some(key);
        peer.offered = signal.number;
        peer.escalation.called(now);
        peer.plan = Some(Plan::Answer(Box::new(signal), Vec::new()));
        let fresh = peer.used;
        self.drop_next(id);
        self.events.push_back((id, RemotePeerEvent::Wanted { fresh }));
    }

    /// Takes candidates of the other side, which may come before the transport has been made that
    /// their offer asked for.
    pub(super) fn add_candidates(
        &mut self,
        now: Instant,
        id: RemotePeerId,
        call: &str,
        lines: &[String],
    ) {
        let Some(peer) = self.peer(id) else { return };
        if let Some(transport) = peer.link.transport_of(call) {
            transport.add_candidates(now, lines);
        } else if let Some(Plan::Answer(offer, early)) = &mut peer.plan
            && offer.call == call
            && early.len() + lines.len() <= MAX_EARLY
        {
            early.extend_from_slice(lines);
        }
    }

    fn add_called(&mut self, now: Instant, signal: &SignalMessage) -> Option<RemotePeerId> {
        if !self.make_room(now) {
            let reason = format!("{} has as many links as it takes", self.config.name);
            self.reply(now, signal, Content::Declined { reason });
            return None;
        }
        match self.add_peer(now, &signal.from, false).map(|peer| peer.id) {
            Ok(id) => Some(id),
            Err(error) => {
                // The caller asks again, and perhaps the disk is well then.
                self.refuse(format!("a call of {} was not taken: {error}", signal.from));
                None
            }
        }
    }

    fn on_answer(
        &mut self,
        now: Instant,
        id: RemotePeerId,
        call: &str,
        sdp: &str,
        key: Fingerprint,
    ) {
        let Some(peer) = self.peer(id) else { return };
        if peer.offering_call() != Some(call) {
            return; // an answer that came twice, or too late
        }
        if Fingerprint::in_sdp(sdp) != Some(key) {
            let why = format!(
                "the answer of {} names another certificate than the one that signed it",
                peer.name
            );
            return self.distrust(now, Some(call), why);
        }
        peer.offering = None;
        peer.used = true;
        peer.key = Some(key);
        if let Some(transport) = peer.link.transport_of(call) {
            transport.session().expect(key);
        }
        if let Err(error) = peer.link.accept_answer(now, sdp) {
            self.failed(now, id, error.to_string());
        }
    }

    /// False if the call is not known.
    fn on_restart(
        &mut self,
        now: Instant,
        id: RemotePeerId,
        call: &str,
        number: u64,
        sdp: &str,
    ) -> bool {
        let name = self.config.name.clone();
        let Some(peer) = self.peer(id) else { return false };
        if peer.call() != Some(call) {
            return false;
        }
        // Both sides restart at once: as with calls. And an old offer is none.
        if (peer.restarting && name < peer.name) || number <= peer.restart_number {
            return true;
        }
        peer.restart_number = number;
        peer.restarting = false;
        match peer.link.answer_restart(now, sdp, random::ice_credentials()) {
            Ok(sdp) => self.write(now, id, call.to_owned(), Content::Restarted { sdp }),
            Err(error) => self.events.push_back((id, RemotePeerEvent::Trouble(error.to_string()))),
        }
        true
    }

    /// Whether a signal message repeats the offer that was answered last.
    fn is_repeated(&mut self, signal: &SignalMessage) -> bool {
        let peer = self.peers.iter_mut().find(|t| t.name == signal.from);
        peer.is_some_and(|t| t.answer_to(&signal.call).is_some())
    }

    /// Something about a signal message is wrong that does not happen by chance. A call that is
    /// being dialed for the first time ends with it; a link that is up goes on.
    fn distrust(&mut self, now: Instant, call: Option<&str>, why: String) {
        let why = shortened(&why);
        let offering = |t: &&RemotePeer| t.offering_call().is_some() && t.offering_call() == call;
        let Some((id, up)) = self.peers.iter().find(offering).map(|t| (t.id, t.up)) else {
            return self.refuse(why);
        };
        if up {
            self.failed(now, id, why);
        } else {
            self.remove(now, id, Some(DialError::Distrusted(why)));
        }
    }
}

impl RemotePeer {
    /// What was answered to a call, as long as the transport that it speaks of is there.
    fn answer_to(&mut self, call: &str) -> Option<Content> {
        let (answered, answer) = self.answered.as_ref().filter(|(c, _)| c == call)?;
        self.link.transport_of(answered)?;
        Some(answer.clone())
    }

    fn offering_call(&self) -> Option<&str> {
        self.offering.as_ref().map(|o| o.call.as_str())
    }
}

/// Whether there is a link with the peer of a name.
fn is_tied(peers: &[RemotePeer], name: &str) -> bool {
    peers.iter().any(|peer| peer.name == name)
}

/// Candidates kept while sockets are being opened for their call.
const MAX_EARLY: usize = 40;
