//! What is done for each message beside sending it: the outbox, and the histogram of latencies.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark, not a library")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rover_rtc::bench_support::push_and_pop;
use rover_rtc::link::Outbox;
use rover_rtc::util::clock;
use rover_rtc::util::histogram::Histogram;
use rover_rtc::{ChannelConfig, Message, Mode};

fn outbox(c: &mut Criterion) {
    let mut group = c.benchmark_group("outbox");
    let (now, message) = (clock::now(), Message::binary(vec![7; 100]));
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for mode in [Mode::Reliable, Mode::Plain] {
        let outbox = Outbox::new(&ChannelConfig::of_mode("bench", mode));
        group.bench_function(format!("push and pop {MESSAGES}, {mode:?}"), |b| {
            b.iter(|| assert_eq!(push_and_pop(&outbox, now, &message, MESSAGES), MESSAGES));
        });
    }
    // Each overtakes the one of its key: only the newest is there to be taken.
    let outbox = Outbox::new(&ChannelConfig::of_mode("bench", Mode::Latest));
    group.bench_function(format!("push {MESSAGES} of one key, Latest"), |b| {
        b.iter(|| assert_eq!(push_and_pop(&outbox, now, &message, MESSAGES), 1));
    });
    group.finish();
}

fn histogram(c: &mut Criterion) {
    let mut group = c.benchmark_group("histogram");
    let mut histogram = Histogram::default();
    let durations: Vec<_> = (1..1000).map(|n| Duration::from_micros(n * n)).collect();
    group.throughput(Throughput::Elements(durations.len() as u64));
    group.bench_function("record", |b| {
        b.iter(|| durations.iter().for_each(|d| histogram.record(black_box(*d))));
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("p99", |b| b.iter(|| histogram.quantile(black_box(0.99))));
    group.finish();
}

const MESSAGES: usize = 64;

criterion_group!(benches, outbox, histogram);
criterion_main!(benches);
