//! Hours of weather: cuts, hubs that die, addresses that change, all at random.

use crate::net::Edge;
use crate::network::{A, B, C, Network, Note};
use crate::pair::{MS, SECOND};

#[test]
fn hours_of_weather() {
    for seed in 1..=1u64 {
        let mut network = Network::new(seed, 3);
        network.edge = Some(Edge { delay: 15 * MS, jitter: 5 * MS, loss: 0.01, ..Edge::default() });
        let links = [(A, B), (B, C), (C, A)];
        for (one, two) in links {
            network.dial(one, two);
            network.talk(one, two, 60 * SECOND);
        }
        network.run_for(5 * SECOND);
        let start = network.now;
        let mut most_sockets = 0;
        while network.now < start + 3600 * SECOND {
            disturb(&mut network);
            let pause = network.random.time(60 * SECOND);
            network.run_for(pause);
            let sockets = network.nodes.iter().map(|p| p.sockets.len()).max().unwrap();
            most_sockets = most_sockets.max(sockets);
            assert_bounded(&mut network);
        }
        // The weather clears up.
        if !network.hub.up {
            network.start_hub();
        }
        network.hub.loss = 0.0;
        network.net.change_all(|e| e.cut = false);
        for who in [A, B, C] {
            network.wire(who, true);
            if network.nodes[who].ips.is_empty() {
                network.add_address(who);
                network.nodes[who].follow(network.now);
            }
        }
        let all = |t: &mut Network| links.iter().all(|(one, two)| t.is_open(*one, *two));
        let cleared = network.now;
        assert!(network.run(60 * SECOND, all), "seed {seed}");
        let took = network.now - cleared;
        network.settle(20 * SECOND);
        assert!(all(&mut network), "seed {seed}");
        let mut sums = (0, 0, 0);
        for (one, two) in links {
            for (from, to) in [(one, two), (two, one)] {
                let report = network.check(from, to);
                assert_eq!((report.duplicated, report.reordered), (0, 0), "{report:?}");
                sums.0 += report.lost;
                let name = network.nodes[to].name.clone();
                sums.1 += network.nodes[from].streams[&name].sent.len();
                sums.2 += network.nodes[from].count(&name, &|n| *n == Note::Up);
            }
        }
        println!(
            "seed {seed}: open {took:?} after the last disturbance; {} of {} messages lost in {} \
             transports; at most {most_sockets} sockets, {} channels at the hub",
            sums.0,
            sums.1,
            sums.2,
            network.hub.channels()
        );
        // What a transport had in flight when it was replaced, a few messages each.
        assert!(sums.0 <= 4 * sums.2, "{sums:?}, seed {seed}");
        for node in &network.nodes {
            // Those that are shared, and each link's own.
            assert!(node.sockets.len() <= (1 + 2) * node.ips.len(), "{:?}", node.sockets);
            assert_eq!(node.refusals, Vec::<String>::new());
        }
    }
}

fn disturb(network: &mut Network) {
    let who = (network.random.chance() * 3.0) as usize;
    match (network.random.chance() * 10.0) as u32 {
        0 if network.hub.up => network.kill_hub(),
        0 | 1 if !network.hub.up => network.start_hub(),
        1 => {
            let wired = !network.hub.wired[who];
            network.wire(who, wired);
        }
        2 => network.lose_addresses(who),
        3 | 4 => {
            if network.nodes[who].ips.len() < 3 {
                network.add_address(who);
                network.nodes[who].follow(network.now);
            }
        }
        5 => {
            // Seconds without any network.
            network.net.change_all(|e| e.cut = true);
            let pause = network.random.time(40 * SECOND);
            network.run_for(pause);
            network.net.change_all(|e| e.cut = false);
        }
        6 => {
            let ips = network.nodes[who].ips.clone();
            let cut = network.random.chance() < 0.5;
            network.net.edges.iter_mut().for_each(|((a, b), edge)| {
                edge.cut = cut && (ips.contains(a) || ips.contains(b));
            });
        }
        7 => network.hub.loss = if network.hub.loss > 0.0 { 0.0 } else { 0.2 },
        8 => network.hub.jitter = network.random.time(300 * MS),
        _ => network.hub.ordered = !network.hub.ordered,
    }
}

fn assert_bounded(network: &mut Network) {
    for node in &mut network.nodes {
        assert!(node.peers.relay_channels() <= 2 * 8 + 8);
        assert!(node.peers.local_addresses().len() <= 2 * node.ips.len().max(1));
        // Those that are shared, and those of two transports of each of two links.
        let most = (1 + 2 * 2) * node.ips.len().max(1);
        assert!(node.sockets.len() <= most, "{:?}", node.sockets);
        let peers: Vec<_> = node.peers.peers().map(|t| t.link().stats()).collect();
        assert_eq!(peers.len(), 2);
        for stats in peers {
            assert!(stats.paths.len() <= 32);
            assert!(stats.messages_queued <= 4096 + 64, "{}", stats.messages_queued);
        }
    }
}
