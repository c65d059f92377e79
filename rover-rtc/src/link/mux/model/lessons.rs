//! Mistakes that others have made in replaying, one test each (the bugs of LiveKit's resumption,
//! `reliability.md`).

use super::pair::Pair;
use crate::link::Mode;

#[test]
fn a_container_that_the_transport_refuses_is_not_lost() {
    let mut pair = Pair::new(Mode::Reliable);
    pair.settle();
    pair.push(0, "a");
    let refused = pair.writes(0);
    assert_eq!(refused.len(), 1);
    pair.push(0, "b");
    // What was refused is written later, behind others.
    let later = pair.writes(0);
    pair.hand(1, later);
    assert_eq!(pair.texts(1), Vec::<String>::new());
    pair.hand(1, refused);
    assert_eq!(pair.texts(1), ["a", "b"]);
    // Or never, because the transport is over.
    pair.push(0, "c");
    assert_eq!(pair.writes(0).len(), 1);
    pair.attach();
    pair.settle();
    assert_eq!(pair.texts(1), ["c"]);
}

#[test]
fn a_replay_can_be_replayed() {
    let mut pair = Pair::new(Mode::Reliable);
    pair.settle();
    ["a", "b"].iter().for_each(|text| pair.push(0, text));
    for _ in 0..3 {
        // Written, and lost with its transport, each time.
        assert!(!pair.writes(0).is_empty());
        pair.attach();
        let hellos = [pair.writes(0), pair.writes(1)];
        let [ours, theirs] = hellos;
        pair.hand(1, ours);
        pair.hand(0, theirs);
    }
    pair.settle();
    assert_eq!(pair.texts(1), ["a", "b"]);
    assert_eq!(pair.outboxes[0].held(), (0, 0));
}

#[test]
fn what_was_sent_is_kept_until_it_is_acknowledged() {
    let mut pair = Pair::new(Mode::Reliable);
    pair.settle();
    pair.push(0, "a");
    let written = pair.writes(0);
    assert_eq!(pair.outboxes[0].held(), (1, 1));
    pair.hand(1, written);
    assert_eq!((pair.texts(1).len(), pair.outboxes[0].held()), (1, (1, 1)));
    pair.settle();
    assert_eq!(pair.outboxes[0].held(), (0, 0));
}

#[test]
fn numbers_go_on_across_transports() {
    let mut pair = Pair::new(Mode::Reliable);
    for round in 1..=3 {
        pair.push(0, "x");
        pair.settle();
        assert_eq!(pair.got(1), [(round, "x".to_owned())]);
        pair.attach();
    }
    assert_eq!(pair.gaps, 0);
}

#[test]
fn nothing_is_sent_before_the_other_side_has_said_where_it_is() {
    let mut pair = Pair::new(Mode::Reliable);
    ["a", "b"].iter().for_each(|text| pair.push(0, text));
    let ours = pair.writes(0);
    assert_eq!((ours.len(), ours[0][0]), (1, 1), "only the hello");
    // The other side answers, sends at once, and its hello is overtaken.
    pair.push(1, "c");
    pair.hand(1, ours);
    let theirs = pair.writes(1);
    assert_eq!(theirs.len(), 2);
    pair.hand(0, theirs.into_iter().rev());
    assert_eq!(pair.texts(0), ["c"]);
    pair.settle();
    assert_eq!(pair.texts(1), ["a", "b"]);
}

#[test]
fn nothing_is_lost_between_a_transport_and_the_opening_of_its_stream() {
    use crate::link::mux::Room;
    let mut pair = Pair::new(Mode::Reliable);
    pair.settle();
    pair.attach();
    pair.push(0, "a");
    let room = Room { open: (false, false), bytes: 1 << 20, limit: 1 << 20 };
    for _ in 0..3 {
        assert!(pair.muxes[0].poll_out(pair.now, room, |_, _| false).is_none());
    }
    assert_eq!(pair.outboxes[0].len(), (1, 1));
    pair.settle();
    assert_eq!(pair.texts(1), ["a"]);
}
