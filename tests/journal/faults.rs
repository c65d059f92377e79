//! A disk that fails for a while, at each write and each sync of a run.

use rover_rtc::journal::JournalError;

use crate::crash::{empty, open};
use crate::disk::Plan;
use crate::rig::{LINK, Rig, acked, append, received};

#[test]
fn failures_are_told_lose_nothing_and_heal() {
    let whole = empty();
    assert_eq!(run(open(&whole).unwrap(), "no failure").failed, 0);
    let operations = whole.operations();
    let (mut runs, mut failed, mut silent) = (0, 0, 0);
    for at in 0..operations {
        for count in [1, 2, 12] {
            for took in [false, true] {
                let plan = Plan::Failure { at, count, took };
                let disk = empty().plan(plan);
                let when = format!("{plan:?}");
                // At the opening it is the caller who tries again.
                let opened = || (0..40).find_map(|_| open(&disk).ok()).expect("it opens at last");
                let told = run(opened(), &when);
                failed += told.failed;
                silent += usize::from(told.failed == 0);
                let rig = opened();
                assert_eq!(rig.numbers(), told.kept, "after a restart: {when}");
                let saved = rig.journal.saved(LINK).unwrap();
                assert_eq!(saved[0].incoming, Some((3, told.received)), "{when}");
                assert!(saved[0].outgoing.as_ref().unwrap().acked <= 10);
                runs += 1;
            }
        }
    }
    eprintln!("{runs} runs, {failed} records failed; in {silent} runs none did");
}

struct Told {
    kept: Vec<u64>,
    received: u64,
    failed: usize,
}

fn run(mut rig: Rig, when: &str) -> Told {
    let mut told = Told { kept: Vec::new(), received: 0, failed: 0 };
    for seq in 1.. {
        let mut results = Vec::new();
        results.push(rig.do_one(append(seq)));
        if results[0].is_ok() {
            told.kept.push(seq);
        }
        if seq % 4 == 0 {
            let result = rig.do_one(received(seq));
            told.received = if result.is_ok() { seq } else { told.received };
            results.push(result);
        }
        if seq == 10 {
            // Once in the middle, while some may have failed before.
            assert_eq!(rig.do_one(acked(10)), Ok(()));
            told.kept.retain(|kept| *kept > 10);
        }
        for error in results.into_iter().filter_map(Result::err) {
            assert!(matches!(error, JournalError::Storage(_)), "{when}: {error}");
            told.failed += 1;
        }
        // It goes on until it works again.
        assert!(seq < 60, "it does not heal: {when}");
        if seq >= 24 && seq % 4 == 0 && (told.kept.last(), told.received) == (Some(&seq), seq) {
            break;
        }
    }
    assert_eq!(rig.numbers(), told.kept, "{when}");
    told
}
