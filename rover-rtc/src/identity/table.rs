//! Lines of names and fingerprints, as in the file of known peers and in rosters.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::{Fingerprint, valid_name};
use crate::util::file;

/// What is known of each name.
pub(super) type Table = BTreeMap<String, Entry>;

/// What is known of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) fingerprint: Fingerprint,
    /// The number of the last signal message that was accepted.
    pub(super) last: u64,
    pub(super) life: Life,
}

/// What decides whether a name has to make room: hours since the Unix epoch, 0 where nobody knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Life {
    /// When it was bound.
    pub(super) since: u32,
    /// When it was last shown, to a day.
    pub(super) seen: u32,
    /// Whether it is more than a stranger's.
    pub(super) admitted: bool,
}

/// A file of names could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The file is not there (a roster), or could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A line is not as it should be: caused by whoever wrote the file. Correct or remove it.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Reads a file, or `None` if there is none. `numbered` lines may end with a number.
pub(super) fn load(path: &Path, numbered: bool) -> Result<Option<Table>, TableError> {
    let io = |source| TableError::Io { path: path.to_owned(), source };
    let Some(mut opened) = file::open(path).map_err(io)? else { return Ok(None) };
    let text = file::read(&mut opened, MAX_FILE).map_err(io)?;
    let table = read(&text, numbered);
    table.map(Some).map_err(|(line, reason)| TableError::Line {
        path: path.to_owned(),
        line,
        reason,
    })
}

/// Reads lines; an error is the number of a line and what is wrong with it.
fn read(text: &str, numbered: bool) -> Result<Table, (usize, &'static str)> {
    let mut table = Table::new();
    let mut lives = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            lives.extend(line.strip_prefix(LIFE).filter(|_| numbered).and_then(read_life));
            continue;
        }
        let error = |reason| (at + 1, reason);
        let (name, entry) = read_line(line, numbered).map_err(error)?;
        if table.insert(name, entry).is_some() {
            return Err(error("the name has a line already: remove one of them"));
        }
        if table.len() > MAX_NAMES {
            return Err(error("this is a name too many: 4096 are the limit"));
        }
    }
    for (name, life) in lives {
        if let Some(entry) = table.get_mut(name) {
            entry.life = life;
        }
    }
    Ok(table)
}

/// A name and its life. Older programs skip such a line, as a comment; what cannot be read is none.
fn read_life(line: &str) -> Option<(&str, Life)> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let (since, seen) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((name, Life { since, seen, admitted: words.next() == Some(ADMITTED) }))
}

fn read_line(line: &str, numbered: bool) -> Result<(String, Entry), &'static str> {
    let (name, rest) = line.split_once(char::is_whitespace).ok_or("a fingerprint is missing")?;
    if !valid_name(name) {
        return Err("not a name: 1 to 64 bytes without spaces, control characters or '/'");
    }
    let rest = rest.trim();
    let (fingerprint, last) = match rest.rsplit_once(char::is_whitespace) {
        // "sha-256 AB:.." has a space, too, but its last word has colons.
        Some((first, last)) if numbered && !last.contains(':') => (first, last),
        _ => (rest, "0"),
    };
    let fingerprint = fingerprint
        .parse()
        .map_err(|_| "not a SHA-256 fingerprint: 32 bytes in hexadecimal with colons are due")?;
    let last = last.parse().map_err(|_| "not a number at the end")?;
    Ok((name.to_owned(), Entry { fingerprint, last, life: Life::default() }))
}

/// Writes the file of known peers.
pub(super) fn save(path: &Path, table: &Table) -> io::Result<()> {
    let mut text = HEADER.to_owned();
    for (name, Entry { fingerprint, last, life }) in table {
        if *life != Life::default() {
            let Life { since, seen, admitted } = life;
            let admitted = if *admitted { ADMITTED } else { "" };
            writeln!(text, "{LIFE} {name} {since} {seen} {admitted}").map_err(io::Error::other)?;
        }
        writeln!(text, "{name} {fingerprint} {last}").map_err(io::Error::other)?;
    }
    file::replace(path, &text)
}

/// How many names a file may hold, and a process remembers.
pub(super) const MAX_NAMES: usize = 4096;
/// 4096 of the longest lines (182 and 96 bytes) are 1.1 MiB; the rest is for comments.
const MAX_FILE: u64 = 2 << 20;
const HEADER: &str = "\
# Known peers: name, SHA-256 fingerprint of the certificate, number of the last signal message.
# Written by rover-rtc. Stop it before a change; comments are not kept.
# Before a name with #@: since when it is known, when it was last seen, in hours since 1970.
";

/// Begins a line about the life of a name.
const LIFE: &str = "#@";
const ADMITTED: &str = "admitted";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::file::Scratch;

    fn fingerprint(of: &str) -> Fingerprint {
        Fingerprint::of(of.as_bytes())
    }

    #[test]
    fn goes_out_and_comes_back() {
        let dir = Scratch::created();
        let path = dir.0.join("table");
        assert!(load(&path, true).unwrap().is_none());
        let long = "x".repeat(58);
        let life =
            |i: usize| Life { since: u32::MAX, seen: u32::MAX, admitted: i.is_multiple_of(2) };
        let entry = |i: usize| {
            let fingerprint = fingerprint(&i.to_string());
            Entry { fingerprint, last: u64::MAX, life: life(i) }
        };
        let table: Table = (0..MAX_NAMES).map(|i| (format!("{long}{i:06}"), entry(i))).collect();
        save(&path, &table).unwrap();
        assert_eq!(load(&path, true).unwrap(), Some(table));
    }

    #[test]
    fn takes_comments_and_both_forms() {
        let f = fingerprint("a");
        let text =
            format!("# a comment\r\n\r\n  a \t{f}\nb sha-256 {f}\nc {f} 7\nd sha-256 {f} 8 ");
        let table = read(&text, true).unwrap();
        let last: Vec<_> = table.values().map(|e| (e.fingerprint, e.last)).collect();
        assert_eq!(last, [(f, 0), (f, 0), (f, 7), (f, 8)]);
        assert_eq!(
            read(&text, false),
            Err((5, read_line(&format!("c {f} 7"), false).unwrap_err()))
        );
    }

    /// A file of an older program, and one that an older program reads.
    #[test]
    fn the_life_of_a_name_is_a_comment() {
        let f = fingerprint("a");
        let bad = "#@\n#@ b\n#@ b 1\n#@ b x 2\n#@ b 1 4294967296\n#@ nobody 1 2\n# @ b 1 2\n";
        let text = format!("{bad}#@ a 7 9 admitted\na {f} 1\nb {f} 2\nc {f} 3\n#@ c 0 5\n");
        let table = read(&text, true).unwrap();
        let lives: Vec<_> = table.values().map(|entry| entry.life).collect();
        let life = |since, seen, admitted| Life { since, seen, admitted };
        assert_eq!(lives, [life(7, 9, true), Life::default(), life(0, 5, false)]);
        // All that is not a comment is as it always was.
        let dir = Scratch::created();
        let path = dir.0.join("table");
        save(&path, &table).unwrap();
        let written = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = written.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines, [format!("a {f} 1"), format!("b {f} 2"), format!("c {f} 3")]);
        assert_eq!(load(&path, true).unwrap(), Some(table));
    }

    #[test]
    fn errors_name_the_line() {
        let f = fingerprint("a");
        for bad in [
            "a".to_owned(),
            "a AB:CD".to_owned(),
            format!("a/b {f}"),
            format!("{} {f}", "x".repeat(65)),
            format!("{f}"),
            format!("a {f} -1"),
            format!("a {f} 18446744073709551616"),
            format!("a {f} 1 2"),
            format!("a {f} {f}"),
            format!("ok {f} 2"),
        ] {
            let (line, reason) = read(&format!("#\nok {f}\n{bad}\n"), true).unwrap_err();
            assert_eq!(line, 3, "{bad}: {reason}");
        }
        let many: String = (0..=MAX_NAMES).map(|i| format!("n{i} {f}\n")).collect();
        assert_eq!(read(&many, true).unwrap_err().0, MAX_NAMES + 1);
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        let dir = Scratch::created();
        let path = dir.0.join("table");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        let error = load(&path, false).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()), "{error}");
    }
}
