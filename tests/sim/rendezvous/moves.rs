//! Addresses that change, and new transports beside old ones.

use std::sync::Arc;
use std::time::Duration;

use crate::net::Edge;
use crate::network::{A, B, Network, Note};
use crate::pair::{MS, Report, SECOND};

/// One side loses all its addresses and gets a new one a second later; the gap counts from there.
fn move_house(network: &mut Network, who: usize) -> Duration {
    network.lose_addresses(who);
    network.run_for(SECOND);
    let seen: Vec<_> = [(A, "b"), (B, "a")].map(|(p, n)| network.nodes[p].got[n].len()).into();
    network.add_address(who);
    network.nodes[who].follow(network.now);
    let start = network.now;
    let flows = |t: &mut Network| {
        let got = [(A, "b"), (B, "a")].map(|(p, n)| t.nodes[p].got[n].len());
        got[0] > seen[0] && got[1] > seen[1]
    };
    assert!(network.run(30 * SECOND, flows), "nothing flows, seed {}", network.seed);
    network.now - start
}

#[test]
fn all_addresses_change() {
    let mut times = Vec::new();
    for seed in 0..6u64 {
        for (hub_lives, delay) in [(true, 1), (true, 50), (false, 1), (false, 50)] {
            let mut network = Network::direct(seed);
            let edge = Edge { delay: delay * MS, ..Edge::default() };
            network.net.change_all(|e| *e = edge.clone());
            network.edge = Some(edge);
            network.run_for(MS * (3000 + 37 * seed as u32));
            if !hub_lives {
                network.kill_hub();
                network.run_for(SECOND);
            }
            let took = move_house(&mut network, if seed % 2 == 0 { A } else { B });
            assert!(took <= 500 * MS, "{took:?}, hub {hub_lives}, {delay} ms, seed {seed}");
            times.push((took, hub_lives, delay));
            network.run_for(2 * SECOND);
            for report in network.reports() {
                report.assert_whole();
            }
        }
    }
    times.sort();
    println!("moved: p50 {:?}, max {:?}", times[times.len() / 2], times.last());
}

/// Both move at once: only the hub knows who is where.
#[test]
fn both_move_at_once() {
    let mut times = Vec::new();
    for seed in 0..10u64 {
        let mut network = Network::direct(seed);
        network.run_for(MS * (500 + 37 * seed as u32));
        network.lose_addresses(B);
        let apart = network.random.time(500 * MS);
        network.run_for(apart);
        let took = move_house_after(&mut network);
        times.push(took);
        network.run_for(2 * SECOND);
        for report in network.reports() {
            report.assert_whole();
        }
    }
    times.sort();
    println!("both moved: p50 {:?}, max {:?}", times[times.len() / 2], times.last());
    assert!(times.last().unwrap() <= &(500 * MS));
}

fn move_house_after(network: &mut Network) -> Duration {
    network.lose_addresses(A);
    network.run_for(SECOND);
    network.add_address(B);
    network.nodes[B].follow(network.now);
    network.add_address(A);
    network.nodes[A].follow(network.now);
    let start = network.now;
    assert!(network.run(30 * SECOND, |t| t.is_open(A, B)), "seed {}", network.seed);
    network.now - start
}

/// An interface comes or goes while a relay carries, again and again.
#[test]
fn interfaces_come_and_go() {
    for seed in 0..4u64 {
        let mut network = Network::talking(seed);
        for turn in 0..20 {
            let who = (network.random.chance() * 2.0) as usize;
            if network.nodes[who].ips.len() > 1 {
                let gone = network.nodes[who].ips.remove(0);
                network.net.edges.retain(|(a, b), _| *a != gone && *b != gone);
            } else {
                network.add_address(who);
            }
            network.nodes[who].follow(network.now);
            let pause = network.random.time(if turn % 3 == 0 { 100 * MS } else { 2 * SECOND });
            network.run_for(pause);
        }
        network.run_for(3 * SECOND);
        assert!(network.is_open(A, B), "seed {seed}");
        for report in network.reports() {
            report.assert_whole().assert_gap(500 * MS);
        }
        for node in &mut network.nodes {
            assert_eq!(node.sockets.len(), node.ips.len());
            let mut peer = node.peers.peers();
            let locals = peer.next().unwrap().link().transport().unwrap().locals().len();
            assert_eq!(locals, node.ips.len() + 1, "its addresses and the hub");
        }
    }
}

fn assert_few_lost(report: &Report, most: usize) {
    assert!(report.lost <= most, "{report:?}");
    assert_eq!((report.duplicated, report.reordered), (0, 0), "{report:?}");
}

/// The old paths come back at any moment of a new call: one transport is left on each side.
#[test]
fn old_paths_come_back_while_a_new_transport_is_dialed() {
    let mut lost = Vec::new();
    let mut second = 0;
    for seed in 0..10u64 {
        let mut network = Network::direct(seed);
        network.talk(A, B, 20 * MS);
        let delay = 1 + (seed as u32 % 4) * 20;
        network.net.change_all(|e| e.delay = delay * MS);
        (network.hub.delay, network.hub.jitter) = (5 * MS, 50 * MS);
        let old = [A, B].map(|p| network.nodes[p].sockets[0].port());
        network.net.change_all(|e| e.cut = true);
        let dials =
            |t: &mut Network| [(A, "b"), (B, "a")].iter().any(|(p, n)| t.nodes[*p].redials(n));
        assert!(network.run(30 * SECOND, dials), "seed {seed}");
        assert_eq!(old, [A, B].map(|p| network.nodes[p].sockets[0].port()));
        let pause = network.random.time(400 * MS);
        network.run_for(pause);
        network.net.change_all(|e| e.cut = false);
        assert!(network.run(5 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        network.run_for(15 * SECOND);
        assert!(network.is_open(A, B), "seed {seed}");
        let ups = [(A, "b"), (B, "a")].map(|(p, n)| network.nodes[p].count(n, &|n| *n == Note::Up));
        assert!(ups[0] == ups[1] && ups[0] <= 3, "{ups:?}, seed {seed}");
        second += usize::from(ups[0] > 1);
        for report in network.reports() {
            assert_few_lost(&report, 12);
            lost.push(report.lost);
        }
        for (p, n) in [(A, "b"), (B, "a")] {
            assert!(network.nodes[p].sockets.len() <= 2, "{n}");
        }
    }
    lost.sort_unstable();
    println!("{second} of 10 went over, lost p50 {} max {:?}", lost[10], lost.last());
}

/// One side forgets the link while the other one's transport works, and calls again: the other one
/// keeps the old transport until the new one is up.
#[test]
fn a_call_comes_while_the_old_transport_works() {
    let mut lost = Vec::new();
    for seed in 0..10u64 {
        let mut network = Network::talking(seed);
        let (one, other) = if seed % 2 == 0 { (A, B) } else { (B, A) };
        let (own, name) = (network.nodes[one].name.clone(), network.nodes[other].name.clone());
        // The good-bye gets lost.
        network.net.change_all(|e| e.cut = true);
        (network.hub.relays, network.hub.wired[other]) = (false, false);
        let id = network.nodes[one].id(&name).unwrap();
        network.nodes[one].peers.hang_up(network.now, id);
        network.run_for(20 * MS);
        network.net.change_all(|e| e.cut = false);
        network.hub.wired[other] = true;
        network.dial(one, other);
        assert!(network.run(2 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        network.run_for(3 * SECOND);
        assert!(network.is_open(A, B));
        assert_eq!(network.nodes[other].count(&own, &|n| *n == Note::Up), 2);
        for report in network.reports() {
            assert_few_lost(&report, 30);
            lost.push(report.lost);
        }
    }
    println!("lost at a new call: {lost:?}");
}

/// One side's process is new, and the link comes back with it, whoever else is moving.
#[test]
fn a_new_process_at_a_new_address() {
    for seed in 0..10u64 {
        let mut network = Network::direct(seed);
        network.kill(B);
        network.lose_addresses(B);
        network.run_for(SECOND);
        network.add_address(B);
        let identity = Arc::clone(&network.nodes[B].identity);
        network.revive(B, identity);
        network.dial(B, A);
        assert!(network.run(2 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        network.run_for(SECOND);
        for report in network.reports() {
            assert_few_lost(&report, 200);
        }
    }
}
