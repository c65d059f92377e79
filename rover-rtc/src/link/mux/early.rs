//! What came before its turn, and what it costs.
//!
//! Honest senders have many small pieces on their way: a window of 16 MiB is half a million of one
//! byte. So pieces with consecutive numbers lie side by side as they were on the wire, where one of
//! a byte takes four; a node of its own for each would take 200.

use std::collections::BTreeMap;

use super::frame::{Piece, Reader};
use super::sender::PIECE_COST;

/// Pieces and skips that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// By the number of its first piece.
    runs: BTreeMap<u64, Run>,
    /// From where, through where, and whether messages were lost.
    skips: BTreeMap<u64, (u64, bool)>,
    agreed: usize,
    memory: usize,
}

/// Pieces of consecutive numbers.
#[derive(Debug)]
struct Run {
    /// The number after the last one.
    end: u64,
    agreed: usize,
    pieces: Pieces,
}

/// Pieces as they are on the wire, and [`DONE`] for each that was handed on.
#[derive(Debug)]
enum Pieces {
    /// More can follow.
    Open(Vec<u8>),
    /// They are being read. With them the bytes that they take until the last has been.
    Closed(Reader, usize),
}

/// What has its turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Piece(Piece),
    /// It was handed on when it came.
    Done,
    /// No piece comes through this number.
    Skip {
        through: u64,
        lost: bool,
    },
}

impl Early {
    /// What the pieces count against the window: data and 32 each.
    pub(super) fn agreed(&self) -> usize {
        self.agreed
    }

    /// Bytes of memory that all of it takes, at most.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Whether this number has come, as a piece or the first of a skip.
    pub(super) fn contains(&self, number: u64) -> bool {
        let run = self.runs.range(..=number).next_back();
        run.is_some_and(|(_, run)| run.end > number) || self.skips.contains_key(&number)
    }

    /// Keeps a piece; `None` stands for one that was handed on. It must not be there.
    pub(super) fn push(&mut self, number: u64, piece: Option<&Piece>) {
        let agreed = piece.map_or(0, |piece| piece.data.len()) + PIECE_COST;
        let size = piece.map_or(1, Piece::size);
        let before = self.runs.range_mut(..=number).next_back().map(|(_, run)| run);
        let open = before.filter(|run| run.end == number && run.has_room(size));
        let run = match open {
            Some(run) => run,
            None => {
                self.memory += RUN_COST;
                let run = Run { end: number, agreed: 0, pieces: Pieces::Open(Vec::new()) };
                self.runs.entry(number).or_insert(run)
            }
        };
        self.memory -= run.bytes();
        run.push(piece, size);
        self.memory += run.bytes();
        run.agreed += agreed;
        run.end += 1;
        self.agreed += agreed;
    }

    /// Keeps word of numbers that no piece has.
    pub(super) fn skip(&mut self, from: u64, through: u64, lost: bool) {
        if self.skips.insert(from, (through, lost)).is_none() {
            self.memory += SKIP_COST;
        }
    }

    /// What there is of this number, which all that is there is not below.
    pub(super) fn pop(&mut self, number: u64) -> Option<Next> {
        if let Some((through, lost)) = self.skips.remove(&number) {
            self.memory -= SKIP_COST;
            return Some(Next::Skip { through, lost });
        }
        let entry = self.runs.first_entry().filter(|entry| *entry.key() == number)?;
        let mut run = entry.remove();
        let next = self.read(&mut run);
        self.put(number + 1, run);
        Some(next)
    }

    /// Forgets all numbers up to this one; a skip that reaches further goes on after it.
    pub(super) fn forget_through(&mut self, through: u64) {
        while let Some(entry) = self.runs.first_entry().filter(|entry| *entry.key() <= through) {
            let (mut number, mut run) = entry.remove_entry();
            if run.end <= through + 1 {
                self.agreed -= run.agreed;
                self.memory -= run.bytes() + RUN_COST;
                continue;
            }
            while number <= through {
                self.read(&mut run);
                number += 1;
            }
            self.put(number, run);
        }
        let mut further: Option<(u64, bool)> = None;
        while let Some(entry) = self.skips.first_entry().filter(|entry| *entry.key() <= through) {
            let skip = entry.remove();
            self.memory -= SKIP_COST;
            if skip.0 > through {
                further = further.max(Some(skip));
            }
        }
        if let Some((end, lost)) = further.filter(|_| !self.contains(through + 1)) {
            self.skip(through + 1, end, lost);
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The first piece of a run, which is no longer there.
    fn read(&mut self, run: &mut Run) -> Next {
        self.memory -= run.bytes();
        let next = run.read();
        self.memory += run.bytes();
        let agreed = PIECE_COST + if let Next::Piece(piece) = &next { piece.data.len() } else { 0 };
        run.agreed -= agreed;
        self.agreed -= agreed;
        next
    }

    /// Puts back what is left of a run.
    fn put(&mut self, number: u64, run: Run) {
        if run.end > number {
            self.runs.insert(number, run);
        } else {
            self.memory -= run.bytes() + RUN_COST;
        }
    }
}

impl Run {
    /// What its pieces take.
    fn bytes(&self) -> usize {
        match &self.pieces {
            Pieces::Open(bytes) => bytes.capacity(),
            Pieces::Closed(_, bytes) => *bytes,
        }
    }

    fn has_room(&self, size: usize) -> bool {
        matches!(&self.pieces, Pieces::Open(bytes) if bytes.len() + size <= RUN_BYTES)
    }

    fn push(&mut self, piece: Option<&Piece>, size: usize) {
        let Pieces::Open(bytes) = &mut self.pieces else { return };
        // Not twice as much each time: what is not used counts, too.
        if bytes.capacity() - bytes.len() < size {
            bytes.reserve_exact(size.max(bytes.len() / 4));
        }
        match piece {
            Some(piece) => piece.write(bytes),
            None => bytes.push(DONE),
        }
    }

    fn read(&mut self) -> Next {
        let bytes = self.bytes();
        if let Pieces::Open(open) = &mut self.pieces {
            let reader = Reader::new(std::mem::take(open).into());
            self.pieces = Pieces::Closed(reader, bytes);
        }
        let Pieces::Closed(reader, _) = &mut self.pieces else { return Next::Done };
        if reader.skip_byte(DONE) {
            return Next::Done;
        }
        // They were written by `push`.
        reader.piece().map_or(Next::Done, Next::Piece)
    }
}

/// Where a piece has its flags, of which it never has all.
const DONE: u8 = 0xff;

/// Bytes of a run after which the next one begins: what is held as long as one piece of it waits.
const RUN_BYTES: usize = 16 * 1024 + 128;

/// What a run takes besides its pieces: 72 bytes in a node that may be half empty, and what the
/// allocator adds.
pub(super) const RUN_COST: usize = 160;

/// What a skip takes: 24 bytes in a node that may be half empty.
const SKIP_COST: usize = 64;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::link::channel::message::Origin;

    fn piece(number: u64) -> Piece {
        let odd = number % 2 == 1;
        Piece {
            text: odd,
            begin: true,
            end: !number.is_multiple_of(3),
            key: Bytes::from(vec![b'k'; number as usize % 4]),
            origin: odd.then_some(Origin { epoch: 9, number }),
            total: if number.is_multiple_of(3) { 77 } else { 0 },
            asks: number.is_multiple_of(5),
            data: Bytes::from(number.to_le_bytes()[..number as usize % 9].to_vec()),
        }
    }

    fn dice(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *seed >> 33
    }

    /// In any order, it comes out in the order of the numbers, whole, and nothing is left.
    #[test]
    fn what_goes_in_comes_out() {
        let mut seed = 1;
        for round in 0..300_u64 {
            let mut early = Early::default();
            let mut numbers: Vec<u64> = (1..=1 + dice(&mut seed) % 400).collect();
            for at in (1..numbers.len()).rev() {
                // Some rounds nearly in order, some in none.
                let near = if round % 2 == 0 { 3 } else { at + 1 };
                numbers.swap(at, at - dice(&mut seed) as usize % near.min(at + 1));
            }
            let done = |number: u64| number % 7 == round % 7;
            for number in &numbers {
                assert!(!early.contains(*number));
                early.push(*number, (!done(*number)).then(|| piece(*number)).as_ref());
                assert!(early.contains(*number));
            }
            let through = dice(&mut seed) % 100;
            early.forget_through(through);
            for number in through + 1..=numbers.len() as u64 {
                assert_eq!(early.pop(number - 1), None);
                let expected = if done(number) { Next::Done } else { Next::Piece(piece(number)) };
                assert_eq!(early.pop(number), Some(expected), "round {round}");
            }
            assert_eq!((early.agreed(), early.memory()), (0, 0));
            assert!(early.runs.is_empty());
        }
    }

    #[test]
    fn a_skip_goes_on_behind_what_is_forgotten() {
        let mut early = Early::default();
        early.skip(5, 20, false);
        early.skip(7, 30, true);
        early.skip(8, 9, true);
        early.push(11, Some(&piece(11)));
        early.push(40, Some(&piece(40)));
        early.forget_through(10);
        // Behind the piece it would never have its turn.
        assert!(early.contains(11) && early.skips.is_empty());
        early.skip(12, 30, true);
        early.forget_through(12);
        assert_eq!(early.pop(13), Some(Next::Skip { through: 30, lost: true }));
        early.forget_through(30);
        early.forget_through(40);
        assert_eq!((early.agreed(), early.memory()), (0, 0));
    }

    /// What is counted is what is there: these sizes are in the constants.
    #[test]
    fn small_pieces_take_little() {
        assert!(size_of::<(u64, Run)>() <= 72 && size_of::<(u64, (u64, bool))>() == 24);
        let mut early = Early::default();
        let one = Piece { key: Bytes::new(), origin: None, end: true, total: 0, ..piece(1) };
        let one = Piece { data: Bytes::from_static(b"x"), ..one };
        for number in 2..500_000 {
            early.push(number, Some(&one));
        }
        assert_eq!(early.agreed(), 499_998 * 33);
        assert!(early.memory() < 499_998 * 6, "{}", early.memory());
        let mut alone = Early::default();
        (0..1000).for_each(|number| alone.push(2 * number, Some(&one)));
        assert!(alone.memory() >= 1000 * RUN_COST);
    }
}
