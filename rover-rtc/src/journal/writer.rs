//! The journal's thread: groups records into batches and reports on each.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::batch::{Backlog, Op};
use super::store::Store;
use super::{JournalConfig, JournalError, JournalStats, Record, Saved};
use crate::util::clock;

/// What the handle asks for.
#[derive(Debug)]
pub(super) enum Ask {
    /// Write this.
    Write(Op),
    /// Write what waits, then tell what is remembered of a link.
    Saved(Arc<str>, Sender<Result<Vec<Saved>, JournalError>>),
    /// Write what waits, then tell the names of links.
    Links(Sender<Result<Vec<Arc<str>>, JournalError>>),
}

/// The result of a record, with its link.
pub(super) type Done = (Arc<str>, Result<(), JournalError>);

/// What the thread and the handle share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    done: Mutex<VecDeque<Done>>,
    stats: Mutex<JournalStats>,
}

/// What the thread owns.
pub(super) struct Writer {
    store: Store,
    config: JournalConfig,
    asks: Receiver<Ask>,
    shared: Arc<Shared>,
    wake: Box<dyn Fn() + Send>,
    /// What somebody waits for, in order, and its bytes.
    waiting: Vec<Op>,
    bytes: u64,
    backlog: Backlog,
    /// When the backlog is written at the latest.
    backlog_due: Option<Instant>,
    /// When the last batch began.
    began: Option<Instant>,
    failing: bool,
    commits: u64,
    /// Whether the file was looked after since the last batch.
    tidy: bool,
}

impl Shared {
    pub(super) fn done(&self) -> MutexGuard<'_, VecDeque<Done>> {
        // No code under the lock can panic halfway through a change.
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stats(&self) -> MutexGuard<'_, JournalStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    pub(super) fn new(
        store: Store,
        config: JournalConfig,
        asks: Receiver<Ask>,
        shared: Arc<Shared>,
        wake: Box<dyn Fn() + Send>,
    ) -> Self {
        let writer = Self {
            store,
            config,
            asks,
            shared,
            wake,
            waiting: Vec::new(),
            bytes: 0,
            backlog: Backlog::default(),
            backlog_due: None,
            began: None,
            failing: false,
            commits: 0,
            tidy: false,
        };
        writer.publish();
        writer
    }

    /// Works until the handle is dropped and everything is written.
    pub(super) fn run(mut self) {
        // Nobody waits yet, so this may take its time.
        self.look_after(u64::MAX);
        loop {
            let now = clock::now();
            let due = self.due(now);
            if due.is_some_and(|due| due <= now) {
                self.drain();
                self.write();
                continue;
            }
            let asked = match due.map(|due| due - now).or((!self.tidy).then_some(IDLE)) {
                Some(left) => self.asks.recv_timeout(left),
                None => self.asks.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match asked {
                Ok(ask) => self.take(ask),
                Err(RecvTimeoutError::Timeout) if due.is_some() => {}
                Err(RecvTimeoutError::Timeout) => self.look_after(IDLE_COMPACTION),
                Err(RecvTimeoutError::Disconnected) => {
                    self.write();
                    return;
                }
            }
        }
    }

    /// When the next batch begins.
    fn due(&self, now: Instant) -> Option<Instant> {
        if self.waiting.is_empty() {
            return self.backlog_due;
        }
        match self.began {
            Some(began) if self.bytes < self.config.group_bytes as u64 => {
                Some(clock::later(began, self.config.group))
            }
            Some(began) => Some(began),
            None => Some(now),
        }
    }

    /// Takes what has been submitted until now, but not so much that the batch takes long.
    fn drain(&mut self) {
        while self.bytes < MAX_BATCH
            && let Ok(ask) = self.asks.try_recv()
        {
            self.take(ask);
        }
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            // Its loss only costs that the other side drops what it gets twice.
            Ask::Write(Op::Record(link, record @ Record::Acked { .. }))
                if self.waiting.is_empty() =>
            {
                self.backlog.keep(Op::Record(Arc::clone(&link), record));
                self.backlog_due.get_or_insert_with(|| clock::later(clock::now(), BACKLOG));
                self.report([(link, Ok(()))]);
            }
            Ask::Write(op) => {
                self.bytes += if let Op::Record(_, record) = &op { record.size() } else { 0 };
                self.waiting.push(op);
            }
            Ask::Saved(link, to) => {
                self.write();
                // Who asked may be gone.
                let _ = to.send(self.store.saved(&link));
            }
            Ask::Links(to) => {
                self.write();
                let _ = to.send(self.store.links());
            }
        }
    }

    /// Writes the backlog and what waits, and reports.
    fn write(&mut self) {
        if self.waiting.is_empty() && self.backlog.is_empty() {
            return;
        }
        let now = clock::now();
        self.began = Some(now);
        self.tidy = false;
        self.bytes = 0;
        let mut ops = self.backlog.take();
        let old = ops.len();
        ops.append(&mut self.waiting);
        let written = self.store.commit(&ops);
        self.backlog_due = None;
        match &written {
            Ok(_) => self.commits += 1,
            Err(_) => {
                ops.iter().for_each(|op| self.backlog.keep(op.clone()));
                if !self.backlog.is_empty() {
                    self.backlog_due = Some(clock::later(clock::now(), RETRY));
                }
            }
        }
        self.note(written.as_ref().err());
        self.publish();
        let results: Vec<_> = match written {
            Ok(results) => results,
            Err(error) => ops.iter().map(|op| failed(op, &error)).collect(),
        };
        let done = ops.into_iter().zip(results).skip(old);
        self.report(done.filter_map(|(op, result)| match op {
            Op::Record(link, _) => Some((link, result)),
            Op::Forget(_) => None,
        }));
    }

    fn report(&self, done: impl IntoIterator<Item = Done>) {
        self.shared.done().extend(done);
        (self.wake)();
    }

    /// Tells once when writing fails, and once when it works again.
    fn note(&mut self, error: Option<&JournalError>) {
        match error {
            Some(error) if !self.failing => tracing::warn!(%error, "journal fails"),
            None if self.failing => tracing::info!("journal works again"),
            _ => {}
        }
        self.failing = error.is_some();
    }

    fn look_after(&mut self, most: u64) {
        self.tidy = true;
        let done = self.store.compact(most);
        if let Err(error) = done {
            self.note(Some(&error));
        }
        self.publish();
    }

    fn publish(&self) {
        let mut stats = self.shared.stats();
        if let Some((bytes, messages)) = self.store.kept() {
            (stats.bytes, stats.messages) = (bytes, messages);
        }
        stats.commits = self.commits;
        stats.file_bytes = self.store.meter().len();
        stats.last_sync = self.store.meter().last_sync();
        stats.longest_sync = self.store.meter().longest_sync();
    }
}

/// The result of an operation whose batch failed.
fn failed(op: &Op, error: &JournalError) -> Result<(), JournalError> {
    match op {
        // Still in the backlog.
        Op::Record(_, Record::Acked { .. }) | Op::Forget(_) => Ok(()),
        Op::Record(..) => Err(error.clone()),
    }
}

/// The largest batch but for one message, in bytes: a longer one would keep the first waiting.
const MAX_BATCH: u64 = 4 << 20;
/// How long acknowledgements wait for a batch that is written anyhow.
const BACKLOG: Duration = Duration::from_millis(500);
/// When a backlog that failed is tried again, unless a batch comes before.
const RETRY: Duration = Duration::from_secs(5);
/// How long nothing must have been written before the file is looked after.
const IDLE: Duration = Duration::from_secs(5);
/// How much a journal may hold to be compacted between two messages: some ten milliseconds' work.
const IDLE_COMPACTION: u64 = 1 << 20;
