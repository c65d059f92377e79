//! Files of the state directory: written whole or not at all, for their owner only.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Creates a directory, and those above it, with mode 0700. One that exists is left as it is.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Opens a file, or `None` if there is none.
pub(crate) fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Reads a text of at most `max` bytes: a wrong path must not fill the memory.
pub(crate) fn read(file: &mut File, max: u64) -> io::Result<String> {
    let mut text = String::new();
    file.take(max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("over {max} bytes")));
    }
    Ok(text)
}

/// Writes a file with mode 0600 beside the old one, and puts it in its place once it is on disk:
/// after a crash at any point one of the two is there, complete.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // Left by a crash. It is not reused: its mode, or who holds it open, is not known.
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let written = write(&new, text).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
        return written;
    }
    sync_dir(path.parent().unwrap_or(Path::new("")))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Puts the names in a directory on disk, where the system can do that.
#[cfg(unix)]
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    match File::open(dir).and_then(|dir| dir.sync_all()) {
        // What network and FUSE file systems say that have no such call.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(()),
        done => done,
    }
}

#[cfg(not(unix))]
pub(crate) fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A directory of a test, removed at its end.
#[cfg(test)]
pub(crate) struct Scratch(pub(crate) PathBuf);

#[cfg(test)]
impl Scratch {
    /// Names a directory that is not there yet.
    pub(crate) fn new() -> Self {
        Self(std::env::temp_dir().join(format!("rover-rtc-{}", crate::util::random::id())))
    }

    /// Creates it, too.
    pub(crate) fn created() -> Self {
        let new = Self::new();
        create_dir(&new.0).unwrap();
        new
    }
}

#[cfg(test)]
impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_files() {
        let dir = Scratch::created();
        let path = dir.0.join("file");
        assert!(open(&path).unwrap().is_none());
        fs::write(dir.0.join("file.new"), "left by a crash").unwrap();
        for text in ["a long first text", "short"] {
            replace(&path, text).unwrap();
            let mut file = open(&path).unwrap().unwrap();
            assert_eq!(read(&mut file, 100).unwrap(), text);
        }
        assert!(read(&mut open(&path).unwrap().unwrap(), 4).is_err());
        assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 1);
        assert!(replace(&dir.0.join("none/file"), "").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn is_for_the_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = Scratch::new();
        create_dir(&dir.0.join("a/b")).unwrap();
        replace(&dir.0.join("file"), "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir.0), 0o700);
        assert_eq!(mode(&dir.0.join("file")), 0o600);
    }
}
