//! The names that keys have for good, for all shards of a hub. A thread writes them down: no shard
//! waits for the disk, nor for another one that does.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::identity::{Bound, Fingerprint, KnownPeers, Terms, Trust, TrustError};
use crate::net::Prefix;
use crate::util::clock;
use crate::util::limiter::Limiter;
use crate::util::token_bucket::{TokenBucket, TokenBuckets};

/// Names bound to keys, of all shards together. Dropping one waits for the disk.
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
    /// Names of peers that are here, which make no room for others.
    used: HashSet<String>,
    /// How many new names may come from where.
    new: TokenBuckets<Prefix>,
    /// The two clocks, at the same moment.
    clocks: (Instant, Duration),
    /// How often the log is told that names are not bound, and that others made room.
    warnings: Limiter,
    /// A thread is at it, and ends when there is no more.
    writing: bool,
}

impl KnownNames {
    pub(in crate::server) fn new(peers: KnownPeers) -> Self {
        let unix = Duration::from_nanos(u64::try_from(clock::unix_nanos()).unwrap_or_default());
        let state = Mutex::new(State {
            peers,
            used: HashSet::new(),
            new: TokenBuckets::default(),
            clocks: (clock::now(), unix),
            warnings: Limiter::default(),
            writing: false,
        });
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

    /// Binds a name to a key, for one that is there, until it is [released](Self::release), and as
    /// long after as there is room. At once, and never `Store`: a name that cannot be written down
    /// holds until the hub ends, which is no reason to refuse the peer. Only a crash before it is
    /// on disk forgets it. Nor `Full`: what finds no room, or comes from where too many new names
    /// have come from, is not bound; it belongs to its key as those do that are not kept.
    /// `stranger` says where one comes from that has shown no token.
    pub(in crate::server) fn bind(
        &self,
        now: Instant,
        name: &str,
        key: Fingerprint,
        stranger: Option<Prefix>,
    ) -> Result<(), TrustError> {
        let mut state = self.book.lock();
        let State { peers, used, new, clocks, warnings, writing } = &mut *state;
        peers.set_time(clocks.1 + now.saturating_duration_since(clocks.0));
        let fresh = peers.check(name, key)? == Trust::FirstUse;
        let limited = stranger.filter(|prefix| fresh && !prefix.is_loopback());
        let bucket = || TokenBucket::new(now, NEW_NAMES, NEW_NAMES / 3600.0);
        if let Some(prefix) = limited
            && new.take(now, prefix, bucket).is_err()
        {
            if let Some(withheld) = warnings.admit(now) {
                tracing::warn!(name, %prefix, withheld, "name not bound: too many new ones");
            }
            return Ok(());
        }
        let terms = Terms { admitted: stranger.is_none(), in_use: &|name| used.contains(name) };
        match peers.bind_unsaved(name, key, terms) {
            Ok(Bound { evicted, .. }) => {
                if let Some(evicted) = evicted
                    && let Some(withheld) = warnings.admit(now)
                {
                    tracing::warn!(name, evicted, withheld, "a name made room for a new one");
                }
            }
            Err(error @ TrustError::Full { .. }) => {
                if let Some(withheld) = warnings.admit(now) {
                    tracing::warn!(%error, withheld, "name not bound");
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        used.insert(name.to_owned());
        if peers.is_unsaved() && !*writing {
            let book = self.book.clone();
            let thread = std::thread::Builder::new().name("rover-hub-names".to_owned());
            match thread.spawn(move || book.write()) {
                Ok(_) => *writing = true,
                Err(error) => tracing::error!(%error, "name not kept"),
            }
        }
        Ok(())
    }
}

impl KnownNames {
    /// A peer is gone: from now on its name may make room for others.
    pub(in crate::server) fn release(&self, name: &str) {
        let mut state = self.book.lock();
        if state.used.remove(name) {
            state.peers.see(name, false);
        }
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

/// New names of strangers from one address, at once and in an hour: a fleet behind one NAT.
/// To fill the table takes three days.
const NEW_NAMES: f64 = 64.0;

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

    fn bind(known: &KnownNames, name: &str, of: &str) -> Result<(), TrustError> {
        known.bind(clock::now(), name, key(of), None)
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
        bind(&known, "a", "a").unwrap();
        assert_eq!(known.check("a", key("a")).unwrap(), Trust::Known);
        bind(&known, "b", "b").unwrap();
        assert_eq!(load(&dir).expected("a"), None);
        let book = known.book.clone();
        let thread = std::thread::spawn(move || book.write());
        drop(known);
        let written = load(&dir);
        assert_eq!(["a", "b"].map(|n| written.expected(n)), ["a", "b"].map(|n| Some(key(n))));
        thread.join().unwrap();
    }

    #[test]
    fn all_that_shards_bind_is_written() {
        let dir = Scratch::created();
        let known = KnownNames::new(load(&dir));
        let name = |shard: usize, n: usize| format!("rover-{shard}-{n}");
        std::thread::scope(|scope| {
            for shard in 0..4 {
                let known = known.clone();
                let bind = move |n| bind(&known, &name(shard, n), "a").unwrap();
                scope.spawn(move || (0..50).for_each(bind));
            }
        });
        assert!(matches!(bind(&known, "rover-0-0", "b"), Err(TrustError::Changed { .. })));
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
        bind(&known, "a", "a").unwrap();
        drop(known.clone());
        assert_eq!(known.check("a", key("a")).unwrap(), Trust::Known);
        create_dir(&dir.0).unwrap();
        bind(&known, "b", "b").unwrap();
        drop(known);
        let written = load(&dir);
        assert_eq!(["a", "b"].map(|n| written.expected(n)), ["a", "b"].map(|n| Some(key(n))));
    }

    fn from(last: u8) -> Option<Prefix> {
        Some(Prefix::of([192, 0, 2, last].into()))
    }

    /// What comes from one address does not fill the table, nor is it refused.
    #[test]
    fn strangers_bind_so_many_new_names_in_an_hour() {
        let (known, now) = (KnownNames::new(KnownPeers::in_memory()), clock::now());
        let bind = |n: u32, at, prefix| {
            let name = format!("n{n}");
            known.bind(at, &name, key("s"), prefix).unwrap();
            known.release(&name);
            known.check(&name, key("s")).unwrap() == Trust::Known
        };
        let bound = (0..1000).filter(|n| bind(*n, now, from(1))).count();
        assert_eq!(bound as f64, NEW_NAMES);
        // What is bound already is not new.
        assert!(bind(7, now, from(1)) && bind(2000, now, from(2)));
        let hour = Duration::from_secs(3600);
        let bound = (0..1000).filter(|n| bind(3000 + *n, now + hour, from(1))).count();
        assert_eq!(bound as f64, NEW_NAMES);
        // Whoever has shown a token may, and this machine, which may be a proxy.
        let proxy = Some(Prefix::of([127, 0, 0, 1].into()));
        assert!((0..200).all(|n| bind(5000 + n, now, None) && bind(6000 + n, now, proxy)));
    }

    /// An open hub: strangers bind what they like, and no other one loses its name.
    #[test]
    fn a_full_table_is_not_full_for_good() {
        let (known, now) = (KnownNames::new(KnownPeers::in_memory()), clock::now());
        known.bind(now, "here", key("h"), from(9)).unwrap();
        known.bind(now, "ours", key("o"), None).unwrap();
        known.release("ours");
        for n in 0..10_000 {
            let name = format!("n{n}");
            let prefix = Prefix::of([198, 51, (n / 60) as u8, 1].into());
            known.bind(now, &name, key("s"), Some(prefix)).unwrap();
            known.release(&name);
        }
        let is_bound = |name: &str, of: &str| known.check(name, key(of)).unwrap() == Trust::Known;
        assert!(is_bound("here", "h") && is_bound("ours", "o") && is_bound("n9999", "s"));
        // All are there: nobody makes room, and nobody is refused.
        for n in 0..10_000 {
            let prefix = Prefix::of([203, 0, (n / 60) as u8, 1].into());
            known.bind(now, &format!("m{n}"), key("s"), Some(prefix)).unwrap();
        }
        assert!(is_bound("here", "h") && is_bound("m0", "s") && !is_bound("m9999", "s"));
    }
}
