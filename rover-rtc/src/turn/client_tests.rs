use std::time::{Duration, Instant};

use turn_client_proto::stun::types::attribute::{ErrorCode, Nonce, Realm, XorMappedAddress};
use turn_client_proto::stun::types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageClass,
    MessageWriteVec,
};
use turn_client_proto::stun::types::prelude::{MessageWrite, MessageWriteExt};
use turn_client_proto::types::attribute::{Lifetime, XorRelayedAddress};

use super::*;
use crate::util::{clock, random};

const RELAYED: &str = "198.51.100.1:5000";
const MAPPED: &str = "203.0.113.1:7";

fn key() -> IntegrityKey {
    let credentials =
        LongTermKeyCredentials::new("rover".into(), "secret".into(), "test".to_owned());
    credentials.make_key(IntegrityAlgorithm::Sha1)
}

/// What a server answers to a request of an allocation.
fn answer(request: &[u8]) -> Vec<u8> {
    let request = Message::from_bytes(request).unwrap();
    if request.attribute::<Nonce>().is_err() {
        let mut answer = Message::builder_error(&request, MessageWriteVec::new());
        answer.add_attribute(&ErrorCode::new(401, "Unauthorized").unwrap()).unwrap();
        answer.add_attribute(&Realm::new("test").unwrap()).unwrap();
        answer.add_attribute(&Nonce::new("nonce").unwrap()).unwrap();
        return answer.finish();
    }
    let id = request.transaction_id();
    let mut answer = Message::builder_success(&request, MessageWriteVec::new());
    answer.add_attribute(&XorRelayedAddress::new(RELAYED.parse().unwrap(), id)).unwrap();
    answer.add_attribute(&XorMappedAddress::new(MAPPED.parse().unwrap(), id)).unwrap();
    answer.add_attribute(&Lifetime::new(600)).unwrap();
    answer.add_message_integrity_with_key(&key(), IntegrityAlgorithm::Sha1).unwrap();
    answer.finish()
}

fn begin(now: Instant, transport: Transport) -> TurnAllocation {
    let server = "turn:rover:secret@relay".parse().unwrap();
    let (local, address) = ("192.0.2.1:9".parse().unwrap(), "198.51.100.1:3478".parse().unwrap());
    TurnAllocation::new(now, &server, transport, local, address, 0)
}

/// Runs an allocation against the server above, each input changed by `change`.
fn run(transport: Transport, mut change: impl FnMut(Vec<u8>) -> Vec<u8>) -> Vec<TurnEvent> {
    let mut now = clock::now();
    let mut allocation = begin(now, transport);
    let peer = "203.0.113.9:9".parse().unwrap();
    for _ in 0..12 {
        while let Some(request) = allocation.poll_transmit() {
            if Message::from_bytes(&request).is_ok_and(|m| m.has_class(MessageClass::Request)) {
                let answer = change(answer(&request));
                allocation.handle_input(now, &answer);
            }
        }
        for _ in 0..20 {
            allocation.send(now, peer, b"data");
        }
        let data = change(vec![0x40, 0, 0, 3, 1, 2, 3, 0]);
        allocation.handle_input(now, &data);
        now += Duration::from_millis(60);
        allocation.handle_timeout(now);
    }
    std::iter::from_fn(|| allocation.poll_event()).collect()
}

#[test]
fn the_whole_way_to_data() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let events = run(transport, |answer| answer);
        let (relayed, mapped) = (RELAYED.parse().unwrap(), MAPPED.parse().ok());
        assert_eq!(events[0], TurnEvent::Allocated { relayed, mapped });
        let data = TurnEvent::Data { peer: "203.0.113.9:9".parse().unwrap(), data: vec![1, 2, 3] };
        assert_eq!(events.last(), Some(&data), "{transport:?}");
    }
}

#[test]
fn nothing_that_a_server_sends_is_a_panic() {
    for transport in [Transport::Udp, Transport::Tcp] {
        for _ in 0..500 {
            run(transport, |mut answer| {
                for _ in 0..random::number() % 4 {
                    let position = random::number() as usize % answer.len();
                    answer[position] = random::number() as u8;
                }
                if random::number().is_multiple_of(8) {
                    answer.truncate(random::number() as usize % answer.len());
                }
                answer
            });
        }
    }
}

#[test]
fn a_forged_answer_allocates_nothing() {
    // Right but for the key: the last bytes are the MESSAGE-INTEGRITY.
    let events = run(Transport::Udp, |mut answer| {
        let last = answer.len() - 1;
        answer[last] ^= u8::from(last > 60);
        answer
    });
    assert!(!events.iter().any(|e| matches!(e, TurnEvent::Allocated { .. })), "{events:?}");
}

#[test]
fn the_password_is_not_shown() {
    let shown = format!("{:?}", begin(clock::now(), Transport::Tcp));
    assert!(shown.contains("198.51.100.1:3478") && !shown.contains("secret"), "{shown}");
}

#[test]
fn a_stun_server_does_not_relay() {
    let (local, address) = ("192.0.2.1:9".parse().unwrap(), "198.51.100.1:3478".parse().unwrap());
    let server = "stun:relay".parse().unwrap();
    let mut allocation =
        TurnAllocation::new(clock::now(), &server, Transport::Udp, local, address, 0);
    assert!(matches!(allocation.poll_event(), Some(TurnEvent::Failed(_))));
    assert_eq!((allocation.poll_transmit(), allocation.poll_timeout()), (None, None));
}
