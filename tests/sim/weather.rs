//! Cuts, outages, loss and long queues.

use std::time::Duration;

use rover_rtc::path::{PathConfig, Redundancy};

use crate::net::Edge;
use crate::pair::{ANSWERER, MS, OFFERER, Pair, SECOND};

fn stream(seed: u64, networks: usize, config: &PathConfig, edge: &Edge) -> Pair {
    let mut pair = Pair::connected(seed, networks, config, edge);
    pair.send_every(Some(10 * MS));
    pair
}

/// The longest gap of each of 40 streams whose selected path is cut, in their order.
fn cut_at_any_phase(every: Duration, most: Duration) -> Vec<Duration> {
    let gap = |seed: u64| {
        let mut pair = Pair::connected(seed, 2, &PathConfig::default(), &Edge::default());
        pair.send_every(Some(every));
        pair.run_for(10 * SECOND + MS * (seed as u32 * 7));
        let selected = pair.selected(OFFERER);
        pair.change(selected, |e| e.cut = true);
        pair.run_for(5 * SECOND);
        pair.settle(5 * SECOND);
        pair.check().assert_whole().assert_gap(most).longest_gap
    };
    let mut gaps: Vec<_> = (0..40).map(gap).collect();
    gaps.sort();
    println!("cut, a message each {every:?}: gap p50 {:?} max {:?}", gaps[20], gaps[39]);
    gaps
}

#[test]
fn the_carrying_path_is_cut_at_any_phase() {
    let gaps = cut_at_any_phase(10 * MS, 300 * MS);
    assert!(gaps[20] <= 200 * MS);
}

#[test]
fn a_thin_flow_survives_a_cut_at_any_phase() {
    let gaps = cut_at_any_phase(100 * MS, 400 * MS);
    assert!(gaps[20] <= 150 * MS, "what is sent next goes both ways already");
}

#[test]
fn always_redundant_means_no_gap() {
    for seed in 0..20u64 {
        let config = PathConfig { redundancy: Redundancy::Always, ..PathConfig::default() };
        let mut pair = stream(seed, 2, &config, &Edge::default());
        pair.run_for(3 * SECOND + MS * (seed as u32 * 7));
        let selected = pair.selected(OFFERER);
        pair.change(selected, |e| e.cut = true);
        pair.run_for(3 * SECOND);
        pair.settle(5 * SECOND);
        pair.check().assert_whole().assert_gap(30 * MS);
    }
}

#[test]
fn one_direction_dies() {
    for seed in 0..20u64 {
        let mut pair = stream(seed, 2, &PathConfig::default(), &Edge::default());
        pair.run_for(8 * SECOND);
        let n = pair.selected(OFFERER);
        let key = (pair.address(OFFERER, n), pair.address(ANSWERER, n));
        pair.net.edges.get_mut(&key).unwrap().cut = true;
        pair.run_for(5 * SECOND);
        pair.settle(5 * SECOND);
        pair.check().assert_whole().assert_gap(400 * MS);
    }
}

#[test]
fn an_outage_ends_with_the_network() {
    for (seed, secs) in [(1u64, 1u32), (2, 5), (3, 15), (4, 40), (5, 120)] {
        for networks in [1, 2] {
            let mut pair = stream(seed, networks, &PathConfig::default(), &Edge::default());
            pair.run_for(6 * SECOND);
            pair.net.change_all(|e| e.cut = true);
            // The outbox holds 4,096 messages: at 100/s that is 40 s.
            if secs > 30 {
                pair.run_for(30 * SECOND);
                pair.send_every(Some(200 * MS));
                pair.run_for((secs - 30) * SECOND);
            } else {
                pair.run_for(secs * SECOND);
            }
            pair.net.change_all(|e| e.cut = false);
            let healed = pair.now;
            let before = pair.ends[ANSWERER].received.len();
            pair.run(10 * SECOND, |p| p.ends[ANSWERER].received.len() > before);
            let first = pair.now - healed;
            println!("outage {secs} s, {networks} networks: first message after {first:?}");
            assert!(first <= 300 * MS, "{secs} s, {networks} networks: {first:?}, seed {seed}");
            pair.settle(20 * SECOND);
            pair.check().assert_whole();
        }
    }
}

#[test]
fn a_warp_retransmits_although_an_acknowledgement_is_due() {
    let mut pair = stream(7, 1, &PathConfig::default(), &Edge { delay: MS, ..Edge::default() });
    pair.size = 8;
    pair.run_for(SECOND);
    let forth = (pair.address(OFFERER, 0), pair.address(ANSWERER, 0));
    pair.net.edges.get_mut(&forth).unwrap().cut = true;
    pair.run_for(60 * MS);
    pair.say(ANSWERER, 0);
    pair.run_for(2 * MS);
    pair.net.change_all(|e| e.cut = false);
    let before = pair.ends[ANSWERER].received.len();
    let now = pair.now;
    assert!(pair.ends[OFFERER].link.transport().unwrap().session().warp(now));
    pair.run_for(10 * MS);
    let received = pair.ends[ANSWERER].received.len() - before;
    assert!(received >= 6, "{received} messages");
}

#[test]
fn heavy_loss_does_not_flap() {
    for seed in 0..3u64 {
        let edge = Edge { loss: 0.2, delay: 5 * MS, ..Edge::default() };
        let mut pair = stream(seed, 2, &PathConfig::default(), &edge);
        pair.run_for(300 * SECOND);
        pair.settle(60 * SECOND);
        let switches: Vec<_> = pair.ends.iter_mut().map(|e| e.link.stats().stun.switches).collect();
        println!("20 % loss: switches {switches:?}, {:?}", pair.check());
        pair.check().assert_whole();
        assert!(switches.iter().all(|s| *s <= 5), "{switches:?}, seed {seed}");
    }
}

#[test]
fn delays_loss_jitter_and_duplicates_lose_nothing() {
    for (i, delay) in [1u32, 20, 100, 300, 600].into_iter().enumerate() {
        for (j, loss) in [0.0, 0.02, 0.1, 0.2].into_iter().enumerate() {
            let edge = Edge {
                delay: delay * MS,
                jitter: delay * MS / 4,
                loss,
                duplicates: 0.02,
                ..Edge::default()
            };
            let seed = (i * 4 + j) as u64;
            let mut pair = stream(seed, 2, &PathConfig::default(), &edge);
            pair.run_for(30 * SECOND);
            pair.settle(120 * SECOND);
            let report = pair.check();
            println!("{delay} ms, loss {loss}: gap {:?}", report.longest_gap);
            report.assert_whole();
        }
    }
}

#[test]
fn a_long_queue_is_not_a_dead_path() {
    for (seed, queue) in [(0u64, 1u32), (1, 2), (2, 3)] {
        // 2 Mbit/s, filled by a bulk transfer in the other outbox.
        let edge =
            Edge { delay: 20 * MS, rate: 250_000.0, queue: queue * SECOND, ..Edge::default() };
        let mut pair = stream(seed, 2, &PathConfig::default(), &edge);
        pair.send_every(Some(Duration::from_micros(200)));
        for _ in 0..20 {
            // As fast as the outbox takes it, below the link's rate on average.
            pair.send_every(Some(Duration::from_micros(300)));
            pair.run_for(300 * MS);
            pair.send_every(None);
            pair.run_for(2700 * MS);
        }
        pair.settle(60 * SECOND);
        let switches: u64 = pair.ends.iter_mut().map(|e| e.link.stats().stun.switches).sum();
        println!("queue {queue} s: switches {switches}");
        pair.check().assert_whole();
    }
}

#[test]
fn a_nat_forgets_the_mapping() {
    for seed in 0..20u64 {
        let mut pair = stream(seed, 1, &PathConfig::default(), &Edge::default());
        let local = pair.ends[OFFERER].addresses[0];
        pair.run_for(6 * SECOND);
        pair.net.nat.insert(local, format!("10.9.9.9:{}", 5000 + seed).parse().unwrap());
        pair.run_for(3 * SECOND);
        pair.net.nat.insert(local, format!("10.9.9.9:{}", 6000 + seed).parse().unwrap());
        pair.run_for(3 * SECOND);
        pair.settle(5 * SECOND);
        pair.check().assert_whole().assert_gap(400 * MS);
    }
}

#[test]
fn different_delays_and_repeated_cuts() {
    for seed in 0..5u64 {
        let mut pair = stream(seed, 2, &PathConfig::default(), &Edge::default());
        pair.change(1, |e| e.delay = 60 * MS);
        pair.run_for(5 * SECOND);
        for i in 0..20 {
            pair.change(i % 2, |e| e.cut = true);
            pair.run_for(SECOND);
            pair.change(i % 2, |e| e.cut = false);
            pair.run_for(3 * SECOND);
        }
        pair.settle(10 * SECOND);
        let report = pair.check();
        println!("flap with 1 and 60 ms: {report:?}");
        report.assert_whole().assert_gap(600 * MS);
    }
}

#[test]
fn a_good_bye_arrives() {
    let mut pair = stream(1, 2, &PathConfig::default(), &Edge::default());
    pair.run_for(SECOND);
    let now = pair.now;
    pair.ends[ANSWERER].link.close(now);
    pair.run_for(100 * MS);
    assert!(pair.ends[OFFERER].closed);
}

#[test]
fn a_restart_whose_answer_is_lost_hurts_nothing() {
    let mut pair = stream(1, 2, &PathConfig::default(), &Edge::default());
    pair.run_for(10 * SECOND);
    // More often than an agent keeps credentials.
    for _ in 0..3 {
        let now = pair.now;
        let new = || rover_rtc::util::random::ice_credentials();
        let offer = pair.ends[OFFERER].link.restart_offer(now, new()).unwrap();
        pair.ends[ANSWERER].link.answer_restart(now, &offer, new()).unwrap();
        pair.run_for(SECOND);
    }
    let selected = pair.selected(OFFERER);
    pair.change(selected, |e| e.cut = true);
    pair.run_for(5 * SECOND);
    pair.settle(5 * SECOND);
    pair.check().assert_whole().assert_gap(300 * MS);
}

#[test]
fn an_idle_link_is_quiet_however_long_the_round_trip() {
    for delay in [1, 30, 150] {
        let edge = Edge { delay: delay * MS, ..Edge::default() };
        let mut pair = Pair::connected(1, 1, &PathConfig::default(), &edge);
        pair.run_for(20 * SECOND);
        let probes = |p: &Pair| p.ends.iter().map(|e| e.link.stats().stun.probes).sum::<u64>();
        let before = probes(&pair);
        pair.run_for(60 * SECOND);
        let idle = probes(&pair) - before;
        // As a hub tells its status.
        for _ in 0..12 {
            pair.say(ANSWERER, 0);
            pair.run_for(5 * SECOND);
        }
        let told = probes(&pair) - before - idle;
        println!("{delay} ms: {idle} probes in an idle minute, {told} with a message every 5 s");
        // What waits for its acknowledgement is watched closely, from both sides.
        let watched = 2 * (2 * u64::from(delay) + 100) / 50 + 2;
        assert!(idle <= 6 && told <= 6 + 12 * watched, "{delay} ms: {idle} probes, then {told}");
    }
}
