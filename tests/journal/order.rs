//! What a journal remembers, and what it refuses.

use std::time::{Duration, Instant};

use rover_rtc::Message;
use rover_rtc::journal::{JournalConfig, JournalError, Record};

use crate::rig::{EPOCH, LABEL, LINK, Rig, acked, append, received, text};
use crate::scratch::Scratch;

#[test]
fn everything_comes_back_in_order() {
    let scratch = Scratch::new();
    let dir = scratch.path("state");
    let mut rig = Rig::open(&dir);
    for seq in 1..=500 {
        rig.journal.submit(LINK, append(seq));
    }
    assert!(rig.wait(500).iter().all(Result::is_ok));
    rig.do_one(acked(20)).unwrap();
    rig.do_one(received(12)).unwrap();
    drop(rig);
    let rig = Rig::open(&dir);
    let saved = rig.journal.saved(LINK).unwrap();
    assert_eq!((saved[0].label.as_ref(), saved[0].incoming), (LABEL, Some((3, 12))));
    assert_eq!((rig.outgoing().epoch, rig.outgoing().acked), (EPOCH, 20));
    assert_eq!(rig.numbers(), (21..=500).collect::<Vec<_>>());
    assert_eq!(rig.journal.stats().messages, 480);
    assert_eq!(rig.journal.saved("nobody").unwrap(), []);
}

#[test]
fn numbers_go_on_after_everything_was_acknowledged() {
    let scratch = Scratch::new();
    let dir = scratch.path("state");
    let mut rig = Rig::open(&dir);
    rig.do_one(append(1)).unwrap();
    rig.do_one(append(2)).unwrap();
    rig.do_one(acked(2)).unwrap();
    // What was done at once is written at the end.
    drop(rig);
    let mut rig = Rig::open(&dir);
    assert_eq!((rig.outgoing().acked, rig.numbers()), (2, vec![]));
    // Neither an older number nor one of another epoch turns it back.
    rig.do_one(acked(1)).unwrap();
    rig.do_one(Record::Acked { label: LABEL.into(), epoch: EPOCH + 1, through: 9 }).unwrap();
    assert_eq!((rig.outgoing().epoch, rig.outgoing().acked), (EPOCH, 2));
    rig.do_one(received(5)).unwrap();
    rig.do_one(received(4)).unwrap();
    assert_eq!(rig.journal.saved(LINK).unwrap()[0].incoming, Some((3, 5)));
}

#[test]
fn acknowledgements_are_written_within_a_second() {
    let scratch = Scratch::new();
    let mut rig = Rig::open(&scratch.path("state"));
    rig.do_one(append(1)).unwrap();
    let commits = rig.journal.stats().commits;
    rig.do_one(acked(1)).unwrap();
    assert_eq!(rig.journal.stats().commits, commits);
    let since = Instant::now();
    while rig.journal.stats().commits == commits {
        assert!(since.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((rig.journal.stats().messages, rig.journal.stats().bytes), (0, 0));
}

#[test]
fn a_new_epoch_begins_anew() {
    let scratch = Scratch::new();
    let mut rig = Rig::open(&scratch.path("state"));
    rig.do_one(append(1)).unwrap();
    rig.do_one(append(2)).unwrap();
    let record =
        |seq| Record::Append { label: LABEL.into(), epoch: EPOCH - 1, seq, message: text(seq) };
    rig.do_one(record(1)).unwrap();
    assert_eq!((rig.outgoing().epoch, rig.outgoing().acked), (EPOCH - 1, 0));
    assert_eq!((rig.numbers(), rig.journal.stats().messages), (vec![1], 1));
}

#[test]
fn links_and_channels_are_told_apart_and_forgotten() {
    let scratch = Scratch::new();
    let dir = scratch.path("state");
    let mut rig = Rig::open(&dir);
    let mut count = 0;
    for link in ["b", "a", "ab"] {
        for label in ["", "b", "test"] {
            let message = Message::text(format!("{link}-{label}"));
            let record = Record::Append { label: label.into(), epoch: 1, seq: 1, message };
            rig.journal.submit(link, record);
            count += 1;
        }
    }
    assert!(rig.wait(count).iter().all(Result::is_ok));
    rig.journal.forget("a");
    rig.journal.submit("c", received(1));
    rig.wait(1);
    drop(rig);
    let rig = Rig::open(&dir);
    let names: Vec<_> = rig.journal.links().unwrap();
    assert_eq!(names.iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["ab", "b", "c"]);
    assert_eq!(rig.journal.saved("a").unwrap(), []);
    for saved in rig.journal.saved("ab").unwrap() {
        let text = Message::text(format!("ab-{}", saved.label));
        assert_eq!(saved.outgoing.unwrap().messages, [(1, text)]);
    }
    assert_eq!(rig.journal.stats().messages, 6);
}

#[test]
fn a_full_journal_refuses_only_what_does_not_fit() {
    let scratch = Scratch::new();
    let config = JournalConfig { max_bytes: 10_000, ..JournalConfig::default() };
    let mut rig = Rig::open_with(&scratch.path("state"), config);
    // The seventh and the fourteenth have 9,000 bytes each, the others at most 240.
    for seq in 1..=16 {
        rig.journal.submit(LINK, append(seq));
    }
    let results = rig.wait(16);
    let full = Err(JournalError::Full { limit: 10_000 });
    for (seq, result) in (1..).zip(results) {
        assert_eq!(result, if seq == 7 || seq == 14 { full.clone() } else { Ok(()) }, "{seq}");
    }
    rig.do_one(acked(16)).unwrap();
    rig.do_one(append(21)).unwrap();
    assert_eq!(rig.numbers(), [21]);
}

#[test]
fn the_first_record_is_not_held_back() {
    let scratch = Scratch::new();
    let config = JournalConfig { group: Duration::from_secs(2), ..JournalConfig::default() };
    let mut rig = Rig::open_with(&scratch.path("state"), config);
    let since = Instant::now();
    rig.do_one(append(1)).unwrap();
    assert!(since.elapsed() < Duration::from_secs(1));
    // The next ones are, and go together.
    for seq in 2..=6 {
        rig.do_one_later(seq);
    }
    let commits = rig.journal.stats().commits;
    rig.wait(5);
    assert!(since.elapsed() >= Duration::from_secs(2));
    assert_eq!(rig.journal.stats().commits, commits + 1);
    // Unless there is much of it.
    for seq in 1..=40 {
        rig.do_one_later(seq * 7);
    }
    rig.wait(1);
    assert!(since.elapsed() < Duration::from_secs(3));
}

#[test]
fn what_was_submitted_is_written_at_the_end() {
    let scratch = Scratch::new();
    let dir = scratch.path("state");
    let config = JournalConfig { group: Duration::from_secs(9), ..JournalConfig::default() };
    let mut rig = Rig::open_with(&dir, config);
    for seq in 1..=9 {
        rig.do_one_later(seq);
    }
    drop(rig);
    assert_eq!(Rig::open(&dir).numbers(), (1..=9).collect::<Vec<_>>());
}

#[test]
fn a_file_is_made_smaller_when_it_is_opened() {
    let scratch = Scratch::new();
    let dir = scratch.path("state");
    let mut rig = Rig::open(&dir);
    for seq in 1..=5000 {
        rig.do_one_later(seq * 7);
    }
    rig.wait(5000);
    rig.do_one(acked(7 * 4990)).unwrap();
    drop(rig);
    let path = scratch.path("state/journal.redb");
    let before = std::fs::metadata(&path).unwrap().len();
    let rig = Rig::open(&dir);
    assert_eq!(rig.numbers().len(), 10);
    let after = rig.journal.stats().file_bytes;
    assert!(before > 16 << 20 && after < before / 10, "{before} {after}");
}

#[test]
fn a_file_that_a_crash_left_half_made_is_made_anew() {
    let scratch = Scratch::new();
    let dir = scratch.path("state");
    std::fs::create_dir(&dir).unwrap();
    for left in ["", "state/journal.redb", "state/journal.redb.new"] {
        if !left.is_empty() {
            std::fs::remove_file(scratch.path("state/journal.redb")).unwrap();
            scratch.write(left, if left.ends_with("new") { "half of it" } else { "" });
        }
        let mut rig = Rig::open(&dir);
        rig.do_one(append(1)).unwrap();
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    }
}

#[test]
fn one_at_a_time() {
    let scratch = Scratch::new();
    let dir = scratch.path("state");
    let _rig = Rig::open(&dir);
    let error = Rig::try_open(&dir, JournalConfig::default()).err().unwrap();
    assert_eq!(error, JournalError::InUse(scratch.path("state/journal.redb").into()));
    assert!(error.to_string().contains("is in use: give each"), "{error}");
}

#[test]
fn other_files_are_refused() {
    let scratch = Scratch::new();
    let try_open = |dir: &str| Rig::try_open(dir, JournalConfig::default()).err().unwrap();
    std::fs::create_dir(scratch.path("text")).unwrap();
    scratch.write("text/journal.redb", "no database at all\n".repeat(900).as_str());
    let error = try_open(&scratch.path("text"));
    assert!(matches!(error, JournalError::Corrupt(_)), "{error}");
    // A database of somebody else's.
    std::fs::create_dir(scratch.path("other")).unwrap();
    let db = redb::Database::create(scratch.path("other/journal.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(redb::TableDefinition::<u64, u64>::new("t")).unwrap().insert(1, 1).unwrap();
    txn.commit().unwrap();
    drop(db);
    let error = try_open(&scratch.path("other"));
    assert!(matches!(error, JournalError::Corrupt(_)), "{error}");
    // One whose format is of tomorrow.
    drop(Rig::open(&scratch.path("new")));
    let db = redb::Database::create(scratch.path("new/journal.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    let table = redb::TableDefinition::<&[u8], &[u8]>::new("meta");
    let number = 2u64.to_be_bytes();
    let sum = crc32fast::hash(&[&b"format"[..], &number].concat()).to_be_bytes();
    let value = [&sum[..], &number].concat();
    txn.open_table(table).unwrap().insert(&b"format"[..], &value[..]).unwrap();
    txn.commit().unwrap();
    drop(db);
    let error = try_open(&scratch.path("new"));
    assert_eq!(error, JournalError::Version { found: 2, supported: 1 });
}

#[cfg(unix)]
#[test]
fn is_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let scratch = Scratch::new();
    drop(Rig::open(&scratch.path("state")));
    let mode = |name| std::fs::metadata(scratch.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("state"), mode("state/journal.redb")), (0o700, 0o600));
}

impl Rig {
    fn do_one_later(&mut self, seq: u64) {
        self.journal.submit(LINK, append(seq));
    }
}
