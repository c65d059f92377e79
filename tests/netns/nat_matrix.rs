//! Two rovers find each other whatever their NATs are, and take the best way that these allow.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::call::can_be_direct;
use super::nat::Nat;
use super::nat_kinds::world;
use super::scene::{Scene, pause, say};

const KINDS: [Nat; 4] = [Nat::None, Nat::Cone, Nat::Symmetric, Nat::Blocked];

/// From the call until messages have come both ways.
const MAX_CONNECT: Duration = Duration::from_secs(2);

/// From then until the best kind of path carries.
const MAX_SETTLE: Duration = Duration::from_secs(3);

#[test]
fn all_pairs_of_nats() {
    let pairs: Vec<_> = KINDS.iter().flat_map(|a| KINDS.map(|b| (*a, b))).collect();
    let next = AtomicUsize::new(0);
    // Connecting is what costs the machine: more at once would measure that.
    let work = || {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let mine = numbers.map_while(|n| pairs.get(n));
        mine.filter_map(|(a, b)| meet(*a, *b)).collect::<Vec<_>>()
    };
    let mut times: Vec<_> = thread::scope(|scope| {
        let threads = [0; WORKERS].map(|_| scope.spawn(work));
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    times.sort();
    let Some(longest) = times.last() else { return };
    let (median, p95) = (times[times.len() / 2], times[times.len() * 95 / 100]);
    let all = times.len();
    say("nat_matrix", &format!("{all} connect: median {median:?}, p95 {p95:?}, max {longest:?}"));
    assert_eq!(all, pairs.len());
    assert!(p95 <= MAX_CONNECT, "{times:?}");
}

/// The time to connect. `None` if this machine cannot have a world.
fn meet(a: Nat, b: Nat) -> Option<Duration> {
    let name = format!("nat_{a:?}_{b:?}").to_lowercase();
    let mut scene = Scene::call(name.leak(), world(&[a], &[b])?, &[]);
    let connected = scene.connect_time();
    let settled = scene.settle(can_be_direct(a, b), MAX_SETTLE);
    pause(3000);
    let [at_a, at_b] = scene.paths();
    let kinds = format!("{} / {}", at_a.selected, at_b.selected);
    // Whoever is found to be reachable stays so.
    assert_eq!(at_a.is_direct(), can_be_direct(a, b), "{a:?} {b:?}: {kinds}");
    scene
        .say(&format!("connected in {connected:?}, settled {settled:?} later, carried by {kinds}"));
    scene.end_perfect();
    Some(connected)
}

/// Pairs that are tried at the same time.
const WORKERS: usize = 2;
