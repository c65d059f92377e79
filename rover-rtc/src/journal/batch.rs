//! What is written together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Record;

/// Something to be written.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// A record of a link.
    Record(Arc<str>, Record),
    /// A link is forgotten.
    Forget(Arc<str>),
}

/// What is to be written sometime, and goes in front of the next batch: acknowledgements, whose
/// result is given at once, and what a failed batch had of those and of forgotten links.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    forgotten: BTreeSet<Arc<str>>,
    /// Epoch and number by link and label: the last one is as good as all.
    acked: BTreeMap<(Arc<str>, Arc<str>), (u64, u64)>,
}

impl Backlog {
    /// Keeps an operation if it is one whose failure nobody hears of.
    pub(super) fn keep(&mut self, op: Op) {
        match op {
            Op::Record(link, Record::Acked { label, epoch, through }) => {
                let last = self.acked.entry((link, label)).or_insert((epoch, through));
                // An older epoch's are of no effect any more.
                *last =
                    if last.0 == epoch { (epoch, last.1.max(through)) } else { (epoch, through) };
            }
            Op::Forget(link) => {
                self.acked.retain(|(of, _), _| *of != link);
                self.forgotten.insert(link);
            }
            Op::Record(..) => {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.forgotten.is_empty() && self.acked.is_empty()
    }

    /// Takes everything, in the order in which it must be written.
    pub(super) fn take(&mut self) -> Vec<Op> {
        let forgotten = std::mem::take(&mut self.forgotten).into_iter().map(Op::Forget);
        let acked = std::mem::take(&mut self.acked).into_iter();
        let acked = acked.map(|((link, label), (epoch, through))| {
            Op::Record(link, Record::Acked { label, epoch, through })
        });
        forgotten.chain(acked).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_of_each_channel() {
        let acked = |link: &str, epoch, through| {
            Op::Record(link.into(), Record::Acked { label: "a".into(), epoch, through })
        };
        let mut backlog = Backlog::default();
        for op in [acked("x", 1, 9), acked("y", 1, 5), acked("x", 2, 3), acked("y", 1, 4)] {
            backlog.keep(op);
        }
        backlog.keep(Op::Forget("z".into()));
        let shown = format!("{:?}", backlog.take());
        assert!(backlog.is_empty());
        let z = shown.find("Forget(\"z\")").unwrap();
        let x = shown.find("epoch: 2, through: 3").unwrap();
        let y = shown.find("epoch: 1, through: 5").unwrap();
        assert!(z < x && x < y, "{shown}");
        backlog.keep(acked("x", 1, 9));
        backlog.keep(Op::Forget("x".into()));
        assert_eq!(format!("{:?}", backlog.take()), "[Forget(\"x\")]");
    }
}
