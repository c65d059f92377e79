//! Both sides call, or restart ICE, at once.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rover_rtc::signal::hub_messages::FromHub;

use crate::net::Edge;
use crate::network::{A, B, Network, Note, config};
use crate::pair::{MS, SECOND};

fn network(seed: u64, ordered: bool, loss: f64) -> Network {
    let mut network = Network::empty(seed);
    network.edge = Some(Edge { delay: 10 * MS, ..Edge::default() });
    network.settle_in(config("a"), 1);
    network.settle_in(config("b"), 1);
    network.run_for(SECOND);
    network.hub.delay = network.random.time(100 * MS);
    network.hub.jitter = network.random.time(400 * MS);
    (network.hub.ordered, network.hub.loss) = (ordered, loss);
    network
}

/// Dials from both sides, up to `apart` one after the other; how long it takes to a link.
fn dial_both(network: &mut Network, apart: Duration) -> Duration {
    let (first, second) = if network.random.chance() < 0.5 { (A, B) } else { (B, A) };
    let start = network.now;
    network.dial(first, second);
    let apart = network.random.time(apart);
    network.run_for(apart);
    network.dial(second, first);
    assert!(network.run(40 * SECOND, |t| t.is_open(A, B)), "no link, seed {}", network.seed);
    let took = network.now - start;
    let loss = network.hub.loss;
    // The last signal messages arrive, and change nothing.
    network.hub.loss = 0.0;
    network.talk(A, B, 20 * MS);
    network.run_for(11 * SECOND);
    assert!(network.is_open(A, B), "seed {}", network.seed);
    for report in network.reports() {
        report.assert_whole();
    }
    for who in [A, B] {
        assert_eq!(network.nodes[who].peers.peers().count(), 1);
    }
    // Word of a call's end may be among what is lost.
    let channels = network.hub.channels();
    assert!(loss > 0.0 || channels <= 2, "{channels} of the hub's channels, seed {}", network.seed);
    took
}

fn percentiles(name: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let (p50, p90, max) = (times[times.len() / 2], times[times.len() * 9 / 10], times.last());
    let max = *max.unwrap();
    println!("{name}: p50 {p50:?} p90 {p90:?} max {max:?}");
    max
}

#[test]
fn both_dial_at_once() {
    let mut times = Vec::new();
    for seed in 0..25 {
        let mut network = network(seed, true, 0.0);
        times.push(dial_both(&mut network, SECOND));
        let ups = [(A, "b"), (B, "a")].map(|(p, n)| network.nodes[p].count(n, &|n| *n == Note::Up));
        assert_eq!(ups, [1, 1], "seed {seed}");
    }
    assert!(percentiles("glare", times) < 4 * SECOND);
}

#[test]
fn both_dial_while_signals_overtake_each_other() {
    let mut times = Vec::new();
    for seed in 0..25 {
        times.push(dial_both(&mut network(seed, false, 0.0), SECOND));
    }
    assert!(percentiles("glare, reordered", times) < 5 * SECOND);
}

#[test]
fn both_dial_while_signals_get_lost() {
    let mut times = Vec::new();
    for seed in 0..25 {
        times.push(dial_both(&mut network(seed, false, 0.3), 2 * SECOND));
    }
    percentiles("glare, 30 % lost", times);
}

/// All paths die, so both restart ICE after the same time.
#[test]
fn both_restart_at_once() {
    let mut times = Vec::new();
    for seed in 0..12 {
        let mut network = Network::direct(seed);
        network.hub.jitter = 200 * MS;
        network.hub.loss = if seed % 2 == 0 { 0.0 } else { 0.2 };
        network.net.change_all(|e| e.cut = true);
        network.run_for(2 * SECOND + MS * (seed as u32 * 131));
        if seed % 3 == 0 {
            // All addresses are new, so that nothing but signal messages helps.
            for who in [A, B] {
                network.lose_addresses(who);
                network.add_address(who);
                network.nodes[who].follow(network.now);
            }
        }
        network.net.change_all(|e| e.cut = false);
        let start = network.now;
        assert!(!network.is_open(A, B));
        assert!(network.run(20 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        times.push(network.now - start);
        network.run_for(5 * SECOND);
        assert!(network.is_open(A, B));
        let ups = network.nodes[A].count("b", &|n| *n == Note::Up);
        for report in network.reports() {
            assert!(ups > 1 || report.lost == 0, "{report:?}");
            assert_eq!((report.duplicated, report.reordered), (0, 0), "{report:?}");
        }
        let restarts = network.nodes[A].count("b", &|n| *n == Note::Restarting);
        assert!(restarts > 0 || seed < 5, "seed {seed}");
        println!("restart glare: took {:?}, {restarts} restarts, {ups} transports", times.last());
    }
    percentiles("restart glare", times);
}

/// The call that gave way arrives after the answer to the other one: its writer has dropped it.
#[test]
fn an_offer_that_comes_after_the_answer_changes_nothing() {
    for (seed, late) in [5, 10, 20, 40, 60, 100, 300, 3000].into_iter().enumerate() {
        let mut network = network(seed as u64, true, 0.0);
        (network.hub.delay, network.hub.jitter) = (5 * MS, Duration::ZERO);
        let held = Rc::new(RefCell::new(Vec::new()));
        let keep = Rc::clone(&held);
        network.hub.lie = Some(Box::new(move |to, text| {
            let offer = |text: &FromHub| matches!(text, FromHub::Deliver { signal } if signal.text.contains("\"offer\""));
            if to == A && offer(&text) {
                keep.borrow_mut().push(text);
                return Vec::new();
            }
            vec![(to, text)]
        }));
        network.dial(B, A);
        network.run_for(MS);
        network.dial(A, B);
        network.talk(A, B, 10 * MS);
        let answered = |t: &mut Network| {
            let peer = t.nodes[A].id("b").and_then(|id| t.nodes[A].peers.peer(id)).unwrap();
            peer.fingerprint().is_some()
        };
        assert!(network.run(SECOND, answered));
        network.run_for(late * MS);
        network.hub.lie = None;
        let texts: Vec<_> = held.borrow_mut().drain(..).collect();
        assert!(!texts.is_empty());
        for text in texts {
            network.hub.tell(network.now, A, text);
        }
        assert!(network.run(SECOND, |t| t.is_open(A, B)), "{late} ms");
        network.run_for(SECOND);
        assert!(network.is_open(A, B), "{late} ms");
        for report in network.reports() {
            report.assert_whole();
        }
        for (who, name) in [(A, "b"), (B, "a")] {
            assert_eq!(network.nodes[who].count(name, &|n| *n == Note::Up), 1, "{late} ms");
        }
        assert_eq!(network.nodes[A].sockets.len(), 1, "no fresh sockets: {late} ms");
    }
}

/// Answers get lost until the answering side has given its transport up; then they do not.
#[test]
fn an_answer_is_not_repeated_for_a_transport_that_is_gone() {
    let mut network = Network::empty(1);
    network.settle_in(config("a"), 1);
    let mut hasty = config("b");
    hasty.recovery.dial_timeout = 2 * SECOND;
    network.settle_in(hasty, 1);
    network.run_for(SECOND);
    network.hub.lie = Some(Box::new(|to, text| {
        let is_answer =
            matches!(&text, FromHub::Deliver { signal } if signal.text.contains("\"answer\""));
        if to == A && is_answer { Vec::new() } else { vec![(to, text)] }
    }));
    network.dial(B, A);
    network.dial(A, B);
    let again = |t: &mut Network| t.nodes[B].count("a", &|n| *n == Note::Dialing) == 2;
    assert!(network.run(5 * SECOND, again), "{:?}", network.nodes[B].notes);
    network.hub.lie = None;
    assert!(network.run(300 * MS, |t| t.is_open(A, B)), "{:?}", network.nodes[A].notes);
}
