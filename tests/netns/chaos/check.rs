//! Reads the logs of a chaos run and finds what was lost, came twice or in another order. Shares
//! no code with the library.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// A message: the process that sent it, and its number.
type Name = (u64, u64);

/// One rover's log: see [`role`](super::role).
#[derive(Debug, Default)]
pub struct Log {
    /// The processes there were, in order.
    pub started: Vec<u64>,
    pub durable_sent: Vec<Name>,
    /// With the time before sending.
    pub reliable_sent: HashMap<Name, u64>,
    /// When, and what.
    pub durable: Vec<(u64, Name)>,
    pub redelivered: usize,
    /// When, by which process, and what.
    pub reliable: Vec<(u64, u64, Name)>,
    pub events: Vec<(u64, u64, String)>,
}

/// What became of the durable messages of one direction.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Durable {
    pub received: usize,
    pub lost: Vec<Name>,
    pub duplicated: Vec<Name>,
    pub reordered: Vec<Name>,
    /// Nobody can have sent these.
    pub invented: Vec<Name>,
    /// `send` had not returned when the process was killed, and they arrived all the same.
    pub unconfirmed: usize,
}

/// What became of the reliable messages of one direction.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reliable {
    pub received: usize,
    /// What is wrong, in words.
    pub wrong: Vec<String>,
    /// Acknowledged to a process that was killed before it had read them.
    pub died_unread: u64,
    /// Read by a process that was killed before it had acknowledged them, and again by the next.
    pub read_again: u64,
}

impl Log {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut log = Self::default();
        for line in text.split_inclusive('\n').filter_map(|l| l.strip_suffix('\n')) {
            let fields: Vec<_> = line.splitn(4, ' ').collect();
            let [kind, time, process, rest] = fields[..] else { panic!("line {line}") };
            let number = |text: &str| text.parse::<u64>().unwrap();
            let (time, process) = (number(time), number(process));
            let mut numbers = rest.split(' ').map(number);
            let mut next = || numbers.next().unwrap();
            match kind {
                "D" => log.durable_sent.push((process, next())),
                "C" => {
                    log.reliable_sent.insert((process, next()), time);
                }
                "d" => log.durable.push((time, (next(), next()))),
                "x" => log.redelivered += 1,
                "c" => log.reliable.push((time, process, (next(), next()))),
                "e" => {
                    if rest == "Started" {
                        log.started.push(process);
                    }
                    log.events.push((time, process, rest.to_owned()));
                }
                _ => panic!("line {line}"),
            }
        }
        log
    }

    /// Events whose text begins with this.
    pub fn count(&self, event: &str) -> usize {
        self.events.iter().filter(|(_, _, text)| text.starts_with(event)).count()
    }
}

impl Durable {
    pub fn of(from: &Log, to: &Log) -> Self {
        // What should come, in order, and whether it must.
        let mut expected: Vec<(Name, bool)> = Vec::new();
        let (mut sent, mut last) = (from.durable_sent.iter().peekable(), 0);
        for process in &from.started {
            while let Some(name) = sent.next_if(|(p, _)| p == process) {
                expected.push((*name, true));
                last = name.1;
            }
            if Some(process) != from.started.last() {
                expected.push(((*process, last + 1), false));
            }
        }
        let place: HashMap<_, _> = expected.iter().enumerate().map(|(i, e)| (e.0, i)).collect();
        assert_eq!(place.len(), expected.len(), "a sender has used a number twice");
        let mut count = Self { received: to.durable.len(), ..Self::default() };
        let (mut seen, mut highest) = (HashSet::new(), 0);
        for (_, name) in &to.durable {
            match place.get(name) {
                None => count.invented.push(*name),
                Some(place) if !seen.insert(*place) => count.duplicated.push(*name),
                Some(place) if *place < highest => count.reordered.push(*name),
                Some(place) => highest = *place,
            }
        }
        for (place, (name, must)) in expected.iter().enumerate() {
            match (seen.contains(&place), must) {
                (false, true) => count.lost.push(*name),
                (true, false) => count.unconfirmed += 1,
                _ => {}
            }
        }
        count
    }

    pub fn is_perfect(&self) -> bool {
        let Self { lost, duplicated, reordered, invented, .. } = self;
        [lost, duplicated, reordered, invented].iter().all(|list| list.is_empty())
    }
}

impl Reliable {
    /// `kills` are the times at which the receiver's processes were killed, the first one's first.
    pub fn of(from: &Log, to: &Log, kills: &[u64]) -> Self {
        let mut count = Self { received: to.reliable.len(), ..Self::default() };
        // By the sender's process: the last number, and who got it.
        let mut last = BTreeMap::<u64, (u64, u64)>::new();
        for (_, reader, (process, number)) in &to.reliable {
            let first = (0, to.started.first().copied().unwrap_or(1));
            let (before, old) = last.insert(*process, (*number, *reader)).unwrap_or(first);
            if *number == before + 1 {
                continue;
            }
            let what = format!("{process}/{number} to {reader} after {before} to {old}");
            if old == *reader {
                count.wrong.push(format!("a step: {what}"));
            } else if *number <= before {
                count.read_again += before + 1 - number;
            } else {
                count.died_unread += number - before - 1;
                // The last one that can have taken them is the one before the reader.
                let killed = kills[*reader as usize - 2];
                let late = |n: &u64| from.reliable_sent.get(&(*process, *n)) > Some(&killed);
                let late = (before + 1..*number).filter(late).count();
                if late > 0 {
                    count.wrong.push(format!("{late} lost that nobody can have taken: {what}"));
                }
            }
        }
        let process = from.started.last().copied().unwrap_or(0);
        let sent = from.reliable_sent.keys().filter(|n| n.0 == process).map(|n| n.1).max();
        let got = last.get(&process).map(|(number, _)| *number);
        if sent != got {
            count.wrong.push(format!("the last process sent {sent:?} and {got:?} arrived"));
        }
        count
    }
}

/// The longest time between two messages, and when it began.
pub fn longest_gap(times: impl Iterator<Item = u64>) -> (Duration, u64) {
    let times: Vec<_> = times.collect();
    let gaps = times.windows(2).map(|w| (Duration::from_micros(w[1].saturating_sub(w[0])), w[0]));
    gaps.max().unwrap_or_default()
}

impl fmt::Display for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [lost, duplicated, reordered, invented] =
            [&self.lost, &self.duplicated, &self.reordered, &self.invented].map(Vec::len);
        let Self { received, unconfirmed, .. } = self;
        write!(f, "{received} received, {lost} lost, {duplicated} duplicated, ")?;
        write!(f, "{reordered} reordered, {invented} invented, {unconfirmed} unconfirmed")
    }
}

impl fmt::Display for Reliable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, wrong, died_unread, read_again } = self;
        write!(f, "{received} received, {} wrong, ", wrong.len())?;
        write!(f, "{died_unread} died unread, {read_again} read again")
    }
}

#[test]
fn checks_durable() {
    let sent = |numbers: &[Name]| Log {
        started: vec![1, 2],
        durable_sent: numbers.to_vec(),
        ..Log::default()
    };
    let got = |numbers: &[Name]| Log {
        durable: numbers.iter().map(|name| (0, *name)).collect(),
        ..Log::default()
    };
    let from = sent(&[(1, 1), (1, 2), (2, 3), (2, 4)]);
    let clean = Durable::of(&from, &got(&[(1, 1), (1, 2), (2, 3), (2, 4)]));
    assert!(clean.is_perfect() && clean.unconfirmed == 0);
    let more = Durable::of(&from, &got(&[(1, 1), (1, 2), (1, 3), (2, 3), (2, 4)]));
    assert!(more.is_perfect() && more.unconfirmed == 1);
    let bad = Durable::of(&from, &got(&[(1, 2), (1, 1), (1, 1), (2, 3), (1, 3), (2, 5)]));
    assert_eq!(bad.lost, [(2, 4)]);
    assert_eq!(bad.duplicated, [(1, 1)]);
    assert_eq!(bad.reordered, [(1, 1), (1, 3)]);
    assert_eq!(bad.invented, [(2, 5)]);
}

#[test]
fn checks_reliable() {
    let from = Log {
        started: vec![1],
        reliable_sent: (1..=6).map(|n| ((1, n), n * 10)).collect(),
        ..Log::default()
    };
    let got = |list: &[Name]| Log {
        started: vec![1, 2],
        reliable: list.iter().map(|(reader, number)| (0, *reader, (1, *number))).collect(),
        ..Log::default()
    };
    let of = |list: &[Name]| Reliable::of(&from, &got(list), &[45]);
    let unread = of(&[(1, 1), (1, 2), (2, 5), (2, 6)]);
    assert_eq!((unread.wrong.len(), unread.died_unread), (0, 2));
    let again = of(&[(1, 1), (1, 2), (1, 3), (2, 3), (2, 4), (2, 5), (2, 6)]);
    assert_eq!((again.wrong.len(), again.read_again), (0, 1));
    assert_eq!(of(&[(1, 1), (1, 2), (2, 6)]).wrong.len(), 1, "5 was sent after the kill");
    assert_eq!(of(&[(1, 1), (1, 3), (2, 4), (2, 5), (2, 6)]).wrong.len(), 1, "a step");
    assert_eq!(of(&[(1, 1), (1, 2), (1, 2), (2, 3), (2, 4)]).wrong.len(), 2, "twice, and no end");
}
