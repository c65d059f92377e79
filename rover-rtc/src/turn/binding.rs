//! Asks a STUN server for the public address of a socket, again and again, without I/O
//! (RFC 8489 section 7; the keep-alive of RFC 8445 section 11).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use turn_client_proto::stun::types::attribute::{ErrorCode, XorMappedAddress};
use turn_client_proto::stun::types::message::MessageWriteVec;
use turn_client_proto::stun::types::message::{BINDING, Message, MessageClass, TransactionId};
use turn_client_proto::stun::types::prelude::{MessageWrite as _, MessageWriteExt as _};

/// What a query has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindingEvent {
    /// The socket's public address: the first answer, or one that differs from the last.
    Mapped(SocketAddr),
    /// No answer came, or an error. The next request goes out after the interval.
    Unanswered,
}

/// Binding requests from one socket to one server.
#[derive(Debug)]
pub struct StunQuery {
    interval: Duration,
    state: State,
    mapped: Option<SocketAddr>,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<BindingEvent>,
}

#[derive(Debug)]
enum State {
    /// The next request goes out then.
    Idle(Instant),
    /// A request waits for its answer.
    Asked { id: TransactionId, request: Vec<u8>, tries: u32, rto: Duration, next: Instant },
}

impl StunQuery {
    /// Begins with a request at once, and again every `interval` after an answer.
    ///
    /// The interval also keeps the NAT's mapping alive: 15 s to 25 s suit NATs that forget after
    /// 30 s (RFC 4787 asks for 2 min, many do not give it). Each costs some 100 bytes both ways.
    #[must_use]
    pub fn new(now: Instant, interval: Duration) -> Self {
        let mut query = Self {
            interval,
            state: State::Idle(now),
            mapped: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        };
        query.handle_timeout(now);
        query
    }

    /// The public address, as far as known.
    #[must_use]
    pub fn mapped(&self) -> Option<SocketAddr> {
        self.mapped
    }

    /// Takes a datagram from the server; `true` if it answers the request that is open.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> bool {
        let State::Asked { id, .. } = &self.state else { return false };
        let Ok(message) = Message::from_bytes(bytes) else { return false };
        if message.transaction_id() != *id || !message.has_method(BINDING) {
            return false;
        }
        let mapped = match message.class() {
            MessageClass::Success => message.attribute::<XorMappedAddress>().ok(),
            MessageClass::Error => {
                let code = message.attribute::<ErrorCode>().map_or(0, |error| error.code());
                tracing::debug!(code, "stun error");
                None
            }
            _ => return false,
        };
        self.state = State::Idle(now + self.interval);
        match mapped.map(|mapped| mapped.addr(message.transaction_id())) {
            Some(mapped) if self.mapped == Some(mapped) => {}
            Some(mapped) => {
                self.mapped = Some(mapped);
                self.events.push_back(BindingEvent::Mapped(mapped));
            }
            None => self.events.push_back(BindingEvent::Unanswered),
        }
        true
    }

    /// Lets time pass: the next request, or another try.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Idle(next) if *next <= now => {
                let request = Message::builder_request(BINDING, MessageWriteVec::new());
                let id = request.transaction_id();
                let request = request.finish();
                self.transmits.push_back(request.clone());
                let (rto, next) = (FIRST_RTO, now + FIRST_RTO);
                self.state = State::Asked { id, request, tries: 1, rto, next };
            }
            State::Asked { next, tries: TRIES, .. } if *next <= now => {
                self.state = State::Idle(now + self.interval);
                self.events.push_back(BindingEvent::Unanswered);
            }
            State::Asked { request, tries, rto, next, .. } if *next <= now => {
                self.transmits.push_back(request.clone());
                *tries += 1;
                *rto = (*rto * 2).min(MAX_RTO);
                *next = now + *rto;
            }
            _ => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        match &self.state {
            State::Idle(next) | State::Asked { next, .. } => *next,
        }
    }

    /// The next datagram for the server.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<BindingEvent> {
        self.events.pop_front()
    }
}

/// The first pause between two tries of a request, here and for an allocation. RFC 8489 section
/// 6.2.1 asks for 500 ms where nothing is known of the network; browsers use 250 ms.
pub(super) const FIRST_RTO: Duration = Duration::from_millis(250);

/// The longest pause, and how long the last try waits: a server that does not answer has failed
/// after 9.75 s, not the 39.5 s of the RFC, so that another try can follow on a changed network.
pub(super) const MAX_RTO: Duration = Duration::from_secs(2);

/// Tries of a request.
pub(super) const TRIES: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::clock;

    const INTERVAL: Duration = Duration::from_secs(20);

    fn answer(request: &[u8], address: &str) -> Vec<u8> {
        use turn_client_proto::stun::types::prelude::MessageWriteExt as _;

        let request = Message::from_bytes(request).unwrap();
        let mut answer = Message::builder_success(&request, MessageWriteVec::new());
        let mapped = XorMappedAddress::new(address.parse().unwrap(), request.transaction_id());
        answer.add_attribute(&mapped).unwrap();
        answer.finish()
    }

    #[test]
    fn the_address_is_told_once_and_asked_again() {
        let mut now = clock::now();
        let mut query = StunQuery::new(now, INTERVAL);
        for (address, told) in [
            ("198.51.100.1:7", true),
            ("198.51.100.1:7", false),
            ("198.51.100.1:8", true),
            ("[2001:db8::1]:8", true),
        ] {
            let request = query.poll_transmit().unwrap();
            assert!(query.handle_input(now, &answer(&request, address)));
            assert!(
                !query.handle_input(now, &answer(&request, "203.0.113.9:9")),
                "a second answer"
            );
            let address = address.parse().unwrap();
            assert_eq!(query.poll_event(), told.then_some(BindingEvent::Mapped(address)));
            assert_eq!((query.mapped(), query.poll_transmit()), (Some(address), None));
            assert_eq!(query.poll_timeout(), now + INTERVAL);
            now += INTERVAL;
            query.handle_timeout(now);
        }
    }

    #[test]
    fn strange_answers_are_refused() {
        let now = clock::now();
        let mut query = StunQuery::new(now, INTERVAL);
        let other = StunQuery::new(now, INTERVAL).poll_transmit().unwrap();
        assert!(!query.handle_input(now, &answer(&other, "198.51.100.1:7")));
        assert!(!query.handle_input(now, b"nonsense"));
        let request = query.poll_transmit().unwrap();
        assert!(!query.handle_input(now, &request), "the echo of a request is no answer");
        assert_eq!(query.poll_event(), None);
    }

    #[test]
    fn silence_costs_seven_tries() {
        let begin = clock::now();
        let mut query = StunQuery::new(begin, INTERVAL);
        let first = query.poll_transmit().unwrap();
        let mut tries = vec![0];
        let end = loop {
            let now = query.poll_timeout();
            query.handle_timeout(now);
            match query.poll_transmit() {
                Some(again) => {
                    assert_eq!(again, first);
                    tries.push((now - begin).as_millis());
                }
                None => break now,
            }
        };
        assert_eq!(tries, [0, 250, 750, 1750, 3750, 5750, 7750]);
        assert_eq!((end - begin).as_millis(), 9750);
        assert_eq!(query.poll_event(), Some(BindingEvent::Unanswered));
        query.handle_timeout(end + INTERVAL);
        assert_ne!(query.poll_transmit().unwrap(), first, "a new transaction");
    }
}
