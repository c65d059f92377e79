//! A connected pair of links in virtual time: frames, SCTP, DTLS and paths, with no socket. The
//! network between them is that of `tests/sim`.

#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    reason = "a benchmark, not a library"
)]

#[path = "../../tests/sim/net.rs"]
mod net;
#[path = "../../tests/sim/pair.rs"]
mod pair;

use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rover_rtc::Message;
use rover_rtc::path::PathConfig;

use net::Edge;
use pair::{OFFERER, Pair, SECOND};

/// 1 MiB from the offerer to the answerer, until all is acknowledged.
fn drain(c: &mut Criterion) {
    let mut group = c.benchmark_group("session");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(1 << 20));
    let edge = Edge { delay: Duration::from_micros(100), ..Edge::default() };
    for size in [1024, 16 * 1024] {
        let (data, count) = (Bytes::from(vec![0; size]), (1 << 20) / size);
        let mut pair = Pair::connected(1, 1, &PathConfig::default(), &edge);
        let link = &pair.ends[OFFERER].link;
        let outbox = link.channel("test").and_then(|id| link.outbox(id)).unwrap().clone();
        group.bench_function(format!("1 MiB in messages of {size} B"), |b| {
            b.iter(|| {
                for _ in 0..count {
                    outbox.try_push(pair.now, Message::binary(data.clone())).unwrap();
                }
                let whole = pair.run(60 * SECOND, |p| {
                    outbox.is_empty()
                        && outbox.held().0 == 0
                        && p.ends[1 - OFFERER].received.len() == count
                });
                assert!(whole);
                pair.ends[1 - OFFERER].received.clear();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, drain);
criterion_main!(benches);
