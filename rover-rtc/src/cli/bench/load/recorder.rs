//! What a thread's clients get, while they get it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rover_rtc::Message;
use rover_rtc::util::clock;

use super::super::measure::parse;
use super::shared::Shared;
use super::tally::{Sequence, Tally};

/// What came, and how far each client has got, in the order of the thread's clients.
#[derive(Debug)]
pub(super) struct Recorder {
    shared: Arc<Shared>,
    /// Of the Unix time, in nanoseconds.
    begin: i64,
    tally: Tally,
    sequences: Vec<Sequence>,
}

impl Recorder {
    /// For a thread with this many clients.
    pub(super) fn new(shared: Arc<Shared>, begin: i64, tally: Tally, clients: usize) -> Self {
        let sequences = (0..clients).map(|_| Sequence::default()).collect();
        Self { shared, begin, tally, sequences }
    }

    /// Takes what comes for the clients that are measured: with these numbers among all, by place.
    pub(super) fn taker(&mut self, indices: &[usize]) -> impl FnMut(usize, &Message) {
        move |place, message| {
            if let Some(index) = indices.get(place) {
                self.take(place, index ^ 1, &message.data);
            }
        }
    }

    /// The client in this place has got a message of the one with this number among all.
    fn take(&mut self, place: usize, writer: usize, data: &[u8]) {
        let Self { shared, begin, tally, sequences } = self;
        let pace = &shared.pace;
        match parse(data).filter(|(number, _)| *number < pace.total(writer)) {
            Some((number, sent)) => {
                if sequences[place].take(number, &mut tally.faults) {
                    tally.record(pace, (writer, number), *begin, sent, clock::unix_nanos());
                }
            }
            None => tally.faults.strange += 1,
        }
        shared.received.fetch_add(1, Ordering::Relaxed);
    }

    /// How much has not come of what each client in the thread has sent.
    pub(super) fn lacks(&self, sent: &[u64]) -> u64 {
        // The partner is the neighbour in the thread, as among all.
        self.sequences.iter().enumerate().map(|(i, s)| s.lacks(sent[i ^ 1])).sum()
    }

    pub(super) fn into_tally(self) -> Tally {
        self.tally
    }
}
