//! Who has which name: the peers that registered with this hub, as owners of names.
//!
//! An owner outlives its clients: mailbox, relay channels and those it waits for are its own, so
//! that a peer that dials again goes on where it was.

pub(super) mod claim;
pub(super) mod known_names;
pub(super) mod registration;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

#[cfg(test)]
use crate::identity::KnownPeers;
use crate::identity::{Fingerprint, TrustError};
use crate::model::client::ClientId;
use crate::server::registry::claim::Claim;
use crate::server::registry::known_names::KnownNames;
use crate::server::signaling::mailbox::Mailbox;
use crate::util::token_bucket::TokenBucket;

/// Names an owner within its hub's process; never used again. Its first bits name its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::server) struct OwnerId(pub(in crate::server) u64);

impl OwnerId {
    /// The shard whose it is.
    pub(in crate::server) fn shard(self) -> usize {
        (self.0 >> SHARD_SHIFT) as usize
    }
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "owner-{}", self.0)
    }
}

/// A key that has a name.
#[derive(Debug)]
pub(in crate::server) struct Owner {
    pub(in crate::server) name: String,
    pub(in crate::server) fingerprint: Fingerprint,
    /// The client in use, while there is one.
    pub(in crate::server) client: Option<ClientId>,
    /// When it last made a call over HTTP, and for which session, unless it has used its link
    /// since.
    pub(in crate::server) called: Option<(Instant, ClientId)>,
    pub(in crate::server) mailbox: Mailbox,
    /// What it may send.
    pub(in crate::server) signals: TokenBucket,
    /// Names that were not there when it asked for them, oldest first.
    waits: VecDeque<String>,
    gone_since: Option<Instant>,
}

/// What a name is to a key.
#[derive(Debug)]
pub(in crate::server) enum NameStatus {
    /// Nobody has it.
    Free,
    /// It has it already.
    Ours,
    /// Another key has it, that is not kept: as long as it lives.
    Held(OwnerId),
    /// It cannot have it.
    Refused(TrustError),
}

/// Claims of sessions, and the owners that came of them.
#[derive(Debug)]
pub(in crate::server) struct Registry {
    known: KnownNames,
    claims: HashMap<ClientId, Claim>,
    owners: HashMap<OwnerId, Owner>,
    by_name: HashMap<String, OwnerId>,
    waiting: HashMap<String, BTreeSet<OwnerId>>,
    /// Clients that have shown their key but could not have the name yet.
    pub(in crate::server) pending: BTreeSet<ClientId>,
    next: u64,
    max: usize,
    dropped: u64,
}

impl Registry {
    /// Nobody yet; `max` owners at most.
    #[cfg(test)]
    pub(in crate::server) fn new(known: KnownPeers, max: usize) -> Self {
        Self::of_shard(0, KnownNames::new(known), max)
    }

    /// As [`Registry::new`], for a shard of several that know the same peers.
    pub(in crate::server) fn of_shard(shard: usize, known: KnownNames, max: usize) -> Self {
        Self {
            known,
            claims: HashMap::new(),
            owners: HashMap::new(),
            by_name: HashMap::new(),
            waiting: HashMap::new(),
            pending: BTreeSet::new(),
            next: (shard as u64) << SHARD_SHIFT,
            max,
            dropped: 0,
        }
    }

    pub(in crate::server) fn add_claim(&mut self, client: ClientId, claim: Claim) {
        self.claims.insert(client, claim);
    }

    pub(in crate::server) fn claim(&mut self, client: ClientId) -> Option<&mut Claim> {
        self.claims.get_mut(&client)
    }

    /// When a client last showed over HTTP that it is there.
    pub(in crate::server) fn called(&self, client: ClientId) -> Option<Instant> {
        self.claims.get(&client)?.called
    }

    /// Who a client is.
    pub(in crate::server) fn owner_of(&self, client: ClientId) -> Option<OwnerId> {
        self.claims.get(&client)?.owner
    }

    pub(in crate::server) fn owner(&mut self, id: OwnerId) -> Option<&mut Owner> {
        self.owners.get_mut(&id)
    }

    pub(in crate::server) fn find(&self, name: &str) -> Option<OwnerId> {
        self.by_name.get(name).copied()
    }

    /// What a name is to a key. Nothing changes.
    pub(in crate::server) fn standing(&self, name: &str, fingerprint: Fingerprint) -> NameStatus {
        if let Err(error) = self.known.check(name, fingerprint) {
            return NameStatus::Refused(error);
        }
        let holder = self.find(name).and_then(|id| Some((id, self.owners.get(&id)?)));
        match holder {
            None => NameStatus::Free,
            Some((_, owner)) if owner.fingerprint == fingerprint => NameStatus::Ours,
            Some((id, _)) => NameStatus::Held(id),
        }
    }

    /// Gives a client the name that it claims, which must be free or its own, and binds it to a
    /// key that is kept, where there is room for that. Returns the owner, and whether it is new.
    pub(in crate::server) fn register(
        &mut self,
        now: Instant,
        client: ClientId,
    ) -> Option<Result<(OwnerId, bool), TrustError>> {
        let claim = self.claims.get_mut(&client)?;
        if claim.kept
            && let Err(error) = self.known.bind(now, &claim.name, claim.fingerprint, claim.stranger)
        {
            return Some(Err(error));
        }
        let known = self.by_name.get(&claim.name).copied();
        let id = known.unwrap_or(OwnerId(self.next));
        if known.is_none() {
            self.next += 1;
            let owner = Owner {
                name: claim.name.clone(),
                fingerprint: claim.fingerprint,
                client: None,
                called: None,
                mailbox: Mailbox::default(),
                signals: TokenBucket::new(now, SIGNALS, SIGNALS_PER_SECOND),
                waits: VecDeque::new(),
                gone_since: Some(now),
            };
            self.by_name.insert(claim.name.clone(), id);
            self.owners.insert(id, owner);
        }
        claim.owner = Some(id);
        claim.refusal = None;
        claim.told = false;
        self.pending.remove(&client);
        Some(Ok((id, known.is_none())))
    }

    /// A client of an owner is the one in use from now on.
    pub(in crate::server) fn set_client(&mut self, owner: OwnerId, client: ClientId) {
        if let Some(owner) = self.owners.get_mut(&owner) {
            owner.client = Some(client);
            owner.gone_since = None;
        }
    }

    /// A client is gone. Its owner stays for a while.
    pub(in crate::server) fn remove_client(&mut self, now: Instant, client: ClientId) {
        self.pending.remove(&client);
        let owner = self.claims.remove(&client).and_then(|claim| claim.owner);
        if let Some(owner) = owner.and_then(|id| self.owners.get_mut(&id))
            && owner.client == Some(client)
        {
            owner.client = None;
            owner.gone_since = Some(now);
        }
    }

    /// Forgets an owner; returns its clients.
    pub(in crate::server) fn forget(&mut self, id: OwnerId) -> Vec<ClientId> {
        let Some(owner) = self.owners.remove(&id) else { return Vec::new() };
        self.dropped += owner.mailbox.dropped();
        self.by_name.remove(&owner.name);
        self.known.release(&owner.name);
        for name in &owner.waits {
            self.stop_waiting(name, id);
        }
        let of_owner = self.claims.iter_mut().filter(|(_, claim)| claim.owner == Some(id));
        let clients = of_owner.map(|(client, claim)| {
            claim.owner = None;
            *client
        });
        clients.collect()
    }

    /// Owners that are gone for good; and the one that is gone longest if there are too many.
    pub(in crate::server) fn expired(&self, now: Instant) -> Vec<OwnerId> {
        let gone = self.owners.iter().filter_map(|(id, o)| Some((o.last_sign()?, *id)));
        let mut gone: Vec<_> = gone.collect();
        let surplus = self.owners.len().saturating_sub(self.max);
        gone.sort_unstable();
        let old = |since: Instant| now.saturating_duration_since(since) >= KEPT_AFTER;
        let over = gone.into_iter().enumerate();
        over.filter(|(at, (since, _))| *at < surplus || old(*since))
            .map(|(_, (_, id))| id)
            .collect()
    }

    /// Remembers that an owner waits for a name; for the last few only.
    pub(in crate::server) fn wait_for(&mut self, id: OwnerId, name: &str) {
        let Some(owner) = self.owners.get_mut(&id) else { return };
        if owner.waits.iter().any(|waits| waits == name) {
            return;
        }
        owner.waits.push_back(name.to_owned());
        let surplus = if owner.waits.len() > MAX_WAITS { owner.waits.pop_front() } else { None };
        self.waiting.entry(name.to_owned()).or_default().insert(id);
        if let Some(name) = surplus {
            self.stop_waiting(&name, id);
        }
    }

    /// Those who wait for a name; they do so no more.
    pub(in crate::server) fn take_waiting(&mut self, name: &str) -> BTreeSet<OwnerId> {
        let waiting = self.waiting.remove(name).unwrap_or_default();
        for id in &waiting {
            if let Some(owner) = self.owners.get_mut(id) {
                owner.waits.retain(|waits| waits != name);
            }
        }
        waiting
    }

    /// Owners for whom something waits.
    pub(in crate::server) fn with_pending(&self) -> impl Iterator<Item = OwnerId> {
        self.owners.iter().filter(|(_, owner)| !owner.mailbox.is_empty()).map(|(id, _)| *id)
    }

    /// Texts that found no room in mailboxes, of all owners that there are or were.
    pub(in crate::server) fn dropped_signals(&self) -> u64 {
        self.owners.values().map(|owner| owner.mailbox.dropped()).sum::<u64>() + self.dropped
    }

    /// Registered names in order, the first so many.
    pub(in crate::server) fn list(&self, max: usize) -> Vec<&str> {
        let mut names: Vec<_> = self.by_name.keys().map(String::as_str).collect();
        names.sort_unstable();
        names.truncate(max);
        names
    }

    /// How many names are registered.
    pub(in crate::server) fn len(&self) -> usize {
        self.by_name.len()
    }

    fn stop_waiting(&mut self, name: &str, id: OwnerId) {
        if let Some(waiting) = self.waiting.get_mut(name) {
            waiting.remove(&id);
            if waiting.is_empty() {
                self.waiting.remove(name);
            }
        }
    }
}

impl Owner {
    /// When it was last there, if it has no client now.
    fn last_sign(&self) -> Option<Instant> {
        self.gone_since.map(|since| since.max(self.called.map_or(since, |(at, _)| at)))
    }
}

/// More owners than one shard ever has.
const SHARD_SHIFT: u32 = 48;

/// How long an owner is kept after its last client: a peer that dials again takes half a minute
/// at most.
const KEPT_AFTER: Duration = Duration::from_secs(60);

/// Names that one owner can wait for.
const MAX_WAITS: usize = 16;

/// Signal messages that an owner may send at once, and on average: a call takes some, with
/// candidates that follow one by one.
const SIGNALS: f64 = 100.0;
const SIGNALS_PER_SECOND: f64 = 10.0;

#[cfg(test)]
mod tests;
