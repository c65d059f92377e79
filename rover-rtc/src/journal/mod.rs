//! The journal on disk behind durable channels: messages on their way, and what was received.
//!
//! A link [submits](Journal::submit) records and hears of each when it is on disk; after a restart
//! [`Journal::saved`] tells what is left. All links of a process share one journal, a file
//! `journal.redb` in the state directory (mode 0600; the directory 0700), and one thread that owns
//! it. The first record after a pause is written at once; what comes meanwhile is written together,
//! with one transaction for each group.
//!
//! # What holds
//!
//! - What was reported as kept is there after a crash at any point, also if the system lost or tore
//!   what was not synced: each transaction is committed in two phases, with a sync after each.
//! - What was reported as failed is not there later, even if the disk took it in spite of its
//!   error: the file is opened again for the next batch, and such messages are removed then. One
//!   window remains: if the process ends in between, a message that was reported as failed may
//!   still be sent by the next process.
//! - A failure heals without a restart: the next record after it tries the disk anew. Nothing is
//!   tried again in silence but acknowledgements and forgotten links, which cannot be reported.
//! - Damage is told, not delivered. The database checks the checksum of each page when the file is
//!   opened, and each row has another, which is checked whenever the row is read. One bit of the
//!   file is beyond both: the one that says which of the last two transactions is the newer. After
//!   a crash, before the next opening, its flip would undo the last transaction.
//!
//! # Layout, format 1
//!
//! A database of redb 4 with three tables from bytes to bytes; numbers are big-endian, so that keys
//! sort as their numbers do. Each value begins with a CRC-32 (IEEE 802.3, 4 bytes) over the key and
//! the rest of the value.
//!
//! | table | key | rest of the value |
//! |---|---|---|
//! | `meta` | `format` | u64: 1 |
//! | `meta` | `batch` | u64: the number of the last transaction |
//! | `channels` | u32 length of the link's name, name, label | u32 identifier, u8 flags (1: has outgoing, 2: has incoming), u64 own epoch, u64 last number acknowledged, u64 other side's epoch, u64 last number taken |
//! | `messages` | u32 identifier of the channel, u64 epoch, u64 number of the first piece | u8 (1: binary, 0: text), the message |
//!
//! A channel's messages are all of its own epoch. Identifiers are those of this file only.

mod batch;
mod error;
mod file;
mod load;
mod meter;
mod record;
mod row;
mod store;
mod tables;
mod writer;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use batch::Op;
use store::Store;
use writer::{Ask, Shared, Writer};

pub use error::JournalError;
pub use record::{Record, Saved, SavedOutgoing};

/// Settings of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalConfig {
    /// How much it keeps at most, in bytes of all messages with 33 for each message's row. Default
    /// 256 MiB. The file may be several times as large for a while.
    pub max_bytes: u64,
    /// The least time from the beginning of one transaction to that of the next. Default 5 ms: a
    /// message waits at most so long for its turn, and the disk has at most 200 turns a second.
    pub group: Duration,
    /// So many waiting bytes begin a transaction sooner. Default 64 KiB.
    pub group_bytes: usize,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { max_bytes: 256 << 20, group: Duration::from_millis(5), group_bytes: 64 << 10 }
    }
}

/// What a journal counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct JournalStats {
    /// Bytes kept, counted as for [`JournalConfig::max_bytes`].
    pub bytes: u64,
    /// Messages kept.
    pub messages: u64,
    /// The file's length in bytes.
    pub file_bytes: u64,
    /// Transactions that were committed.
    pub commits: u64,
    /// How long the last sync took; a commit has two or three.
    pub last_sync: Duration,
    /// How long the longest sync took.
    pub longest_sync: Duration,
}

/// An open journal.
///
/// Dropping it writes what was submitted and ends its thread; that waits for the disk, but at most
/// ten seconds.
pub struct Journal {
    /// Taken when it ends.
    asks: Option<Sender<Ask>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Disconnected when the thread has ended.
    ended: Mutex<Receiver<()>>,
    names: HashSet<Arc<str>>,
}

impl Journal {
    /// Opens the journal in a state directory, and makes both if they are not there. `wake` is
    /// called from the journal's thread when there is something for [`Journal::poll_done`]. Blocks:
    /// everything in the file is read and checked.
    ///
    /// # Errors
    ///
    /// [`JournalError`], but not `Full`.
    pub fn open(
        dir: &Path,
        config: JournalConfig,
        wake: Box<dyn Fn() + Send>,
    ) -> Result<Self, JournalError> {
        let of = dir.to_owned();
        Self::open_on(file::path(dir), move |again| file::open(&of, again), config, wake)
    }

    /// Opens a journal on any storage: for tests. `open` gets true if that is after a failure. The
    /// path is for errors.
    ///
    /// # Errors
    ///
    /// [`JournalError`], but not `Full`.
    #[doc(hidden)]
    pub fn open_on<B: redb::StorageBackend>(
        path: PathBuf,
        open: impl FnMut(bool) -> Result<B, JournalError> + Send + 'static,
        config: JournalConfig,
        wake: Box<dyn Fn() + Send>,
    ) -> Result<Self, JournalError> {
        let store = Store::open(path, open, config.max_bytes)?;
        let (asks, asked) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let shared = Arc::new(Shared::default());
        let writer = Writer::new(store, config, asked, Arc::clone(&shared), wake);
        let work = move || {
            writer.run();
            drop(end);
        };
        let thread = thread::Builder::new().name("rover-journal".to_owned()).spawn(work);
        let thread = Some(thread.map_err(|e| JournalError::from_io(&e))?);
        let ended = Mutex::new(ended);
        Ok(Self { asks: Some(asks), shared, thread, ended, names: HashSet::new() })
    }

    /// What is remembered of a link, named as the other peer is: each channel that had a record.
    /// Writes what was submitted before, and blocks on the disk: ask before the link runs.
    ///
    /// # Errors
    ///
    /// [`JournalError::Corrupt`] or [`JournalError::Storage`].
    pub fn saved(&self, link: &str) -> Result<Vec<Saved>, JournalError> {
        self.ask(|to| Ask::Saved(Arc::from(link), to))
    }

    /// Names of links with something remembered, in order. Blocks as [`Journal::saved`] does.
    ///
    /// # Errors
    ///
    /// [`JournalError::Corrupt`] or [`JournalError::Storage`].
    pub fn links(&self) -> Result<Vec<Arc<str>>, JournalError> {
        self.ask(Ask::Links)
    }

    /// Queues a record of a link. Never blocks on the disk. Records are written in the order in
    /// which they are submitted.
    pub fn submit(&mut self, link: &str, record: Record) {
        let link = self.name(link);
        if self.send(Ask::Write(Op::Record(Arc::clone(&link), record))).is_err() {
            self.shared.done().push_back((link, Err(ended())));
        }
    }

    /// The next result, with the link's name: one for each record, in the order of submission.
    /// `Ok` says that it is on disk; for [`Record::Acked`], that it will be within a second.
    ///
    /// The errors are [`JournalError::Full`], of one message alone, and
    /// [`JournalError::Storage`] or [`JournalError::Corrupt`], of all records written together.
    pub fn poll_done(&mut self) -> Option<(Arc<str>, Result<(), JournalError>)> {
        self.shared.done().pop_front()
    }

    /// Forgets a link with all it has, behind what was submitted before. There is no result.
    pub fn forget(&mut self, link: &str) {
        let link = self.name(link);
        self.names.remove(&link);
        // Without a thread nothing is written any more, which each record is told.
        let _ = self.send(Ask::Write(Op::Forget(link)));
    }

    /// What has been counted since it was opened.
    #[must_use]
    pub fn stats(&self) -> JournalStats {
        *self.shared.stats()
    }

    /// A link's name, shared by all of its records.
    fn name(&mut self, link: &str) -> Arc<str> {
        if let Some(name) = self.names.get(link) {
            return Arc::clone(name);
        }
        let name: Arc<str> = Arc::from(link);
        self.names.insert(Arc::clone(&name));
        name
    }

    fn ask<T>(
        &self,
        ask: impl FnOnce(Sender<Result<T, JournalError>>) -> Ask,
    ) -> Result<T, JournalError> {
        let (to, answer) = mpsc::channel();
        self.send(ask(to))?;
        answer.recv().unwrap_or_else(|_| Err(ended()))
    }

    fn send(&self, ask: Ask) -> Result<(), JournalError> {
        let asks = self.asks.as_ref().ok_or_else(ended)?;
        asks.send(ask).map_err(|_| ended())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.asks = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the journal's disk does not answer: its last records may be lost");
        } else if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// What is told if the thread is gone, which only a bug can cause.
fn ended() -> JournalError {
    JournalError::Storage("the journal has ended".to_owned())
}

/// How long the end may wait for the disk.
const PATIENCE: Duration = Duration::from_secs(10);
