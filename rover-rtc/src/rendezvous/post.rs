//! Letters out, and what the hub says.

use std::time::Instant;

use super::{Rendezvous, TieId};
use crate::link::Message;
use crate::signal::letter::{Content, Letter, Sealed};
use crate::signal::post::{FromHub, ToHub};

impl Rendezvous {
    /// Takes what the hub says.
    pub fn handle_post(&mut self, now: Instant, post: FromHub) {
        match post {
            FromHub::Deliver { letter } => self.handle_sealed(now, &letter),
            FromHub::Channel { call, number } => self.add_number(now, call, number),
            FromHub::Absent { name, call } => {
                if let Some(id) = self.calling(&call) {
                    self.failed(now, id, format!("{name} is not at the hub"));
                }
            }
            FromHub::Present { name } => {
                if let Some(tie) = self.ties.iter_mut().find(|t| t.name == name) {
                    tie.ladder.network_changed(now);
                }
            }
            FromHub::Rejected { call, reason } => {
                if let Some(id) = self.calling(&call) {
                    self.failed(now, id, reason);
                }
            }
            FromHub::Registered { .. } => {}
            FromHub::NotRegistered { name, reason } => {
                self.refuse(format!("not registered as {name}: {reason}"));
            }
        }
    }

    /// Writes a letter and sends it by the best way: a path that both sides still have, or the
    /// hub.
    pub(super) fn write(&mut self, now: Instant, id: TieId, call: String, content: Content) {
        let offer = matches!(content, Content::Offer { .. });
        let own = matches!(content, Content::Candidates { .. } | Content::Bye);
        let Some(to) = self.tie(id).map(|t| t.name.clone()) else { return };
        let letter = self.seal(now, &to, &call, content);
        let Some(tie) = self.tie(id) else { return };
        let same_call = tie.call() == Some(call.as_str());
        if own && same_call && tie.is_alive() && tie.link.is_open(tie.signal) {
            let text = serde_json::to_string(&letter).expect("strings have a JSON form");
            let outbox = tie.link.outbox(tie.signal);
            if outbox.is_some_and(|o| o.try_push(now, Message::text(text)).is_ok()) {
                return;
            }
        }
        if self.reachable {
            self.parcels.push_back(ToHub::Send { to, call, offer, letter: Box::new(letter) });
        }
    }

    /// Answers a letter of somebody who may have no tie.
    pub(super) fn reply(&mut self, now: Instant, letter: &Letter, content: Content) {
        let (to, call) = (letter.from.clone(), letter.call.clone());
        let letter = Box::new(self.seal(now, &to, &call, content));
        self.parcels.push_back(ToHub::Send { to, call, offer: false, letter });
    }

    /// Notes why a letter or a registration was refused.
    pub(super) fn refuse(&mut self, why: String) {
        let why = shortened(&why);
        tracing::warn!("{why}");
        if self.refusals.len() < MAX_REFUSALS {
            self.refusals.push_back(why);
        }
    }

    fn seal(&self, now: Instant, to: &str, call: &str, content: Content) -> Sealed {
        let passed = now.saturating_duration_since(self.epoch.0).as_nanos() as u64;
        let letter = Letter {
            from: self.config.name.clone(),
            to: to.to_owned(),
            call: call.to_owned(),
            number: self.identity.next_number(self.epoch.1.saturating_add(passed)),
            content,
        };
        letter.seal(&self.identity)
    }

    /// The tie that offers this call.
    fn calling(&self, call: &str) -> Option<TieId> {
        let offers = |t: &&super::Tie| t.offering.as_ref().is_some_and(|o| o.call == call);
        self.ties.iter().find(offers).map(|t| t.id)
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
