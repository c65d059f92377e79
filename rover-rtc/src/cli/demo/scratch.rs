//! A directory for journals, removed at the end.

use std::io;
use std::path::PathBuf;

use rover_rtc::NetworkError;
use rover_rtc::util::random;

/// Removed when dropped.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A new, empty one.
    pub(super) fn new() -> Result<Self, NetworkError> {
        let path = std::env::temp_dir().join(format!("rover-rtc-demo-{}", random::id()));
        std::fs::create_dir(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        Ok(Self(path))
    }

    /// A path in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
