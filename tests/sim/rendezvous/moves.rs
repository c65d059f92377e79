//! Addresses that change, and new transports beside old ones.

use std::sync::Arc;
use std::time::Duration;

use crate::net::Edge;
use crate::pair::{MS, Report, SECOND};
use crate::town::{A, B, Note, Town};

/// One side loses all its addresses and gets a new one a second later; the gap counts from there.
fn move_house(town: &mut Town, who: usize) -> Duration {
    town.lose_addresses(who);
    town.run_for(SECOND);
    let seen: Vec<_> = [(A, "b"), (B, "a")].map(|(p, n)| town.people[p].got[n].len()).into();
    town.add_address(who);
    town.people[who].follow(town.now);
    let start = town.now;
    let flows = |t: &mut Town| {
        let got = [(A, "b"), (B, "a")].map(|(p, n)| t.people[p].got[n].len());
        got[0] > seen[0] && got[1] > seen[1]
    };
    assert!(town.run(30 * SECOND, flows), "nothing flows, seed {}", town.seed);
    town.now - start
}

#[test]
fn all_addresses_change() {
    let mut times = Vec::new();
    for seed in 0..20u64 {
        for (hub_lives, delay) in [(true, 1), (true, 50), (false, 1), (false, 50)] {
            let mut town = Town::direct(seed);
            let edge = Edge { delay: delay * MS, ..Edge::default() };
            town.net.change_all(|e| *e = edge.clone());
            town.edge = Some(edge);
            town.run_for(MS * (3000 + 37 * seed as u32));
            if !hub_lives {
                town.kill_hub();
                town.run_for(SECOND);
            }
            let took = move_house(&mut town, if seed % 2 == 0 { A } else { B });
            assert!(took <= 500 * MS, "{took:?}, hub {hub_lives}, {delay} ms, seed {seed}");
            times.push((took, hub_lives, delay));
            town.run_for(2 * SECOND);
            for report in town.reports() {
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
    for seed in 0..20u64 {
        let mut town = Town::direct(seed);
        town.run_for(MS * (500 + 37 * seed as u32));
        town.lose_addresses(B);
        let apart = town.random.time(500 * MS);
        town.run_for(apart);
        let took = move_house_after(&mut town);
        times.push(took);
        town.run_for(2 * SECOND);
        for report in town.reports() {
            report.assert_whole();
        }
    }
    times.sort();
    println!("both moved: p50 {:?}, max {:?}", times[times.len() / 2], times.last());
    assert!(times.last().unwrap() <= &(500 * MS));
}

fn move_house_after(town: &mut Town) -> Duration {
    town.lose_addresses(A);
    town.run_for(SECOND);
    town.add_address(B);
    town.people[B].follow(town.now);
    town.add_address(A);
    town.people[A].follow(town.now);
    let start = town.now;
    assert!(town.run(30 * SECOND, |t| t.is_open(A, B)), "seed {}", town.seed);
    town.now - start
}

/// An interface comes or goes while a relay carries, again and again.
#[test]
fn interfaces_come_and_go() {
    for seed in 0..10u64 {
        let mut town = Town::talking(seed);
        for turn in 0..20 {
            let who = (town.random.chance() * 2.0) as usize;
            if town.people[who].ips.len() > 1 {
                let gone = town.people[who].ips.remove(0);
                town.net.edges.retain(|(a, b), _| *a != gone && *b != gone);
            } else {
                town.add_address(who);
            }
            town.people[who].follow(town.now);
            let pause = town.random.time(if turn % 3 == 0 { 100 * MS } else { 2 * SECOND });
            town.run_for(pause);
        }
        town.run_for(3 * SECOND);
        assert!(town.is_open(A, B), "seed {seed}");
        for report in town.reports() {
            report.assert_whole().assert_gap(500 * MS);
        }
        for person in &mut town.people {
            assert_eq!(person.sockets.len(), person.ips.len());
            let mut tie = person.ties.ties();
            let locals = tie.next().unwrap().link().transport().unwrap().locals().len();
            assert_eq!(locals, person.ips.len() + 1, "its addresses and the hub");
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
    for seed in 0..20u64 {
        let mut town = Town::direct(seed);
        town.talk(A, B, 20 * MS);
        let delay = 1 + (seed as u32 % 4) * 20;
        town.net.change_all(|e| e.delay = delay * MS);
        (town.hub.delay, town.hub.jitter) = (5 * MS, 50 * MS);
        let old = [A, B].map(|p| town.people[p].sockets[0].port());
        town.net.change_all(|e| e.cut = true);
        let dials =
            |t: &mut Town| [(A, "b"), (B, "a")].iter().any(|(p, n)| t.people[*p].redials(n));
        assert!(town.run(30 * SECOND, dials), "seed {seed}");
        assert_eq!(old, [A, B].map(|p| town.people[p].sockets[0].port()));
        let pause = town.random.time(400 * MS);
        town.run_for(pause);
        town.net.change_all(|e| e.cut = false);
        assert!(town.run(5 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        town.run_for(15 * SECOND);
        assert!(town.is_open(A, B), "seed {seed}");
        let ups = [(A, "b"), (B, "a")].map(|(p, n)| town.people[p].count(n, &|n| *n == Note::Up));
        assert!(ups[0] == ups[1] && ups[0] <= 3, "{ups:?}, seed {seed}");
        second += usize::from(ups[0] > 1);
        for report in town.reports() {
            assert_few_lost(&report, 12);
            lost.push(report.lost);
        }
        for (p, n) in [(A, "b"), (B, "a")] {
            assert!(town.people[p].sockets.len() <= 2, "{n}");
        }
    }
    lost.sort_unstable();
    println!("{second} of 20 went over, lost p50 {} max {:?}", lost[20], lost.last());
}

/// One side forgets the link while the other one's transport works, and calls again: the other one
/// keeps the old transport until the new one is up.
#[test]
fn a_call_comes_while_the_old_transport_works() {
    let mut lost = Vec::new();
    for seed in 0..20u64 {
        let mut town = Town::talking(seed);
        let (one, other) = if seed % 2 == 0 { (A, B) } else { (B, A) };
        let (own, name) = (town.people[one].name.clone(), town.people[other].name.clone());
        // The good-bye gets lost.
        town.net.change_all(|e| e.cut = true);
        (town.hub.relays, town.hub.wired[other]) = (false, false);
        let id = town.people[one].id(&name).unwrap();
        town.people[one].ties.hang_up(town.now, id);
        town.run_for(20 * MS);
        town.net.change_all(|e| e.cut = false);
        town.hub.wired[other] = true;
        town.dial(one, other);
        assert!(town.run(2 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        town.run_for(3 * SECOND);
        assert!(town.is_open(A, B));
        assert_eq!(town.people[other].count(&own, &|n| *n == Note::Up), 2);
        for report in town.reports() {
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
        let mut town = Town::direct(seed);
        town.kill(B);
        town.lose_addresses(B);
        town.run_for(SECOND);
        town.add_address(B);
        let identity = Arc::clone(&town.people[B].identity);
        town.revive(B, identity);
        town.dial(B, A);
        assert!(town.run(2 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        town.run_for(SECOND);
        for report in town.reports() {
            assert_few_lost(&report, 200);
        }
    }
}
