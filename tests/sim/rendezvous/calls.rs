//! Dialing: who is there, who is not, and both at once.

use rover_rtc::DialError;

use crate::net::Edge;
use crate::network::{A, B, Network, Note, config};
use crate::pair::{MS, SECOND};

#[test]
fn a_call_is_answered_and_messages_flow() {
    for seed in 0..10 {
        let mut network = Network::new(seed, 2);
        network.edge = Some(Edge { delay: 20 * MS, ..Edge::default() });
        network.talk(A, B, 10 * MS);
        network.dial(A, B);
        assert!(network.run(SECOND, |t| t.is_open(A, B)), "seed {seed}");
        network.run_for(5 * SECOND);
        network.reports().iter().for_each(|r| {
            r.assert_whole();
        });
        assert_eq!(network.nodes[A].count("b", &|n| *n == Note::Up), 1);
        assert_eq!(network.nodes[B].count("a", &|n| *n == Note::Called), 1);
        assert_eq!(network.nodes[A].count("b", &|n| matches!(n, Note::Trouble(_))), 0);
    }
}

#[test]
fn who_is_not_there_is_called_when_it_comes() {
    for seed in 0..10 {
        let mut network = Network::new(seed, 1);
        let id = network.nodes[A].peers.dial(network.now, "b", 120 * SECOND).unwrap();
        network.run_for(MS * (seed as u32 * 2777));
        assert!(network.nodes[A].peers.peer(id).is_some());
        let absent = |n: &Note| matches!(n, Note::Trouble(why) if why.contains("not at the hub"));
        assert!(seed == 0 || network.nodes[A].count("b", &absent) > 0);
        network.settle_in(config("b"), 1);
        assert!(network.run(SECOND, |t| t.is_open(A, B)), "seed {seed}");
    }
}

#[test]
fn who_never_comes_is_given_up_with_a_reason() {
    let mut network = Network::new(1, 2);
    let cases = [("nobody", "not at the hub"), ("b", "no answer")];
    network.kill(B);
    for (name, why) in cases {
        let id = network.nodes[A].peers.dial(network.now, name, 12 * SECOND).unwrap();
        network.run_for(11 * SECOND);
        assert!(network.nodes[A].peers.peer(id).is_some());
        network.run_for(2 * SECOND);
        assert!(network.nodes[A].peers.peer(id).is_none());
        let error = network.nodes[A].ended(name).unwrap();
        assert!(matches!(error, DialError::TimedOut { name: n, .. } if n == name), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
    }
    let dial =
        |network: &mut Network, name: &str| network.nodes[A].peers.dial(network.now, name, SECOND);
    assert!(matches!(dial(&mut network, "a"), Err(DialError::Oneself(_))));
    for name in ["", "x y", "a/b", "\n"] {
        assert!(matches!(dial(&mut network, name), Err(DialError::BadName(_))), "{name:?}");
    }
    for n in 0..8 {
        dial(&mut network, &format!("n{n}")).unwrap();
    }
    assert!(matches!(dial(&mut network, "n8"), Err(DialError::TooMany(8))));
    network.run_for(2 * SECOND);
    assert_eq!(network.nodes[A].peers.peers().count(), 0);
    assert_eq!(network.hub.channels(), 0);
}
