//! Which way a record goes, which path carries, and whose a datagram is.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark, not a library")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rover_rtc::bench_support::Clients;
use rover_rtc::path::stun::{Generation, Role, request};
use rover_rtc::path::{Packet, PathConfig, PathSet, Redundancy, Via};
use rover_rtc::util::{clock, random};

/// Two ends that can reach each other by some networks, with no time between them.
struct Ends {
    now: Instant,
    sets: [PathSet; 2],
    /// The address of each end in the first network.
    first: [SocketAddr; 2],
}

impl Ends {
    /// They are connected and have probed for ten seconds.
    fn new(networks: u8, redundancy: Redundancy) -> Self {
        let now = clock::now();
        let creds = [(); 2].map(|()| random::ice_credentials());
        let address = |network, end| SocketAddr::from(([10, 0, network, end], 4000));
        let sets = [0, 1].map(|end: usize| {
            let config = PathConfig { redundancy, ..PathConfig::default() };
            let mut set = PathSet::new(config, creds[end].clone(), end == 0, 7);
            let (local, remote) = (creds[end].clone(), creds[1 - end].clone());
            set.add_generation(Generation { local, remote }, true);
            for network in 0..networks {
                let (local, remote) =
                    (address(network, end as u8), address(network, 1 - end as u8));
                set.add_local(local, Via::Host);
                set.add_remote(remote, Via::Host);
            }
            set
        });
        let first = [address(0, 0), address(0, 1)];
        let mut ends = Self { now, sets, first };
        for end in 0..2 {
            ends.sets[end].connected(now, first[end], first[1 - end]);
        }
        ends.run(Duration::from_secs(10));
        assert!(ends.sets[0].selected().is_some());
        ends
    }

    /// Probes and their answers for a while; returns how many there were.
    fn run(&mut self, time: Duration) -> usize {
        let (end, mut messages) = (self.now + time, 0);
        while self.now < end {
            for (from, to) in [(0, 1), (1, 0)] {
                // As if it were in use.
                self.sets[from].message_sent(self.now);
                self.sets[from].handle_timeout(self.now);
                while let Some(out) = self.sets[from].poll_transmit() {
                    let Some(Packet::Stun(message, bytes)) = Packet::parse(&out.datagram) else {
                        panic!("it is STUN that paths send");
                    };
                    let (local, remote, length) = (out.remote, out.local, bytes.len());
                    self.sets[to].handle_stun(self.now, local, remote, &message, length);
                    messages += 1;
                }
                while self.sets[from].poll_event().is_some() {}
            }
            self.now += Duration::from_millis(10);
        }
        messages
    }
}

fn route(c: &mut Criterion) {
    let mut group = c.benchmark_group("path");
    let record = vec![23; 1200];
    for (networks, redundancy) in
        [(1, Redundancy::Auto), (4, Redundancy::Auto), (4, Redundancy::Always)]
    {
        let mut ends = Ends::new(networks, redundancy);
        let (now, proposed) = (ends.now, (ends.first[0], ends.first[1]));
        group.bench_function(format!("route a record, {networks} paths, {redundancy:?}"), |b| {
            b.iter(|| ends.sets[0].route(black_box(now), proposed, black_box(&record)));
        });
    }
    for networks in [1, 4] {
        let mut ends = Ends::new(networks, Redundancy::Auto);
        group.bench_function(
            format!("probe and select for 1 s, both ends, {networks} paths"),
            |b| {
                b.iter(|| assert!(ends.run(Duration::from_secs(1)) > 0));
            },
        );
    }
    group.finish();
}

fn demux(c: &mut Criterion) {
    let mut group = c.benchmark_group("demux");
    group.throughput(Throughput::Elements(1));
    let local = SocketAddr::from(([127, 0, 0, 1], 1));
    let source = |id: u32| {
        let [_, a, b, c] = id.to_be_bytes();
        (local, SocketAddr::from(([10, a, b, c], 4000)))
    };
    for clients in [10, 10_000] {
        let mut known = Clients::default();
        let mut requests = Vec::new();
        for id in 0..clients {
            let generation =
                Generation { local: random::ice_credentials(), remote: random::ice_credentials() };
            known.add(id, &generation.remote.ufrag, source(id));
            requests.push(request(&generation, Role { controlling: true, tie_breaker: 7 }).1);
        }
        let record = [23; 1200];
        // One after another, so that the caches hold what they would.
        let mut id = 0;
        let mut next = move || {
            id = (id + 7) % clients;
            id
        };
        group.bench_function(format!("record, {clients} clients"), |b| {
            b.iter(|| {
                let id = next();
                assert_eq!(known.find(source(id), &record), Some(id));
            });
        });
        group.bench_function(format!("request, {clients} clients"), |b| {
            b.iter(|| {
                let id = next();
                assert_eq!(known.find((local, local), &requests[id as usize]), Some(id));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, route, demux);
criterion_main!(benches);
