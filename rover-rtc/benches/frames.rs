//! Frames and framed channels, without a network.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark, not a library")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rover_rtc::bench_support::{MuxPair, decode, encode};
use rover_rtc::util::clock;

/// Messages in a container, as full as it gets: 16 KiB.
const CONTAINERS: [(usize, usize); 3] = [(200, 64), (13, 1200), (4, 4096)];

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    for (count, size) in CONTAINERS {
        let message = vec![7; size];
        group.throughput(Throughput::Bytes((count * size) as u64));
        let mut container = Vec::new();
        group.bench_function(format!("encode {count} x {size} B"), |b| {
            b.iter(|| {
                container.clear();
                encode(&mut container, count, black_box(&message));
            });
        });
        let container = Bytes::from(container);
        group.bench_function(format!("decode {count} x {size} B"), |b| {
            b.iter(|| decode(black_box(container.clone())));
        });
    }
    group.finish();
}

/// 1 MiB from one end to the other, and the acknowledgements back.
fn muxes(c: &mut Criterion) {
    let mut group = c.benchmark_group("mux");
    for size in [64, 1200, 16 * 1024] {
        let (data, count) = (Bytes::from(vec![7; size]), (1 << 20) / size);
        let mut pair = MuxPair::new(clock::now());
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} x {size} B"), |b| {
            b.iter(|| assert_eq!(pair.exchange(count, &data), count * size));
        });
    }
    group.finish();
}

criterion_group!(benches, frames, muxes);
criterion_main!(benches);
