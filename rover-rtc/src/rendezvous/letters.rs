//! Letters in: who may say what about which call.

use std::time::Instant;

use super::post::shortened;
use super::tie::Plan;
use super::{Rendezvous, Tie, TieEvent, TieId};
use crate::error::DialError;
use crate::identity::{Fingerprint, Trust, TrustError};
use crate::signal::letter::{Content, Letter, Sealed};
use crate::signal::post::MAX_TEXT;
use crate::util::random;

impl Rendezvous {
    /// Takes a letter that came on a link's own channel: by that way a peer writes of the call that
    /// it is on, in its own name, and nothing else.
    pub(super) fn handle_text(&mut self, now: Instant, id: TieId, text: &[u8]) {
        let sealed = match serde_json::from_slice::<Sealed>(text) {
            Ok(sealed) if text.len() <= MAX_TEXT => sealed,
            Ok(_) => return tracing::debug!("a letter that is too long"),
            Err(error) => return tracing::debug!(%error, "a letter that cannot be read"),
        };
        let Some(tie) = self.tie(id) else { return };
        let (name, key, call) = (tie.name.clone(), tie.key, tie.call().map(str::to_owned));
        let Ok((letter, by)) = sealed.open() else { return };
        let own = letter.from == name && letter.to == self.config.name;
        if own && Some(by) == key && Some(&letter.call) == call.as_ref() {
            if !matches!(letter.content, Content::Offer { .. }) {
                self.changed = true;
                self.handle_letter(now, letter, by);
            }
        } else {
            self.refuse(format!("{name} sent a letter that is not its own"));
        }
    }

    /// Takes a letter: checks who wrote it, to whom and when, then what it says.
    pub(super) fn handle_sealed(&mut self, now: Instant, sealed: &Sealed) {
        let (letter, key) = match sealed.open() {
            Ok(opened) => opened,
            Err(error) => {
                // Not to be trusted, but it tells whom to tell.
                let call = sealed.claimed_call();
                let why = format!("a letter was changed on its way through the hub: {error}");
                return self.distrust(now, call.as_deref(), why);
            }
        };
        let Letter { from, to, call, .. } = &letter;
        if *from == self.config.name {
            let why = format!("a letter came in this peer's own name, {from}: the hub lies");
            return self.distrust(now, Some(call), why);
        }
        if *to != self.config.name {
            let why = format!(
                "the hub delivered a letter of {from} for {to} to {}: it mixes up its peers",
                self.config.name
            );
            let reason =
                format!("this is {}, not {to}: the hub mixes up its peers", self.config.name);
            if matches!(letter.content, Content::Offer { .. }) {
                self.reply(now, &letter, Content::Declined { reason });
            }
            // Whose answer it was instead of, nobody can say; who waits for one is told.
            for tie in self.ties.iter_mut().filter(|t| t.offering.is_some()) {
                tie.reason = Some(shortened(&why));
            }
            return self.refuse(why);
        }
        if let Some(tie) = self.ties.iter_mut().find(|t| t.offering_call() == Some(call.as_str()))
            && tie.name != *from
        {
            let why = match &letter.content {
                Content::Declined { reason } => reason.clone(),
                _ => format!("{from} answered a call to {}: the hub mixes up its peers", tie.name),
            };
            return self.distrust(now, Some(call), why);
        }
        let trusted = match &letter.content {
            // Only a new call can be an old one once more.
            Content::Offer { .. } if !self.is_repeated(&letter) => self.admit(&letter, key),
            _ => self.known.check(from, key).map(|_| ()),
        };
        if let Err(error) = trusted {
            let is_offer = matches!(letter.content, Content::Offer { .. });
            if is_offer && !matches!(error, TrustError::Replayed { .. }) {
                // Whoever it is learns no more than that: not which key is expected, nor why.
                let reason = format!("{} does not take this key for that of {from}", letter.to);
                self.reply(now, &letter, Content::Declined { reason });
            }
            return self.distrust(now, Some(call), error.to_string());
        }
        self.changed = true;
        self.handle_letter(now, letter, key);
    }

    /// Whether a new call may be taken. A name that nobody had before is not written down for a
    /// letter, which costs its writer nothing, but when the link is up.
    fn admit(&mut self, letter: &Letter, key: Fingerprint) -> Result<(), TrustError> {
        if self.known.check(&letter.from, key)? == Trust::FirstUse {
            let tie = self.ties.iter().find(|t| t.name == letter.from);
            return match tie.is_some_and(|t| t.offered >= letter.number) {
                true => Err(TrustError::Replayed { name: letter.from.clone() }),
                false => Ok(()),
            };
        }
        match self.known.accept(&letter.from, key, letter.number) {
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
    /// has this key.
    pub(super) fn remember(&mut self, id: TieId) {
        let Some(tie) = self.tie(id) else { return };
        let key = tie.link.transport().and_then(|t| t.session().expected());
        let (Some(key), name, number) = (key, tie.name.clone(), tie.offered) else { return };
        let known = match self.known.check(&name, key) {
            Ok(Trust::FirstUse) if number > 0 => self.known.accept(&name, key, number),
            _ => self.known.bind(&name, key),
        };
        if let Err(error) = known {
            self.refuse(error.to_string());
        }
    }

    fn handle_letter(&mut self, now: Instant, letter: Letter, key: Fingerprint) {
        let found = self.find(&letter.from);
        if let Content::Offer { .. } = &letter.content {
            return self.on_offer(now, letter, key, found);
        }
        let Some(id) = found else {
            if let Content::Restart { .. } = &letter.content {
                self.reply(now, &letter, Content::Unknown);
            }
            return;
        };
        let (call, number) = (letter.call.clone(), letter.number);
        match &letter.content {
            Content::Offer { .. } => {}
            Content::Answer { sdp } => {
                // Only an answer that was asked for: another one could make us deaf to calls.
                if let Some(tie) = self.tie(id).filter(|t| t.offering_call() == Some(&call)) {
                    tie.answer_number = tie.answer_number.max(number);
                }
                self.on_answer(now, id, &call, sdp, key);
            }
            Content::Restart { sdp } => {
                if !self.on_restart(now, id, &call, number, sdp) {
                    self.reply(now, &letter, Content::Unknown);
                }
            }
            Content::Restarted { sdp } => {
                let Some(tie) = self.tie(id) else { return };
                if tie.restarting && tie.call() == Some(call.as_str()) {
                    tie.restarting = false;
                    if let Err(error) = tie.link.accept_restart(now, sdp) {
                        self.events.push_back((id, TieEvent::Trouble(error.to_string())));
                    }
                }
            }
            Content::Candidates { lines } => {
                self.add_candidates(now, id, &call, lines);
            }
            Content::Unknown => {
                let Some(tie) = self.tie(id) else { return };
                if tie.call() == Some(call.as_str()) && !tie.is_alive() {
                    tie.ladder.transport_lost(now, true);
                }
            }
            Content::Declined { reason } => {
                if self.tie(id).is_some_and(|t| t.offering_call() == Some(call.as_str())) {
                    self.failed(now, id, reason.clone());
                }
            }
            Content::Bye => {
                let Some(tie) = self.tie(id) else { return };
                if tie.link.transport_of(&call).is_some() {
                    let why = DialError::Bye(tie.name.clone());
                    // Its writer has called again since, and that letter was faster.
                    let again = number < tie.offered && tie.call() == Some(call.as_str());
                    let next = if again { self.take_call(id) } else { None };
                    self.remove(now, id, Some(why));
                    if let Some(next) = next {
                        self.go_on(now, next);
                    }
                }
            }
        }
        self.collect(now, id);
    }

    fn on_offer(&mut self, now: Instant, letter: Letter, key: Fingerprint, found: Option<TieId>) {
        let Content::Offer { sdp, .. } = &letter.content else { return };
        if Fingerprint::in_sdp(sdp) != Some(key) {
            return self.refuse(format!(
                "the offer of {} names another certificate than the one that signed it",
                letter.from
            ));
        }
        let ours_wins = self.config.name < letter.from;
        let Some(id) = found.or_else(|| self.add_called(now, &letter)) else { return };
        let Some(tie) = self.tie(id) else { return };
        // Who answers a call has dropped its own: this one was under way meanwhile.
        if letter.number < tie.answer_number {
            return;
        }
        if let Some(answer) = tie.answer_to(&letter.call) {
            return self.write(now, id, letter.call, answer);
        }
        // Both sides call at once: the call of the smaller name is the one that counts.
        if tie.offering.is_some() && ours_wins {
            return self.repeat_offer(now, id);
        }
        if matches!(tie.plan, Some(Plan::Offer)) && ours_wins {
            return;
        }
        tie.key = Some(key);
        tie.offered = letter.number;
        tie.ladder.called(now);
        tie.plan = Some(Plan::Answer(Box::new(letter), Vec::new()));
        let fresh = tie.used;
        self.drop_next(id);
        self.events.push_back((id, TieEvent::Wanted { fresh }));
    }

    /// Takes candidates of the other side, which may come before the transport has been made that
    /// their offer asked for.
    pub(super) fn add_candidates(&mut self, now: Instant, id: TieId, call: &str, lines: &[String]) {
        let Some(tie) = self.tie(id) else { return };
        if let Some(transport) = tie.link.transport_of(call) {
            transport.add_candidates(now, lines);
        } else if let Some(Plan::Answer(offer, early)) = &mut tie.plan
            && offer.call == call
            && early.len() + lines.len() <= MAX_EARLY
        {
            early.extend_from_slice(lines);
        }
    }

    fn add_called(&mut self, now: Instant, letter: &Letter) -> Option<TieId> {
        if !self.make_room(now) {
            let reason = format!("{} has as many links as it takes", self.config.name);
            self.reply(now, letter, Content::Declined { reason });
            return None;
        }
        match self.add_tie(now, &letter.from, false).map(|tie| tie.id) {
            Ok(id) => Some(id),
            Err(error) => {
                // The caller asks again, and perhaps the disk is well then.
                self.refuse(format!("a call of {} was not taken: {error}", letter.from));
                None
            }
        }
    }

    fn on_answer(&mut self, now: Instant, id: TieId, call: &str, sdp: &str, key: Fingerprint) {
        let Some(tie) = self.tie(id) else { return };
        if tie.offering_call() != Some(call) {
            return; // an answer that came twice, or too late
        }
        if Fingerprint::in_sdp(sdp) != Some(key) {
            let why = format!(
                "the answer of {} names another certificate than the one that signed it",
                tie.name
            );
            return self.distrust(now, Some(call), why);
        }
        tie.offering = None;
        tie.used = true;
        tie.key = Some(key);
        if let Some(transport) = tie.link.transport_of(call) {
            transport.session().expect(key);
        }
        if let Err(error) = tie.link.accept_answer(now, sdp) {
            self.failed(now, id, error.to_string());
        }
    }

    /// False if the call is not known.
    fn on_restart(&mut self, now: Instant, id: TieId, call: &str, number: u64, sdp: &str) -> bool {
        let name = self.config.name.clone();
        let Some(tie) = self.tie(id) else { return false };
        if tie.call() != Some(call) {
            return false;
        }
        // Both sides restart at once: as with calls. And an old offer is none.
        if (tie.restarting && name < tie.name) || number <= tie.restart_number {
            return true;
        }
        tie.restart_number = number;
        tie.restarting = false;
        match tie.link.answer_restart(now, sdp, random::ice_credentials()) {
            Ok(sdp) => self.write(now, id, call.to_owned(), Content::Restarted { sdp }),
            Err(error) => self.events.push_back((id, TieEvent::Trouble(error.to_string()))),
        }
        true
    }

    /// Whether a letter repeats the offer that was answered last.
    fn is_repeated(&mut self, letter: &Letter) -> bool {
        let tie = self.ties.iter_mut().find(|t| t.name == letter.from);
        tie.is_some_and(|t| t.answer_to(&letter.call).is_some())
    }

    /// Something about a letter is wrong that does not happen by chance. A call that is being
    /// dialed for the first time ends with it; a link that is up goes on.
    fn distrust(&mut self, now: Instant, call: Option<&str>, why: String) {
        let why = shortened(&why);
        let offering = |t: &&Tie| t.offering_call().is_some() && t.offering_call() == call;
        let Some((id, up)) = self.ties.iter().find(offering).map(|t| (t.id, t.up)) else {
            return self.refuse(why);
        };
        if up {
            self.failed(now, id, why);
        } else {
            self.remove(now, id, Some(DialError::Distrusted(why)));
        }
    }
}

impl Tie {
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

/// Candidates kept while sockets are being opened for their call.
const MAX_EARLY: usize = 40;
