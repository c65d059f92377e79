//! The hub's relay, and hubs that die.

use std::net::SocketAddr;

use rover_rtc::path::{LocalAddress, is_relay};
use rover_rtc::rendezvous::RendezvousConfig;

use crate::pair::{MS, SECOND};
use crate::town::{A, B, Note, Person, Town, config};

#[test]
fn a_relay_carries_where_no_address_is_reached() {
    for seed in 0..5 {
        let mut town = Town::empty(seed);
        town.edge = None;
        town.settle_in(config("a"), 1);
        town.settle_in(config("b"), 1);
        town.run_for(SECOND);
        town.dial(A, B);
        assert!(town.run(2 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        town.talk(A, B, 10 * MS);
        town.run_for(5 * SECOND);
        town.reports().iter().for_each(|r| {
            r.assert_whole();
        });
    }
}

/// A hub that is new has forgotten its channels; the peers ask for them again.
#[test]
fn a_hub_that_dies_leaves_no_gap_and_relays_again() {
    for seed in 0..10 {
        let mut town = Town::talking(seed);
        town.kill_hub();
        town.run_for(MS * (300 + 777 * seed as u32));
        town.hub.asked.clear();
        town.start_hub();
        town.run_for(3 * SECOND);
        // Only the relay is left.
        town.net.change_all(|e| e.cut = true);
        town.run_for(5 * SECOND);
        assert!(town.is_open(A, B), "seed {seed}");
        assert!(town.hub.frames > 100);
        for report in town.reports() {
            report.assert_whole().assert_gap(400 * MS);
        }
        let calm = |n: &Note| matches!(n, Note::Trouble(_) | Note::Dialing | Note::Restarting);
        let before = town.people[A].count("b", &calm);
        assert_eq!(before, 1, "only the first dial: {:?}", town.people[A].notes);
        assert_eq!(town.hub.channels(), 2);
    }
}

/// The relay carries, the hub dies, and comes back without a memory.
#[test]
fn a_relayed_link_waits_for_its_hub() {
    for seed in 0..10 {
        let mut town = Town::empty(seed);
        town.edge = None;
        town.settle_in(config("a"), 1);
        town.settle_in(config("b"), 1);
        town.run_for(SECOND);
        town.dial(A, B);
        town.run(2 * SECOND, |t| t.is_open(A, B));
        town.talk(A, B, 10 * MS);
        town.run_for(3 * SECOND);
        town.kill_hub();
        town.run_for(MS * (500 + 1777 * seed as u32));
        town.start_hub();
        assert!(town.run(3 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        town.run_for(5 * SECOND);
        for report in town.reports() {
            report.assert_whole();
        }
        let transports = town.people[A].count("b", &|n| *n == Note::Up);
        assert_eq!(transports, 1, "seed {seed}: {:?}", town.people[A].notes);
    }
}

/// One side that keeps its addresses to itself is enough; a TURN server's may be told.
#[test]
fn who_wants_only_relays_tells_no_address_of_its_own() {
    for (seed, secretive) in [A, B].into_iter().enumerate() {
        let mut town = Town::empty(seed as u64);
        for (who, name) in [(A, "a"), (B, "b")] {
            let relay_only = who == secretive;
            town.settle_in(RendezvousConfig { relay_only, ..config(name) }, 1);
        }
        town.run_for(SECOND);
        town.dial(A, B);
        assert!(town.run(2 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        town.talk(A, B, 10 * MS);
        let own = town.people[secretive].sockets[0];
        let public = SocketAddr::from(([198, 51, 100, 7], 60_000));
        let relayed = SocketAddr::from(([203, 0, 113, 9], 50_000));
        let places = [
            LocalAddress::host(own),
            LocalAddress::reflexive(public, own),
            LocalAddress::turn(relayed, own),
        ];
        // A TURN server's address comes late, as it does.
        town.people[secretive].ties.set_places(town.now, &places, &[own]);
        town.run_for(3 * SECOND);
        for person in &mut town.people {
            assert!(!knows(person, own) && !knows(person, public), "{} knows it", person.name);
            assert!(knows(person, relayed), "{} does not know the relay", person.name);
        }
        let carried = |p: &mut Person| {
            p.ties.ties().all(|t| t.carrying().is_some_and(|c| is_relay(c.local().ip())))
        };
        assert!(town.people.iter_mut().all(carried));
        let person = &mut town.people[secretive];
        person.ties.set_places(town.now, &places[..2], &[own]);
        assert!(!knows(person, relayed));
        town.run_for(SECOND);
        for report in town.reports() {
            report.assert_whole();
        }
    }
}

/// Whether a peer's link has an address at one of its ends.
fn knows(person: &mut Person, address: SocketAddr) -> bool {
    let transport = person.ties.ties().next().and_then(|t| t.link().transport()).unwrap();
    let far = transport.paths().iter().any(|p| p.remote() == address);
    far || transport.locals().iter().any(|l| l.address == address)
}
