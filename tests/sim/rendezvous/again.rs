//! Who lets go of a link calls again at once: what was under way of the old one is no harm.

use std::time::Duration;

use crate::network::{A, B, Network, Note};
use crate::pair::{MS, SECOND};

fn let_go(network: &mut Network, from: usize, to: usize) {
    let name = network.nodes[to].name.clone();
    let (now, peers) = (network.now, &mut network.nodes[from].peers);
    let id = peers.find(&name).unwrap();
    peers.say_bye(now, id);
    peers.hang_up(now, id);
}

/// Lets go, and calls again. The good-bye takes so long, and nothing else does.
fn call_again(network: &mut Network, from: usize, to: usize, late: Duration) {
    network.net.change_all(|e| e.delay = late);
    let_go(network, from, to);
    network.run_for(Duration::ZERO);
    network.net.change_all(|e| e.delay = MS);
    network.dial(from, to);
}

/// Messages flow both ways from now on; how long it takes until they do.
fn flows_after(network: &mut Network) -> Duration {
    let seen = |t: &Network| {
        [(A, "b"), (B, "a")].map(|(who, name)| t.nodes[who].got.get(name).map_or(0, Vec::len))
    };
    let (start, before) = (network.now, seen(network));
    network.talk(A, B, 2 * MS);
    let flows = |t: &mut Network| seen(t).into_iter().zip(before).all(|(got, before)| got > before);
    assert!(network.run(30 * SECOND, flows), "nothing flows, seed {}", network.seed);
    let took = network.now - start;
    network.talk(A, B, 200 * MS);
    took
}

fn connected(seed: u64) -> Network {
    let mut network = Network::new(seed, 2);
    network.dial(A, B);
    assert!(network.run(10 * SECOND, |t| t.is_open(A, B)), "no link, seed {seed}");
    network.run_for(SECOND);
    network
}

fn assert_one_link(network: &mut Network) {
    network.run_for(3 * SECOND);
    assert!(network.is_open(A, B), "seed {}", network.seed);
    for who in [A, B] {
        assert_eq!(network.nodes[who].peers.peers().count(), 1);
    }
    assert_eq!(network.hub.channels(), 2, "seed {}", network.seed);
}

/// The good-bye goes by the link's own path, the call behind it through the hub: either may be the
/// first, and the good-bye may find the call at any stage.
#[test]
fn a_call_that_overtakes_the_good_bye_is_not_ended_by_it() {
    let mut overtaken = 0;
    for late in (0..30).step_by(3).chain([100]) {
        for (one, other) in [(A, B), (B, A)] {
            let mut network = connected(late.into());
            let [own, name] = [one, other].map(|who| network.nodes[who].name.clone());
            let called = network.nodes[other].count(&own, &|n| *n == Note::Called);
            call_again(&mut network, one, other, late * MS);
            let took = flows_after(&mut network);
            assert!(took < 100 * MS, "{took:?}, good-bye after {late} ms");
            let ended = network.nodes[other].count(&own, &|n| matches!(n, Note::Ended(_)));
            let called = network.nodes[other].count(&own, &|n| *n == Note::Called) - called;
            assert_eq!(ended, called, "the old link ends, and the call is a new one: {late} ms");
            // Who hears of the end when the next transport is up has gone over to it.
            assert!(ended == 1 || late > 20, "{late} ms");
            overtaken += usize::from(ended == 1 && late > 10);
            assert_one_link(&mut network);
            for (who, name) in [(one, &name), (other, &own)] {
                assert_eq!(network.nodes[who].count(name, &|n| *n == Note::Up), 2, "{late} ms");
                let trouble = network.nodes[who].count(name, &|n| matches!(n, Note::Trouble(_)));
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
            let mut network = connected(after.into());
            call_again(&mut network, one, other, 100 * MS);
            network.run_for(after * MS);
            let own = network.nodes[one].name.clone();
            let up = |n: &Note| *n == Note::Up;
            assert_eq!(network.nodes[other].count(&own, &up), 1, "too late: {after} ms");
            let_go(&mut network, other, one);
            let took = flows_after(&mut network);
            assert!(took < 100 * MS, "{took:?}, let go after {after} ms");
            assert_one_link(&mut network);
        }
    }
}

/// Both let go and call again, one a little after the other, while signal messages and packets
/// overtake each other.
#[test]
fn both_let_go_and_call_again() {
    let mut times = Vec::new();
    for seed in 0..40 {
        let mut network = connected(seed);
        let delay = network.random.time(30 * MS);
        let jitter = network.random.time(30 * MS);
        network.net.change_all(|e| (e.delay, e.jitter) = (delay, jitter));
        (network.hub.delay, network.hub.jitter) = (delay, jitter);
        network.hub.ordered = seed % 2 == 0;
        let (one, other) = if seed % 4 < 2 { (A, B) } else { (B, A) };
        let apart = network.random.time(100 * MS);
        let_go(&mut network, one, other);
        network.dial(one, other);
        network.run_for(apart);
        // The good-bye may be here before this side could let go.
        if network.nodes[other].id(&network.nodes[one].name).is_some() {
            let_go(&mut network, other, one);
        }
        network.dial(other, one);
        let took = flows_after(&mut network);
        assert!(took < 2 * SECOND, "{took:?}, seed {seed}");
        times.push(took);
        network.run_for(3 * SECOND);
        assert!(network.is_open(A, B), "seed {seed}");
    }
    times.sort();
    println!("both again: p50 {:?} max {:?}", times[times.len() / 2], times.last());
}
