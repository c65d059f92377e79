//! What a driver does with the notes of others.

use std::mem::ManuallyDrop;
use std::time::Instant;

use super::super::hub::Hub;
use super::super::letters::Foreign;
use super::super::post::To;
use super::super::relay::Over;
use super::super::status::{StatusFor, Totals};
use super::{Letter, Note};
use crate::signal::post::FromHub;

impl Hub {
    /// Takes what another driver has to tell.
    pub(in crate::server) fn handle_notes(&mut self, now: Instant, from: usize, notes: Vec<Note>) {
        // What is dropped counts as arrived. A panic leaves it as it is instead: the hub ends then.
        let mut notes = ManuallyDrop::new(notes.into_iter());
        for note in notes.by_ref() {
            self.on_note(now, from, note);
        }
        drop(ManuallyDrop::into_inner(notes));
        self.relay(now);
    }

    fn on_note(&mut self, now: Instant, from: usize, note: Note) {
        match note {
            Note::Interest { label, here } => self.on_interest(from, &label, here),
            Note::Passed { from: writer, label, message } => {
                self.on_passed(now, (from, writer), label, message);
            }
            Note::Returned { from, label, message } => {
                self.on_returned(now, from, &label, message);
            }
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
            Note::Status { totals, first, asker } => {
                self.collect_status(now, totals, first, asker);
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
        asker: StatusFor,
    ) {
        totals.add(&self.totals(LONG_LIST));
        let next = (self.place.me + 1) % self.place.shared.count();
        if next == first {
            return asker.answer(self.status_of(now, *totals, LONG_LIST));
        }
        self.place.tell(next, Note::Status { totals, first, asker });
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
}

/// Names in the status that is asked for.
const LONG_LIST: usize = 10_000;
