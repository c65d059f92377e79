use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::*;
use crate::identity::Identity;
use crate::signal::description::{Description, Rover};
use crate::signal::hub_messages::PROOF_CONTEXT;

fn offer(name: &str, identity: &Identity, kept: bool) -> Description {
    let rover = Rover {
        version: 1,
        name: Some(name.to_owned()),
        certificate: Some(BASE64.encode(identity.certificate())),
        kept,
        ..Rover::default()
    };
    let sdp = format!("v=0\r\na=fingerprint:sha-256 {}\r\n", identity.fingerprint());
    Description::offer(sdp, Some(rover))
}

fn claim(name: &str, identity: &Identity, kept: bool) -> Claim {
    Claim::of(&offer(name, identity, kept)).unwrap().unwrap()
}

struct Fixture {
    names: Registry,
    now: Instant,
    clients: u64,
}

impl Fixture {
    fn new() -> Self {
        let names = Registry::new(KnownPeers::in_memory(), 3);
        Self { names, now: crate::util::clock::now(), clients: 0 }
    }

    fn register(&mut self, name: &str, identity: &Identity, kept: bool) -> (ClientId, OwnerId) {
        self.clients += 1;
        let client = ClientId::of_number(self.clients);
        self.names.add_claim(client, claim(name, identity, kept));
        let (owner, _) = self.names.register(self.now, client).unwrap().unwrap();
        self.names.set_client(owner, client);
        (client, owner)
    }

    fn standing(&self, name: &str, identity: &Identity) -> NameStatus {
        self.names.standing(name, identity.fingerprint())
    }
}

fn identity() -> Identity {
    Identity::fresh().unwrap()
}

#[test]
fn claims_are_looked_at() {
    let (one, two) = (identity(), identity());
    let mut good = claim("rover", &one, true);
    assert!(good.kept && good.fingerprint == one.fingerprint());
    let proof = |identity: &Identity, context| BASE64.encode(identity.sign(context, b"session"));
    assert!(!good.verify("session", &proof(&two, PROOF_CONTEXT)));
    assert!(!good.verify("session", &proof(&one, "another context")));
    assert!(!good.verify("another session", &proof(&one, PROOF_CONTEXT)));
    for bad in ["", "=", "AAAA", "\u{fc}", &"A".repeat(10_000)] {
        assert!(!good.verify("session", bad), "{bad}");
    }
    let proof = proof(&one, PROOF_CONTEXT);
    assert!(good.verify("session", &proof) && good.verify("session", &proof));

    assert!(Claim::of(&Description::offer("v=0\r\n".to_owned(), None)).unwrap().is_none());
    let mut nameless = offer("rover", &one, false);
    nameless.rover.as_mut().unwrap().name = None;
    assert!(Claim::of(&nameless).unwrap().is_none());
    for name in ["", "a b", "a/b", &"x".repeat(65)] {
        assert!(Claim::of(&offer(name, &one, false)).is_err(), "{name}");
    }
    let mut foreign = offer("rover", &one, false);
    foreign.sdp = offer("rover", &two, false).sdp;
    assert!(Claim::of(&foreign).unwrap_err().contains("a=fingerprint"));
    for line in ["sha-1 00:01", "SHA-1 00:01", "sha-512 00", &two.fingerprint().to_string()] {
        let mut two_faced = offer("rover", &one, false);
        two_faced.sdp = format!("v=0\r\na=Fingerprint:{line}\r\n{}", two_faced.sdp);
        assert!(Claim::of(&two_faced).unwrap_err().contains("a=fingerprint"), "{line}");
    }
    for bad in ["%", &"A".repeat(100_000)] {
        foreign.rover.as_mut().unwrap().certificate = Some(bad.to_owned());
        assert!(Claim::of(&foreign).unwrap_err().contains("base64"));
    }
}

#[test]
fn a_kept_key_has_its_name_for_good() {
    let mut registry = Fixture::new();
    let (one, two) = (identity(), identity());
    let (client, owner) = registry.register("rover", &one, true);
    assert!(matches!(registry.standing("rover", &one), NameStatus::Ours));
    assert!(matches!(registry.standing("rover", &two), NameStatus::Refused(_)));
    registry.names.remove_client(registry.now, client);
    assert!(registry.names.forget(owner).is_empty());
    assert!(matches!(registry.standing("rover", &one), NameStatus::Free));
    assert!(matches!(registry.standing("rover", &two), NameStatus::Refused(_)));
}

#[test]
fn another_key_has_it_as_long_as_it_lives() {
    let mut registry = Fixture::new();
    let (one, two) = (identity(), identity());
    let (client, owner) = registry.register("rover", &one, false);
    assert!(matches!(registry.standing("rover", &two), NameStatus::Held(id) if id == owner));
    assert_eq!(registry.names.forget(owner), [client]);
    assert_eq!(registry.names.owner_of(client), None);
    assert!(matches!(registry.standing("rover", &two), NameStatus::Free));
}

#[test]
fn an_owner_outlives_its_clients_for_a_while() {
    let mut registry = Fixture::new();
    let one = identity();
    let (first, owner) = registry.register("rover", &one, false);
    registry.names.owner(owner).unwrap().mailbox.push("{}".to_owned());
    let (second, again) = registry.register("rover", &one, false);
    assert_eq!(owner, again);
    registry.names.remove_client(registry.now, first);
    assert_eq!(registry.names.owner(owner).unwrap().client, Some(second));
    assert!(registry.names.expired(registry.now + 10 * KEPT_AFTER).is_empty());
    registry.names.remove_client(registry.now, second);
    assert_eq!(registry.names.with_pending().collect::<Vec<_>>(), [owner]);
    let just_before = registry.now + KEPT_AFTER - Duration::from_millis(1);
    assert!(registry.names.expired(just_before).is_empty());
    assert_eq!(registry.names.expired(registry.now + KEPT_AFTER), [owner]);
}

#[test]
fn there_are_only_so_many() {
    let mut registry = Fixture::new();
    let one = identity();
    let made: Vec<_> = (0..5).map(|n| registry.register(&format!("r{n}"), &one, false)).collect();
    assert!(registry.names.expired(registry.now).is_empty(), "all are there");
    for (client, _) in &made {
        registry.names.remove_client(registry.now, *client);
        registry.now += Duration::from_secs(1);
    }
    assert_eq!(registry.names.expired(registry.now), [made[0].1, made[1].1]);
    assert_eq!((registry.names.len(), registry.names.list(2)), (5, vec!["r0", "r1"]));
}

#[test]
fn those_who_wait_are_found_by_the_name() {
    let mut registry = Fixture::new();
    let (one, two) = (identity(), identity());
    let (_, a) = registry.register("a", &one, false);
    let (_, b) = registry.register("b", &two, false);
    for owner in [a, b, a] {
        registry.names.wait_for(owner, "c");
    }
    assert_eq!(registry.names.take_waiting("c"), [a, b].into());
    assert!(registry.names.take_waiting("c").is_empty() && registry.names.waiting.is_empty());
    for n in 0..20 {
        registry.names.wait_for(a, &format!("n{n}"));
    }
    assert!(registry.names.take_waiting("n3").is_empty(), "too long ago");
    assert_eq!(registry.names.take_waiting("n4"), [a].into());
    assert_eq!(registry.names.waiting.len(), MAX_WAITS - 1);
    registry.names.forget(a);
    assert!(registry.names.waiting.is_empty());
}
