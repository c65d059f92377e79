//! Two rovers and a hub while networks fail, lose and return, and all three are killed again and
//! again; no durable or reliable message may be lost, come twice or in another order.
//!
//! `ROVER_RTC_LONG=1` makes it ten minutes, `ROVER_RTC_CHAOS_MINUTES` as many as one likes.
//! `ROVER_RTC_CHAOS_SEED` repeats the faults of an earlier run, though not their exact times;
//! `ROVER_RTC_CHAOS_FAULT_MS` and `ROVER_RTC_CHAOS_KILL_MS` change the time from one fault or kill
//! to the next.

mod check;
mod faults;
mod rig;
mod role;

use std::time::{Duration, Instant};

use super::nat::World;
use super::scene::say;
use super::{role as peer, support};
use check::{Durable, Log, Reliable, longest_gap};
use faults::Faults;
use rig::Rig;

#[test]
fn chaos() {
    if let Some(what) = World::lacks() {
        return support::missing(&what);
    }
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("ROVER_RTC_CHAOS_SEED").unwrap_or_else(peer::time);
    let long = std::env::var("ROVER_RTC_LONG").is_ok();
    let minutes = number("ROVER_RTC_CHAOS_MINUTES").or(long.then_some(10));
    let length = minutes.map_or(SHORT, |minutes| Duration::from_secs(60 * minutes));
    say("chaos", &format!("seed {seed}, {length:?}"));

    let mut rig = Rig::start();
    let pause = |name, ms| Duration::from_millis(number(name).unwrap_or(ms));
    let pauses =
        (pause("ROVER_RTC_CHAOS_FAULT_MS", 2500), pause("ROVER_RTC_CHAOS_KILL_MS", 15_000));
    let mut faults = Faults::new(seed, pauses);
    let end = Instant::now() + length;
    while Instant::now() < end {
        faults.turn(&mut rig);
        std::thread::sleep(Duration::from_millis(20));
    }
    faults.end(&mut rig);
    let drained = rig.drain(DRAIN);
    say("chaos", &format!("{}; drained after {drained:?}", faults.summary()));
    rig.end();
    judge(&rig);
}

/// Reads the logs and fails unless every message arrived as promised.
fn judge(rig: &Rig) {
    let logs = rig::NAMES.map(|name| Log::read(&rig.directory().join(format!("{name}.log"))));
    let mut wrong = Vec::new();
    for (from, to) in [(0, 1), (1, 0)] {
        let (sender, receiver) = (&logs[from], &logs[to]);
        let way = format!("{} to {}", rig::NAMES[from], rig::NAMES[to]);
        let durable = Durable::of(sender, receiver);
        let reliable = Reliable::of(sender, receiver, &rig.kills()[to]);
        let again = receiver.redelivered;
        let (gap, _) = longest_gap(receiver.durable.iter().map(|(time, _)| *time));
        say("chaos", &format!("{way}: durable {durable}, {again} came again, gap {gap:?}"));
        let (gap, _) = longest_gap(receiver.reliable.iter().map(|(time, ..)| *time));
        say("chaos", &format!("{way}: reliable {reliable}, gap {gap:?}"));
        if !durable.is_perfect() {
            wrong.push(format!("{way}: {durable:?}"));
        }
        wrong.extend(reliable.wrong.iter().map(|what| format!("{way}: {what}")));
    }
    for (log, name) in logs.iter().zip(rig::NAMES) {
        let count = |event| log.count(event);
        let [resumed, restarted, gaps] = ["Resumed", "PeerRestarted", "Gap"].map(count);
        let [outages, troubles, second] = ["Outage", "Trouble", "SecondLink"].map(count);
        let text = format!(
            "{name}: {resumed} times resumed, {outages} outages, {troubles} troubles, the other \
             side restarted {restarted} times, {gaps} gaps"
        );
        say("chaos", &text);
        if second > 0 {
            wrong.push(format!("{name} got a second link"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\nsee {:?}", rig.directory());
}

/// Of the storm.
const SHORT: Duration = Duration::from_secs(60);

/// What waits arrives within this after all is healed: a dial takes 10 s to fail, and as much when
/// the other side has died meanwhile, beside pauses of up to 30 s.
const DRAIN: Duration = Duration::from_secs(90);
