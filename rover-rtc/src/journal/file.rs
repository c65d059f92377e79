//! The journal's file.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;

use super::JournalError;
use crate::identity::create_dir;

/// Opens the journal of a directory, and makes both if they are not there. After a failure (`again`)
/// nothing is made: a file that has vanished took messages along.
pub(super) fn open(dir: &Path, again: bool) -> Result<FileBackend, JournalError> {
    let path = path(dir);
    let told = |e: io::Error| {
        let text = format!("{}: {e}", path.display());
        JournalError::from_io(&io::Error::new(e.kind(), text))
    };
    let file = if again { reopen(&path) } else { create(dir, &path) };
    let backend = FileBackend::new(file.map_err(told)?);
    backend.map_err(JournalError::from_redb)
}

/// Where the journal of a directory is.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

fn create(dir: &Path, path: &Path) -> io::Result<File> {
    create_dir(dir)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    sync_dir(dir)?;
    Ok(file)
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

/// Puts the file's name on disk, where the system can do that.
#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    match File::open(dir).and_then(|dir| dir.sync_all()) {
        // What network and FUSE file systems say that have no such call.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(()),
        done => done,
    }
}

#[cfg(not(unix))]
fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

/// In the state directory.
const FILE: &str = "journal.redb";
