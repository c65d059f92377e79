//! Dialing: who is there, who is not, and both at once.

use rover_rtc::DialError;

use crate::net::Edge;
use crate::pair::{MS, SECOND};
use crate::town::{A, B, Note, Town, config};

#[test]
fn a_call_is_answered_and_messages_flow() {
    for seed in 0..10 {
        let mut town = Town::new(seed, 2);
        town.edge = Some(Edge { delay: 20 * MS, ..Edge::default() });
        town.talk(A, B, 10 * MS);
        town.dial(A, B);
        assert!(town.run(SECOND, |t| t.is_open(A, B)), "seed {seed}");
        town.run_for(5 * SECOND);
        town.reports().iter().for_each(|r| {
            r.assert_whole();
        });
        assert_eq!(town.people[A].count("b", &|n| *n == Note::Up), 1);
        assert_eq!(town.people[B].count("a", &|n| *n == Note::Called), 1);
        assert_eq!(town.people[A].count("b", &|n| matches!(n, Note::Trouble(_))), 0);
    }
}

#[test]
fn who_is_not_there_is_called_when_it_comes() {
    for seed in 0..10 {
        let mut town = Town::new(seed, 1);
        let id = town.people[A].ties.dial(town.now, "b", 120 * SECOND).unwrap();
        town.run_for(MS * (seed as u32 * 2777));
        assert!(town.people[A].ties.tie(id).is_some());
        let absent = |n: &Note| matches!(n, Note::Trouble(why) if why.contains("not at the hub"));
        assert!(seed == 0 || town.people[A].count("b", &absent) > 0);
        town.settle_in(config("b"), 1);
        assert!(town.run(SECOND, |t| t.is_open(A, B)), "seed {seed}");
    }
}

#[test]
fn who_never_comes_is_given_up_with_a_reason() {
    let mut town = Town::new(1, 2);
    let cases = [("nobody", "not at the hub"), ("b", "no answer")];
    town.kill(B);
    for (name, why) in cases {
        let id = town.people[A].ties.dial(town.now, name, 12 * SECOND).unwrap();
        town.run_for(11 * SECOND);
        assert!(town.people[A].ties.tie(id).is_some());
        town.run_for(2 * SECOND);
        assert!(town.people[A].ties.tie(id).is_none());
        let error = town.people[A].ended(name).unwrap();
        assert!(matches!(error, DialError::TimedOut { name: n, .. } if n == name), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
    }
    let dial = |town: &mut Town, name: &str| town.people[A].ties.dial(town.now, name, SECOND);
    assert!(matches!(dial(&mut town, "a"), Err(DialError::Oneself(_))));
    for name in ["", "x y", "a/b", "\n"] {
        assert!(matches!(dial(&mut town, name), Err(DialError::BadName(_))), "{name:?}");
    }
    for n in 0..8 {
        dial(&mut town, &format!("n{n}")).unwrap();
    }
    assert!(matches!(dial(&mut town, "n8"), Err(DialError::TooMany(8))));
    town.run_for(2 * SECOND);
    assert_eq!(town.people[A].ties.ties().count(), 0);
    assert_eq!(town.hub.channels(), 0);
}
