//! Hours of weather: cuts, hubs that die, addresses that change, all at random.

use crate::net::Edge;
use crate::pair::{MS, SECOND};
use crate::town::{A, B, C, Note, Town};

#[test]
fn hours_of_weather() {
    for seed in 1..=1u64 {
        let mut town = Town::new(seed, 3);
        town.edge = Some(Edge { delay: 15 * MS, jitter: 5 * MS, loss: 0.01, ..Edge::default() });
        let links = [(A, B), (B, C), (C, A)];
        for (one, two) in links {
            town.dial(one, two);
            town.talk(one, two, 60 * SECOND);
        }
        town.run_for(5 * SECOND);
        let start = town.now;
        let mut most_sockets = 0;
        while town.now < start + 3600 * SECOND {
            disturb(&mut town);
            let pause = town.random.time(60 * SECOND);
            town.run_for(pause);
            let sockets = town.people.iter().map(|p| p.sockets.len()).max().unwrap();
            most_sockets = most_sockets.max(sockets);
            assert_bounded(&mut town);
        }
        // The weather clears up.
        if !town.hub.up {
            town.start_hub();
        }
        town.hub.loss = 0.0;
        town.net.change_all(|e| e.cut = false);
        for who in [A, B, C] {
            town.wire(who, true);
            if town.people[who].ips.is_empty() {
                town.add_address(who);
                town.people[who].follow(town.now);
            }
        }
        let all = |t: &mut Town| links.iter().all(|(one, two)| t.is_open(*one, *two));
        let cleared = town.now;
        assert!(town.run(60 * SECOND, all), "seed {seed}");
        let took = town.now - cleared;
        town.settle(20 * SECOND);
        assert!(all(&mut town), "seed {seed}");
        let mut sums = (0, 0, 0);
        for (one, two) in links {
            for (from, to) in [(one, two), (two, one)] {
                let report = town.check(from, to);
                assert_eq!((report.duplicated, report.reordered), (0, 0), "{report:?}");
                sums.0 += report.lost;
                let name = town.people[to].name.clone();
                sums.1 += town.people[from].streams[&name].sent.len();
                sums.2 += town.people[from].count(&name, &|n| *n == Note::Up);
            }
        }
        println!(
            "seed {seed}: open {took:?} after the last disturbance; {} of {} messages lost in {} \
             transports; at most {most_sockets} sockets, {} channels at the hub",
            sums.0,
            sums.1,
            sums.2,
            town.hub.channels()
        );
        // What a transport had in flight when it was replaced, a few messages each.
        assert!(sums.0 <= 4 * sums.2, "{sums:?}, seed {seed}");
        for person in &town.people {
            // Those that are shared, and each link's own.
            assert!(person.sockets.len() <= (1 + 2) * person.ips.len(), "{:?}", person.sockets);
            assert_eq!(person.refusals, Vec::<String>::new());
        }
    }
}

fn disturb(town: &mut Town) {
    let who = (town.random.chance() * 3.0) as usize;
    match (town.random.chance() * 10.0) as u32 {
        0 if town.hub.up => town.kill_hub(),
        0 | 1 if !town.hub.up => town.start_hub(),
        1 => {
            let wired = !town.hub.wired[who];
            town.wire(who, wired);
        }
        2 => town.lose_addresses(who),
        3 | 4 => {
            if town.people[who].ips.len() < 3 {
                town.add_address(who);
                town.people[who].follow(town.now);
            }
        }
        5 => {
            // Seconds without any network.
            town.net.change_all(|e| e.cut = true);
            let pause = town.random.time(40 * SECOND);
            town.run_for(pause);
            town.net.change_all(|e| e.cut = false);
        }
        6 => {
            let ips = town.people[who].ips.clone();
            let cut = town.random.chance() < 0.5;
            town.net.edges.iter_mut().for_each(|((a, b), edge)| {
                edge.cut = cut && (ips.contains(a) || ips.contains(b));
            });
        }
        7 => town.hub.loss = if town.hub.loss > 0.0 { 0.0 } else { 0.2 },
        8 => town.hub.jitter = town.random.time(300 * MS),
        _ => town.hub.ordered = !town.hub.ordered,
    }
}

fn assert_bounded(town: &mut Town) {
    for person in &mut town.people {
        assert!(person.ties.relay_channels() <= 2 * 8 + 8);
        assert!(person.ties.places().len() <= 2 * person.ips.len().max(1));
        // Those that are shared, and those of two transports of each of two links.
        let most = (1 + 2 * 2) * person.ips.len().max(1);
        assert!(person.sockets.len() <= most, "{:?}", person.sockets);
        let ties: Vec<_> = person.ties.ties().map(|t| t.link().stats()).collect();
        assert_eq!(ties.len(), 2);
        for stats in ties {
            assert!(stats.paths.len() <= 32);
            assert!(stats.messages_queued <= 4096 + 64, "{}", stats.messages_queued);
        }
    }
}
