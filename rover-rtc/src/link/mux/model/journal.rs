//! A journal in memory: answers later, in order, and a crash takes what it has not answered.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::super::{Record, Saved, SavedOutgoing};
use crate::link::Message;

#[derive(Debug, Default)]
pub(super) struct Journal {
    asked: VecDeque<Record>,
    outgoing: HashMap<Arc<str>, (u64, u64, BTreeMap<u64, Message>)>,
    incoming: HashMap<Arc<str>, (u64, u64)>,
}

impl Journal {
    pub(super) fn ask(&mut self, record: Record) {
        self.asked.push_back(record);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    /// Answers the oldest question.
    pub(super) fn answer(&mut self, keep: bool) -> Option<Record> {
        let record = self.asked.pop_front()?;
        if keep {
            self.keep(record.clone());
        }
        Some(record)
    }

    fn keep(&mut self, record: Record) {
        match record {
            Record::Append { label, epoch, seq, message } => {
                let of = self.outgoing.entry(label).or_insert((epoch, 0, BTreeMap::new()));
                if of.0 != epoch {
                    *of = (epoch, 0, BTreeMap::new());
                }
                of.2.insert(seq, message);
            }
            Record::Acked { label, epoch, through } => {
                let of = self.outgoing.entry(label).or_insert((epoch, 0, BTreeMap::new()));
                if of.0 == epoch {
                    of.1 = of.1.max(through);
                    of.2.retain(|seq, _| *seq > through);
                }
            }
            Record::Received { label, epoch, through } => {
                self.incoming.insert(label, (epoch, through));
            }
        }
    }

    /// What is left after a crash.
    pub(super) fn crash(&mut self) -> Vec<Saved> {
        self.asked.clear();
        let mut labels: Vec<_> = self.outgoing.keys().chain(self.incoming.keys()).collect();
        labels.sort();
        labels.dedup();
        let saved = labels.into_iter().map(|label| Saved {
            label: label.clone(),
            outgoing: self.outgoing.get(label).map(|(epoch, acked, messages)| SavedOutgoing {
                epoch: *epoch,
                acked: *acked,
                messages: messages.iter().map(|(seq, m)| (*seq, m.clone())).collect(),
            }),
            incoming: self.incoming.get(label).copied(),
        });
        saved.collect()
    }
}
