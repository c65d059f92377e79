//! Who lets go of a link calls again at once: what was under way of the old one is no harm.

use std::time::Duration;

use crate::pair::{MS, SECOND};
use crate::town::{A, B, Note, Town};

fn let_go(town: &mut Town, from: usize, to: usize) {
    let name = town.people[to].name.clone();
    let (now, ties) = (town.now, &mut town.people[from].ties);
    let id = ties.find(&name).unwrap();
    ties.say_bye(now, id);
    ties.hang_up(now, id);
}

/// Lets go, and calls again. The good-bye takes so long, and nothing else does.
fn call_again(town: &mut Town, from: usize, to: usize, late: Duration) {
    town.net.change_all(|e| e.delay = late);
    let_go(town, from, to);
    town.run_for(Duration::ZERO);
    town.net.change_all(|e| e.delay = MS);
    town.dial(from, to);
}

/// Messages flow both ways from now on; how long it takes until they do.
fn flows_after(town: &mut Town) -> Duration {
    let seen = |t: &Town| {
        [(A, "b"), (B, "a")].map(|(who, name)| t.people[who].got.get(name).map_or(0, Vec::len))
    };
    let (start, before) = (town.now, seen(town));
    town.talk(A, B, 2 * MS);
    let flows = |t: &mut Town| seen(t).into_iter().zip(before).all(|(got, before)| got > before);
    assert!(town.run(30 * SECOND, flows), "nothing flows, seed {}", town.seed);
    let took = town.now - start;
    town.talk(A, B, 200 * MS);
    took
}

fn connected(seed: u64) -> Town {
    let mut town = Town::new(seed, 2);
    town.dial(A, B);
    assert!(town.run(10 * SECOND, |t| t.is_open(A, B)), "no link, seed {seed}");
    town.run_for(SECOND);
    town
}

fn assert_one_link(town: &mut Town) {
    town.run_for(3 * SECOND);
    assert!(town.is_open(A, B), "seed {}", town.seed);
    for who in [A, B] {
        assert_eq!(town.people[who].ties.ties().count(), 1);
    }
    assert_eq!(town.hub.channels(), 2, "seed {}", town.seed);
}

/// The good-bye goes by the link's own path, the call behind it through the hub: either may be the
/// first, and the good-bye may find the call at any stage.
#[test]
fn a_call_that_overtakes_the_good_bye_is_not_ended_by_it() {
    let mut overtaken = 0;
    for late in (0..30).step_by(3).chain([100]) {
        for (one, other) in [(A, B), (B, A)] {
            let mut town = connected(late.into());
            let [own, name] = [one, other].map(|who| town.people[who].name.clone());
            let called = town.people[other].count(&own, &|n| *n == Note::Called);
            call_again(&mut town, one, other, late * MS);
            let took = flows_after(&mut town);
            assert!(took < 100 * MS, "{took:?}, good-bye after {late} ms");
            let ended = town.people[other].count(&own, &|n| matches!(n, Note::Ended(_)));
            let called = town.people[other].count(&own, &|n| *n == Note::Called) - called;
            assert_eq!(ended, called, "the old link ends, and the call is a new one: {late} ms");
            // Who hears of the end when the next transport is up has gone over to it.
            assert!(ended == 1 || late > 20, "{late} ms");
            overtaken += usize::from(ended == 1 && late > 10);
            assert_one_link(&mut town);
            for (who, name) in [(one, &name), (other, &own)] {
                assert_eq!(town.people[who].count(name, &|n| *n == Note::Up), 2, "{late} ms");
                let trouble = town.people[who].count(name, &|n| matches!(n, Note::Trouble(_)));
                assert_eq!(trouble, 0, "{late} ms");
            }
        }
    }
    assert!(overtaken > 5);
}

/// The other side lets go, too, before it knows, and does not call: the call is for a new link.
#[test]
fn a_call_is_not_ended_by_who_lets_go_of_the_link_before() {
    for after in (0..24).step_by(3) {
        for (one, other) in [(A, B), (B, A)] {
            let mut town = connected(after.into());
            call_again(&mut town, one, other, 100 * MS);
            town.run_for(after * MS);
            let own = town.people[one].name.clone();
            let up = |n: &Note| *n == Note::Up;
            assert_eq!(town.people[other].count(&own, &up), 1, "too late: {after} ms");
            let_go(&mut town, other, one);
            let took = flows_after(&mut town);
            assert!(took < 100 * MS, "{took:?}, let go after {after} ms");
            assert_one_link(&mut town);
        }
    }
}

/// Both let go and call again, one a little after the other, while letters and packets overtake
/// each other.
#[test]
fn both_let_go_and_call_again() {
    let mut times = Vec::new();
    for seed in 0..40 {
        let mut town = connected(seed);
        let delay = town.random.time(30 * MS);
        let jitter = town.random.time(30 * MS);
        town.net.change_all(|e| (e.delay, e.jitter) = (delay, jitter));
        (town.hub.delay, town.hub.jitter) = (delay, jitter);
        town.hub.ordered = seed % 2 == 0;
        let (one, other) = if seed % 4 < 2 { (A, B) } else { (B, A) };
        let apart = town.random.time(100 * MS);
        let_go(&mut town, one, other);
        town.dial(one, other);
        town.run_for(apart);
        // The good-bye may be here before this side could let go.
        if town.people[other].id(&town.people[one].name).is_some() {
            let_go(&mut town, other, one);
        }
        town.dial(other, one);
        let took = flows_after(&mut town);
        assert!(took < 2 * SECOND, "{took:?}, seed {seed}");
        times.push(took);
        town.run_for(3 * SECOND);
        assert!(town.is_open(A, B), "seed {seed}");
    }
    times.sort();
    println!("both again: p50 {:?} max {:?}", times[times.len() / 2], times.last());
}
