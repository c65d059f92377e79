//! The files by which two drivers and the lab talk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rover_rtc::util::clock;

/// Writes a file under a temporary name, then renames it: nobody reads half of it.
pub(super) fn write_atomic(path: &Path, content: &str) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, content)?;
    fs::rename(temporary, path)
}

/// Waits for a file of the other side.
pub(super) async fn wait_for(path: &Path) -> io::Result<String> {
    let mut interval = tokio::time::interval(POLL_INTERVAL);
    loop {
        match fs::read_to_string(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            read => return read,
        }
        interval.tick().await;
    }
}

/// A log of lines `<unix ns> <text>`, each written by one system call.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
}

impl Log {
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file })
    }

    pub(super) fn line(&mut self, text: impl std::fmt::Display) -> io::Result<()> {
        let line = format!("{} {text}\n", clock::unix_nanos());
        self.file.write_all(line.as_bytes())
    }
}

/// As often as the other drivers look.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
