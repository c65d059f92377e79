//! The names that keys have for good, for all shards of a hub. A thread writes them down: no shard
//! waits for the disk, nor for another one that does.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::identity::{Fingerprint, KnownPeers, Trust, TrustError};

/// Registry bound to keys, of all shards together. Dropping one waits for the disk.
#[derive(Debug, Clone)]
pub(in crate::server) struct KnownNames {
    book: Arc<NameBook>,
}

#[derive(Debug)]
struct NameBook {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug)]
struct State {
    peers: KnownPeers,
    /// A thread is at it, and ends when there is no more.
    writing: bool,
}

impl KnownNames {
    pub(in crate::server) fn new(peers: KnownPeers) -> Self {
        let state = Mutex::new(State { peers, writing: false });
        Self { book: Arc::new(NameBook { state, done: Condvar::new() }) }
    }

    /// As [`KnownPeers::check`].
    pub(in crate::server) fn check(
        &self,
        name: &str,
        key: Fingerprint,
    ) -> Result<Trust, TrustError> {
        self.book.lock().peers.check(name, key)
    }

    /// As [`KnownPeers::bind`], but at once, and never `Store`: a name that cannot be written down
    /// holds until the hub ends, which is no reason to refuse the peer. Only a crash before it is
    /// on disk forgets it.
    pub(in crate::server) fn bind(&self, name: &str, key: Fingerprint) -> Result<(), TrustError> {
        let mut state = self.book.lock();
        if state.peers.bind_unsaved(name, key)? == Trust::FirstUse && !state.writing {
            let book = self.book.clone();
            let thread = std::thread::Builder::new().name("rover-hub-names".to_owned());
            match thread.spawn(move || book.write()) {
                Ok(_) => state.writing = true,
                Err(error) => tracing::error!(%error, "name not kept"),
            }
        }
        Ok(())
    }
}

impl Drop for KnownNames {
    fn drop(&mut self) {
        drop(self.book.done.wait_while(self.book.lock(), |state| state.writing));
    }
}

impl NameBook {
    /// Writes all that has come, and what comes meanwhile. After an error the next name is written
    /// with those that were not.
    fn write(&self) {
        let _end = End(self);
        let mut written = Ok(());
        loop {
            let mut state = self.lock();
            let unsaved = match &written {
                Ok(()) => state.peers.take_unsaved(),
                Err(error) => {
                    tracing::error!(%error, "name not kept");
                    state.peers.note_unsaved();
                    None
                }
            };
            let Some(unsaved) = unsaved else {
                // Under the same lock, or a name that comes now would wait for the next one.
                state.writing = false;
                return;
            };
            drop(state);
            written = unsaved.save();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What a panic may have left undone is a file that is written with the next name.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody waits for a thread that is gone, whatever ended it.
struct End<'a>(&'a NameBook);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().writing = false;
        }
        self.0.done.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::file::{Scratch, create_dir};

    fn key(of: &str) -> Fingerprint {
        Fingerprint::of(of.as_bytes())
    }

    fn load(dir: &Scratch) -> KnownPeers {
        KnownPeers::load(&dir.0).unwrap()
    }

    #[test]
    fn nobody_waits_for_the_disk_but_who_ends() {
        let dir = Scratch::created();
        let known = KnownNames::new(load(&dir));
        // The thread is at it, and the disk slow.
        known.book.lock().writing = true;
        known.bind("a", key("a")).unwrap();
        assert_eq!(known.check("a", key("a")).unwrap(), Trust::Known);
        known.bind("b", key("b")).unwrap();
        assert_eq!(load(&dir).expected("a"), None);
        let book = known.book.clone();
        let thread = std::thread::spawn(move || book.write());
        drop(known);
        let written = load(&dir);
        assert_eq!(["a", "b"].map(|n| written.expected(n)), ["a", "b"].map(|n| Some(key(n))));
        thread.join().unwrap();
    }

    #[test]
    fn all_that_drivers_bind_is_written() {
        let dir = Scratch::created();
        let known = KnownNames::new(load(&dir));
        let name = |shard: usize, n: usize| format!("rover-{shard}-{n}");
        std::thread::scope(|scope| {
            for shard in 0..4 {
                let known = known.clone();
                let bind = move |n| known.bind(&name(shard, n), key("a")).unwrap();
                scope.spawn(move || (0..50).for_each(bind));
            }
        });
        assert!(matches!(known.bind("rover-0-0", key("b")), Err(TrustError::Changed { .. })));
        drop(known);
        let written = load(&dir);
        for (shard, n) in (0..4).flat_map(|shard| (0..50).map(move |n| (shard, n))) {
            assert_eq!(written.expected(&name(shard, n)), Some(key("a")));
        }
    }

    #[test]
    fn a_disk_that_fails_refuses_nobody_and_is_tried_again() {
        let dir = Scratch::new();
        let known = KnownNames::new(load(&dir));
        known.bind("a", key("a")).unwrap();
        drop(known.clone());
        assert_eq!(known.check("a", key("a")).unwrap(), Trust::Known);
        create_dir(&dir.0).unwrap();
        known.bind("b", key("b")).unwrap();
        drop(known);
        let written = load(&dir);
        assert_eq!(["a", "b"].map(|n| written.expected(n)), ["a", "b"].map(|n| Some(key(n))));
    }
}
