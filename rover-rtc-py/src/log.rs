//! What the library logs waits here for Python.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::prelude::*;
use rover_rtc::pull::EventNotifier;
use rover_rtc::util::{LogSink, clock, log_to};
use tracing::Level;

use crate::error::Failure;
use crate::fork::{forked, forks};

/// Python's level, where it comes from, the text, and when it was, in seconds since 1970.
type Line = (u8, String, String, f64);

struct Queue {
    lines: VecDeque<Line>,
    dropped: u64,
    /// Set exactly while there are lines.
    notifier: EventNotifier,
}

/// The queue of one process: a child has neither the parent's lines nor its pipe, nor a lock that
/// was held when it was forked.
struct Generation {
    forks: u64,
    queue: Mutex<Queue>,
    next: OnceLock<Box<Self>>,
}

static FIRST: Generation = Generation::new(0);

impl Generation {
    const fn new(forks: u64) -> Self {
        let queue = Queue { lines: VecDeque::new(), dropped: 0, notifier: EventNotifier::new() };
        Self { forks, queue: Mutex::new(queue), next: OnceLock::new() }
    }
}

/// Sets from which of Python's levels on lines are kept; None ends that. False if another part of
/// this process takes the log lines of Rust code.
#[pyfunction]
#[pyo3(signature = (level))]
pub(crate) fn set_log(py: Python<'_>, level: Option<u8>) -> bool {
    let sink = level.map(|level| {
        let sink: LogSink = Arc::new(push);
        (of_python(level), sink)
    });
    py.detach(|| log_to(sink))
}

/// A descriptor that is readable exactly while there are lines.
#[pyfunction]
pub(crate) fn log_fileno() -> Result<RawFd, Failure> {
    lock().notifier.fd().map_err(|error| Failure::io(&error))
}

/// All lines, and how many there was no room for.
#[pyfunction]
pub(crate) fn take_logs() -> (Vec<Line>, u64) {
    let mut queue = lock();
    queue.notifier.clear();
    (queue.lines.drain(..).collect(), std::mem::take(&mut queue.dropped))
}

/// Keeps a line. On whichever thread, which must not wait: Python takes them when it likes.
fn push(level: Level, target: &str, text: &str) {
    let since = clock::unix_nanos() as f64 / 1e9;
    let line = (to_python(level), target.to_owned(), text.to_owned(), since);
    let mut queue = lock();
    if queue.lines.len() == MAX_LINES {
        queue.dropped += 1;
        return;
    }
    queue.lines.push_back(line);
    queue.notifier.set();
}

/// Says that this process is a child that was just forked.
#[pyfunction]
pub(crate) fn after_fork() {
    forked();
    // Its queue is made while there is one thread.
    drop(lock());
}

fn lock() -> MutexGuard<'static, Queue> {
    let (forks, mut own) = (forks(), &FIRST);
    while own.forks < forks {
        own = own.next.get_or_init(|| Box::new(Generation::new(own.forks + 1)));
    }
    // Nothing that is done under the lock can panic halfway through a change.
    own.queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn of_python(level: u8) -> Level {
    match level {
        0..=9 => Level::TRACE,
        10..=19 => Level::DEBUG,
        20..=29 => Level::INFO,
        30..=39 => Level::WARN,
        _ => Level::ERROR,
    }
}

fn to_python(level: Level) -> u8 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

/// Lines that wait at most: a second of a busy link at the level of debugging.
const MAX_LINES: usize = 10_000;
