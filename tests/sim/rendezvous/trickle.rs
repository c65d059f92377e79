//! Candidates that are found late: after the offer, before the answer, on either way of signal
//! messages.

use std::net::SocketAddr;
use std::sync::Arc;

use rover_rtc::identity::{Identity, KnownPeers};
use rover_rtc::path::LocalAddress;
use rover_rtc::rendezvous::Rendezvous;
use rover_rtc::signal::hub_messages::{FromHub, ToHub};

use crate::net::Edge;
use crate::network::{A, B, Network, config};
use crate::pair::{MS, SECOND};

/// Puts a NAT in front of a peer, whose public address nobody knows yet.
fn hide(network: &mut Network, who: usize) -> (SocketAddr, SocketAddr) {
    let socket = network.nodes[who].sockets[0];
    let public = SocketAddr::from(([192, 0, 2, who as u8 + 1], 7000));
    network.net.nat.insert(socket, public);
    (socket, public)
}

fn learn(network: &mut Network, who: usize, (socket, public): (SocketAddr, SocketAddr)) {
    network.nodes[who].mapped.insert(socket, public);
    network.nodes[who].tell_local_addresses(network.now);
}

/// Both are behind NATs and learn their public addresses at any time of the call.
#[test]
fn public_addresses_found_late_make_a_direct_path() {
    for seed in 0..20u64 {
        let mut network = Network::new(seed, 2);
        network.hub.relays = false;
        (network.hub.delay, network.hub.jitter) = (40 * MS, 60 * MS);
        network.hub.ordered = seed % 2 == 0;
        network.net.change_all(|e| *e = Edge { delay: 20 * MS, ..Edge::default() });
        let (one, two) = (hide(&mut network, A), hide(&mut network, B));
        network.dial(A, B);
        let (first, second) = (network.random.time(400 * MS), network.random.time(400 * MS));
        network.run_for(first);
        learn(&mut network, A, one);
        network.run_for(second);
        learn(&mut network, B, two);
        let start = network.now;
        assert!(network.run(15 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        println!("late candidates: up after {:?}", network.now - start);
        network.talk(A, B, 10 * MS);
        network.run_for(2 * SECOND);
        network.reports().iter().for_each(|r| {
            r.assert_whole();
        });
    }
}

/// While a path lives, signal messages about candidates need no hub.
#[test]
fn a_new_address_is_told_on_the_path_that_lives() {
    for seed in 0..5 {
        let mut network = Network::direct(seed);
        network.kill_hub();
        network.run_for(SECOND);
        network.hub.asked.clear();
        let [old_a, old_b] = [A, B].map(|who| network.nodes[who].ips[0]);
        for who in [A, B] {
            network.add_address(who);
            network.nodes[who].follow(network.now);
            network.run_for(100 * MS);
        }
        // Only a pair of which neither knew the other's end before is left.
        let gone = [old_a, old_b];
        network.net.edges.iter_mut().for_each(|((a, b), edge)| {
            edge.cut = gone.contains(a) || gone.contains(b);
        });
        network.run_for(3 * SECOND);
        assert!(network.is_open(A, B), "seed {seed}");
        assert!(network.hub.asked.is_empty());
        for report in network.reports() {
            report.assert_whole().assert_gap(400 * MS);
        }
    }
}

/// Candidates of a call that is over, or was never made, change nothing.
#[test]
fn candidates_of_another_call_are_ignored() {
    let mut network = Network::direct(1);
    let sent = network.hub.asked.iter().rev().find_map(|(_, asked)| match asked {
        ToHub::Send { signal, call, .. } => Some((signal.clone(), call.clone())),
        _ => None,
    });
    assert!(sent.is_some());
    let id = network.nodes[A].id("b").unwrap();
    network.nodes[A].peers.hang_up(network.now, id);
    network.run_for(SECOND);
    assert_eq!(network.nodes[B].peers.peers().count(), 1, "it may come back");
    network.dial(A, B);
    assert!(network.run(5 * SECOND, |t| t.is_open(A, B)));
    // B tells of its new address for the call of before as well as for that of now.
    network.add_address(B);
    network.nodes[B].follow(network.now);
    network.run_for(SECOND);
    assert!(network.is_open(A, B));
    assert_eq!(network.nodes[A].refusals, Vec::<String>::new());
}

/// The hub may hand over an offer and what comes right behind it at once, before there are sockets
/// for the answer.
#[test]
fn candidates_right_behind_their_offer_are_kept() {
    let now = rover_rtc::util::clock::now();
    let peer = |name: &str| {
        let identity = Arc::new(Identity::fresh().unwrap());
        let mut peer = Rendezvous::new(now, 1, config(name), identity, KnownPeers::in_memory());
        peer.set_reachable(now, true);
        peer
    };
    let (mut a, mut b) = (peer("a"), peer("b"));
    let socket = |n: u8| SocketAddr::from(([10, 0, 0, n], 4000));
    let public = SocketAddr::from(([198, 18, 0, 1], 4001));
    let id = a.dial(now, "b", SECOND).unwrap();
    a.handle_timeout(now);
    a.begin(now, id, &[LocalAddress::host(socket(1))]);
    let all = [LocalAddress::host(socket(1)), LocalAddress::reflexive(public, socket(1))];
    a.set_local_addresses(now, &all, &[socket(1)]);
    while let Some(request) = a.poll_to_hub() {
        if let ToHub::Send { signal, .. } = request {
            b.handle_hub_message(now, FromHub::Deliver { signal });
        }
    }
    let id = b.find("a").unwrap();
    b.begin(now, id, &[LocalAddress::host(socket(2))]);
    let transport = b.peer(id).unwrap().link().next_transport().unwrap();
    assert!(transport.paths().has_remote(public));
}
