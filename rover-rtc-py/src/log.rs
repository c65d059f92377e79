//! What the library logs waits here for Python.

use std::collections::VecDeque;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::prelude::*;
use rover_rtc::util::{LogSink, clock, log_to};
use tracing::Level;

use crate::error::Failure;

/// Python's level, where it comes from, the text, and when it was, in seconds since 1970.
type Line = (u8, String, String, f64);

pub(crate) struct Queue {
    lines: VecDeque<Line>,
    dropped: u64,
    /// Holds a byte exactly while there are lines.
    pipe: Option<(PipeReader, PipeWriter)>,
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
        let queue = Queue { lines: VecDeque::new(), dropped: 0, pipe: None };
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
    let mut queue = lock();
    if queue.pipe.is_none() {
        let (reader, mut writer) = std::io::pipe().map_err(|error| Failure::io(&error))?;
        if !queue.lines.is_empty() {
            writer.write_all(&[1]).map_err(|error| Failure::io(&error))?;
        }
        queue.pipe = Some((reader, writer));
    }
    let fd = queue.pipe.as_ref().map(|(reader, _)| reader.as_raw_fd());
    fd.ok_or_else(|| Failure::new("PANIC", "no pipe"))
}

/// All lines, and how many there was no room for.
#[pyfunction]
pub(crate) fn take_logs() -> (Vec<Line>, u64) {
    let mut queue = lock();
    if !queue.lines.is_empty()
        && let Some((reader, _)) = &mut queue.pipe
    {
        // There is one byte in it.
        let _ = reader.read(&mut [0]);
    }
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
    if queue.lines.len() == 1
        && let Some((_, writer)) = &mut queue.pipe
    {
        // The pipe is empty, so this neither blocks nor fails.
        let _ = writer.write(&[1]);
    }
}

pub(crate) fn lock() -> MutexGuard<'static, Queue> {
    let (forks, mut own) = (crate::fork::forks(), &FIRST);
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
