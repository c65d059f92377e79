//! The hub's relay, and hubs that die.

use std::net::SocketAddr;

use rover_rtc::path::{LocalAddress, is_relay};
use rover_rtc::rendezvous::RendezvousConfig;

use crate::network::{A, B, Network, Node, Note, config};
use crate::pair::{MS, SECOND};

#[test]
fn a_relay_carries_where_no_address_is_reached() {
    for seed in 0..5 {
        let mut network = Network::empty(seed);
        network.edge = None;
        network.settle_in(config("a"), 1);
        network.settle_in(config("b"), 1);
        network.run_for(SECOND);
        network.dial(A, B);
        assert!(network.run(2 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        network.talk(A, B, 10 * MS);
        network.run_for(5 * SECOND);
        network.reports().iter().for_each(|r| {
            r.assert_whole();
        });
    }
}

/// A hub that is new has forgotten its channels; the peers ask for them again.
#[test]
fn a_hub_that_dies_leaves_no_gap_and_relays_again() {
    for seed in 0..5 {
        let mut network = Network::talking(seed);
        network.kill_hub();
        network.run_for(MS * (300 + 777 * seed as u32));
        network.hub.asked.clear();
        network.start_hub();
        network.run_for(3 * SECOND);
        // Only the relay is left.
        network.net.change_all(|e| e.cut = true);
        network.run_for(5 * SECOND);
        assert!(network.is_open(A, B), "seed {seed}");
        assert!(network.hub.frames > 100);
        for report in network.reports() {
            report.assert_whole().assert_gap(400 * MS);
        }
        let calm = |n: &Note| matches!(n, Note::Trouble(_) | Note::Dialing | Note::Restarting);
        let before = network.nodes[A].count("b", &calm);
        assert_eq!(before, 1, "only the first dial: {:?}", network.nodes[A].notes);
        assert_eq!(network.hub.channels(), 2);
    }
}

/// The relay carries, the hub dies, and comes back without a memory.
#[test]
fn a_relayed_link_waits_for_its_hub() {
    for seed in 0..5 {
        let mut network = Network::empty(seed);
        network.edge = None;
        network.settle_in(config("a"), 1);
        network.settle_in(config("b"), 1);
        network.run_for(SECOND);
        network.dial(A, B);
        network.run(2 * SECOND, |t| t.is_open(A, B));
        network.talk(A, B, 10 * MS);
        network.run_for(3 * SECOND);
        network.kill_hub();
        network.run_for(MS * (500 + 1777 * seed as u32));
        network.start_hub();
        assert!(network.run(3 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        network.run_for(5 * SECOND);
        for report in network.reports() {
            report.assert_whole();
        }
        let transports = network.nodes[A].count("b", &|n| *n == Note::Up);
        assert_eq!(transports, 1, "seed {seed}: {:?}", network.nodes[A].notes);
    }
}

/// One side that keeps its addresses to itself is enough; a TURN server's may be told.
#[test]
fn who_wants_only_relays_tells_no_address_of_its_own() {
    for (seed, secretive) in [A, B].into_iter().enumerate() {
        let mut network = Network::empty(seed as u64);
        for (who, name) in [(A, "a"), (B, "b")] {
            let relay_only = who == secretive;
            network.settle_in(RendezvousConfig { relay_only, ..config(name) }, 1);
        }
        network.run_for(SECOND);
        network.dial(A, B);
        assert!(network.run(2 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        network.talk(A, B, 10 * MS);
        let own = network.nodes[secretive].sockets[0];
        let public = SocketAddr::from(([198, 51, 100, 7], 60_000));
        let relayed = SocketAddr::from(([203, 0, 113, 9], 50_000));
        let local_addresses = [
            LocalAddress::host(own),
            LocalAddress::reflexive(public, own),
            LocalAddress::turn(relayed, own),
        ];
        // A TURN server's address comes late, as it does.
        network.nodes[secretive].peers.set_local_addresses(network.now, &local_addresses, &[own]);
        network.run_for(3 * SECOND);
        for node in &mut network.nodes {
            assert!(!knows(node, own) && !knows(node, public), "{} knows it", node.name);
            assert!(knows(node, relayed), "{} does not know the relay", node.name);
        }
        let carried = |p: &mut Node| {
            p.peers.peers().all(|t| t.selected().is_some_and(|c| is_relay(c.local().ip())))
        };
        assert!(network.nodes.iter_mut().all(carried));
        let node = &mut network.nodes[secretive];
        node.peers.set_local_addresses(network.now, &local_addresses[..2], &[own]);
        assert!(!knows(node, relayed));
        network.run_for(SECOND);
        for report in network.reports() {
            report.assert_whole();
        }
    }
}

/// Whether a peer's link has an address at one of its ends.
fn knows(node: &mut Node, address: SocketAddr) -> bool {
    let transport = node.peers.peers().next().and_then(|t| t.link().transport()).unwrap();
    let far = transport.paths().iter().any(|p| p.remote() == address);
    far || transport.locals().iter().any(|l| l.address == address)
}
