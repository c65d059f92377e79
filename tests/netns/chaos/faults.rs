//! What breaks next, and when it is mended: by a seed.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::rig::{NAMES, ROVERS, Rig};
use crate::scene::say;

/// Faults that begin and end one by one, several at a time.
pub struct Faults {
    random: u64,
    began: Instant,
    next: Instant,
    next_kill: Instant,
    /// Between two faults, and between two kills of rovers, on average.
    pauses: (Duration, Duration),
    /// What is broken and when it is mended.
    broken: Vec<(Instant, Thing)>,
    counts: [u32; KINDS.len()],
    kills: [u32; 2],
}

/// What can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    /// A network of a rover: silent, or lossy.
    Network(usize, usize),
    /// An interface of a rover.
    Interface(usize, usize),
    Rover(usize),
    Hub,
}

impl Faults {
    pub fn new(seed: u64, pauses: (Duration, Duration)) -> Self {
        let now = Instant::now();
        Self {
            random: seed,
            began: now,
            next: now,
            next_kill: now + pauses.1 / 3,
            pauses,
            broken: Vec::new(),
            counts: Default::default(),
            kills: [0; 2],
        }
    }

    /// Does what is due.
    pub fn turn(&mut self, rig: &mut Rig) {
        let now = Instant::now();
        while let Some(at) = self.broken.iter().position(|(until, _)| *until <= now) {
            let (_, thing) = self.broken.remove(at);
            mend(rig, thing);
        }
        if self.next <= now {
            self.next = now + self.about(self.pauses.0);
            self.fault(rig, now);
        }
        if self.next_kill <= now {
            self.next_kill = now + self.about(self.pauses.1);
            let (rover, pause) = (self.below(2) as usize, self.millis(0, 3000));
            if self.is_whole(Thing::Rover(rover)) {
                self.tell(&format!("kills {}, for {pause:?}", NAMES[rover]));
                rig.kill_rover(rover);
                self.kills[rover] += 1;
                self.broken.push((now + pause, Thing::Rover(rover)));
            }
        }
    }

    /// Mends everything.
    pub fn end(&mut self, rig: &mut Rig) {
        self.broken.drain(..).for_each(|(_, thing)| mend(rig, thing));
        self.tell("mends everything");
    }

    pub fn summary(&self) -> String {
        let mut text = format!("{} and {} kills of rovers", self.kills[0], self.kills[1]);
        for (kind, count) in KINDS.iter().zip(self.counts) {
            write!(text, ", {count} of {kind}").unwrap();
        }
        text
    }

    fn fault(&mut self, rig: &mut Rig, now: Instant) {
        // All numbers are drawn in any case, so that the next faults do not depend on what is
        // broken just now.
        let (kind, length) = (self.below(KINDS.len() as u64) as usize, self.millis(500, 6000));
        let (rover, uplink) = (self.below(2) as usize, self.below(2) as usize);
        let (inbound, percent) = (self.below(2) == 0, 5 + self.below(16) as u32);
        let outage = self.millis(1000, 8000);
        let host = ROVERS[rover];
        let network = Thing::Network(rover, uplink);
        let free = self.is_whole(network) && self.is_whole(Thing::Interface(rover, uplink));
        let (thing, length) = match KINDS[kind] {
            "silent cuts" if free => {
                rig.world.cut(host, uplink);
                (network, length)
            }
            "one-way cuts" if free => {
                rig.world.cut_one_way(host, uplink, inbound);
                (network, length)
            }
            "interfaces down" if free => {
                rig.world.link_down(host, uplink);
                (Thing::Interface(rover, uplink), length)
            }
            "losses" if free => {
                rig.world.lose(host, uplink, percent);
                (network, length)
            }
            "outages" => {
                for (rover, uplink) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let network = Thing::Network(rover, uplink);
                    // In place of what else there is.
                    self.broken.retain(|(_, thing)| *thing != network);
                    rig.world.cut(ROVERS[rover], uplink);
                    self.broken.push((now + outage, network));
                }
                self.counts[kind] += 1;
                return self.tell(&format!("outage, for {outage:?}"));
            }
            "hub kills" if self.is_whole(Thing::Hub) => {
                rig.kill_hub();
                (Thing::Hub, length)
            }
            _ => return,
        };
        self.counts[kind] += 1;
        self.broken.push((now + length, thing));
        self.tell(&format!("{}: {thing:?}, for {length:?}", KINDS[kind]));
    }

    fn is_whole(&self, thing: Thing) -> bool {
        !self.broken.iter().any(|(_, broken)| *broken == thing)
    }

    fn tell(&self, what: &str) {
        if std::env::var("ROVER_RTC_CHAOS_QUIET").is_err() {
            let (at, time) = (self.began.elapsed(), crate::role::time());
            say("chaos", &format!("{:.2} ({time}): {what}", at.as_secs_f64()));
        }
    }

    /// From half to one and a half of it.
    fn about(&mut self, pause: Duration) -> Duration {
        let pause = pause.as_millis() as u64;
        self.millis(pause / 2, pause * 3 / 2)
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    /// splitmix64 (Steele, Lea, Flood 2014): good numbers from any seed.
    fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

fn mend(rig: &mut Rig, thing: Thing) {
    match thing {
        Thing::Network(rover, uplink) => rig.world.restore(ROVERS[rover], uplink),
        Thing::Interface(rover, uplink) => rig.world.link_up(ROVERS[rover], uplink),
        Thing::Rover(rover) => rig.start_rover(rover),
        Thing::Hub => rig.start_hub(),
    }
}

const KINDS: [&str; 6] =
    ["silent cuts", "one-way cuts", "interfaces down", "losses", "outages", "hub kills"];
