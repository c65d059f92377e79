//! The hub's relay, and hubs that die.

use crate::pair::{MS, SECOND};
use crate::town::{A, B, Note, Town, config};

#[test]
fn a_relay_carries_where_no_address_is_reached() {
    for seed in 0..5 {
        let mut town = Town::empty(seed);
        town.edge = None;
        town.settle_in(config("a"), 1);
        town.settle_in(config("b"), 1);
        town.run_for(SECOND);
        town.dial(A, B);
        assert!(town.run(2 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        town.talk(A, B, 10 * MS);
        town.run_for(5 * SECOND);
        town.reports().iter().for_each(|r| {
            r.assert_whole();
        });
    }
}

/// A hub that is new has forgotten its channels; the peers ask for them again.
#[test]
fn a_hub_that_dies_leaves_no_gap_and_relays_again() {
    for seed in 0..5 {
        let mut town = Town::talking(seed);
        town.kill_hub();
        town.run_for(MS * (300 + 777 * seed as u32));
        town.hub.asked.clear();
        town.start_hub();
        town.run_for(3 * SECOND);
        // Only the relay is left.
        town.net.change_all(|e| e.cut = true);
        town.run_for(5 * SECOND);
        assert!(town.is_open(A, B), "seed {seed}");
        assert!(town.hub.frames > 100);
        for report in town.reports() {
            report.assert_whole().assert_gap(400 * MS);
        }
        let calm = |n: &Note| matches!(n, Note::Trouble(_) | Note::Dialing | Note::Restarting);
        let before = town.people[A].count("b", &calm);
        assert_eq!(before, 1, "only the first dial: {:?}", town.people[A].notes);
        assert_eq!(town.hub.channels(), 2);
    }
}

/// The relay carries, the hub dies, and comes back without a memory.
#[test]
fn a_relayed_link_waits_for_its_hub() {
    for seed in 0..5 {
        let mut town = Town::empty(seed);
        town.edge = None;
        town.settle_in(config("a"), 1);
        town.settle_in(config("b"), 1);
        town.run_for(SECOND);
        town.dial(A, B);
        town.run(2 * SECOND, |t| t.is_open(A, B));
        town.talk(A, B, 10 * MS);
        town.run_for(3 * SECOND);
        town.kill_hub();
        town.run_for(MS * (500 + 1777 * seed as u32));
        town.start_hub();
        assert!(town.run(3 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        town.run_for(5 * SECOND);
        for report in town.reports() {
            report.assert_whole();
        }
        let transports = town.people[A].count("b", &|n| *n == Note::Up);
        assert_eq!(transports, 1, "seed {seed}: {:?}", town.people[A].notes);
    }
}
