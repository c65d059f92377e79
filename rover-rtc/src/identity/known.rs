//! Which name belongs to which key.

use std::path::{Path, PathBuf};

use super::table::{self, Entry, MAX_NAMES, Table, TableError};
use super::{Fingerprint, Origin, Trust, TrustError, valid_name};

/// Names bound to fingerprints: by a roster, or on first use; and the number of the last signal
/// message of each, so that none is taken twice.
///
/// It remembers at most 4096 names, and takes no more then: dropping one would let anybody have
/// that name.
#[derive(Debug, Default)]
pub struct KnownPeers {
    roster: Option<Roster>,
    met: Table,
    file: Option<PathBuf>,
    /// Whether `met` holds what the file does not.
    unsaved: bool,
}

#[derive(Debug)]
struct Roster {
    path: PathBuf,
    peers: Table,
}

impl KnownPeers {
    /// Knows nobody, and remembers until it is dropped.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Knows whom the file `known_peers` in a state directory names, and writes there. One line for
    /// each peer: name, fingerprint, and the number of its last signal message (0 if left out); `#`
    /// begins a comment. The file is written whole, with mode 0600, when something is learned: stop
    /// the program before editing it, and open it only once at a time. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// [`TableError`], with the line's number if the file is garbled. No file is no error.
    pub fn load(dir: &Path) -> Result<Self, TableError> {
        let file = dir.join(FILE);
        let met = table::load(&file, true)?.unwrap_or_default();
        Ok(Self { met, file: Some(file), ..Self::default() })
    }

    /// Takes only the names of a roster from now on, with the fingerprints it gives: a text with a
    /// name and a fingerprint in each line, at most 4096; `#` begins a comment. Names met before
    /// are not consulted any more, but not forgotten. The file is read once.
    ///
    /// # Errors
    ///
    /// [`TableError`], with the line's number if a line is garbled or a name comes twice.
    pub fn with_roster(self, path: &Path) -> Result<Self, TableError> {
        let missing = || TableError::Io {
            path: path.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        let peers = table::load(path, false)?.ok_or_else(missing)?;
        Ok(Self { roster: Some(Roster { path: path.to_owned(), peers }), ..self })
    }

    /// The fingerprint that a name must show, if it has one.
    #[must_use]
    pub fn expected(&self, name: &str) -> Option<Fingerprint> {
        let table = self.roster.as_ref().map_or(&self.met, |roster| &roster.peers);
        table.get(name).map(|entry| entry.fingerprint)
    }

    /// Whether a name may show a fingerprint. Nothing is remembered.
    ///
    /// # Errors
    ///
    /// [`TrustError`], but neither `Replayed` nor `Store`.
    pub fn check(&self, name: &str, fingerprint: Fingerprint) -> Result<Trust, TrustError> {
        if !valid_name(name) {
            return Err(TrustError::Name);
        }
        match self.expected(name) {
            Some(expected) if expected == fingerprint => Ok(Trust::Known),
            Some(expected) => Err(TrustError::Changed {
                name: name.to_owned(),
                expected,
                found: fingerprint,
                origin: self.origin(),
            }),
            None if self.roster.is_some() => Err(TrustError::NotInRoster { name: name.to_owned() }),
            None if self.met.len() >= MAX_NAMES => Err(TrustError::Full { name: name.to_owned() }),
            None => Ok(Trust::FirstUse),
        }
    }

    /// Binds a name to a fingerprint if it may have it.
    ///
    /// # Errors
    ///
    /// [`TrustError`], but not `Replayed`.
    pub fn bind(&mut self, name: &str, fingerprint: Fingerprint) -> Result<Trust, TrustError> {
        let trust = self.bind_unsaved(name, fingerprint)?;
        if trust == Trust::FirstUse {
            self.save()?;
        }
        Ok(trust)
    }

    /// As [`bind`](Self::bind), without the disk.
    pub(crate) fn bind_unsaved(
        &mut self,
        name: &str,
        fingerprint: Fingerprint,
    ) -> Result<Trust, TrustError> {
        let trust = self.check(name, fingerprint)?;
        if trust == Trust::FirstUse {
            self.learn(name, Entry { fingerprint, last: 0 });
        }
        Ok(trust)
    }

    /// What the file does not hold, to be written by the caller.
    pub(crate) fn take_unsaved(&mut self) -> Option<Unsaved> {
        let unsaved = std::mem::take(&mut self.unsaved);
        let path = self.file.as_ref().filter(|_| unsaved)?;
        Some(Unsaved { path: path.clone(), met: self.met.clone() })
    }

    /// That could not be written.
    pub(crate) fn note_unsaved(&mut self) {
        self.unsaved = true;
    }

    /// Accepts a signal message: [`bind`](Self::bind), and its number must be larger than that of
    /// the last one of this name and key (see
    /// [`Identity::next_number`](super::Identity::next_number)). The signal message's signature
    /// must have been checked before.
    ///
    /// # Errors
    ///
    /// [`TrustError`]. After `Store`, the number counts as seen.
    pub fn accept(
        &mut self,
        name: &str,
        fingerprint: Fingerprint,
        number: u64,
    ) -> Result<Trust, TrustError> {
        let trust = self.check(name, fingerprint)?;
        match self.met.get(name) {
            Some(met) if met.fingerprint == fingerprint && met.last >= number => {
                return Err(TrustError::Replayed { name: name.to_owned() });
            }
            // A roster may name more than there is room for beside those met before.
            None if self.met.len() >= MAX_NAMES => {
                return Err(TrustError::Full { name: name.to_owned() });
            }
            _ => {}
        }
        self.learn(name, Entry { fingerprint, last: number });
        self.save()?;
        Ok(trust)
    }

    /// Forgets a name that was met: whoever comes next may have it, with any key. Returns whether
    /// there was one. A roster stays as it is.
    ///
    /// # Errors
    ///
    /// [`TrustError::Store`]: it is forgotten until the process ends.
    pub fn forget(&mut self, name: &str) -> Result<bool, TrustError> {
        let was = self.met.remove(name).is_some();
        self.unsaved |= was;
        self.save()?;
        Ok(was)
    }

    fn learn(&mut self, name: &str, entry: Entry) {
        self.met.insert(name.to_owned(), entry);
        self.unsaved = true;
    }

    fn save(&mut self) -> Result<(), TrustError> {
        if let Some(path) = self.file.as_ref().filter(|_| self.unsaved) {
            save(path, &self.met)?;
        }
        self.unsaved = false;
        Ok(())
    }

    fn origin(&self) -> Origin {
        match (&self.roster, &self.file) {
            (Some(roster), _) => Origin::Roster(roster.path.clone()),
            (None, Some(file)) => Origin::File(file.clone()),
            (None, None) => Origin::Memory,
        }
    }
}

/// A copy of names and the file where they belong.
#[derive(Debug)]
pub(crate) struct Unsaved {
    path: PathBuf,
    met: Table,
}

impl Unsaved {
    /// Writes the file. Blocks on the disk.
    pub(crate) fn save(&self) -> Result<(), TrustError> {
        save(&self.path, &self.met)
    }
}

fn save(path: &Path, met: &Table) -> Result<(), TrustError> {
    table::save(path, met).map_err(|source| TrustError::Store { path: path.to_owned(), source })
}

/// In the state directory.
const FILE: &str = "known_peers";

#[cfg(test)]
mod tests;
