//! One of two networks dies, in several ways; the other carries on.

use std::time::Duration;

use super::lab::Side;
use super::role::time;
use super::scene::{Flow, Scene, pause};

/// From the cut to the next message, at most.
const MAX_GAP: Duration = Duration::from_millis(400);

#[test]
fn silent_cut() {
    let Some(mut scene) = Scene::begin("silent_cut") else { return };
    let mut gaps = Vec::new();
    for round in 0..5 {
        // Each direction chooses its path by itself.
        let sender = Side::BOTH[round % 2];
        let pair = scene.lab.carrying(sender);
        random_pause();
        gaps.push(worst_gap(&mut scene, 1200, |s| s.lab.drop_udp(Some(pair), None)));
        scene.lab.heal();
        pause(1500);
    }
    finish(scene, &mut gaps);
}

#[test]
fn one_way_drop() {
    let Some(mut scene) = Scene::begin("one_way_drop") else { return };
    let mut gaps = Vec::new();
    for (sender, receiver) in [(Side::Rover, Side::Hub), (Side::Hub, Side::Rover)] {
        for to in [receiver, sender] {
            let pair = scene.lab.carrying(sender);
            random_pause();
            gaps.push(worst_gap(&mut scene, 1200, |s| s.lab.drop_udp(Some(pair), Some(to))));
            scene.lab.heal();
            pause(1500);
        }
    }
    finish(scene, &mut gaps);
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
    finish(scene, &mut gaps);
}

#[test]
fn link_down() {
    let Some(mut scene) = Scene::begin("link_down") else { return };
    let mut gaps = Vec::new();
    for _ in 0..3 {
        let pair = scene.lab.carrying(Side::Rover);
        random_pause();
        gaps.push(worst_gap(&mut scene, 1200, |s| s.lab.link_down(pair, Side::Rover)));
        scene.lab.link_up(pair, Side::Rover);
        pause(1500);
    }
    finish(scene, &mut gaps);
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

fn finish(scene: Scene, gaps: &mut [Duration]) {
    gaps.sort();
    let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    scene.say(&format!("{} cuts, gap median {median:?}, longest {longest:?}", gaps.len()));
    let counts = scene.end();
    assert!(counts.iter().all(|c| c.is_perfect()), "{counts:?}");
    assert!(longest <= MAX_GAP, "{gaps:?}");
}

/// So that cuts meet the probes, 50 ms apart, at any phase.
fn random_pause() {
    pause(time() / 7 % 100);
}
