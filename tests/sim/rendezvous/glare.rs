//! Both sides call, or restart ICE, at once.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rover_rtc::signal::post::FromHub;

use crate::net::Edge;
use crate::pair::{MS, SECOND};
use crate::town::{A, B, Note, Town, config};

fn town(seed: u64, ordered: bool, loss: f64) -> Town {
    let mut town = Town::empty(seed);
    town.edge = Some(Edge { delay: 10 * MS, ..Edge::default() });
    town.settle_in(config("a"), 1);
    town.settle_in(config("b"), 1);
    town.run_for(SECOND);
    town.hub.delay = town.random.time(100 * MS);
    town.hub.jitter = town.random.time(400 * MS);
    (town.hub.ordered, town.hub.loss) = (ordered, loss);
    town
}

/// Dials from both sides, up to `apart` one after the other; how long it takes to a link.
fn dial_both(town: &mut Town, apart: Duration) -> Duration {
    let (first, second) = if town.random.chance() < 0.5 { (A, B) } else { (B, A) };
    let start = town.now;
    town.dial(first, second);
    let apart = town.random.time(apart);
    town.run_for(apart);
    town.dial(second, first);
    assert!(town.run(40 * SECOND, |t| t.is_open(A, B)), "no link, seed {}", town.seed);
    let took = town.now - start;
    let loss = town.hub.loss;
    // The last letters arrive, and change nothing.
    town.hub.loss = 0.0;
    town.talk(A, B, 20 * MS);
    town.run_for(15 * SECOND);
    assert!(town.is_open(A, B), "seed {}", town.seed);
    for report in town.reports() {
        report.assert_whole();
    }
    for who in [A, B] {
        assert_eq!(town.people[who].ties.ties().count(), 1);
    }
    // Word of a call's end may be among what is lost.
    let channels = town.hub.channels();
    assert!(loss > 0.0 || channels <= 2, "{channels} of the hub's channels, seed {}", town.seed);
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
    for seed in 0..60 {
        let mut town = town(seed, true, 0.0);
        times.push(dial_both(&mut town, SECOND));
        let ups = [(A, "b"), (B, "a")].map(|(p, n)| town.people[p].count(n, &|n| *n == Note::Up));
        assert_eq!(ups, [1, 1], "seed {seed}");
    }
    assert!(percentiles("glare", times) < 4 * SECOND);
}

#[test]
fn both_dial_while_letters_overtake_each_other() {
    let mut times = Vec::new();
    for seed in 0..60 {
        times.push(dial_both(&mut town(seed, false, 0.0), SECOND));
    }
    assert!(percentiles("glare, reordered", times) < 5 * SECOND);
}

#[test]
fn both_dial_while_letters_get_lost() {
    let mut times = Vec::new();
    for seed in 0..60 {
        times.push(dial_both(&mut town(seed, false, 0.3), 2 * SECOND));
    }
    percentiles("glare, 30 % lost", times);
}

/// All paths die, so both restart ICE after the same time.
#[test]
fn both_restart_at_once() {
    let mut times = Vec::new();
    for seed in 0..30 {
        let mut town = Town::direct(seed);
        town.hub.jitter = 200 * MS;
        town.hub.loss = if seed % 2 == 0 { 0.0 } else { 0.2 };
        town.net.change_all(|e| e.cut = true);
        town.run_for(2 * SECOND + MS * (seed as u32 * 131));
        if seed % 3 == 0 {
            // All addresses are new, so that nothing but letters helps.
            for who in [A, B] {
                town.lose_addresses(who);
                town.add_address(who);
                town.people[who].follow(town.now);
            }
        }
        town.net.change_all(|e| e.cut = false);
        let start = town.now;
        assert!(!town.is_open(A, B));
        assert!(town.run(20 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        times.push(town.now - start);
        town.run_for(5 * SECOND);
        assert!(town.is_open(A, B));
        let ups = town.people[A].count("b", &|n| *n == Note::Up);
        for report in town.reports() {
            assert!(ups > 1 || report.lost == 0, "{report:?}");
            assert_eq!((report.duplicated, report.reordered), (0, 0), "{report:?}");
        }
        let restarts = town.people[A].count("b", &|n| *n == Note::Restarting);
        assert!(restarts > 0 || seed < 5, "seed {seed}");
        println!("restart glare: took {:?}, {restarts} restarts, {ups} transports", times.last());
    }
    percentiles("restart glare", times);
}

/// The call that gave way arrives after the answer to the other one: its writer has dropped it.
#[test]
fn an_offer_that_comes_after_the_answer_changes_nothing() {
    for (seed, late) in [5, 10, 20, 40, 60, 100, 300, 3000].into_iter().enumerate() {
        let mut town = town(seed as u64, true, 0.0);
        (town.hub.delay, town.hub.jitter) = (5 * MS, 0 * MS);
        let held = Rc::new(RefCell::new(Vec::new()));
        let keep = Rc::clone(&held);
        town.hub.lie = Some(Box::new(move |to, text| {
            let offer = |text: &FromHub| matches!(text, FromHub::Deliver { letter } if letter.text.contains("\"offer\""));
            if to == A && offer(&text) {
                keep.borrow_mut().push(text);
                return Vec::new();
            }
            vec![(to, text)]
        }));
        town.dial(B, A);
        town.run_for(MS);
        town.dial(A, B);
        town.talk(A, B, 10 * MS);
        let answered = |t: &mut Town| {
            let tie = t.people[A].id("b").and_then(|id| t.people[A].ties.tie(id)).unwrap();
            tie.fingerprint().is_some()
        };
        assert!(town.run(SECOND, answered));
        town.run_for(late * MS);
        town.hub.lie = None;
        let texts: Vec<_> = held.borrow_mut().drain(..).collect();
        assert!(!texts.is_empty());
        for text in texts {
            town.hub.tell(town.now, A, text);
        }
        assert!(town.run(SECOND, |t| t.is_open(A, B)), "{late} ms");
        town.run_for(SECOND);
        assert!(town.is_open(A, B), "{late} ms");
        for report in town.reports() {
            report.assert_whole();
        }
        for (who, name) in [(A, "b"), (B, "a")] {
            assert_eq!(town.people[who].count(name, &|n| *n == Note::Up), 1, "{late} ms");
        }
        assert_eq!(town.people[A].sockets.len(), 1, "no fresh sockets: {late} ms");
    }
}

/// Answers get lost until the answering side has given its transport up; then they do not.
#[test]
fn an_answer_is_not_repeated_for_a_transport_that_is_gone() {
    let mut town = Town::empty(1);
    town.settle_in(config("a"), 1);
    let mut hasty = config("b");
    hasty.recovery.dial_timeout = 2 * SECOND;
    town.settle_in(hasty, 1);
    town.run_for(SECOND);
    town.hub.lie = Some(Box::new(|to, text| {
        let is_answer =
            matches!(&text, FromHub::Deliver { letter } if letter.text.contains("\"answer\""));
        if to == A && is_answer { Vec::new() } else { vec![(to, text)] }
    }));
    town.dial(B, A);
    town.dial(A, B);
    let again = |t: &mut Town| t.people[B].count("a", &|n| *n == Note::Dialing) == 2;
    assert!(town.run(5 * SECOND, again), "{:?}", town.people[B].notes);
    town.hub.lie = None;
    assert!(town.run(300 * MS, |t| t.is_open(A, B)), "{:?}", town.people[A].notes);
}
