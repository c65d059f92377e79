//! Where the lines of `rover-rtc peer` go.

use std::io::{self, Stdout, Write as _};

use super::PeerOptions;
use super::meter::Row;
use super::screen::Screen;
use super::table::{one_line, table};

/// Standard output, as it is wanted.
#[derive(Debug)]
pub(super) struct Output {
    form: Form,
    /// Nobody reads it any more.
    closed: bool,
}

#[derive(Debug)]
enum Form {
    Lines,
    /// Only the status, for programs.
    Json,
    Screen(Screen<Stdout>),
}

impl Output {
    pub(super) fn new(options: &PeerOptions) -> Self {
        let form = match options {
            options if options.json => Form::Json,
            options if options.takes_screen() => {
                // https://no-color.org: present and not empty.
                let colors = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
                Form::Screen(Screen::new(io::stdout(), colors))
            }
            _ => Form::Lines,
        };
        Self { form, closed: false }
    }

    /// Prints what happened.
    pub(super) fn line(&mut self, text: &str) {
        match &mut self.form {
            Form::Lines => self.write(text),
            Form::Json => {}
            Form::Screen(screen) => screen.note(text),
        }
    }

    /// Prints how all links are.
    pub(super) fn status(&mut self, rows: &[Row]) {
        match &mut self.form {
            Form::Lines => rows.iter().for_each(|row| self.write(&one_line(row))),
            Form::Json => rows.iter().for_each(|row| self.write(&row.json().to_string())),
            Form::Screen(screen) => {
                let size = terminal_size::terminal_size();
                let size = size.map_or((80, 24), |(w, h)| (w.0.into(), h.0.into()));
                self.closed |= screen.draw(&table(rows), size).is_err();
            }
        }
    }

    /// Whether it is of no use to go on printing.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    fn write(&mut self, text: &str) {
        self.closed |= writeln!(io::stdout(), "{text}").is_err();
    }
}
