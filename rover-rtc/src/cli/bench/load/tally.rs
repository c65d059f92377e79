//! What came of what was sent: latencies, and whatever was lost, repeated or out of order.

use std::collections::BTreeSet;

use super::pace::Pace;

/// What a thread's clients have got.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Microseconds, in tenths: from when messages were due, and from when they were sent.
    pub(super) from_due: Vec<u32>,
    pub(super) from_sent: Vec<u32>,
    /// Messages sent, and got, that count.
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) faults: Faults,
}

/// What must not happen. Warming up counts here, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Faults {
    pub(super) lost: u64,
    pub(super) repeated: u64,
    pub(super) reordered: u64,
    /// Messages that nobody here has sent.
    pub(super) strange: u64,
    /// Messages that were not sent: this machine was too late for them, or the outbox refused.
    pub(super) unsent: u64,
}

/// How far one client has got with the messages of its partner.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    next: u64,
    /// Numbers below `next` that have not come.
    missing: BTreeSet<u64>,
}

impl Sequence {
    /// Takes a number; true if it is new.
    pub(super) fn take(&mut self, number: u64, faults: &mut Faults) -> bool {
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
            return true;
        }
        let is_late = self.missing.remove(&number);
        *if is_late { &mut faults.reordered } else { &mut faults.repeated } += 1;
        is_late
    }

    /// How many of this many have not come.
    pub(super) fn lacks(&self, sent: u64) -> u64 {
        sent.saturating_sub(self.next) + self.missing.len() as u64
    }
}

impl Tally {
    /// Room for what is to come, so that it does not move while it is measured.
    pub(super) fn with_capacity(messages: u64) -> Self {
        let capacity = usize::try_from(messages).unwrap_or(usize::MAX).min(MAX_ROOM);
        let samples = || Vec::with_capacity(capacity);
        Self { from_due: samples(), from_sent: samples(), ..Self::default() }
    }

    /// A client's message with this number has come, in time `now`, that was sent at `sent`; all in
    /// nanoseconds of the Unix time, as the beginning of all is.
    pub(super) fn record(
        &mut self,
        pace: &Pace,
        (writer, number): (usize, u64),
        begin: i64,
        sent: i64,
        now: i64,
    ) {
        if !pace.counts(writer, number) {
            return;
        }
        let due = begin.saturating_add_unsigned(pace.due(writer, number));
        self.received += 1;
        self.from_due.push(tenths(now - due));
        self.from_sent.push(tenths(now - sent));
    }

    /// Adds what another thread has.
    pub(super) fn add(&mut self, other: Self) {
        self.from_due.extend(other.from_due);
        self.from_sent.extend(other.from_sent);
        self.sent += other.sent;
        self.received += other.received;
        self.faults.add(other.faults);
    }
}

impl Faults {
    fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
        self.strange += other.strange;
        self.unsent += other.unsent;
    }
}

fn tenths(nanos: i64) -> u32 {
    u32::try_from(nanos.max(0) / 100).unwrap_or(u32::MAX)
}

/// Samples for which there is room from the start; more are taken, too.
const MAX_ROOM: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tells_what_is_lost_repeated_and_out_of_order() {
        let (mut faults, mut sequence) = (Faults::default(), Sequence::default());
        let new: Vec<_> = [0, 1, 4, 2, 4, 1, 5].map(|n| sequence.take(n, &mut faults)).into();
        assert_eq!(new, [true, true, true, true, false, false, true]);
        assert_eq!(faults, Faults { repeated: 2, reordered: 1, ..Faults::default() });
        assert_eq!((sequence.lacks(6), sequence.lacks(8)), (1, 3));
    }

    #[test]
    fn latency_counts_from_when_a_message_was_due() {
        let pace = Pace::new(2, 10.0, Duration::from_secs(1), Duration::from_secs(1));
        let mut tally = Tally::with_capacity(pace.counted());
        let begin = 1_000_000_000_000;
        // Number 3 is of the warm-up; number 12 is due after 1.2 s.
        tally.record(&pace, (0, 3), begin, begin, begin + 5_000);
        let due = begin + 1_200_000_000;
        tally.record(&pace, (0, 12), begin, due + 1_000, due + 51_000);
        assert_eq!(
            (tally.received, &*tally.from_due, &*tally.from_sent),
            (1, &[510][..], &[500][..])
        );
    }
}
