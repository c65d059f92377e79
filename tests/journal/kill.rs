//! A process that is killed while it writes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::disk::Random;
use crate::rig::{LINK, Rig, acked, append};
use crate::scratch::Scratch;

/// Where the child's journal is. Its presence makes a child of this binary.
const DIR: &str = "ROVER_JOURNAL_DIR";

#[test]
fn what_was_reported_survives_kill_9() {
    let scratch = Scratch::new();
    let dir = scratch.path("state");
    let mut random = Random::default();
    let (mut last, mut reported, mut ahead) = (0, 0, 0);
    for round in 0..ROUNDS {
        let mut child = program(&dir).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // A line that the kill cut short is none.
        let told = thread::spawn(move || {
            let read = |line: String| line.strip_prefix("ok ")?.strip_suffix('.')?.parse().ok();
            lines.map_while(Result::ok).filter_map(read).max().unwrap_or(0)
        });
        // From before it opens the file until well into its work.
        thread::sleep(Duration::from_micros(random.below(250_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let told: u64 = told.join().unwrap();
        reported += u64::from(told > last);
        last = last.max(told);
        let rig = Rig::open(&dir);
        let acked = rig.journal.saved(LINK).unwrap();
        let acked = acked.first().and_then(|s| s.outgoing.as_ref()).map_or(0, |o| o.acked);
        let numbers = rig.numbers();
        let end = numbers.last().copied().unwrap_or(acked);
        assert!(end >= last, "round {round}: {last} was reported, {end} is the last");
        assert_eq!(numbers, (acked + 1..=end).collect::<Vec<_>>(), "round {round}");
        ahead += u64::from(end > last);
        last = end;
    }
    eprintln!("{ROUNDS} kills, {reported} while it reported, {ahead} before it could; {last} kept");
    assert!(reported > ROUNDS / 4, "it is killed too soon");
}

#[test]
fn another_process_is_told_that_it_is_in_use() {
    let scratch = Scratch::new();
    let dir = scratch.path("state");
    let mut rig = Rig::open(&dir);
    rig.do_one(append(1)).unwrap();
    let output = program(&dir).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(!output.status.success() && text.contains("InUse"), "{text}");
    assert_eq!(rig.numbers(), [1]);
}

/// This binary as the child.
fn program(dir: &str) -> Command {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "kill::child", "--nocapture"]).env(DIR, dir).stdin(Stdio::null());
    program
}

#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let mut rig = Rig::open(&dir);
    let saved = rig.journal.saved(LINK).unwrap();
    let before = saved.first().and_then(|s| s.outgoing.as_ref());
    let before = before.map_or(0, |o| o.messages.last().map_or(o.acked, |(seq, _)| *seq));
    let mut submitted = 0;
    for seq in before + 1.. {
        rig.journal.submit(LINK, append(seq));
        submitted += 1;
        if seq % 50 == 0 && seq > 80 {
            rig.journal.submit(LINK, acked(seq - 80));
            submitted += 1;
        }
        if seq % 8 == 0 {
            assert!(rig.wait(submitted).iter().all(Result::is_ok));
            submitted = 0;
            let mut out = std::io::stdout();
            out.write_all(format!("ok {seq}.\n").as_bytes()).unwrap();
            out.flush().unwrap();
        }
    }
}

const ROUNDS: u64 = 80;
