//! Outages of everything, and processes that begin anew.

use std::sync::Arc;

use rover_rtc::identity::Identity;

use crate::network::{A, B, Network, Note};
use crate::pair::{MS, SECOND};

#[test]
fn all_dies_and_comes_back() {
    for (seed, secs) in [1u32, 3, 8, 15, 100].into_iter().enumerate() {
        for (hub_first, moved) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut network = Network::direct(seed as u64);
            network.talk(A, B, SECOND / 4);
            network.net.change_all(|e| e.cut = true);
            network.kill_hub();
            network.run_for(secs * SECOND);
            if hub_first {
                network.start_hub();
                network.run_for(2 * SECOND);
            }
            if moved {
                network.lose_addresses(A);
                network.lose_addresses(B);
                network.add_address(A);
                network.add_address(B);
                network.nodes[A].follow(network.now);
                network.nodes[B].follow(network.now);
            }
            network.net.change_all(|e| e.cut = false);
            let mut start = network.now;
            if !hub_first {
                // Without a hub nobody finds who has moved.
                network.run_for(2 * SECOND);
                assert!(moved != network.is_open(A, B));
                network.start_hub();
                start = if moved { network.now } else { start };
            }
            assert!(network.run(20 * SECOND, |t| t.is_open(A, B)), "{secs} s");
            let took = network.now - start;
            println!("{secs} s, hub first {hub_first}, moved {moved}: open after {took:?}");
            network.run_for(5 * SECOND);
            assert!(network.is_open(A, B));
            let ups = network.nodes[A].count("b", &|n| *n == Note::Up);
            for report in network.reports() {
                assert!(ups > 1 || report.lost == 0, "{report:?}");
                assert_eq!((report.duplicated, report.reordered), (0, 0), "{report:?}");
                println!("   lost {} in {ups} transports", report.lost);
            }
        }
    }
}

#[test]
fn a_new_process_of_the_same_peer_is_known() {
    for seed in 0..10u64 {
        let (who, other) = if seed % 2 == 0 { (A, B) } else { (B, A) };
        let mut network = Network::talking(seed);
        network.kill(who);
        network.run_for(MS * (seed as u32 * 397));
        let identity = Arc::clone(&network.nodes[who].identity);
        network.revive(who, identity);
        let start = network.now;
        if seed % 3 == 0 {
            network.dial(who, other);
        }
        assert!(network.run(30 * SECOND, |t| t.is_open(A, B)), "seed {seed}");
        println!("new process: open after {:?}", network.now - start);
        network.run_for(2 * SECOND);
        for report in network.reports() {
            assert_eq!((report.duplicated, report.reordered), (0, 0), "{report:?}");
            println!("   lost {}", report.lost);
        }
        assert_eq!(network.nodes[other].peers.peers().count(), 1);
    }
}

#[test]
fn a_new_process_with_another_key_is_refused() {
    for seed in 0..4u64 {
        let (who, other) = if seed % 2 == 0 { (A, B) } else { (B, A) };
        let mut network = Network::talking(seed);
        network.kill(who);
        network.run_for(SECOND);
        let got = [A, B].map(|p| network.nodes[p].got.values().map(Vec::len).sum::<usize>());
        network.revive(who, Arc::new(Identity::fresh().unwrap()));
        if seed % 4 < 2 {
            network.dial(who, other);
        }
        network.run_for(90 * SECOND);
        assert!(!network.is_open(A, B), "seed {seed}");
        let now = [A, B].map(|p| network.nodes[p].got.values().map(Vec::len).sum::<usize>());
        assert_eq!(got, now);
        let name = network.nodes[who].name.clone();
        let refusals = network.nodes[other].refusals.iter();
        let troubles = network.nodes[other].notes.iter().filter_map(|(_, n, note)| match note {
            Note::Trouble(why) if *n == name => Some(why),
            _ => None,
        });
        let told: Vec<_> = refusals.chain(troubles).filter(|w| w.contains("key")).collect();
        assert!(
            !told.is_empty(),
            "{:?} {:?}",
            network.nodes[other].notes,
            network.nodes[other].refusals
        );
        if seed % 4 < 2 {
            let why = |n: &Note| match n {
                Note::Ended(why) => why.to_string().contains("does not take this key"),
                _ => false,
            };
            let name = network.nodes[other].name.clone();
            assert_eq!(network.nodes[who].count(&name, &why), 1, "{:?}", network.nodes[who].notes);
        }
    }
}
