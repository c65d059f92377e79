//! The journal's file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;

use super::JournalError;
use super::store::Store;
use crate::util::file::{create_dir, sync_dir};

/// Opens the journal of a directory, and makes both if they are not there. After a failure
/// (`again`) nothing is made: a file that has vanished took messages along.
pub(super) fn open(dir: &Path, again: bool) -> Result<FileBackend, JournalError> {
    let path = path(dir);
    let told = |e: io::Error| {
        let text = format!("{}: {e}", path.display());
        JournalError::from_io(&io::Error::new(e.kind(), text))
    };
    if !again && is_missing(&path).map_err(told)? {
        let new = dir.join(NEW);
        let file = make(dir, &new).map_err(told)?;
        Store::create(backend(file)?)?;
        put(&new, &path).and_then(|()| sync_dir(dir)).map_err(told)?;
    }
    backend(reopen(&path).map_err(told)?)
}

fn backend(file: File) -> Result<FileBackend, JournalError> {
    FileBackend::new(file).map_err(JournalError::from_redb)
}

/// Where the journal of a directory is.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

fn is_missing(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        // Nothing was ever in it: what is written here appears whole.
        Ok(found) if found.len() == 0 => fs::remove_file(path).map(|()| true),
        Ok(_) => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(e),
    }
}

/// An empty file under a name of its own: a database that a crash left half made cannot be told
/// from one that is damaged.
fn make(dir: &Path, new: &Path) -> io::Result<File> {
    create_dir(dir)?;
    match fs::remove_file(new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(new)
}

/// Puts the new file in its place, unless another process was faster.
fn put(new: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(new, path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => fs::rename(new, path),
        _ => fs::remove_file(new),
    }
}

fn reopen(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.metadata()?.len() == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file has been emptied"));
    }
    // After a failed sync, Linux takes pages for clean that never reached the disk. Dropped here,
    // they are read as they are on disk.
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    Ok(file)
}

/// In the state directory.
const FILE: &str = "journal.redb";
/// Until it is complete.
const NEW: &str = "journal.redb.new";
