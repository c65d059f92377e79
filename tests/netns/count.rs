//! Counts what the logs of two peers tell. Shares no code with the library.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// One peer's log, as far as it has been written.
#[derive(Debug, Default)]
pub struct Log {
    pub sent: Vec<(u64, u64)>,
    pub received: Vec<(u64, u64)>,
    pub events: Vec<(u64, String)>,
}

/// The paths of a link at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    /// The kind of the one that carries.
    pub selected: String,
    /// The local address of that one.
    pub local: String,
    /// The kinds of others that live.
    pub standby: Vec<String>,
}

/// What became of the messages of one peer at the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    pub sent: usize,
    pub lost: usize,
    pub duplicated: usize,
    pub reordered: usize,
}

impl Log {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut log = Self::default();
        // The last line may be half written, so only ended ones count.
        for line in text.split_inclusive('\n').filter_map(|l| l.strip_suffix('\n')) {
            let mut fields = line.splitn(3, ' ');
            let kind = fields.next().unwrap();
            let time = fields.next().unwrap().parse().unwrap();
            let rest = fields.next().unwrap();
            match kind {
                "s" => log.sent.push((time, rest.parse().unwrap())),
                "r" => log.received.push((time, rest.parse().unwrap())),
                "e" => log.events.push((time, rest.to_owned())),
                _ => panic!("line {line}"),
            }
        }
        log
    }

    /// The longest time without a message within the window, both ends of it counted as messages
    /// only where none came before or after.
    pub fn longest_gap(&self, from: u64, until: u64) -> Duration {
        let times = || self.received.iter().map(|(t, _)| *t);
        let before = times().take_while(|t| *t <= from).last().unwrap_or(from);
        let after = times().find(|t| *t >= until).unwrap_or(until);
        let inside = times().filter(|t| (from..until).contains(t));
        let points: Vec<_> = [before].into_iter().chain(inside).chain([after]).collect();
        let longest = points.windows(2).map(|w| w[1] - w[0]).max().unwrap();
        Duration::from_micros(longest)
    }

    /// When an event was logged first whose text begins with this.
    pub fn when(&self, event: &str) -> Option<u64> {
        self.events.iter().find(|(_, e)| e.starts_with(event)).map(|(t, _)| *t)
    }

    /// The paths, by the last answer to the command `paths` after that time.
    pub fn paths(&self, since: u64) -> Option<Paths> {
        let mut latest = self.events.iter().rev().take_while(|(t, _)| *t >= since);
        let (_, text) = latest.find(|(_, e)| e.starts_with("Paths"))?;
        let mut paths = Paths::default();
        for path in text.split(' ').skip(1) {
            match path.split('/').collect::<Vec<_>>()[..] {
                [kind, _, "carrying", local] => {
                    (paths.selected, paths.local) = (kind.to_owned(), local.to_owned());
                }
                [kind, "Alive", "standby", _] => paths.standby.push(kind.to_owned()),
                _ => {}
            }
        }
        Some(paths)
    }

    /// How long after that time the next message came.
    pub fn next_after(&self, time: u64) -> Option<Duration> {
        let next = self.received.iter().map(|(t, _)| *t).find(|t| *t >= time)?;
        Some(Duration::from_micros(next - time))
    }
}

impl Count {
    /// Compares what one peer has sent with what the other has received.
    pub fn of(from: &Log, to: &Log) -> Self {
        let mut seen = HashSet::new();
        let mut highest = 0;
        let mut count = Self { sent: from.sent.len(), lost: 0, duplicated: 0, reordered: 0 };
        for (_, number) in &to.received {
            count.duplicated += usize::from(!seen.insert(*number));
            count.reordered += usize::from(*number < highest);
            highest = highest.max(*number);
        }
        count.lost = from.sent.iter().filter(|(_, number)| !seen.contains(number)).count();
        count
    }

    pub fn is_perfect(&self) -> bool {
        self.lost + self.duplicated + self.reordered == 0
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, lost, duplicated, reordered } = self;
        write!(f, "{sent} sent, {lost} lost, {duplicated} duplicated, {reordered} reordered")
    }
}

#[test]
fn counts() {
    let numbers = |list: &[u64]| list.iter().map(|n| (n * 10, *n)).collect::<Vec<_>>();
    let from = Log { sent: numbers(&[1, 2, 3, 4, 5]), ..Log::default() };
    let to = Log { received: numbers(&[1, 3, 2, 3, 5]), ..Log::default() };
    let expected = Count { sent: 5, lost: 1, duplicated: 1, reordered: 1 };
    assert_eq!(Count::of(&from, &to), expected);
    let steady = Log { received: numbers(&[1, 2, 5, 6]), ..Log::default() };
    assert_eq!(steady.longest_gap(15, 60).as_micros(), 30);
    assert_eq!(steady.longest_gap(30, 40).as_micros(), 30, "a gap around the window");
    assert_eq!(steady.longest_gap(60, 200).as_micros(), 140, "a gap without an end");
    assert_eq!(steady.next_after(21).unwrap().as_micros(), 29);
    let text = "Paths direct/Dead/standby/::1 hub/Alive/carrying/::2 turn/Alive/standby/::3";
    let asked = Log { events: vec![(7, "Up".into()), (9, text.into())], ..Log::default() };
    let paths = Paths { selected: "hub".into(), local: "::2".into(), standby: vec!["turn".into()] };
    assert_eq!((asked.paths(8), asked.paths(10)), (Some(paths), None));
    assert_eq!((asked.when("U"), asked.when("D")), (Some(7), None));
}
