//! A hub of several drivers: what each of them keeps for the others, and takes from them.
//!
//! A driver is one thread, or task, with one [`Hub`](super::Hub): clients, sockets, timers, names and
//! relay channels of its own. Drivers share next to nothing ([`Shared`]) and tell each other the
//! rest in [`Note`]s, which wait here until the queue to the other one has room.

mod arrival;
mod channels;
mod note;
mod shared;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

pub(super) use note::{Frame, Letter, Note};
pub(super) use shared::Shared;

use super::names::OwnerId;
use super::status::Totals;
use crate::link::{Message, RESERVED};
use crate::model::client::ClientId;

/// Where a driver is among the others, and what it has to tell them.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) me: usize,
    pub(super) shared: Arc<Shared>,
    /// By driver; its own stays empty.
    out: Vec<Out>,
    /// Drivers that have members of a channel.
    interest: HashMap<Arc<str>, Vec<usize>>,
    /// What found no room and could not wait.
    pub(super) dropped: u64,
}

/// What waits for one other driver.
#[derive(Debug, Default)]
struct Out {
    notes: VecDeque<Note>,
    frames: Vec<Frame>,
    /// Bytes of messages among them that no writer waits for.
    loose: usize,
}

impl Place {
    /// The only driver.
    pub(super) fn alone() -> Self {
        Self::among(0, Arc::new(Shared::new(1)))
    }

    pub(super) fn among(me: usize, shared: Arc<Shared>) -> Self {
        let out = (0..shared.count()).map(|_| Out::default()).collect();
        Self { me, shared, out, interest: HashMap::new(), dropped: 0 }
    }

    /// Whether there is no other driver.
    pub(super) fn is_alone(&self) -> bool {
        self.out.len() == 1
    }

    /// Whether an owner belongs to this driver.
    pub(super) fn has(&self, owner: OwnerId) -> bool {
        owner.driver() == self.me
    }

    /// Tells another driver something.
    pub(super) fn tell(&mut self, driver: usize, note: Note) {
        if let Some(out) = self.out.get_mut(driver).filter(|_| driver != self.me) {
            out.notes.push_back(note);
        }
    }

    /// Tells all others something.
    pub(super) fn tell_all(&mut self, note: impl Fn() -> Note) {
        for driver in self.others() {
            self.tell(driver, note());
        }
    }

    /// Whether a channel has members here: the others send messages to those only who have.
    pub(super) fn set_interest(&mut self, label: &str, here: bool) {
        if self.is_alone() || label.starts_with(RESERVED) {
            return;
        }
        let label: Arc<str> = label.into();
        self.tell_all(|| Note::Interest { label: label.clone(), here });
    }

    /// Others that have members of a channel.
    pub(super) fn interested(&self, label: &str) -> Option<(Arc<str>, Vec<usize>)> {
        self.interest.get_key_value(label).map(|(label, drivers)| (label.clone(), drivers.clone()))
    }

    fn note_interest(&mut self, driver: usize, label: &Arc<str>, there: bool) {
        let drivers = self.interest.entry(label.clone()).or_default();
        drivers.retain(|d| *d != driver);
        if there {
            drivers.push(driver);
        }
        if drivers.is_empty() {
            self.interest.remove(label);
        }
    }

    /// Passes a message on to another driver's clients. One that no writer waits for is dropped if
    /// too many of them wait.
    pub(super) fn pass(
        &mut self,
        driver: usize,
        from: ClientId,
        label: Arc<str>,
        message: Message,
    ) {
        let out = &mut self.out[driver];
        let loose = loose(&message);
        if loose > 0 && out.loose + loose > MAX_LOOSE {
            self.dropped += 1;
            return;
        }
        out.loose += loose;
        out.notes.push_back(Note::Passed { from, label, message });
    }

    /// Sends a datagram of a call.
    pub(super) fn forward(&mut self, frame: Frame) {
        match self.out.get_mut(frame.to.driver()).filter(|out| out.frames.len() < MAX_FRAMES) {
            Some(out) => out.frames.push(frame),
            None => self.dropped += 1,
        }
    }

    /// What another driver is to be told next, in order. Empty if there is nothing.
    pub(super) fn poll(&mut self, driver: usize) -> Vec<Note> {
        let Out { notes, frames, loose: waiting } = &mut self.out[driver];
        let count = notes.len().min(BATCH);
        let mut batch: Vec<_> = notes.drain(..count).collect();
        *waiting -= batch.iter().map(loose_of).sum::<usize>();
        if notes.is_empty() && !frames.is_empty() {
            batch.push(Note::Frames(std::mem::take(frames)));
        }
        batch
    }

    /// There is no room for that at the other driver: what cannot be lost waits, all else is
    /// dropped.
    pub(super) fn put_back(&mut self, driver: usize, batch: Vec<Note>) {
        let Out { notes, frames, loose: waiting } = &mut self.out[driver];
        self.dropped += std::mem::take(frames).len() as u64;
        for note in batch.into_iter().rev() {
            match note {
                Note::Frames(frames) => self.dropped += frames.len() as u64,
                note => {
                    *waiting += loose_of(&note);
                    notes.push_front(note);
                }
            }
        }
    }

    /// Drivers that have to be told something.
    pub(super) fn waiting(&self) -> impl Iterator<Item = usize> {
        let out = self.out.iter().enumerate();
        out.filter(|(_, out)| !out.notes.is_empty() || !out.frames.is_empty()).map(|(at, _)| at)
    }

    /// Notes how many clients there are here, and how many of them are half open.
    pub(super) fn set_tally(&self, clients: usize, half_open: usize) {
        if !self.is_alone() {
            self.shared.set_tally(self.me, clients, half_open);
        }
    }

    /// The same of all drivers together.
    pub(super) fn tally(&self, clients: usize, half_open: usize) -> (usize, usize) {
        let others = self.shared.tally_of_others(self.me);
        (clients + others.0, half_open + others.1)
    }

    /// Says how this driver fares.
    pub(super) fn publish(&self, totals: Totals) {
        self.shared.set_report(self.me, totals);
    }

    /// Adds how the others said they do.
    pub(super) fn add_others(&self, totals: &mut Totals) {
        self.shared.add_reports_of_others(self.me, totals);
    }

    pub(super) fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let me = self.me;
        (0..self.out.len()).filter(move |driver| *driver != me)
    }
}

/// What a message costs as long as it waits; nothing if its writer counts it.
fn loose(message: &Message) -> usize {
    if message.guard.is_some() { 0 } else { message.data.len() + MESSAGE_COST }
}

fn loose_of(note: &Note) -> usize {
    match note {
        Note::Passed { message, .. } => loose(message),
        _ => 0,
    }
}

/// Notes that go at once.
const BATCH: usize = 512;

/// Datagrams that go at once: more than a turn of the driver brings, but for a flood.
const MAX_FRAMES: usize = 4096;

/// Bytes of unguarded messages that wait for one driver: as many as an outbox has room for.
const MAX_LOOSE: usize = 4 * 1024 * 1024;
const MESSAGE_COST: usize = 1024;
