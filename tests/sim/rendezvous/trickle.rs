//! Candidates that are found late: after the offer, before the answer, on either way of letters.

use std::net::SocketAddr;
use std::sync::Arc;

use rover_rtc::identity::{Identity, KnownPeers};
use rover_rtc::path::LocalAddress;
use rover_rtc::rendezvous::Rendezvous;
use rover_rtc::signal::post::{FromHub, ToHub};

use crate::net::Edge;
use crate::pair::{MS, SECOND};
use crate::town::{A, B, Town, config};

/// Puts a NAT in front of a peer, whose public address nobody knows yet.
fn hide(town: &mut Town, who: usize) -> (SocketAddr, SocketAddr) {
    let socket = town.people[who].sockets[0];
    let public = SocketAddr::from(([192, 0, 2, who as u8 + 1], 7000));
    town.net.nat.insert(socket, public);
    (socket, public)
}

fn learn(town: &mut Town, who: usize, (socket, public): (SocketAddr, SocketAddr)) {
    town.people[who].mapped.insert(socket, public);
    town.people[who].tell_places(town.now);
}

/// Both are behind NATs and learn their public addresses at any time of the call.
#[test]
fn public_addresses_found_late_make_a_direct_path() {
    for seed in 0..20u64 {
        let mut town = Town::new(seed, 2);
        town.hub.relays = false;
        (town.hub.delay, town.hub.jitter) = (40 * MS, 60 * MS);
        town.hub.ordered = seed % 2 == 0;
        town.net.change_all(|e| *e = Edge { delay: 20 * MS, ..Edge::default() });
        let (one, two) = (hide(&mut town, A), hide(&mut town, B));
        town.dial(A, B);
        let (first, second) = (town.random.time(400 * MS), town.random.time(400 * MS));
        town.run_for(first);
        learn(&mut town, A, one);
        town.run_for(second);
        learn(&mut town, B, two);
        let start = town.now;
        assert!(town.run(15 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        println!("late candidates: up after {:?}", town.now - start);
        town.talk(A, B, 10 * MS);
        town.run_for(2 * SECOND);
        town.reports().iter().for_each(|r| {
            r.assert_whole();
        });
    }
}

/// While a path lives, letters about candidates need no hub.
#[test]
fn a_new_address_is_told_on_the_path_that_lives() {
    for seed in 0..5 {
        let mut town = Town::direct(seed);
        town.kill_hub();
        town.run_for(SECOND);
        town.hub.asked.clear();
        let [old_a, old_b] = [A, B].map(|who| town.people[who].ips[0]);
        for who in [A, B] {
            town.add_address(who);
            town.people[who].follow(town.now);
            town.run_for(100 * MS);
        }
        // Only a pair of which neither knew the other's end before is left.
        let gone = [old_a, old_b];
        town.net.edges.iter_mut().for_each(|((a, b), edge)| {
            edge.cut = gone.contains(a) || gone.contains(b);
        });
        town.run_for(3 * SECOND);
        assert!(town.is_open(A, B), "seed {seed}");
        assert!(town.hub.asked.is_empty());
        for report in town.reports() {
            report.assert_whole().assert_gap(400 * MS);
        }
    }
}

/// Candidates of a call that is over, or was never made, change nothing.
#[test]
fn candidates_of_another_call_are_ignored() {
    let mut town = Town::direct(1);
    let sent = town.hub.asked.iter().rev().find_map(|(_, asked)| match asked {
        ToHub::Send { letter, call, .. } => Some((letter.clone(), call.clone())),
        _ => None,
    });
    assert!(sent.is_some());
    let id = town.people[A].id("b").unwrap();
    town.people[A].ties.hang_up(town.now, id);
    town.run_for(SECOND);
    assert_eq!(town.people[B].ties.ties().count(), 1, "it may come back");
    town.dial(A, B);
    assert!(town.run(5 * SECOND, |t| t.is_open(A, B)));
    // B tells of its new address for the call of before as well as for that of now.
    town.add_address(B);
    town.people[B].follow(town.now);
    town.run_for(SECOND);
    assert!(town.is_open(A, B));
    assert_eq!(town.people[A].refusals, Vec::<String>::new());
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
    a.set_places(now, &all, &[socket(1)]);
    while let Some(parcel) = a.poll_parcel() {
        if let ToHub::Send { letter, .. } = parcel {
            b.handle_post(now, FromHub::Deliver { letter });
        }
    }
    let id = b.find("a").unwrap();
    b.begin(now, id, &[LocalAddress::host(socket(2))]);
    let transport = b.tie(id).unwrap().link().next_transport().unwrap();
    assert!(transport.paths().has_remote(public));
}
