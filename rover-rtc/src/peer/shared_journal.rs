//! The journal of a peer, shared by all of its links.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::config::PeerConfig;
use crate::error::WebrtcError;
use crate::journal::{Journal, JournalError, JournalStats};
use crate::link::SendError;
use crate::link::{Record, Saved};

/// Where links hand in records, and get what is known of their past. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct SharedJournal {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    journal: Journal,
    /// Results that nobody has taken yet.
    done: VecDeque<(Arc<str>, Result<(), SendError>)>,
}

impl SharedJournal {
    /// Opens the journal in the state directory, if there is one. That reads all of it: what is
    /// damaged is found before anything is sent.
    pub(super) fn open(
        config: &PeerConfig,
        wake: &Arc<Notify>,
    ) -> Result<Option<Self>, WebrtcError> {
        let Some(dir) = &config.state else { return Ok(None) };
        let wake = wake.clone();
        let wake = Box::new(move || wake.notify_one());
        let journal = Journal::open(dir, config.journal.clone(), wake)?;
        let inner = Inner { journal, done: VecDeque::new() };
        Ok(Some(Self { inner: Arc::new(Mutex::new(inner)) }))
    }

    /// What is known of a link of this name. Blocks while the journal writes what was handed in
    /// before, the answers to which were for an earlier link.
    pub(super) fn saved(&self, link: &str) -> Result<Vec<Saved>, JournalError> {
        let mut inner = self.lock();
        let saved = inner.journal.saved(link)?;
        inner.collect();
        inner.done.retain(|(name, _)| **name != *link);
        Ok(saved)
    }

    pub(super) fn submit(&self, link: &str, record: Record) {
        self.lock().journal.submit(link, record);
    }

    pub(super) fn poll_done(&self) -> Option<(Arc<str>, Result<(), SendError>)> {
        let mut inner = self.lock();
        inner.collect();
        inner.done.pop_front()
    }

    /// A handle that does not keep the journal open.
    pub(super) fn downgrade(&self) -> WeakJournal {
        WeakJournal(Arc::downgrade(&self.inner))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code under the lock leaves anything half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As long as the peer runs, what its journal has counted.
#[derive(Debug, Clone)]
pub(super) struct WeakJournal(Weak<Mutex<Inner>>);

impl WeakJournal {
    pub(super) fn stats(&self) -> Option<JournalStats> {
        Some(SharedJournal { inner: self.0.upgrade()? }.lock().journal.stats())
    }
}

impl Inner {
    fn collect(&mut self) {
        while let Some((link, result)) = self.journal.poll_done() {
            let result = result.map_err(|error| SendError::NotStored(error.to_string()));
            self.done.push_back((link, result));
        }
    }
}

/// What the link with the hub is called in the journal, which is no name of a peer.
pub(super) const HUB_LINK: &str = "";
