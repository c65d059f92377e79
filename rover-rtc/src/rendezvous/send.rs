//! Signal messages out, and what the hub says.

use std::time::{Duration, Instant};

use super::{RemotePeerId, Rendezvous};
use crate::link::Message;
use crate::signal::hub_messages::{FromHub, ToHub};
use crate::signal::signed::{Content, SignalMessage, SignedMessage};

impl Rendezvous {
    /// Takes what the hub says.
    pub fn handle_hub_message(&mut self, now: Instant, post: FromHub) {
        match post {
            FromHub::Deliver { signal } => self.handle_signed(now, &signal),
            FromHub::Channel { call, number } => self.add_number(now, call, number),
            FromHub::Absent { name, call } => {
                if let Some(id) = self.calling(&call) {
                    self.failed(now, id, format!("{name} is not at the hub"));
                }
            }
            FromHub::Present { name } => {
                if let Some(peer) = self.peers.iter_mut().find(|t| t.name == name) {
                    peer.escalation.network_changed(now);
                }
            }
            FromHub::Rejected { call, reason } => {
                if let Some(id) = self.calling(&call) {
                    self.failed(now, id, reason);
                }
            }
            // The second is of the link with the hub, which others look after.
            FromHub::Registered { .. } | FromHub::Undelivered { .. } => {}
            FromHub::NotRegistered { name, reason } => {
                self.refuse(format!("not registered as {name}: {reason}"));
            }
        }
    }

    /// Writes a signal message and sends it by the best way: a path that both sides still have, or
    /// the hub.
    pub(super) fn write(&mut self, now: Instant, id: RemotePeerId, call: String, content: Content) {
        let offer = matches!(content, Content::Offer { .. });
        let own = matches!(content, Content::Candidates { .. } | Content::Bye { .. });
        let Some(to) = self.peer(id).map(|t| t.name.clone()) else { return };
        let signal = self.sign(now, &to, &call, content);
        let Some(peer) = self.peer(id) else { return };
        let same_call = peer.call() == Some(call.as_str());
        if own && same_call && peer.is_alive() && peer.link.is_open(peer.signal) {
            let text = serde_json::to_string(&signal).expect("strings have a JSON form");
            let outbox = peer.link.outbox(peer.signal);
            if outbox.is_some_and(|o| o.try_push(now, Message::text(text)).is_ok()) {
                return;
            }
        }
        if self.reachable {
            self.to_hub.push_back(ToHub::Send { to, call, offer, signal: Box::new(signal) });
        }
    }

    /// Answers a signal message of somebody who may have no remote peer.
    pub(super) fn reply(&mut self, now: Instant, signal: &SignalMessage, content: Content) {
        let (to, call) = (signal.from.clone(), signal.call.clone());
        let signal = Box::new(self.sign(now, &to, &call, content));
        self.to_hub.push_back(ToHub::Send { to, call, offer: false, signal });
    }

    /// Notes why a signal message or a registration was refused. Whoever takes it tells it, but not
    /// all of it: others cause it.
    pub(super) fn refuse(&mut self, why: String) {
        let why = shortened(&why);
        if self.refusals.len() < MAX_REFUSALS {
            self.refusals.push_back(why);
        }
    }

    /// The system's time.
    pub(super) fn unix(&self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.epoch.0);
        Duration::from_nanos(self.epoch.1).saturating_add(passed)
    }

    fn sign(&self, now: Instant, to: &str, call: &str, content: Content) -> SignedMessage {
        let unix = u64::try_from(self.unix(now).as_nanos()).unwrap_or(u64::MAX);
        let signal = SignalMessage {
            from: self.config.name.clone(),
            to: to.to_owned(),
            call: call.to_owned(),
            number: self.identity.next_number(unix),
            content,
        };
        signal.sign(&self.identity)
    }

    /// The remote peer that offers this call.
    fn calling(&self, call: &str) -> Option<RemotePeerId> {
        let offers = |t: &&super::RemotePeer| t.offering.as_ref().is_some_and(|o| o.call == call);
        self.peers.iter().find(offers).map(|t| t.id)
    }
}

/// A reason as people are told it: what others wrote of it may be long, and hold anything.
pub(super) fn shortened(reason: &str) -> String {
    let shown = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
    shown.take(MAX_REASON).collect()
}

/// Characters of a reason: room for a name of full length, two fingerprints and advice.
const MAX_REASON: usize = 600;

/// Refusals that wait for the driver; a hub that lies may cause many.
const MAX_REFUSALS: usize = 16;
