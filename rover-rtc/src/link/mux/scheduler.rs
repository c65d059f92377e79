//! Whose turn it is: strict priority between classes, round robin within, and a guard against
//! starvation.

use crate::link::channel::Priority;

/// Picks among channels that have something to send.
#[derive(Debug, Default)]
pub(super) struct Scheduler {
    /// The channel of each class that had the last turn.
    last: [usize; Priority::ALL.len()],
    /// Turns that others had while a lower class waited.
    passed_over: u32,
    guarded: usize,
}

impl Scheduler {
    /// The channel whose turn it is. `class` tells the class of a channel that can send something
    /// now.
    pub(super) fn pick(
        &mut self,
        channels: usize,
        class: impl Fn(usize) -> Option<Priority>,
    ) -> Option<usize> {
        let mut found = [None; Priority::ALL.len()];
        for offset in 1..=channels {
            for (priority, found) in found.iter_mut().enumerate().filter(|(_, f)| f.is_none()) {
                let index = (self.last[priority] + offset) % channels;
                if class(index).is_some_and(|c| c as usize == priority) {
                    *found = Some(index);
                }
            }
        }
        let mut waiting = (0..found.len()).filter(|p| found[*p].is_some());
        let highest = waiting.next()?;
        let lower: Vec<usize> = waiting.collect();
        let mut chosen = highest;
        if lower.is_empty() {
            self.passed_over = 0;
        } else if self.passed_over == GUARD {
            self.passed_over = 0;
            self.guarded += 1;
            chosen = lower[self.guarded % lower.len()];
        } else {
            self.passed_over += 1;
        }
        let index = found[chosen]?;
        self.last[chosen] = index;
        Some(index)
    }
}

/// Turns after which a lower class has one.
const GUARD: u32 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(classes: &[Option<Priority>], turns: usize) -> Vec<usize> {
        let mut scheduler = Scheduler::default();
        let mut counts = vec![0; classes.len()];
        for _ in 0..turns {
            if let Some(index) = scheduler.pick(classes.len(), |i| classes[i]) {
                counts[index] += 1;
            }
        }
        counts
    }

    #[test]
    fn takes_turns_within_a_class() {
        let normal = Some(Priority::Normal);
        assert_eq!(run(&[normal, None, normal, normal], 30), [10, 0, 10, 10]);
    }

    #[test]
    fn the_higher_class_goes_first_and_nothing_starves() {
        let counts = run(&[Some(Priority::Low), Some(Priority::High), Some(Priority::Normal)], 160);
        assert_eq!(counts, [5, 150, 5]);
    }

    #[test]
    fn nobody_waits_for_nobody() {
        assert_eq!(run(&[None, Some(Priority::Low)], 3), [0, 3]);
        assert_eq!(run(&[None, None], 3), [0, 0]);
    }
}
