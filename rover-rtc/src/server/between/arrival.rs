//! What a driver does with the notes of others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::hub::Hub;
use super::super::letters::Foreign;
use super::super::post::To;
use super::super::relay::Over;
use super::super::status::Totals;
use super::{Letter, Note};
use crate::link::Message;
use crate::model::client::ClientId;
use crate::signal::post::FromHub;
use crate::signal::{Exchange, Reply};

impl Hub {
    /// Takes what another driver has to tell.
    pub(in crate::server) fn handle_notes(&mut self, now: Instant, from: usize, notes: Vec<Note>) {
        for note in notes {
            self.on_note(now, from, note);
        }
        self.relay(now);
    }

    fn on_note(&mut self, now: Instant, from: usize, note: Note) {
        match note {
            Note::Interest { label, here } => self.on_interest(from, &label, here),
            Note::Passed { label, message } => self.on_passed(now, &label, message),
            Note::Letter(letter) => self.on_letter(now, *letter),
            Note::Text { to, text } => {
                match &text {
                    FromHub::Absent { name, call } => {
                        self.relay.give_up(to, call);
                        self.names.wait_for(to, name);
                    }
                    FromHub::Rejected { call, .. } => self.relay.give_up(to, call),
                    _ => {}
                }
                self.post.send(To::Owner(to), text);
            }
            Note::Channel { to, other, call, number } => {
                let Some(number) = number else { return self.relay.give_up(to, &call) };
                if let Some(number) = self.relay.meet(to, &call, other, number) {
                    self.post.send(To::Owner(to), FromHub::Channel { call, number });
                }
            }
            Note::Over { name, other, call } => {
                if let Some(owner) = self.names.find(&name) {
                    self.relay.is_over(owner, &other, &call);
                }
            }
            Note::Present { name } => {
                for waiting in self.names.take_waiting(&name) {
                    self.post.send(To::Owner(waiting), FromHub::Present { name: name.clone() });
                }
            }
            Note::Frames(frames) => {
                frames.into_iter().for_each(|frame| self.on_frame(now, frame));
            }
            Note::Status { totals, first, exchange } => {
                self.collect_status(now, totals, first, exchange);
            }
            #[cfg(test)]
            Note::Panic => panic!("a bug"),
        }
    }

    /// Adds this driver's numbers to those of others; the last one answers.
    pub(in crate::server) fn collect_status(
        &mut self,
        now: Instant,
        mut totals: Box<Totals>,
        first: usize,
        exchange: Exchange,
    ) {
        totals.add(&self.totals(LONG_LIST));
        let next = (self.place.me + 1) % self.place.shared.count();
        if next == first {
            let status = self.status_of(now, *totals, LONG_LIST);
            return exchange.respond(Reply::typed(200, "application/json", status));
        }
        self.place.tell(next, Note::Status { totals, first, exchange });
    }

    fn on_interest(&mut self, from: usize, label: &Arc<str>, there: bool) {
        self.place.note_interest(from, label, there);
        if !there {
            return;
        }
        for (_, message) in self.passing.take_waiting(label) {
            self.place.pass(from, label.clone(), message.passed_on());
        }
    }

    /// A message of another driver's client.
    fn on_passed(&mut self, now: Instant, label: &Arc<str>, message: Message) {
        let has = |id: &ClientId| self.clients.get(id).is_some_and(|c| c.has_channel(label));
        let members: Vec<_> = self.members.of(label).collect();
        let open: Vec<_> = members.iter().copied().filter(has).collect();
        if open.is_empty() && !members.is_empty() && message.guard.is_some() {
            // Its only member is changing its transport.
            return self.passing.hold(label, message);
        }
        for id in open {
            self.relayed += 1;
            self.send_copy(now, id, label, message.clone());
        }
    }

    /// A client here has opened a channel: what was held for it goes there.
    pub(in crate::server) fn deliver_held(&mut self, now: Instant, by: ClientId, label: &str) {
        for message in self.passing.take_held(label) {
            self.relayed += 1;
            self.send_copy(now, by, label, message);
        }
    }

    fn on_letter(&mut self, now: Instant, letter: Letter) {
        let Letter { from, writer, to, call, letter, begins, number } = letter;
        let foreign = Some(Foreign { name: writer, number });
        if let Err(reason) = self.hand_over(now, from, foreign, to, &call, letter, begins) {
            self.post.send(To::Owner(from), FromHub::Rejected { call, reason });
        }
    }

    /// Tells other drivers of calls that are over here.
    pub(in crate::server) fn tell_over(&mut self) {
        for over in self.relay.take_over() {
            let Over { far, call } = over;
            let note = Note::Over { name: far.name, other: far.of, call };
            self.place.tell(far.driver, note);
        }
    }

    /// A channel has got its first member here, or lost its last one.
    pub(in crate::server) fn set_members(&mut self, label: &str, here: bool) {
        if !here {
            // Nobody is left who could be back.
            self.passing.take_held(label);
        }
        self.place.set_interest(label, here);
    }

    /// A client goes on where another one was: it will have the same channels in a moment.
    pub(in crate::server) fn expect_channels(&mut self, now: Instant, id: ClientId, old: ClientId) {
        if self.place.is_alone() {
            return;
        }
        for label in self.members.labels(old) {
            self.members.open(id, &label);
        }
        self.expected.push((now, id));
    }

    /// Expects no longer what has not come.
    pub(in crate::server) fn tidy_expected(&mut self, now: Instant) {
        let over = |at: &Instant| now.saturating_duration_since(*at) >= EXPECTED_WITHIN;
        let over: Vec<_> = self.expected.extract_if(.., |(at, _)| over(at)).collect();
        for (_, id) in over {
            let Some(client) = self.clients.get(&id) else { continue };
            let mut labels = self.members.labels(id);
            labels.retain(|label| !client.has_channel(label));
            for label in labels {
                if self.members.close(id, &label) {
                    self.set_members(&label, false);
                }
            }
        }
    }
}

/// A client that has come back opens its channels at once; this is as long as paths may be bad.
const EXPECTED_WITHIN: Duration = Duration::from_secs(60);

/// Names in the status that is asked for.
const LONG_LIST: usize = 10_000;
