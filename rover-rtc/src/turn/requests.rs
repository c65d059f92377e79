//! What the answers of a TURN server mean that `turn-client-proto` 0.7 does not tell.
//!
//! It says that an allocation failed, not why; it waits for a timeout after a second 401, and when
//! the server has forgotten an allocation, for example because it was restarted.

use std::collections::VecDeque;
use std::net::SocketAddr;

use turn_client_proto::stun::types::attribute::{ErrorCode, Username, XorMappedAddress};
use turn_client_proto::stun::types::message::{Message, MessageClass, TransactionId};
use turn_client_proto::types::message::{ALLOCATE, CREATE_PERMISSION};

/// The last requests, and what was learnt from their answers.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Requests that carried the user name, the newest at the end.
    signed: VecDeque<TransactionId>,
    error: Option<(u16, String)>,
    /// The server has said anything at all.
    answered: bool,
    mapped: Option<SocketAddr>,
    /// A request for a peer met an error, not silence.
    refused: bool,
    /// The server knew our nonce no more, and has confirmed nothing since.
    stale: bool,
}

/// What to do with a message of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The client handles it.
    Pass,
    /// The allocation failed.
    Failed(String),
    /// The server does not know the allocation any more.
    Forgotten,
}

impl Requests {
    /// Notes a request of ours.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let Ok(message) = Message::from_bytes(bytes) else { return };
        let id = message.transaction_id();
        let signed = message.attribute::<Username>().is_ok();
        if message.has_class(MessageClass::Request) && signed && !self.signed.contains(&id) {
            if self.signed.len() == REMEMBERED {
                self.signed.pop_front();
            }
            self.signed.push_back(id);
        }
    }

    /// Looks at a message of the server before the client does.
    ///
    /// Errors need no MESSAGE-INTEGRITY (RFC 8489 section 9.2.4), so it is the transaction's 96
    /// random bits that keep others from ending an allocation.
    pub(super) fn judge(&mut self, bytes: &[u8]) -> Verdict {
        // ChannelData, which is most of what comes.
        if bytes.first().is_none_or(|first| first >> 6 != 0) {
            return Verdict::Pass;
        }
        let Ok(message) = Message::from_bytes(bytes) else { return Verdict::Pass };
        self.answered = true;
        let id = message.transaction_id();
        let allocates = message.has_method(ALLOCATE);
        if message.has_class(MessageClass::Success) && allocates {
            let mapped = message.attribute::<XorMappedAddress>();
            self.mapped = mapped.ok().map(|mapped| mapped.addr(id));
        }
        if !message.has_class(MessageClass::Error) {
            self.stale &= !message.has_class(MessageClass::Success);
            return Verdict::Pass;
        }
        let Ok(error) = message.attribute::<ErrorCode>() else { return Verdict::Pass };
        let ours = self.signed.contains(&id);
        match error.code() {
            ErrorCode::UNAUTHORIZED if ours && allocates => Verdict::Failed(format!(
                "the server refuses the user name, the password or the secret (401 {})",
                printable(error.reason())
            )),
            ErrorCode::UNAUTHORIZED | ErrorCode::ALLOCATION_MISMATCH if ours && !allocates => {
                Verdict::Forgotten
            }
            // What coturn 4.6 says for 437 to a permission, and not what a good request gets else.
            ErrorCode::BAD_REQUEST
                if ours && self.stale && message.has_method(CREATE_PERMISSION) =>
            {
                Verdict::Forgotten
            }
            code => {
                self.stale |= code == ErrorCode::STALE_NONCE;
                self.refused = !allocates && code != ErrorCode::STALE_NONCE;
                if allocates && code != ErrorCode::UNAUTHORIZED && code != ErrorCode::STALE_NONCE {
                    self.error = Some((code, printable(error.reason())));
                }
                Verdict::Pass
            }
        }
    }

    /// Whether the last failure of a permission or channel was the server's word, not its silence.
    pub(super) fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    /// Our address as the server sees it.
    pub(super) fn mapped(&self) -> Option<SocketAddr> {
        self.mapped
    }

    /// Why there is no allocation.
    pub(super) fn refusal(&self) -> String {
        match &self.error {
            Some((code, reason)) => format!("the server refuses to relay ({code} {reason})"),
            // One that asks for no credentials is among them.
            None if self.answered => "the server's answers are of no use".to_owned(),
            None => "the server does not answer".to_owned(),
        }
    }
}

/// Text of a server, safe and short enough for a log.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()
}

/// Requests whose answers are told apart from strange ones.
const REMEMBERED: usize = 64;

/// Characters of a server's reason that are shown.
const MAX_REASON: usize = 80;

#[cfg(test)]
mod tests {
    use turn_client_proto::stun::types::message::MessageWriteVec;
    use turn_client_proto::stun::types::prelude::{MessageWrite, MessageWriteExt};
    use turn_client_proto::types::message::REFRESH;

    use super::*;

    fn request(method: turn_client_proto::stun::types::message::Method, signed: bool) -> Vec<u8> {
        let mut request = Message::builder_request(method, MessageWriteVec::new());
        if signed {
            request.add_attribute(&Username::new("rover").unwrap()).unwrap();
        }
        request.finish()
    }

    fn error(request: &[u8], code: u16, reason: &str) -> Vec<u8> {
        let request = Message::from_bytes(request).unwrap();
        let mut answer = Message::builder_error(&request, MessageWriteVec::new());
        answer.add_attribute(&ErrorCode::new(code, reason).unwrap()).unwrap();
        answer.finish()
    }

    #[test]
    fn a_second_401_is_a_wrong_password() {
        let mut requests = Requests::default();
        let [first, second] = [false, true].map(|signed| request(ALLOCATE, signed));
        requests.sent(&first);
        requests.sent(&second);
        assert_eq!(requests.judge(&error(&first, 401, "Unauthorized")), Verdict::Pass);
        let strange = error(&request(ALLOCATE, true), 401, "Unauthorized");
        assert_eq!(requests.judge(&strange), Verdict::Pass);
        let Verdict::Failed(reason) = requests.judge(&error(&second, 401, "No\nway")) else {
            panic!("it fails")
        };
        assert!(reason.contains("password") && reason.contains("401 Noway"), "{reason}");
    }

    #[test]
    fn a_server_that_forgot_is_noticed() {
        let mut requests = Requests::default();
        let refresh = request(REFRESH, true);
        requests.sent(&refresh);
        assert_eq!(requests.judge(&error(&refresh, 438, "Stale Nonce")), Verdict::Pass);
        assert_eq!(requests.judge(&error(&refresh, 437, "Mismatch")), Verdict::Forgotten);
        assert_eq!(requests.judge(&error(&refresh, 401, "Unauthorized")), Verdict::Forgotten);
        assert!(!requests.take_refused());
        assert_eq!(requests.judge(&error(&refresh, 403, "Forbidden")), Verdict::Pass);
        assert!(requests.take_refused() && !requests.take_refused());
    }

    #[test]
    fn a_bad_request_means_forgotten_only_after_a_restart() {
        let mut requests = Requests::default();
        let permission = request(CREATE_PERMISSION, true);
        requests.sent(&permission);
        let bad = error(&permission, 400, "Bad Request");
        assert_eq!(requests.judge(&bad), Verdict::Pass);
        requests.judge(&error(&permission, 438, "Wrong Nonce"));
        assert_eq!(requests.judge(&bad), Verdict::Forgotten);
        let success = Message::from_bytes(&permission).unwrap();
        let success = Message::builder_success(&success, MessageWriteVec::new()).finish();
        requests.judge(&success);
        assert_eq!(requests.judge(&bad), Verdict::Pass);
    }

    #[test]
    fn the_reason_of_a_failure_is_kept() {
        let mut requests = Requests::default();
        let allocate = request(ALLOCATE, true);
        requests.sent(&allocate);
        assert_eq!(requests.judge(&error(&allocate, 486, "Quota")), Verdict::Pass);
        assert_eq!(requests.refusal(), "the server refuses to relay (486 Quota)");
    }
}
