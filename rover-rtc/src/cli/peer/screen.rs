//! A table on the terminal that is drawn anew in place.

use std::collections::VecDeque;
use std::io::{self, Write};

use super::table::{Style, TableLine};

/// The terminal's other screen, so that what was there before is there again at the end.
#[derive(Debug)]
pub(super) struct Screen<W: Write> {
    out: W,
    colors: bool,
    /// What happened of late, below the table.
    notes: VecDeque<String>,
    entered: bool,
}

impl<W: Write> Screen<W> {
    pub(super) fn new(out: W, colors: bool) -> Self {
        Self { out, colors, notes: VecDeque::new(), entered: false }
    }

    /// Keeps a text to be shown below the table: its first line, for descriptions have many.
    pub(super) fn note(&mut self, text: &str) {
        if self.notes.len() == NOTES {
            self.notes.pop_front();
        }
        self.notes.extend(text.lines().next().map(str::to_owned));
    }

    /// Draws the table, and below it as many of the last notes as there is room for. What is too
    /// long for `size`, columns and rows, is cut off.
    pub(super) fn draw(&mut self, table: &[TableLine], size: (usize, usize)) -> io::Result<()> {
        let (columns, rows) = size;
        let mut text = String::new();
        if !self.entered {
            text.push_str(ENTER);
        }
        text.push_str(HOME);
        let room = rows.saturating_sub(table.len() + 1);
        let notes = self.notes.iter().skip(self.notes.len().saturating_sub(room));
        let notes = notes.map(|note| (note.as_str(), Style::Plain));
        let table = table.iter().map(|line| (line.text.as_str(), line.style));
        let all = table.chain([("", Style::Plain)]).chain(notes).take(rows);
        for (i, (line, style)) in all.enumerate() {
            if i > 0 {
                // After the last line one would scroll.
                text.push_str("\r\n");
            }
            let (begin, end) = match style {
                Style::Bold if self.colors => ("\x1b[1m", "\x1b[0m"),
                Style::Dim if self.colors => ("\x1b[2m", "\x1b[0m"),
                _ => ("", ""),
            };
            text.push_str(begin);
            text.extend(line.chars().filter(|c| !c.is_control()).take(columns));
            text.push_str(end);
            text.push_str(CLEAR_LINE);
        }
        text.push_str(CLEAR_BELOW);
        // Together: half a table would flicker.
        self.entered = true;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        if self.entered {
            let _ = self.out.write_all(LEAVE.as_bytes());
            let _ = self.out.flush();
        }
    }
}

/// To the other screen, without cursor; and back (xterm control sequences, DEC private modes).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// ECMA-48: cursor position, erase in line, erase in page.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
/// More than any terminal has lines.
const NOTES: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(colors: bool, size: (usize, usize)) -> String {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, colors);
        (0..9).for_each(|i| screen.note(&format!("\x1b[2Jnote {i}\nmore")));
        let line = |text: &str, style| TableLine { text: text.to_owned(), style };
        let table =
            [line("a heading", Style::Bold), line("\u{f6}\u{f6}\u{f6} standby", Style::Dim)];
        screen.draw(&table, size).unwrap();
        drop(screen);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_cut_and_the_newest_notes_shown() {
        let text = drawn(false, (6, 5));
        let inner = text.strip_prefix(&format!("{ENTER}{HOME}")).unwrap();
        let inner = inner.strip_suffix(&format!("{CLEAR_BELOW}{LEAVE}")).unwrap();
        let lines: Vec<_> = inner.split("\r\n").map(|l| l.trim_end_matches(CLEAR_LINE)).collect();
        assert_eq!(lines, ["a head", "\u{f6}\u{f6}\u{f6} st", "", "[2Jnot", "[2Jnot"]);
        assert_eq!(drawn(false, (80, 1)).matches("\r\n").count(), 0);
        assert!(!drawn(false, (80, 0)).contains("heading"));
    }

    #[test]
    fn colors_only_where_they_are_wanted() {
        assert!(drawn(true, (80, 24)).contains("\x1b[1ma heading\x1b[0m"));
        assert!(!drawn(false, (80, 24)).contains("\x1b[1m"));
    }

    #[test]
    fn what_was_never_drawn_is_not_left() {
        let mut out = Vec::new();
        Screen::new(&mut out, true).note("a");
        assert!(out.is_empty());
    }
}
