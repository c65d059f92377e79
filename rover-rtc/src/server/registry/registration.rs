//! How a session comes to its name: who may have it, when, and who has to wait.
//!
//! A name is given to who shows the key of the certificate that the offer names: by its DTLS
//! handshake, or by a signature over HTTP. Nobody has it before.

use std::time::{Duration, Instant};

use crate::http::server::Reply;
use crate::identity::{Fingerprint, TrustError};
use crate::model::client::ClientId;
use crate::net::Prefix;
use crate::server::hub::Hub;
use crate::server::hub::sessions::{Requester, failure};
use crate::server::registry::claim::{Claim, same};
use crate::server::registry::{NameStatus, OwnerId};
use crate::server::shard::router::ShardMessage;
use crate::server::signaling::queue::Recipient;
use crate::signal::description::Description;
use crate::signal::hub_messages::FromHub;
use crate::util::token_bucket::{TokenBucket, TokenBuckets, seconds};

/// What happened to a client that its name depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum ClientChange {
    /// DTLS is up: it holds the key that its offer named.
    Connected,
    /// The channel on which it can be told things is open.
    Opened,
}

/// How a client has shown its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Proof {
    Dtls,
    Signature,
}

/// How often names may ask for sessions.
#[derive(Debug, Default)]
pub(in crate::server) struct SessionLimits {
    /// By address too, for a stranger can ask in any name before it has to show the key.
    sessions: TokenBuckets<(String, Prefix)>,
}

/// A key cannot have a name.
struct Denial {
    reason: String,
    /// The one that has it may be about to lose it.
    for_now: bool,
}

impl Hub {
    /// Looks at what an offer says of a name, before there is a session.
    pub(in crate::server) fn admit(
        &mut self,
        now: Instant,
        offer: &Description,
        asker: &Requester<'_>,
    ) -> Result<Option<Claim>, Reply> {
        let Some(mut claim) = Claim::of(offer).map_err(|reason| failure(400, reason))? else {
            return Ok(None);
        };
        if !self.has_token(asker.authorization) {
            let reason = "this hub gives names to those only who have one of its tokens: \
                          Authorization: Bearer TOKEN";
            return Err(failure(401, reason).header("WWW-Authenticate", "Bearer"));
        }
        if let Err(denied) = self.contest(now, &claim.name, claim.fingerprint) {
            let reply = failure(409, denied.reason);
            return Err(if denied.for_now { reply.header("Retry-After", "1") } else { reply });
        }
        let allowed = self.config.sessions_per_minute;
        let prefix = Prefix::of(asker.from.ip());
        let key = (claim.name.clone(), prefix);
        let taken = self.limits.sessions.take(now, key, || TokenBucket::per_minute(now, allowed));
        taken.map_err(|wait| {
            let reason = format!("{} asks for too many sessions", claim.name);
            failure(429, reason).header("Retry-After", seconds(wait).to_string())
        })?;
        claim.stranger = (!self.shows_token(asker.authorization)).then_some(prefix);
        Ok(Some(claim))
    }

    /// A client has shown its key: gives it the name that it claims, if that can be.
    pub(in crate::server) fn prove(&mut self, now: Instant, client: ClientId, proof: Proof) {
        let Some(claim) = self.names.claim(client) else { return };
        let (name, fingerprint) = (claim.name.clone(), claim.fingerprint);
        if let Some(owner) = claim.owner {
            return self.take_over(owner, client, proof);
        }
        let displaced = match self.contest(now, &name, fingerprint) {
            Ok(displaced) => displaced,
            Err(denied) => return self.deny(now, client, &denied),
        };
        if let Some(owner) = displaced {
            let reason = format!("another key has registered {name} while this one was away");
            self.forget_owner(now, owner, Some(&reason));
        }
        match self.names.register(now, client) {
            Some(Ok((owner, new))) => {
                self.take_over(owner, client, proof);
                if new {
                    tracing::info!(%client, name, %fingerprint, "name registered");
                    for waiting in self.names.take_waiting(&name) {
                        self.signal_queue.send(
                            Recipient::Owner(waiting),
                            FromHub::Present { name: name.clone() },
                        );
                    }
                    self.router.tell_all(|| ShardMessage::Present { name: name.clone() });
                }
                self.tell_standing(now, client);
            }
            Some(Err(error)) => {
                let denied = Denial { reason: explain(&name, &error), for_now: false };
                self.deny(now, client, &denied);
            }
            None => {}
        }
    }

    pub(in crate::server) fn on_client_change(
        &mut self,
        now: Instant,
        client: ClientId,
        client_changes: ClientChange,
    ) {
        match client_changes {
            ClientChange::Connected => {
                // Told over HTTP, it is told by its link too.
                if let Some(claim) = self.names.claim(client) {
                    claim.told = false;
                }
                self.prove(now, client, Proof::Dtls);
            }
            ClientChange::Opened => {
                self.uses_link(client);
                self.tell_standing(now, client);
            }
        }
    }

    /// Whether a client has shown over HTTP of late that somebody is there.
    pub(in crate::server) fn calls(&self, now: Instant, client: ClientId) -> bool {
        let lately = |at| now.saturating_duration_since(at) < CALLS_WITHIN;
        self.names.called(client).is_some_and(lately) || self.signal_queue.has_poll(client)
    }

    /// Tells a client whether it has its name, if it does not know and can be told.
    pub(in crate::server) fn tell_standing(&mut self, now: Instant, client: ClientId) {
        let Some(claim) = self.names.claim(client).filter(|claim| !claim.told) else { return };
        let name = claim.name.clone();
        let text = match (claim.owner, claim.refusal.clone()) {
            (Some(_), _) => FromHub::Registered { name },
            (None, Some(reason)) => FromHub::NotRegistered { name, reason },
            (None, None) => return,
        };
        let told = self.tell_client(now, client, &text);
        if let Some(claim) = self.names.claim(client) {
            claim.told = told;
        }
    }

    /// Forgets an owner and all that was its own. Its clients, if any, are told why.
    pub(in crate::server) fn forget_owner(
        &mut self,
        now: Instant,
        owner: OwnerId,
        why: Option<&str>,
    ) {
        self.relay.forget(owner);
        self.tell_over();
        self.signal_queue.forget(owner);
        for client in self.names.forget(owner) {
            let reason = why.unwrap_or("the hub has not heard of it for long").to_owned();
            self.deny(now, client, &Denial { reason, for_now: true });
        }
    }

    /// Forgets owners that are gone, and tries again for clients that could not have their names.
    pub(in crate::server) fn tidy_names(&mut self, now: Instant) {
        for owner in self.names.expired(now) {
            self.forget_owner(now, owner, None);
        }
        for client in self.names.pending.clone() {
            self.prove(now, client, Proof::Signature);
        }
    }

    /// Whether a key may have a name now; and whose it was, if that one is to lose it.
    fn contest(
        &mut self,
        now: Instant,
        name: &str,
        fingerprint: Fingerprint,
    ) -> Result<Option<OwnerId>, Denial> {
        match self.names.standing(name, fingerprint) {
            NameStatus::Free | NameStatus::Ours => Ok(None),
            NameStatus::Refused(error) => {
                if let Some(withheld) = self.refusals.admit(now) {
                    tracing::warn!(%error, withheld, "name refused");
                }
                Err(Denial { reason: explain(name, &error), for_now: false })
            }
            NameStatus::Held(owner) if !self.is_there(now, owner) => Ok(Some(owner)),
            NameStatus::Held(_) => {
                let reason = format!(
                    "{name} is in use by another key; if that is a peer that was restarted, try \
                     again in a moment: it keeps no key (see the peer's state directory)"
                );
                Err(Denial { reason, for_now: true })
            }
        }
    }

    /// Whether an owner can still be reached. If that is in doubt its path is probed, so that the
    /// answer is known when the question comes again.
    fn is_there(&mut self, now: Instant, owner: OwnerId) -> bool {
        let Some(owner) = self.names.owner(owner) else { return false };
        let (used, called) = (owner.client, owner.called.map(|(_, client)| client));
        if used.into_iter().chain(called).any(|client| self.calls(now, client)) {
            return true;
        }
        let Some(id) = used else { return false };
        let Some(client) = self.clients.get_mut(&id) else { return false };
        if !client.has_living_path() {
            return false;
        }
        if now.saturating_duration_since(client.health().last_activity()) > DOUBTFUL_AFTER {
            self.with_client(now, id, |client, _| client.note_use(now));
        }
        true
    }

    /// Makes a client the one in use by its owner: the newest whose transport came up, and one
    /// that only calls over HTTP where no path leads to the other.
    pub(in crate::server) fn take_over(&mut self, owner: OwnerId, client: ClientId, proof: Proof) {
        let Some(used) = self.names.owner(owner).map(|owner| owner.client) else { return };
        let used = used.filter(|used| *used != client);
        let lives = |id: ClientId| self.clients.get(&id).is_some_and(|c| c.has_living_path());
        let yields = used.is_none_or(|used| match proof {
            Proof::Dtls => used < client || !lives(used),
            Proof::Signature => !lives(used),
        });
        if yields {
            self.names.set_client(owner, client);
        }
    }

    fn deny(&mut self, now: Instant, client: ClientId, denied: &Denial) {
        let Some(claim) = self.names.claim(client) else { return };
        if claim.refusal.as_ref() != Some(&denied.reason) {
            if let Some(withheld) = self.refusals.admit(now) {
                let (name, reason) = (&claim.name, &denied.reason);
                tracing::info!(%client, name, reason, withheld, "not registered");
            }
            claim.refusal = Some(denied.reason.clone());
            claim.told = false;
        }
        if denied.for_now {
            self.names.pending.insert(client);
        } else {
            self.names.pending.remove(&client);
        }
        self.tell_standing(now, client);
    }

    fn has_token(&self, authorization: Option<&str>) -> bool {
        self.config.tokens.is_empty() || self.shows_token(authorization)
    }

    /// Whether this is one of the hub's tokens.
    pub(in crate::server) fn shows_token(&self, authorization: Option<&str>) -> bool {
        let words = authorization.and_then(|value| value.trim().split_once(' '));
        let token = words.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"));
        let Some((_, token)) = token else { return false };
        let token = token.trim().as_bytes();
        // All of them are looked at, so that the time does not tell which one it is.
        self.config.tokens.iter().fold(false, |all, t| all | same(t.secret().as_bytes(), token))
    }
}

/// What a peer is told, who has no business with the hub's files.
fn explain(name: &str, error: &TrustError) -> String {
    match error {
        TrustError::Changed { .. } => format!(
            "{name} belongs to another key on this hub: choose another name, or have the hub's \
             operator remove it from the names it knows"
        ),
        TrustError::NotInRoster { .. } => format!(
            "{name} is not in this hub's roster: have its operator add it with the peer's \
             fingerprint"
        ),
        TrustError::Full { .. } => "this hub knows too many names to take another one".to_owned(),
        _ => format!("this hub cannot give the name {name} to anybody"),
    }
}

/// A peer that is there calls at least this often.
const CALLS_WITHIN: Duration = Duration::from_secs(30);

/// Whoever has not been heard of for longer has to prove that it is there.
const DOUBTFUL_AFTER: Duration = Duration::from_secs(1);
