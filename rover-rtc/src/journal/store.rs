//! The database: opened, written, and opened again after it failed.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;

use redb::{Builder, Database, DatabaseError, StorageBackend};

use super::batch::Op;
use super::meter::{Meter, Metered};
use super::tables::{Index, Tables, Undo};
use super::{JournalError, Saved, load};

/// The tables on their disk.
pub(super) struct Store {
    open: Open,
    max_bytes: u64,
    meter: Arc<Meter>,
    /// None after a failure: the database takes nothing more then, until it is opened again.
    state: Option<State>,
    /// Of the batch that failed, until it is known whether it is there.
    undo: Option<Undo>,
    /// The file's length after the last compaction: another one would gain nothing before it grew.
    compacted: u64,
}

/// Opens the database; the second time and later with true.
type Open = Box<dyn FnMut(bool) -> Result<Database, JournalError> + Send>;

struct State {
    db: Database,
    index: Index,
}

impl Store {
    /// Opens a database on storage that `open` opens; it gets true if that is after a failure. The
    /// path is for errors.
    pub(super) fn open<B: StorageBackend>(
        path: PathBuf,
        mut open: impl FnMut(bool) -> Result<B, JournalError> + Send + 'static,
        max_bytes: u64,
    ) -> Result<Self, JournalError> {
        let meter = Arc::new(Meter::default());
        let metered = Arc::clone(&meter);
        let open = move |again| {
            let backend = Metered::new(open(again)?, Arc::clone(&metered));
            let mut builder = Builder::new();
            // Finds what crashes and disks did to the file; see the module above. It makes saving
            // the allocator's state for a quick repair pointless.
            builder.set_check_integrity_on_open(true).set_cache_size(CACHE);
            builder.create_with_backend(backend).map_err(|e| match e {
                DatabaseError::DatabaseAlreadyOpen => JournalError::InUse(path.clone()),
                e => JournalError::from_redb(e),
            })
        };
        let (state, undo) = (None, None);
        let mut store = Self { open: Box::new(open), max_bytes, meter, state, undo, compacted: 0 };
        store.ready(false)?;
        Ok(store)
    }

    /// Makes an empty database on empty storage, and closes it.
    pub(super) fn create(backend: impl StorageBackend) -> Result<(), JournalError> {
        contained(|| {
            let db =
                Builder::new().create_with_backend(backend).map_err(JournalError::from_redb)?;
            load::index(&db)?;
            db.close().map_err(JournalError::from_redb)
        })
    }

    /// Writes operations in one transaction. Returns a result for each, or the error of all: then
    /// none of what fails with it will come back.
    pub(super) fn commit(
        &mut self,
        ops: &[Op],
    ) -> Result<Vec<Result<(), JournalError>>, JournalError> {
        let max_bytes = self.max_bytes;
        let state = self.ready(true)?;
        let mut undo = Undo::of(state.index.batch + 1);
        let done = contained(|| state.write(ops, max_bytes, &mut undo));
        if done.is_err() {
            self.undo = Some(undo);
            self.close();
        }
        done
    }

    /// What is remembered of a link.
    pub(super) fn saved(&mut self, link: &str) -> Result<Vec<Saved>, JournalError> {
        let state = self.ready(true)?;
        let saved = contained(|| load::saved(&state.db, &state.index, link));
        if saved.is_err() {
            self.close();
        }
        saved
    }

    /// Names of links with something remembered.
    pub(super) fn links(&mut self) -> Result<Vec<Arc<str>>, JournalError> {
        Ok(self.ready(true)?.index.links.keys().cloned().collect())
    }

    /// Bytes and messages kept, as far as is known.
    pub(super) fn kept(&self) -> Option<(u64, u64)> {
        self.state.as_ref().map(|state| (state.index.bytes, state.index.messages))
    }

    /// What was measured.
    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Makes the file smaller if it is much larger than what it holds, and that is at most so much:
    /// messages wait meanwhile.
    pub(super) fn compact(&mut self, most: u64) -> Result<(), JournalError> {
        let len = self.meter.len();
        let Some(state) = self.state.as_mut() else { return Ok(()) };
        let held = state.index.bytes;
        if len <= SMALL || len / SPARSE < held || held > most || len / 2 < self.compacted {
            return Ok(());
        }
        let done = contained(|| state.db.compact().map_err(JournalError::from_redb));
        self.compacted = self.meter.len();
        tracing::debug!(before = len, after = self.compacted, "journal compacted");
        if done.is_err() {
            self.close();
        }
        done.map(|_| ())
    }

    /// Opens the database if it is not.
    fn ready(&mut self, again: bool) -> Result<&mut State, JournalError> {
        if self.state.is_none() {
            let state = contained(|| {
                let db = (self.open)(again)?;
                let index = load::index(&db)?;
                let mut state = State { db, index };
                // A later batch would have another number, but there is none before this is done.
                if let Some(undo) = self.undo.as_ref().filter(|u| u.batch == state.index.batch) {
                    state.take_back(undo)?;
                }
                Ok(state)
            })?;
            self.undo = None;
            self.state = Some(state);
        }
        self.state.as_mut().ok_or_else(|| JournalError::Storage("it is closed".to_owned()))
    }

    fn close(&mut self) {
        let state = self.state.take();
        let _ = contained(|| {
            drop(state);
            Ok(())
        });
    }
}

impl State {
    fn write(
        &mut self,
        ops: &[Op],
        max_bytes: u64,
        undo: &mut Undo,
    ) -> Result<Vec<Result<(), JournalError>>, JournalError> {
        self.transaction(|tables| {
            tables.begin(undo.batch)?;
            ops.iter().map(|op| tables.apply(op, max_bytes, undo)).collect()
        })
    }

    fn take_back(&mut self, undo: &Undo) -> Result<(), JournalError> {
        self.transaction(|tables| tables.undo(undo))
    }

    fn transaction<T>(
        &mut self,
        act: impl FnOnce(&mut Tables<'_>) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let mut txn = self.db.begin_write().map_err(JournalError::from_redb)?;
        txn.set_two_phase_commit(true);
        let mut tables = Tables::open(&txn, &mut self.index)?;
        let done = act(&mut tables)?;
        drop(tables);
        txn.commit().map_err(JournalError::from_redb)?;
        Ok(done)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.state.as_ref().map(|state| &state.index);
        f.debug_struct("Store").field("index", &index).finish_non_exhaustive()
    }
}

/// Runs code of the database. It promises errors for files that are damaged when it checks one, but
/// not for what a disk changes later, where it may panic: that must end the file, not the process.
/// Whatever it leaves behind is closed and read anew.
fn contained<T>(act: impl FnOnce() -> Result<T, JournalError>) -> Result<T, JournalError> {
    panic::catch_unwind(AssertUnwindSafe(act))
        .unwrap_or_else(|_| Err(JournalError::Corrupt("the database gave up".to_owned())))
}

/// Memory for pages, in bytes. What is appended is read again only after a restart.
const CACHE: usize = 8 << 20;
/// Files up to here are never compacted, in bytes.
const SMALL: u64 = 16 << 20;
/// How many times larger than what it holds a file may be.
const SPARSE: u64 = 4;
