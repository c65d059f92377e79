//! What has arrived when a link is closed, its sender knows; what has not, it does not take for it.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rover_rtc::DialError;
use rover_rtc::link::{Message, Outbox, Settled};

use crate::network::{A, B, Network, Note};
use crate::pair::{MS, SECOND};

/// Two peers that are connected, and the outbox of the first one.
fn connected(seed: u64) -> (Network, Outbox) {
    let mut network = Network::new(seed, 2);
    network.dial(A, B);
    assert!(network.run(10 * SECOND, |t| t.is_open(A, B)), "no link, seed {seed}");
    network.run_for(SECOND);
    let outbox = outbox(&mut network, A, "b");
    (network, outbox)
}

fn outbox(network: &mut Network, who: usize, name: &str) -> Outbox {
    let id = network.nodes[who].id(name).unwrap();
    let link = network.nodes[who].peers.peer(id).unwrap().link();
    let channel = link.channel("test").unwrap();
    link.outbox(channel).unwrap().clone()
}

fn say(network: &Network, outbox: &Outbox, from: usize, number: usize) {
    let text = format!("{} {number} hello", network.nodes[from].name);
    outbox.try_push(network.now, Message::text(text)).unwrap();
}

/// Runs until the second one has got so many.
fn got(network: &mut Network, count: usize) {
    let seed = network.seed;
    let has = |t: &mut Network| t.nodes[B].got.get("a").map_or(0, Vec::len) == count;
    assert!(network.run(10 * SECOND, has), "not {count}, seed {seed}");
}

/// Closes as a driver does: says good-bye, and ends when that has arrived.
fn close(network: &mut Network, who: usize, name: &str) {
    let id = network.nodes[who].id(name).unwrap();
    network.nodes[who].peers.say_bye(network.now, id);
    network.run(SECOND, |t| {
        t.nodes[who].peers.peer(id).is_none_or(|peer| peer.link().is_flushed() || !peer.is_alive())
    });
    network.nodes[who].peers.hang_up(network.now, id);
    network.run_for(SECOND);
}

/// What who waits for the acknowledgements is told.
fn settled(outbox: &Outbox) -> Poll<bool> {
    let settled = outbox.poll_settled(&Context::from_waker(Waker::noop()));
    settled.map(|settled| settled == Settled::Acknowledged)
}

#[test]
fn who_closes_at_once_has_acknowledged_what_it_got() {
    for delay in [MS / 10, MS, 40 * MS] {
        for count in [1, 2, 300] {
            let (mut network, outbox) = connected(count as u64);
            network.net.change_all(|e| e.delay = delay);
            (0..count).for_each(|number| say(&network, &outbox, A, number));
            got(&mut network, count);
            close(&mut network, B, "a");
            assert_eq!(network.nodes[A].ended("b"), Some(&DialError::Bye("b".into())));
            assert_eq!(settled(&outbox), Poll::Ready(true), "{count} in {delay:?}");
        }
    }
}

/// Packets are lost, and overtake each other: the good-bye knows what they would have said.
#[test]
fn nor_does_weather_take_acknowledgements_away() {
    let mut ended = 0;
    for seed in 0..40 {
        let (mut network, outbox) = connected(seed);
        network.net.change_all(|e| (e.delay, e.jitter, e.loss) = (15 * MS, 20 * MS, 0.1));
        (0..20).for_each(|number| say(&network, &outbox, A, number));
        got(&mut network, 20);
        close(&mut network, B, "a");
        // The good-bye may be lost for good; then the link is not over for its reader.
        if network.nodes[A].ended("b").is_some() {
            ended += 1;
            assert_eq!(settled(&outbox), Poll::Ready(true), "seed {seed}");
        }
    }
    assert!(ended >= 35, "{ended}");
}

/// Good-bye comes by the hub, for the link has no path any more, and took the acknowledgements
/// along.
#[test]
fn a_good_bye_by_the_hub_has_them_too() {
    for seed in 0..5 {
        let mut network = Network::new(seed, 2);
        network.hub.relays = false;
        network.dial(A, B);
        assert!(network.run(10 * SECOND, |t| t.is_open(A, B)), "no link, seed {seed}");
        network.run_for(SECOND);
        let outbox = outbox(&mut network, A, "b");
        say(&network, &outbox, A, 0);
        got(&mut network, 1);
        network.net.change_all(|e| e.cut = true);
        say(&network, &outbox, A, 1);
        let dead = |t: &mut Network| t.nodes[B].count("a", &|n| *n == Note::Dead) > 0;
        assert!(network.run(30 * SECOND, dead));
        assert_eq!(settled(&outbox), Poll::Pending);
        close(&mut network, B, "a");
        assert_eq!(network.nodes[A].ended("b"), Some(&DialError::Bye("b".into())));
        // The first one had arrived; the second one had not.
        assert_eq!((settled(&outbox), outbox.held().0 + outbox.len().0), (Poll::Ready(false), 1));
    }
}

#[test]
fn what_did_not_arrive_is_not_acknowledged() {
    for seed in 0..10 {
        let (mut network, outbox) = connected(seed);
        (0..3).for_each(|number| say(&network, &outbox, A, number));
        got(&mut network, 3);
        network.run_for(SECOND);
        // Lost on its way, whether the other side closes before it is missed or after.
        let (from, to) = (network.nodes[A].ips[0], network.nodes[B].ips[0]);
        network.net.edges.get_mut(&(from, to)).unwrap().cut = true;
        say(&network, &outbox, A, 3);
        network.run_for(Duration::from_millis(seed));
        close(&mut network, B, "a");
        assert_eq!(network.nodes[B].got["a"].len(), 3);
        assert_eq!((settled(&outbox), outbox.held().0 + outbox.len().0), (Poll::Ready(false), 1));
    }
}

/// Who reads a good-bye closes, too, and its writer still waits for that.
#[test]
fn who_is_told_good_bye_acknowledges_too() {
    let (mut network, from_a) = connected(1);
    let from_b = outbox(&mut network, B, "a");
    say(&network, &from_a, A, 0);
    say(&network, &from_b, B, 0);
    let has = |t: &mut Network| {
        [(A, "b"), (B, "a")].iter().all(|(w, n)| t.nodes[*w].got.contains_key(*n))
    };
    assert!(network.run(SECOND, has));
    close(&mut network, B, "a");
    assert_eq!([&from_a, &from_b].map(settled), [Poll::Ready(true); 2]);
}

/// A link that nobody takes is not where messages arrive.
#[test]
fn a_call_that_is_turned_away_has_taken_nothing() {
    let (mut network, outbox) = connected(1);
    say(&network, &outbox, A, 0);
    got(&mut network, 1);
    let id = network.nodes[B].id("a").unwrap();
    network.nodes[B].peers.turn_away(network.now, id);
    network.nodes[B].peers.hang_up(network.now, id);
    network.run_for(SECOND);
    assert_eq!(settled(&outbox), Poll::Ready(false));
}
