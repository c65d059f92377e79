//! Outages of everything, and processes that begin anew.

use std::sync::Arc;

use rover_rtc::identity::Identity;

use crate::pair::{MS, SECOND};
use crate::town::{A, B, Note, Town};

#[test]
fn all_dies_and_comes_back() {
    for (seed, secs) in [1u32, 3, 8, 15, 30, 60, 300].into_iter().enumerate() {
        for (hub_first, moved) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut town = Town::direct(seed as u64);
            town.talk(A, B, SECOND / 4);
            town.net.change_all(|e| e.cut = true);
            town.kill_hub();
            town.run_for(secs * SECOND);
            if hub_first {
                town.start_hub();
                town.run_for(2 * SECOND);
            }
            if moved {
                town.lose_addresses(A);
                town.lose_addresses(B);
                town.add_address(A);
                town.add_address(B);
                town.people[A].follow(town.now);
                town.people[B].follow(town.now);
            }
            town.net.change_all(|e| e.cut = false);
            let mut start = town.now;
            if !hub_first {
                // Without a hub nobody finds who has moved.
                town.run_for(2 * SECOND);
                assert!(moved != town.is_open(A, B));
                town.start_hub();
                start = if moved { town.now } else { start };
            }
            assert!(town.run(20 * SECOND, |t| t.is_open(A, B)), "{secs} s");
            let took = town.now - start;
            println!("{secs} s, hub first {hub_first}, moved {moved}: open after {took:?}");
            town.run_for(5 * SECOND);
            assert!(town.is_open(A, B));
            let ups = town.people[A].count("b", &|n| *n == Note::Up);
            for report in town.reports() {
                assert!(ups > 1 || report.lost == 0, "{report:?}");
                assert_eq!((report.duplicated, report.reordered), (0, 0), "{report:?}");
                println!("   lost {} in {ups} transports", report.lost);
            }
        }
    }
}

#[test]
fn a_new_process_of_the_same_peer_is_known() {
    for seed in 0..20u64 {
        let (who, other) = if seed % 2 == 0 { (A, B) } else { (B, A) };
        let mut town = Town::talking(seed);
        town.kill(who);
        town.run_for(MS * (seed as u32 * 397));
        let identity = Arc::clone(&town.people[who].identity);
        town.revive(who, identity);
        let start = town.now;
        if seed % 3 == 0 {
            town.dial(who, other);
        }
        assert!(town.run(30 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        println!("new process: open after {:?}", town.now - start);
        town.run_for(2 * SECOND);
        for report in town.reports() {
            assert_eq!((report.duplicated, report.reordered), (0, 0), "{report:?}");
            println!("   lost {}", report.lost);
        }
        assert_eq!(town.people[other].ties.ties().count(), 1);
    }
}

#[test]
fn a_new_process_with_another_key_is_refused() {
    for seed in 0..20u64 {
        let (who, other) = if seed % 2 == 0 { (A, B) } else { (B, A) };
        let mut town = Town::talking(seed);
        town.kill(who);
        town.run_for(SECOND);
        let got = [A, B].map(|p| town.people[p].got.values().map(Vec::len).sum::<usize>());
        town.revive(who, Arc::new(Identity::fresh().unwrap()));
        if seed % 4 < 2 {
            town.dial(who, other);
        }
        town.run_for(90 * SECOND);
        assert!(!town.is_open(A, B), "seed {seed}");
        let now = [A, B].map(|p| town.people[p].got.values().map(Vec::len).sum::<usize>());
        assert_eq!(got, now);
        let name = town.people[who].name.clone();
        let refusals = town.people[other].refusals.iter();
        let troubles = town.people[other].notes.iter().filter_map(|(_, n, note)| match note {
            Note::Trouble(why) if *n == name => Some(why),
            _ => None,
        });
        let told: Vec<_> = refusals.chain(troubles).filter(|w| w.contains("key")).collect();
        assert!(
            !told.is_empty(),
            "{:?} {:?}",
            town.people[other].notes,
            town.people[other].refusals
        );
        if seed % 4 < 2 {
            let why = |n: &Note| match n {
                Note::Ended(why) => why.to_string().contains("does not take this key"),
                _ => false,
            };
            let name = town.people[other].name.clone();
            assert_eq!(town.people[who].count(&name, &why), 1, "{:?}", town.people[who].notes);
        }
    }
}
