//! A disk in memory that loses power, or fails for a while.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

/// A disk; clones are the same one.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Platter>>);

/// What goes wrong, and at which write, resizing or sync, counted from 0.
#[derive(Debug, Clone, Copy, Default)]
pub enum Plan {
    #[default]
    Nothing,
    /// Nothing works from there on.
    PowerCut { at: usize },
    /// So many fail in a row. Failing writes and syncs have their effect nevertheless, or not.
    Failure { at: usize, count: usize, took: bool },
}

#[derive(Default)]
struct Platter {
    /// What survives in any case.
    synced: Vec<u8>,
    /// What was written since.
    pending: Vec<Change>,
    /// What reads see.
    now: Vec<u8>,
    operations: usize,
    plan: Plan,
    random: Random,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Len(usize),
}

/// How much of what was not synced survives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Survives {
    Nothing,
    All,
    /// Some of it, in sectors.
    Some(u64),
}

/// xorshift64 (Marsaglia 2003): the same numbers each time.
pub struct Random(pub u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

impl Disk {
    /// A disk with this content.
    pub fn of(content: Vec<u8>) -> Self {
        let platter = Platter { synced: content.clone(), now: content, ..Platter::default() };
        Self(Arc::new(Mutex::new(platter)))
    }

    pub fn plan(self, plan: Plan) -> Self {
        self.lock().plan = plan;
        self
    }

    /// Writes, resizings and syncs so far.
    pub fn operations(&self) -> usize {
        self.lock().operations
    }

    /// What reads see.
    pub fn content(&self) -> Vec<u8> {
        self.lock().now.clone()
    }

    /// What is there after the power came back.
    pub fn after_cut(&self, survives: Survives) -> Vec<u8> {
        let platter = self.lock();
        survivors(&platter.synced, &platter.pending, survives)
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap()
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut platter = self.lock();
        let failed = platter.operation();
        if failed.is_ok() || platter.takes() {
            apply(&mut platter.now, &change);
            platter.pending.push(change);
        }
        failed
    }
}

impl Platter {
    fn operation(&mut self) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        let fails = match self.plan {
            Plan::Nothing => false,
            Plan::PowerCut { at } => number >= at,
            Plan::Failure { at, count, .. } => (at..at + count).contains(&number),
        };
        if fails { Err(io::Error::other("the disk failed, as planned")) } else { Ok(()) }
    }

    fn takes(&self) -> bool {
        matches!(self.plan, Plan::Failure { took: true, .. })
    }

    fn sync(&mut self) {
        self.synced.clone_from(&self.now);
        self.pending.clear();
    }

    /// Of a sync that failed, some may be on disk; the rest is gone, cache and all.
    fn lose(&mut self) {
        let seed = self.random.below(u64::MAX) | 1;
        self.now = survivors(&self.synced, &self.pending, Survives::Some(seed));
        self.sync();
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.lock();
        let offset = usize::try_from(offset).unwrap();
        let end = offset.checked_add(out.len()).unwrap();
        let from = platter.now.get(offset..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Len(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.lock();
        let failed = platter.operation();
        match platter.plan {
            Plan::PowerCut { .. } if failed.is_err() => {}
            Plan::Failure { took: false, .. } if failed.is_err() => platter.lose(),
            _ => platter.sync(),
        }
        failed
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

fn survivors(synced: &[u8], pending: &[Change], survives: Survives) -> Vec<u8> {
    let mut content = synced.to_vec();
    let mut random = Random(if let Survives::Some(seed) = survives { seed } else { 1 });
    for change in pending {
        match (survives, change) {
            (Survives::Nothing, _) => {}
            (Survives::Some(_), Change::Write(offset, data)) => {
                let kept = random.below(4);
                // Sectors of the disk, not of the write.
                let mut from = 0;
                while from < data.len() {
                    let end = data.len().min((offset + from) / SECTOR * SECTOR + SECTOR - offset);
                    if random.below(4) < kept {
                        let part = Change::Write(offset + from, data[from..end].to_vec());
                        apply(&mut content, &part);
                    }
                    from = end;
                }
            }
            // A file system changes a length wholly or not at all.
            (Survives::Some(_), change) if random.below(2) == 0 => apply(&mut content, change),
            (Survives::Some(_), _) => {}
            (Survives::All, change) => apply(&mut content, change),
        }
    }
    content
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Len(len) => content.resize(*len, 0),
        Change::Write(offset, data) => {
            let end = offset + data.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*offset..end].copy_from_slice(data);
        }
    }
}

const SECTOR: usize = 512;
