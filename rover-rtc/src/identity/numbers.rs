//! The numbers of signal messages.

use std::path::PathBuf;

use super::error::IdentityError;
use crate::util::file;

/// Numbers that only grow, across restarts and clocks that go backwards.
///
/// A number is the time in nanoseconds, or one more than the last where the clock has not moved on.
/// On disk is a mark that no number given out lies above; it is moved ahead of the numbers, so that
/// not each of them costs a write.
#[derive(Debug)]
pub(super) struct Numbers {
    last: u64,
    mark: u64,
    file: Option<PathBuf>,
}

impl Numbers {
    /// Of an identity that is not kept: it ends with the process, and its numbers with it.
    pub(super) fn in_memory() -> Self {
        Self { last: 0, mark: u64::MAX, file: None }
    }

    /// Goes on behind the mark in a file. No file: nothing was given out yet.
    pub(super) fn load(path: PathBuf) -> Result<Self, IdentityError> {
        let io = |source| IdentityError::Io { path: path.clone(), source };
        let mark = match file::open(&path).map_err(io)? {
            None => 0,
            Some(mut opened) => {
                let text = file::read(&mut opened, MAX_FILE).map_err(io)?;
                text.trim().parse().map_err(|_| IdentityError::Number { path: path.clone() })?
            }
        };
        Ok(Self { last: mark, mark, file: Some(path) })
    }

    pub(super) fn next(&mut self, unix_nanos: u64) -> u64 {
        let next = unix_nanos.max(self.last.saturating_add(1));
        if next > self.mark
            && let Some(path) = &self.file
        {
            let mark = next.saturating_add(AHEAD);
            match file::replace(path, &format!("{mark}\n")) {
                Ok(()) => self.mark = mark,
                // A link is worth more than a mark that matters only if the clock goes backwards.
                Err(e) => tracing::warn!(
                    path = %path.display(),
                    error = %e,
                    "the numbers of signal messages cannot be kept: after a restart with a clock that is \
                     behind, peers would take ours for replayed"
                ),
            }
        }
        self.last = next;
        next
    }
}

/// How far ahead of the numbers the mark is put: one minute in nanoseconds. At most one write a
/// minute; and each restart skips no more than that, so that 500 years of numbers last for
/// 270 million restarts.
const AHEAD: u64 = 60_000_000_000;
/// The longest file: a number has 20 digits.
const MAX_FILE: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::file::Scratch;

    #[test]
    fn grow_with_the_clock_and_without() {
        let mut numbers = Numbers::in_memory();
        assert_eq!([5, 5, 3, 100].map(|now| numbers.next(now)), [5, 6, 7, 100]);
        assert_eq!([u64::MAX, 0].map(|now| numbers.next(now)), [u64::MAX; 2]);
    }

    #[test]
    fn grow_across_restarts_with_a_clock_that_goes_backwards() {
        let dir = Scratch::created();
        let path = dir.0.join("mark");
        let mut last = 0;
        for now in [1_000 * AHEAD, 999 * AHEAD, 0, 1_001 * AHEAD] {
            let mut numbers = Numbers::load(path.clone()).unwrap();
            for _ in 0..3 {
                let next = numbers.next(now);
                assert!(next > last);
                last = next;
            }
        }
        assert!(last < 1_004 * AHEAD);
    }

    #[test]
    fn write_rarely() {
        let dir = Scratch::created();
        let path = dir.0.join("mark");
        let mut numbers = Numbers::load(path.clone()).unwrap();
        numbers.next(1);
        std::fs::remove_file(&path).unwrap();
        numbers.next(AHEAD);
        assert!(!path.exists());
        numbers.next(AHEAD + 2);
        assert!(path.exists());
    }

    #[test]
    fn go_on_without_a_disk() {
        let dir = Scratch::new();
        let mut numbers = Numbers::load(dir.0.join("mark")).unwrap();
        assert_eq!([7, 7].map(|now| numbers.next(now)), [7, 8]);
    }

    #[test]
    fn a_garbled_mark_is_an_error() {
        let dir = Scratch::created();
        let path = dir.0.join("mark");
        for bad in ["", "x", "-1", "18446744073709551616", "1 2"] {
            std::fs::write(&path, bad).unwrap();
            let error = Numbers::load(path.clone()).unwrap_err();
            assert!(matches!(error, IdentityError::Number { .. }), "{bad}: {error}");
        }
    }
}
