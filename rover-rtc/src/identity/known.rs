//! Which name belongs to which key.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::table::{self, Entry, Life, MAX_NAMES, Table, TableError};
use super::{Fingerprint, Origin, Trust, TrustError, valid_name};

/// Names bound to fingerprints: by a roster, or on first use; and the number of the last signal
/// message of each, so that none is taken twice.
///
/// It remembers at most 4096 names. Where one more comes, the one makes room that has not been seen
/// for longest, and before all those that were never seen again a day after they were bound:
/// whoever shows that name next has it, with any key. Names in use make no room, nor do those that
/// this peer has called itself, or a hub has given to who had its token: they are dropped for
/// nobody.
#[derive(Debug, Default)]
pub struct KnownPeers {
    roster: Option<Roster>,
    met: Table,
    file: Option<PathBuf>,
    /// Whether `met` holds what the file does not.
    unsaved: bool,
    /// The hour of now, since the Unix epoch; 0 if nobody has said.
    hour: u32,
}

/// On what terms a name is bound.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    /// Whether it is more than a stranger's name, which never has to make room.
    pub(crate) admitted: bool,
    /// Whose names are in use, and make no room now.
    pub(crate) in_use: &'a dyn Fn(&str) -> bool,
}

impl Terms<'_> {
    /// A stranger's; nobody's is in use.
    pub(crate) const STRANGER: Self = Self { admitted: false, in_use: &|_| false };
}

/// What came of binding a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) trust: Trust,
    /// The name that has made room, and belongs to nobody now.
    pub(crate) evicted: Option<String>,
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
    /// [`TrustError`], but neither `Full`, `Replayed` nor `Store`.
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
            None => Ok(Trust::FirstUse),
        }
    }

    /// Binds a name to a fingerprint if it may have it.
    ///
    /// # Errors
    ///
    /// [`TrustError`], but not `Replayed`.
    pub fn bind(&mut self, name: &str, fingerprint: Fingerprint) -> Result<Trust, TrustError> {
        self.bind_on(name, fingerprint, Terms::STRANGER)
    }

    /// As [`bind`](Self::bind), on these terms.
    pub(crate) fn bind_on(
        &mut self,
        name: &str,
        fingerprint: Fingerprint,
        terms: Terms<'_>,
    ) -> Result<Trust, TrustError> {
        let failed_before = std::mem::take(&mut self.unsaved);
        let bound = self.bind_unsaved(name, fingerprint, terms);
        let changed = self.unsaved;
        self.unsaved |= failed_before;
        let Bound { trust, .. } = bound?;
        if changed {
            self.save()?;
        }
        Ok(trust)
    }

    /// As [`bind_on`](Self::bind_on), without the disk: what is to be written is
    /// [taken](Self::take_unsaved).
    pub(crate) fn bind_unsaved(
        &mut self,
        name: &str,
        fingerprint: Fingerprint,
        terms: Terms<'_>,
    ) -> Result<Bound, TrustError> {
        let trust = self.check(name, fingerprint)?;
        let mut evicted = None;
        if trust == Trust::FirstUse {
            evicted = self.learn(name, fingerprint, 0, terms)?;
        } else {
            self.see(name, terms.admitted);
        }
        Ok(Bound { trust, evicted })
    }

    /// Says what time it is, which is noted of names, by the Unix clock.
    pub(crate) fn set_time(&mut self, unix: Duration) {
        let before = self.hour;
        self.hour = u32::try_from(unix.as_secs() / 3600).unwrap_or(u32::MAX);
        if before == 0 {
            // Of a file that did not say: they are not to go before what comes now.
            let unknown = self.met.values_mut().filter(|entry| entry.life.seen == 0);
            unknown.for_each(|entry| entry.life.seen = self.hour);
        }
    }

    /// A name is there; known to the day, so that not each time is written down.
    pub(crate) fn see(&mut self, name: &str, admitted: bool) {
        let Some(Entry { life, .. }) = self.met.get_mut(name) else { return };
        if self.hour >= life.seen.saturating_add(DAY) || admitted && !life.admitted {
            life.seen = life.seen.max(self.hour);
            life.admitted |= admitted;
            self.unsaved = true;
        }
    }

    /// Whether there is something to be [taken](Self::take_unsaved).
    pub(crate) fn is_unsaved(&self) -> bool {
        self.unsaved
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
        self.accept_on(name, fingerprint, number, Terms::STRANGER)
    }

    /// As [`accept`](Self::accept), on these terms.
    pub(crate) fn accept_on(
        &mut self,
        name: &str,
        fingerprint: Fingerprint,
        number: u64,
        terms: Terms<'_>,
    ) -> Result<Trust, TrustError> {
        let trust = self.check(name, fingerprint)?;
        let met = self.met.get(name).filter(|met| met.fingerprint == fingerprint);
        if met.is_some_and(|met| met.last >= number) {
            return Err(TrustError::Replayed { name: name.to_owned() });
        }
        // A roster may name more than there is room for beside those met before.
        let terms = Terms { admitted: terms.admitted || self.roster.is_some(), ..terms };
        self.learn(name, fingerprint, number, terms)?;
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

    /// Notes a name; returns the one that has made room for it.
    fn learn(
        &mut self,
        name: &str,
        fingerprint: Fingerprint,
        last: u64,
        terms: Terms<'_>,
    ) -> Result<Option<String>, TrustError> {
        let before = self.met.get(name).filter(|met| met.fingerprint == fingerprint);
        let fresh = Life { since: self.hour, seen: self.hour, admitted: false };
        let life = before.map_or(fresh, |met| met.life);
        let full = self.met.len() >= MAX_NAMES && !self.met.contains_key(name);
        let evicted = if full { Some(self.make_room(name, terms)?) } else { None };
        self.met.insert(name.to_owned(), Entry { fingerprint, last, life });
        self.unsaved = true;
        self.see(name, terms.admitted);
        Ok(evicted)
    }

    /// Drops the name that has not been seen for longest.
    fn make_room(&mut self, name: &str, terms: Terms<'_>) -> Result<String, TrustError> {
        let free = |(name, met): &(&String, &Entry)| !met.life.admitted && !(terms.in_use)(name);
        let candidates = self.met.iter().filter(free);
        // Those that came once and never again go first, whoever has many of them.
        let settled = |life: Life| life.seen.saturating_sub(life.since) >= DAY;
        let oldest =
            candidates.min_by_key(|(_, met)| (settled(met.life), met.life.seen, met.life.since));
        let oldest = oldest.map(|(name, _)| name.clone());
        let oldest = oldest.ok_or_else(|| TrustError::Full { name: name.to_owned() })?;
        self.met.remove(&oldest);
        Ok(oldest)
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

/// Hours of a day.
const DAY: u32 = 24;

/// In the state directory.
const FILE: &str = "known_peers";

#[cfg(test)]
mod tests;
