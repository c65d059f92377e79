//! Files that are coming in, in the directory where they are to be.
//!
//! A file `a.txt` grows as `a.txt.part`, with a file `a.txt.part.json` beside it that says whose it
//! is. What is in it is known by its length; the sender compares the hash of that, so that nothing
//! has to be believed after a crash. In the end it gets its name, or `a (2).txt` if that is taken.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::hash::Hash;

/// Who sends what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// Name of the rover.
    pub(super) from: String,
    /// Of the file, in bytes.
    pub(super) size: u64,
    /// When it was changed last, in nanoseconds since 1970.
    pub(super) modified: i64,
}

/// A file that is coming in.
pub(super) struct Incoming {
    dir: PathBuf,
    /// The name that it is to have.
    pub(super) name: String,
    pub(super) origin: Origin,
    /// Where it grows; closed to others.
    part: Option<(File, PathBuf)>,
    /// What may be the file already, under its own name.
    whole: Option<PathBuf>,
    pub(super) bytes: u64,
    hash: Hash,
}

/// Why a file cannot come in.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// The name would lead elsewhere, or cannot be one.
    #[error("{0:?} cannot be the name of a file here")]
    BadName(String),
    /// The disk is full, or worse.
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    /// Another link brings the same file, or one that is about to end does.
    #[error("{0:?} is coming in already")]
    Busy(String),
    /// Too many files of this name.
    #[error("there are too many files called {0:?}")]
    TooMany(String),
}

impl Incoming {
    /// Finds what is there of a file; what the other side calls it may hold anything.
    pub(super) fn open(dir: &Path, name: &str, origin: Origin) -> Result<Self, StoreError> {
        let name = safe_name(name)?;
        let mut incoming = Self {
            dir: dir.to_owned(),
            name,
            origin,
            part: None,
            whole: None,
            bytes: 0,
            hash: Hash::new(),
        };
        // What has begun goes before what looks alike.
        if !incoming.has_begun() && incoming.find_whole()? {
            return Ok(incoming);
        }
        incoming.open_part()?;
        Ok(incoming)
    }

    /// The hash of what is here.
    pub(super) fn sha256(&self) -> String {
        self.hash.hex()
    }

    /// Whether it was here under its own name, so that nothing has to be written.
    pub(super) fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// Goes on behind what is here, or from the beginning. False if it cannot go on there.
    pub(super) fn start(&mut self, offset: u64) -> Result<bool, StoreError> {
        if offset == self.bytes {
            return Ok(true);
        }
        if offset > 0 {
            return Ok(false);
        }
        if self.whole.take().is_some() {
            self.open_part()?;
        }
        self.reset()?;
        Ok(true)
    }

    /// Appends a part.
    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), StoreError> {
        if let Some((file, path)) = &mut self.part {
            file.write_all(data).map_err(|error| at(path, error))?;
        }
        self.hash.add(data);
        self.bytes += data.len() as u64;
        Ok(())
    }

    /// Sees to it that what was written outlives a power failure.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        match &self.part {
            Some((file, path)) => file.sync_data().map_err(|error| at(path, error)),
            None => Ok(()),
        }
    }

    /// Begins again with nothing.
    pub(super) fn reset(&mut self) -> Result<(), StoreError> {
        if let Some((file, path)) = &mut self.part {
            let emptied = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
            emptied.map_err(|error| at(path, error))?;
        }
        (self.bytes, self.hash) = (0, Hash::new());
        Ok(())
    }

    /// Gives it a name that no other file has; returns that.
    pub(super) fn finish(&mut self) -> Result<String, StoreError> {
        if let Some(whole) = &self.whole {
            return Ok(last(whole));
        }
        let Some((file, part)) = self.part.take() else { return Ok(self.name.clone()) };
        file.sync_all().map_err(|error| at(&part, error))?;
        for number in 1..=MOST {
            let path = self.dir.join(numbered(&self.name, number));
            match rename_new(&part, &path) {
                Ok(()) => {
                    let _ = fs::remove_file(note_of(&part));
                    let dir = File::open(&self.dir).and_then(|dir| dir.sync_all());
                    dir.map_err(|error| at(&self.dir, error))?;
                    return Ok(last(&path));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(at(&path, error)),
            }
        }
        Err(StoreError::TooMany(self.name.clone()))
    }

    /// Whether a part of this very file is here.
    fn has_begun(&self) -> bool {
        (1..=MOST)
            .map(|number| self.part_path(number))
            .take_while(|part| part.exists())
            .any(|part| read_note(&part).is_some_and(|origin| origin == self.origin))
    }

    /// Looks for a file of this name and size.
    fn find_whole(&mut self) -> Result<bool, StoreError> {
        for number in 1..=MOST {
            let path = self.dir.join(numbered(&self.name, number));
            let Ok(metadata) = fs::symlink_metadata(&path) else { return Ok(false) };
            if !metadata.is_file() || metadata.len() != self.origin.size {
                continue;
            }
            let file = File::open(&path).map_err(|error| at(&path, error))?;
            let hashed = Hash::of(file, u64::MAX).map_err(|error| at(&path, error))?;
            (self.hash, self.bytes) = hashed;
            self.whole = Some(path);
            return Ok(true);
        }
        Ok(false)
    }

    /// Opens the part, where there is one of this sender, or a new one.
    fn open_part(&mut self) -> Result<(), StoreError> {
        for number in 1..=MOST {
            let path = self.part_path(number);
            let note = read_note(&path);
            let mut open = OpenOptions::new();
            let file = open.read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = file.map_err(|error| at(&path, error))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if note.as_ref() == Some(&self.origin) => {
                    return Err(StoreError::Busy(self.name.clone()));
                }
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(at(&path, error)),
            }
            let length = file.metadata().map_err(|error| at(&path, error))?.len();
            let theirs = note.as_ref().map_or(length > 0, |note| note.from != self.origin.from);
            if theirs {
                continue;
            }
            if note.as_ref() == Some(&self.origin) && length <= self.origin.size {
                let hashed = Hash::of(&mut file, u64::MAX).map_err(|error| at(&path, error))?;
                (self.hash, self.bytes) = hashed;
                self.part = Some((file, path));
                return Ok(());
            }
            // Empty before it is said to be of another file.
            self.part = Some((file, path.clone()));
            self.reset()?;
            self.sync()?;
            return self.write_note(&path).map_err(|error| at(&path, error));
        }
        Err(StoreError::TooMany(self.name.clone()))
    }

    fn write_note(&self, part: &Path) -> io::Result<()> {
        let (note, new) = (note_of(part), note_of(part).with_extension("tmp"));
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(&self.origin)?)?;
        file.sync_all()?;
        fs::rename(new, note)
    }

    fn part_path(&self, number: u32) -> PathBuf {
        self.dir.join(numbered(&self.name, number) + ".part")
    }
}

/// The last component of a name of the other side, if it can be one here.
fn safe_name(name: &str) -> Result<String, StoreError> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let bad = matches!(last, "" | "." | "..");
    if bad || last.len() > LONGEST || last.contains(char::is_control) {
        return Err(StoreError::BadName(name.chars().take(LONGEST).collect()));
    }
    Ok(last.to_owned())
}

/// `a.txt`, `a (2).txt`, `a (3).txt`.
fn numbered(name: &str, number: u32) -> String {
    if number < 2 {
        return name.to_owned();
    }
    match name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) {
        Some((stem, extension)) => format!("{stem} ({number}).{extension}"),
        None => format!("{name} ({number})"),
    }
}

fn note_of(part: &Path) -> PathBuf {
    part.with_extension("part.json")
}

fn read_note(part: &Path) -> Option<Origin> {
    serde_json::from_slice(&fs::read(note_of(part)).ok()?).ok()
}

fn last(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn at(path: &Path, error: io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), error }
}

/// Renames a file, unless there is one of the new name.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Not every file system can do it in one step.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            done => return Ok(done?),
        }
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

/// Files of one name at most.
const MOST: u32 = 1000;

/// Bytes of a name: file systems have 255, and a number and an extension are to fit.
const LONGEST: usize = 230;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_directory() {
        for (name, safe) in [
            ("a.txt", "a.txt"),
            ("/etc/passwd", "passwd"),
            ("../../a", "a"),
            ("C:\\a\\b c", "b c"),
            (".hidden", ".hidden"),
        ] {
            assert_eq!(safe_name(name).unwrap(), safe);
        }
        for name in ["", ".", "..", "a/..", "a/", "a\\", "a\nb", "a\0", &"a".repeat(231)] {
            assert!(safe_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn taken_names_get_a_number() {
        assert_eq!(numbered("a.txt", 1), "a.txt");
        assert_eq!(numbered("a.txt", 2), "a (2).txt");
        assert_eq!(numbered("log", 3), "log (3)");
        assert_eq!(numbered(".hidden", 2), ".hidden (2)");
        assert_eq!(note_of(Path::new("a (2).txt.part")), Path::new("a (2).txt.part.json"));
    }
}
