//! STUN Binding requests of our own, and their answers (RFC 8489, RFC 8445 section 7).

use std::net::SocketAddr;

use str0m::IceCreds;
use str0m::ice::{StunMessage, TransId};

use crate::util::crypto;

/// Local and remote credentials that hold together: one generation of an ICE session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Of this side.
    pub local: IceCreds,
    /// Of the other side.
    pub remote: IceCreds,
}

/// Who this side is in ICE.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// Whether this side nominates.
    pub controlling: bool,
    /// Random number that settles a conflict.
    pub tie_breaker: u64,
}

/// Writes a Binding request without USE-CANDIDATE: a check that proves a path and changes nothing.
#[must_use]
pub fn request(generation: &Generation, role: Role) -> (TransId, Vec<u8>) {
    let id = TransId::new();
    let user = format!("{}:{}", generation.remote.ufrag, generation.local.ufrag);
    let message = StunMessage::binding_request(
        &user,
        id,
        role.controlling,
        role.tie_breaker,
        PEER_REFLEXIVE_PRIORITY,
        false,
    );
    (id, write(message, &generation.remote.pass))
}

/// Writes the answer to a request that came from `source`, signed with the local password.
#[must_use]
pub fn answer(id: TransId, source: SocketAddr, local: &IceCreds) -> Vec<u8> {
    write(StunMessage::binding_reply(id, source), &local.pass)
}

/// Whether a message carries a MESSAGE-INTEGRITY made with this password.
#[must_use]
pub fn verify(message: &StunMessage<'_>, password: &str) -> bool {
    message.verify(password.as_bytes(), crypto::sha1_hmac)
}

fn write(message: StunMessage<'_>, password: &str) -> Vec<u8> {
    let mut buffer = [0; MAX_MESSAGE];
    // User names have at most 2 x 256 characters (RFC 8839), so a message always fits.
    let length =
        message.to_bytes(Some(password.as_bytes()), &mut buffer, crypto::sha1_hmac).unwrap_or(0);
    buffer[..length].to_vec()
}

/// Type preference 110 of a peer-reflexive candidate, any local preference, component 1
/// (RFC 8445 section 5.1.2.1): what the other side would learn from this request.
const PEER_REFLEXIVE_PRIORITY: u32 = (110 << 24) | (65_535 << 8) | 255;

/// Room for a request with user names of full length.
const MAX_MESSAGE: usize = 800;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::random::ice_credentials;

    #[test]
    fn a_request_is_signed_for_the_other_side() {
        let ours = Generation { local: ice_credentials(), remote: ice_credentials() };
        let (id, bytes) = request(&ours, Role { controlling: true, tie_breaker: 7 });
        let message = StunMessage::parse(&bytes).unwrap();
        assert!(message.is_binding_request() && !message.use_candidate());
        assert_eq!(message.trans_id(), id);
        assert_eq!(message.ice_controlling(), Some(7));
        assert_eq!(message.prio(), Some(PEER_REFLEXIVE_PRIORITY));
        assert!(verify(&message, &ours.remote.pass));
        assert!(!verify(&message, &ours.local.pass));
    }

    #[test]
    fn an_answer_names_the_source() {
        let local = ice_credentials();
        let source = "192.0.2.1:4000".parse().unwrap();
        let id = TransId::new();
        let bytes = answer(id, source, &local);
        let message = StunMessage::parse(&bytes).unwrap();
        assert_eq!(message.mapped_address(), Some(source));
        assert!(verify(&message, &local.pass));
    }
}
