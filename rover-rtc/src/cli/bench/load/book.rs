//! What a thread's clients get, while they get it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rover_rtc::Channel;
use rover_rtc::util::clock;

use super::super::measure::parse;
use super::crew::Shared;
use super::tally::{Sequence, Tally};

/// What receivers write into. They are all of one thread, so nobody waits for the lock.
#[derive(Debug)]
pub(super) struct Book {
    shared: Arc<Shared>,
    begin: i64,
    page: Mutex<Page>,
}

/// What came, and how far each client has got, in the order of the thread's clients.
type Page = (Tally, Vec<Sequence>);

impl Book {
    /// For a thread with this many clients.
    pub(super) fn new(shared: Arc<Shared>, begin: i64, tally: Tally, clients: usize) -> Self {
        let sequences = (0..clients).map(|_| Sequence::default()).collect();
        Self { shared, begin, page: Mutex::new((tally, sequences)) }
    }

    /// Takes all that the client in this place gets from the one with this number among all.
    pub(super) async fn receive(self: Arc<Self>, channel: Channel, slot: usize, writer: usize) {
        while let Some(message) = channel.recv().await {
            let mut page = self.page();
            let mut count = 0;
            let mut next = Some(message);
            while let Some(message) = next {
                self.take(&mut page, slot, writer, &message.data);
                count += 1;
                next = channel.try_recv();
            }
            self.shared.received.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// How much has not come of what each client in the thread has sent.
    pub(super) fn lacks(&self, sent: &[u64]) -> u64 {
        let page = self.page();
        // The partner is the neighbour in the thread, as among all.
        page.1.iter().enumerate().map(|(i, s)| s.lacks(sent[i ^ 1])).sum()
    }

    pub(super) fn take_tally(&self) -> Tally {
        std::mem::take(&mut self.page().0)
    }

    fn take(&self, page: &mut Page, slot: usize, writer: usize, data: &[u8]) {
        let (tally, sequences) = page;
        let pace = &self.shared.pace;
        match parse(data).filter(|(number, _)| *number < pace.total(writer)) {
            Some((number, sent)) => {
                if sequences[slot].take(number, &mut tally.faults) {
                    let now = clock::unix_nanos();
                    tally.record(pace, (writer, number), self.begin, sent, now);
                }
            }
            None => tally.faults.strange += 1,
        }
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
