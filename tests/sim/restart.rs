//! ICE restarts, changed addresses and new transports while messages flow.

use std::net::SocketAddr;

use rover_rtc::link::Transport;
use rover_rtc::path::{LocalAddress, PathConfig};
use rover_rtc::session::SessionConfig;
use rover_rtc::util::random;

use crate::net::Edge;
use crate::pair::{ANSWERER, MS, OFFERER, Pair, SECOND};

fn stream(seed: u64) -> Pair {
    let mut pair = Pair::connected(seed, 2, &PathConfig::default(), &Edge::default());
    pair.send_every(Some(10 * MS));
    pair.run_for(6 * SECOND);
    pair
}

#[test]
fn a_restart_does_not_hurt_living_paths() {
    for offerer in [OFFERER, ANSWERER] {
        let mut pair = stream(offerer as u64);
        for _ in 0..5 {
            let now = pair.now;
            let offer =
                pair.ends[offerer].link.restart_offer(now, random::ice_credentials()).unwrap();
            pair.run_for(50 * MS);
            let (now, other) = (pair.now, 1 - offerer);
            let answer = pair.ends[other]
                .link
                .answer_restart(now, &offer, random::ice_credentials())
                .unwrap();
            pair.run_for(50 * MS);
            let now = pair.now;
            pair.ends[offerer].link.accept_restart(now, &answer).unwrap();
            pair.run_for(3 * SECOND);
        }
        pair.settle(5 * SECOND);
        pair.check().assert_whole().assert_gap(30 * MS);
        let switches: u64 = pair.ends.iter().map(|e| e.link.stats().stun.switches).sum();
        assert_eq!(switches, 0);
    }
}

#[test]
fn checks_may_be_faster_than_the_answer() {
    for seed in 0..10 {
        let mut pair = Pair::unconnected(seed, 2, &PathConfig::default(), &Edge::default());
        let answer = pair.offer();
        // The answerer's checks arrive, and are not repeated soon.
        pair.run_for(40 * MS);
        pair.accept(&answer);
        let connected = |p: &mut Pair| p.ends.iter().all(|e| e.link.is_connected());
        assert!(pair.run(150 * MS, connected), "seed {seed}");
    }
}

#[test]
fn a_lost_answer_can_be_asked_for_again() {
    for seed in 0..10 {
        let mut pair = stream(seed);
        let now = pair.now;
        let offer = pair.ends[OFFERER].link.restart_offer(now, random::ice_credentials()).unwrap();
        let answer = |pair: &mut Pair| {
            let now = pair.now;
            let link = &mut pair.ends[ANSWERER].link;
            link.answer_restart(now, &offer, random::ice_credentials()).unwrap()
        };
        let lost = answer(&mut pair);
        // For a while one side has the new credentials and the other one has not.
        pair.run_for(10 * SECOND);
        let again = answer(&mut pair);
        assert_eq!(lost, again);
        let now = pair.now;
        pair.ends[OFFERER].link.accept_restart(now, &again).unwrap();
        pair.run_for(2 * SECOND);
        // Both paths still work: the selected one can be cut.
        let selected = pair.selected(OFFERER);
        pair.change(selected, |e| e.cut = true);
        pair.run_for(3 * SECOND);
        pair.settle(5 * SECOND);
        pair.check().assert_whole().assert_gap(300 * MS);
    }
}

#[test]
fn a_new_address_takes_over_from_one_that_is_gone() {
    for seed in 0..10u8 {
        let mut pair = Pair::connected(seed.into(), 1, &PathConfig::default(), &Edge::default());
        pair.send_every(Some(10 * MS));
        pair.run_for(6 * SECOND);
        let now = pair.now;
        let (old, new) =
            (pair.ends[OFFERER].addresses[0], SocketAddr::from(([10, 0, 9, seed + 1], 4000)));
        pair.ends[OFFERER].addresses.push(new);
        pair.net.join(new.ip(), pair.ends[ANSWERER].addresses[0].ip(), Edge::default());
        pair.change(0, |e| e.cut = true);
        let transport = pair.ends[OFFERER].link.transport().unwrap();
        transport.remove_local(now, LocalAddress::host(old));
        transport.add_local(now, LocalAddress::host(new));
        pair.run_for(3 * SECOND);
        pair.settle(5 * SECOND);
        pair.check().assert_whole().assert_gap(400 * MS);
    }
}

#[test]
fn a_new_transport_takes_over_from_the_old_one() {
    for seed in 0..5u8 {
        let mut pair = stream(seed.into());
        let now = pair.now;
        let fresh = [1u8, 2].map(|side| SocketAddr::from(([10, 0, 1, side], 5000)));
        let transports = fresh.map(|address| {
            let session = SessionConfig::new(random::ice_credentials());
            let offers = address == fresh[0];
            let mut transport =
                Transport::new(now, session, PathConfig::default(), offers, seed.into());
            transport.add_local(now, LocalAddress::host(address));
            transport
        });
        let [one, two] = transports;
        let offer = pair.ends[OFFERER].link.dial(now, one).unwrap();
        let answer = pair.ends[ANSWERER].link.answer(now, two, &offer).unwrap();
        pair.ends[OFFERER].link.accept_answer(now, &answer).unwrap();
        for end in [OFFERER, ANSWERER] {
            pair.ends[end].addresses.push(fresh[end]);
        }
        pair.run_for(3 * SECOND);
        pair.settle(SECOND);
        // What the old transport had in flight at that moment may be lost, no more.
        let report = pair.check();
        assert!(report.lost <= 3 && report.duplicated == 0, "{report:?}");
        report.assert_gap(100 * MS);
        for end in &mut pair.ends {
            assert_eq!(end.link.stats().transports, 2);
            assert!(!end.closed);
        }
    }
}
