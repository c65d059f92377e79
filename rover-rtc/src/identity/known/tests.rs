//! Tests of [`KnownPeers`].

use std::fs;

use super::*;
use crate::util::file::Scratch;

fn key(of: &str) -> Fingerprint {
    Fingerprint::of(of.as_bytes())
}

#[test]
fn a_name_stays_with_its_first_key() {
    let mut known = KnownPeers::in_memory();
    assert_eq!(known.check("rover-2", key("a")).unwrap(), Trust::FirstUse);
    assert_eq!(known.expected("rover-2"), None);
    assert_eq!(known.bind("rover-2", key("a")).unwrap(), Trust::FirstUse);
    assert_eq!(known.bind("rover-2", key("a")).unwrap(), Trust::Known);
    assert_eq!(known.expected("rover-2"), Some(key("a")));
    let error = known.accept("rover-2", key("b"), u64::MAX).unwrap_err();
    let want = format!(
        "the key of rover-2 is not the one expected ({} expected, {} found): somebody may be in \
         between; if it was really replaced, start this program again",
        key("a"),
        key("b")
    );
    assert_eq!(error.to_string(), want);
    assert!(known.forget("rover-2").unwrap());
    assert!(!known.forget("rover-2").unwrap());
    assert_eq!(known.bind("rover-2", key("b")).unwrap(), Trust::FirstUse);
}

#[test]
fn each_signal_is_taken_once() {
    let mut known = KnownPeers::in_memory();
    assert_eq!(known.accept("a", key("a"), 5).unwrap(), Trust::FirstUse);
    for old in [5, 4, 0] {
        assert!(matches!(known.accept("a", key("a"), old), Err(TrustError::Replayed { .. })));
    }
    assert_eq!(known.accept("a", key("a"), 6).unwrap(), Trust::Known);
    assert_eq!(known.bind("a", key("a")).unwrap(), Trust::Known);
    assert!(known.accept("a", key("a"), 6).is_err());
    assert_eq!(known.accept("b", key("b"), 1).unwrap(), Trust::FirstUse);
}

#[test]
fn remembers_across_restarts() {
    let dir = Scratch::created();
    let file = dir.0.join(FILE);
    let mut known = KnownPeers::load(&dir.0).unwrap();
    known.accept("a", key("a"), 5).unwrap();
    known.bind("b", key("b")).unwrap();
    known.bind("c", key("c")).unwrap();
    known.forget("c").unwrap();
    let mut known = KnownPeers::load(&dir.0).unwrap();
    assert_eq!(known.expected("c"), None);
    assert!(matches!(known.accept("a", key("a"), 5), Err(TrustError::Replayed { .. })));
    let error = known.bind("b", key("a")).unwrap_err().to_string();
    let advice = format!("stop this program and remove its line from {}", file.display());
    assert!(error.ends_with(&advice), "{error}");
    fs::write(&file, "a AB\n").unwrap();
    let error = KnownPeers::load(&dir.0).unwrap_err();
    assert!(matches!(error, TableError::Line { line: 1, .. }), "{error}");
}

#[test]
fn a_roster_has_the_last_word() {
    let dir = Scratch::created();
    let path = dir.0.join("roster");
    let roster = |known: KnownPeers| known.with_roster(&path);
    assert!(matches!(roster(KnownPeers::in_memory()), Err(TableError::Io { .. })));
    let mut known = KnownPeers::load(&dir.0).unwrap();
    known.accept("a", key("old"), 9).unwrap();
    known.accept("stranger", key("s"), 1).unwrap();
    fs::write(&path, format!("# fleet\na {}\nb sha-256 {}\n", key("a"), key("b"))).unwrap();
    let mut known = roster(known).unwrap();
    assert_eq!(known.expected("a"), Some(key("a")));
    assert_eq!(known.bind("b", key("b")).unwrap(), Trust::Known);
    let error = known.check("stranger", key("s")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "stranger is not in the roster: add it with its fingerprint if it belongs there"
    );
    let error = known.check("a", key("old")).unwrap_err().to_string();
    assert!(error.ends_with(&format!("correct its line in {}", path.display())), "{error}");
    // A new key has numbers of its own, and they are kept under a roster, too.
    assert_eq!(known.accept("a", key("a"), 3).unwrap(), Trust::Known);
    let mut known = roster(KnownPeers::load(&dir.0).unwrap()).unwrap();
    assert!(matches!(known.accept("a", key("a"), 3), Err(TrustError::Replayed { .. })));
    fs::write(&path, format!("a {}\na {}\n", key("a"), key("b"))).unwrap();
    assert!(matches!(roster(known), Err(TableError::Line { line: 2, .. })));
}

#[test]
fn has_room_for_so_many() {
    let mut known = KnownPeers::in_memory();
    for i in 0..MAX_NAMES {
        known.bind(&format!("n{i}"), key("a")).unwrap();
    }
    assert_eq!(known.check("x", key("a")).unwrap(), Trust::FirstUse);
    let nobody = Terms { admitted: true, in_use: &|_| true };
    assert!(matches!(known.bind_on("x", key("a"), nobody), Err(TrustError::Full { .. })));
    assert!(matches!(known.accept_on("x", key("a"), 1, nobody), Err(TrustError::Full { .. })));
    assert_eq!(known.accept_on("n7", key("a"), 1, nobody).unwrap(), Trust::Known);
    known.forget("n7").unwrap();
    assert_eq!(known.bind_on("x", key("a"), nobody).unwrap(), Trust::FirstUse);
    // Where there is no room, some other one makes it.
    assert_eq!(known.bind("y", key("a")).unwrap(), Trust::FirstUse);
    assert_eq!((known.met.len(), known.expected("x")), (MAX_NAMES, Some(key("a"))));
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(3600 * (500_000 + hours))
}

/// A stranger binds as many names as it likes, and gets rid of nobody but itself, and of who has
/// come once and not again.
#[test]
fn strangers_names_make_room_for_each_other() {
    let mut known = KnownPeers::in_memory();
    let admitted = Terms { admitted: true, ..Terms::STRANGER };
    known.set_time(hours(0));
    known.bind_on("ours", key("o"), admitted).unwrap();
    for name in ["settled", "once", "used"] {
        known.bind(name, key("a")).unwrap();
    }
    known.set_time(hours(30));
    known.bind("settled", key("a")).unwrap();
    let terms = Terms { in_use: &|name| name == "used", ..Terms::STRANGER };
    let mut evicted = Vec::new();
    for number in 0..3 * MAX_NAMES as u64 {
        known.set_time(hours(40 + number / 1000));
        let name = format!("stranger-{number}");
        evicted.extend(known.bind_unsaved(&name, key("s"), terms).unwrap().evicted);
    }
    assert_eq!(evicted[..2], ["once", "stranger-0"]);
    for name in ["ours", "settled", "used"] {
        assert!(known.expected(name).is_some(), "{name}");
    }
    assert_eq!((known.met.len(), evicted.len()), (MAX_NAMES, 2 * MAX_NAMES + 4));
    // Whoever comes next may have it.
    assert_eq!(known.bind("once", key("b")).unwrap(), Trust::FirstUse);
    let error = known.bind("settled", key("b")).unwrap_err();
    assert!(matches!(error, TrustError::Changed { .. }), "{error}");
}

/// What a file of an older program names is not taken for what is oldest.
#[test]
fn names_of_an_older_file_do_not_go_first() {
    let dir = Scratch::created();
    let text: String = (0..MAX_NAMES - 1).map(|n| format!("n{n} {} 0\n", key("a"))).collect();
    fs::write(dir.0.join(FILE), text).unwrap();
    let mut known = KnownPeers::load(&dir.0).unwrap();
    known.set_time(hours(0));
    for name in ["x", "y", "z"] {
        known.bind(name, key("s")).unwrap();
    }
    let kept = |known: &KnownPeers| {
        (0..MAX_NAMES).all(|n| n + 1 == MAX_NAMES || known.expected(&format!("n{n}")).is_some())
    };
    assert!(kept(&known) && known.expected("x").is_none() && known.expected("z").is_some());
    // And what was learned of them is remembered.
    let mut known = KnownPeers::load(&dir.0).unwrap();
    known.set_time(hours(48));
    known.bind("n7", key("a")).unwrap();
    let known = KnownPeers::load(&dir.0).unwrap();
    let life = |name: &str| known.met[name].life;
    assert_eq!((life("n7").seen, life("n8").seen), (500_048, 500_000));
}

#[test]
fn a_bad_name_is_not_shown() {
    let mut known = KnownPeers::in_memory();
    let error = known.accept("a\u{1b}[2J", key("a"), 1).unwrap_err();
    assert!(matches!(error, TrustError::Name));
    assert!(!error.to_string().contains('\u{1b}'));
}

#[test]
fn a_disk_that_fails_loses_nothing_that_a_later_write_can_keep() {
    let dir = Scratch::new();
    let mut known = KnownPeers::load(&dir.0).unwrap();
    let error = known.accept("a", key("a"), 5).unwrap_err();
    assert!(matches!(error, TrustError::Store { .. }), "{error}");
    assert!(matches!(known.accept("a", key("a"), 5), Err(TrustError::Replayed { .. })));
    crate::util::file::create_dir(&dir.0).unwrap();
    known.bind("b", key("b")).unwrap();
    let known = KnownPeers::load(&dir.0).unwrap();
    assert_eq!((known.expected("a"), known.expected("b")), (Some(key("a")), Some(key("b"))));
}
