//! One of two networks dies, in several ways; the other carries on.

use std::thread;
use std::time::Duration;

use super::lab::Side;
use super::role::time;
use super::scene::{Flow, Scene, pause, random_pause, say};

/// From the cut to the next message, at most.
const MAX_GAP: Duration = Duration::from_millis(400);

#[test]
fn silent_cut() {
    // Each direction chooses its path by itself.
    let cuts = [("cut_1", Side::Rover), ("cut_2", Side::Hub), ("cut_3", Side::Rover)];
    let cut = |scene: &mut Scene, pair| scene.lab.drop_udp(Some(pair), None);
    let gaps = in_parallel(&cuts, |name, sender| calm_then_cut(name, *sender, cut));
    check("silent_cut", gaps);
}

#[test]
fn one_way_drop() {
    let cuts = [("to_hub", Side::Hub), ("to_rover", Side::Rover)];
    let gaps = in_parallel(&cuts, |name, to| {
        let to = *to;
        let sender = if to == Side::Hub { Side::Rover } else { Side::Hub };
        calm_then_cut(name, sender, move |s, pair| s.lab.drop_udp(Some(pair), Some(to)))
    });
    check("one_way_drop", gaps);
}

#[test]
fn link_down() {
    let cuts = [("down_at_rover", Side::Rover), ("down_at_hub", Side::Hub)];
    let gaps = in_parallel(&cuts, |name, side| {
        let side = *side;
        calm_then_cut(name, Side::Rover, move |s, pair| s.lab.link_down(pair, side))
    });
    check("link_down", gaps);
}

#[test]
fn flapping() {
    let Some(mut scene) = Scene::begin("flapping") else { return };
    let mut gaps = Vec::new();
    for round in 0..10 {
        let pair = 1 + round % 2;
        gaps.push(worst_gap(&mut scene, 700, |s| s.lab.drop_udp(Some(pair), None)));
        scene.lab.heal();
        // Standby paths are probed once a second: this is just enough to find it alive again.
        pause(1300);
    }
    lose_nothing(scene);
    check("flapping", gaps);
}

/// Cuts the pair that carries a side's messages, once the paths count as clean, so that nothing is
/// sent twice; then, soon after, the other one. The worst gap of each, of both directions.
fn calm_then_cut(
    name: &'static str,
    sender: Side,
    cut: impl Fn(&mut Scene, u8),
) -> Option<Vec<Duration>> {
    let mut scene = Scene::begin(name)?;
    pause(5000);
    let mut gaps = Vec::new();
    for _ in 0..2 {
        let pair = scene.lab.selected(sender);
        random_pause();
        gaps.push(worst_gap(&mut scene, 1200, |s| cut(s, pair)));
        scene.lab.heal();
        Side::BOTH.into_iter().for_each(|side| scene.lab.link_up(pair, side));
        pause(1500);
    }
    lose_nothing(scene);
    Some(gaps)
}

/// Does something to the network, and returns the longest gap after it, of both directions.
fn worst_gap(scene: &mut Scene, watch_ms: u64, act: impl FnOnce(&mut Scene)) -> Duration {
    let start = time();
    act(scene);
    pause(watch_ms);
    let gap = |flow| scene.received(flow).longest_gap(start, start + watch_ms * 1000);
    let gaps = Flow::BOTH.map(gap);
    scene.say(&format!("gap up {:?}, down {:?}", gaps[0], gaps[1]));
    gaps[0].max(gaps[1])
}

fn lose_nothing(scene: Scene) {
    let counts = scene.end();
    assert!(counts.iter().all(|c| c.is_perfect()), "{counts:?}");
}

/// Runs a lab for each, side by side: they mostly wait.
fn in_parallel<T: Sync>(
    list: &[(&'static str, T)],
    run: impl Fn(&'static str, &T) -> Option<Vec<Duration>> + Sync,
) -> Vec<Duration> {
    let run = &run;
    thread::scope(|scope| {
        let start = |(name, what)| scope.spawn(move || run(name, what));
        let threads: Vec<_> = list.iter().map(|(name, what)| start((*name, what))).collect();
        threads.into_iter().filter_map(|t| t.join().unwrap()).flatten().collect()
    })
}

/// Without figures there was no lab.
fn check(name: &str, mut gaps: Vec<Duration>) {
    gaps.sort();
    let Some(longest) = gaps.last().copied() else { return };
    let median = gaps[gaps.len() / 2];
    let cuts = gaps.len();
    say(name, &format!("{cuts} cuts, gap median {median:?}, longest {longest:?}"));
    assert!(longest <= MAX_GAP, "{gaps:?}");
}
