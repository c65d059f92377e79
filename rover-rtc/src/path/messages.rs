//! STUN messages in: requests of the other side, answers to probes and to the agent's checks.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::ice::{StunMessage, TransId};

use super::one::Answered;
use super::{PathEvent, PathSet, StunVerdict, Transmit, stun};

impl PathSet {
    /// Takes a STUN message of this many bytes that came from `remote` to `local`.
    pub fn handle_stun(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        message: &StunMessage<'_>,
        length: usize,
    ) -> StunVerdict {
        if message.is_binding_request() {
            return self.handle_request(now, local, remote, length, message);
        }
        let owner = self.paths.iter().position(|p| p.owns(message.trans_id()));
        let Some(index) = owner else {
            self.note_checked(local, remote, message);
            return StunVerdict::ForSession;
        };
        // RFC 8445 section 7.2.5.2.1: an answer that did not come from where the request went
        // proves nothing about that path.
        let path = &self.paths[index];
        let symmetric = path.local == local && path.remote == remote;
        let authentic = self.generations.iter().any(|g| stun::verify(message, &g.remote.pass));
        if !symmetric || !authentic {
            self.stats.refused += 1;
            return StunVerdict::Consumed;
        }
        self.paths[index].bytes_received += length as u64;
        if message.is_failed_binding_response() {
            if message.error_code().is_none_or(|(code, _)| code != ROLE_CONFLICT) {
                return StunVerdict::Consumed;
            }
            self.role.controlling = !self.role.controlling;
        }
        if let Some(public) = message.mapped_address() {
            let before = self.paths[index].mapped.replace(public);
            if before != Some(public) {
                self.events.push_back(PathEvent::Mapped { local, remote, public });
            }
        }
        self.handle_answer(now, index, message.trans_id());
        StunVerdict::Consumed
    }

    /// Notes a datagram that the session's agent sends: an answer to its check validates a path as
    /// one to a probe does.
    pub fn check_sent(&mut self, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) {
        let Ok(message) = StunMessage::parse(datagram) else { return };
        if message.is_binding_request() {
            let most = if self.connected { MAX_LATE_CHECKS } else { MAX_CHECKS };
            let surplus = (self.checks.len() + 1).saturating_sub(most);
            self.checks.drain(..surplus);
            self.checks.push_back((message.trans_id(), local, remote));
        }
    }

    /// Takes an answer to a check of the session's agent.
    fn note_checked(&mut self, local: SocketAddr, remote: SocketAddr, message: &StunMessage<'_>) {
        let check = (message.trans_id(), local, remote);
        let Some(index) = self.checks.iter().position(|c| *c == check) else { return };
        let authentic = self.generations.iter().any(|g| stun::verify(message, &g.remote.pass));
        if message.is_successful_binding_response() && authentic {
            self.checks.remove(index);
            self.validate(local, remote);
        }
    }

    /// Accepts records from there from now on.
    fn validate(&mut self, local: SocketAddr, remote: SocketAddr) {
        if let Some(id) = self.pair(local, remote)
            && let Some(path) = self.paths.iter_mut().find(|p| p.id == id)
        {
            path.validated = true;
        }
    }

    fn handle_request(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        length: usize,
        message: &StunMessage<'_>,
    ) -> StunVerdict {
        let Some((user, _)) = message.split_username() else { return StunVerdict::Consumed };
        let ours = self.generations.iter().rposition(|g| g.local.ufrag == user);
        // Before the other side's credentials are known the agent queues what is signed for us.
        let Some(age) = ours else {
            let early = self.generations.is_empty() && user == self.first.ufrag;
            if early && stun::verify(message, &self.first.pass) {
                self.validate(local, remote);
            }
            return StunVerdict::ForSession;
        };
        let generation = &self.generations[age];
        if !stun::verify(message, &generation.local.pass) {
            self.stats.refused += 1;
            return StunVerdict::Consumed;
        }
        self.unconfirmed &= age + 1 < self.generations.len();
        let reply = (self.connected && !message.use_candidate())
            .then(|| stun::answer(message.trans_id(), remote, &generation.local));
        let known = self.paths.iter().position(|p| p.is_between(local, remote));
        let index = known.or_else(|| {
            let id = self.pair(local, remote)?;
            self.paths.iter().position(|p| p.id == id)
        });
        let Some(index) = index else { return StunVerdict::Consumed };
        let path = &mut self.paths[index];
        path.validated = true;
        (path.heard, path.silent) = (Some(now), false);
        path.bytes_received += length as u64;
        self.stats.requests += 1;
        if self.connected && !path.is_alive() {
            self.probe_back(now, index);
        }
        let Some(datagram) = reply else { return StunVerdict::ForSession };
        self.paths[index].bytes_sent += datagram.len() as u64;
        self.transmits.push_back(Transmit { local, remote, datagram });
        StunVerdict::Consumed
    }

    fn handle_answer(&mut self, now: Instant, index: usize, id: TransId) {
        self.stats.answers += 1;
        let answered = self.paths[index].answered(now, id);
        if answered == Answered::NowAlive {
            let path = &self.paths[index];
            tracing::debug!(path = path.id.0, local = %path.local, remote = %path.remote,
                rtt = ?path.rtt.latest(), "path alive");
        }
        self.evaluate(now);
    }
}

/// Checks remembered until they are answered: 20 candidates on some sockets each.
const MAX_CHECKS: usize = 128;

/// And once connected, when each path is probed anyhow.
const MAX_LATE_CHECKS: usize = 4;

/// RFC 8445 section 7.3.1.1.
const ROLE_CONFLICT: u16 = 487;
