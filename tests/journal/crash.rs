//! The power goes at each write and each sync of a run.

use rover_rtc::journal::{Journal, JournalConfig, JournalError, Record};

use crate::disk::{Disk, Plan, Survives};
use crate::rig::{Rig, acked, append, received};

#[test]
fn what_was_reported_survives_a_power_cut_at_any_point() {
    let whole = empty();
    let all = run(&whole);
    assert_eq!((all.appended, all.acked, all.received), ((20, 20), (15, 15), (20, 20)));
    let mut images = 0;
    for at in 0..whole.operations() {
        let disk = empty().plan(Plan::PowerCut { at });
        let told = run(&disk);
        let seeds = (1..=4).map(|seed| Survives::Some(seed + 7 * at as u64));
        for survives in [Survives::Nothing, Survives::All].into_iter().chain(seeds) {
            let image = disk.after_cut(survives);
            told.check(&image, &format!("operation {at}, {survives:?}"));
            images += 1;
        }
    }
    eprintln!("{images} images of {} operations", whole.operations());
}

/// A second cut, while the journal is opened after the first one.
#[test]
fn opening_may_be_cut_too() {
    let whole = empty();
    run(&whole);
    let mut images = 0;
    for at in (0..whole.operations()).step_by(11) {
        let disk = empty().plan(Plan::PowerCut { at });
        let told = run(&disk);
        let image = disk.after_cut(Survives::Some(3 + at as u64));
        for again in 0.. {
            let disk = Disk::of(image.clone()).plan(Plan::PowerCut { at: again });
            let opened = open(&disk);
            let done = opened.is_ok();
            drop(opened);
            for survives in [Survives::Nothing, Survives::All, Survives::Some(again as u64 + 1)] {
                told.check(&disk.after_cut(survives), &format!("{at}, then {again}, {survives:?}"));
                images += 1;
            }
            if done && disk.operations() < again {
                break;
            }
        }
    }
    eprintln!("{images} images");
}

/// The last number that was reported, and the last one submitted.
#[derive(Debug, Default)]
struct Told {
    appended: (u64, u64),
    acked: (u64, u64),
    received: (u64, u64),
}

pub fn open(disk: &Disk) -> Result<Rig, JournalError> {
    let disk = disk.clone();
    let config = JournalConfig { group: std::time::Duration::ZERO, ..JournalConfig::default() };
    Rig::with(|wake| Journal::open_on("disk".into(), move |_| Ok(disk.clone()), config, wake))
}

/// The disk of an empty journal. How a real one is made is another matter: under another name.
pub fn empty() -> Disk {
    let disk = Disk::default();
    drop(open(&disk).unwrap());
    Disk::of(disk.content())
}

/// Writes until the power goes, or the run is over.
fn run(disk: &Disk) -> Told {
    let mut told = Told::default();
    let Ok(mut rig) = open(disk) else { return told };
    for seq in 1..=20 {
        let mut go = |last: &mut (u64, u64), record: Record, number| {
            last.1 = number;
            let done = rig.do_one(record).is_ok();
            last.0 = if done { number } else { last.0 };
            done
        };
        if !go(&mut told.appended, append(seq), seq) || !go(&mut told.received, received(seq), seq)
        {
            return told;
        }
        // Its result says nothing of the disk, but it must not take too much along.
        if seq % 5 == 0 && seq < 20 {
            go(&mut told.acked, acked(seq), seq);
        }
    }
    told
}

impl Told {
    fn check(&self, image: &[u8], when: &str) {
        let rig = open(&Disk::of(image.to_vec())).unwrap_or_else(|e| panic!("{when}: {e}"));
        let saved = rig.journal.saved(crate::rig::LINK).unwrap();
        let incoming = saved.first().and_then(|s| s.incoming).map_or(0, |(_, through)| through);
        assert!((self.received.0..=self.received.1).contains(&incoming), "{when}: {incoming}");
        let outgoing = saved.into_iter().next().and_then(|s| s.outgoing);
        let acked = outgoing.map_or(0, |outgoing| outgoing.acked);
        assert!(acked <= self.acked.1, "{when}: {acked}");
        let numbers = rig.numbers();
        let last = numbers.last().copied().unwrap_or(acked);
        assert!(
            (self.appended.0..=self.appended.1).contains(&last),
            "{when}: {numbers:?} {self:?}"
        );
        assert_eq!(numbers, (acked + 1..=last).collect::<Vec<_>>(), "{when}");
    }
}
