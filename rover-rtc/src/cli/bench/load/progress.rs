//! How far it is, on standard error: one line that changes on a terminal, lines now and then
//! elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rover_rtc::util::clock;

#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    shown: Instant,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            ProgressStyle::with_template("{msg}").into_iter().for_each(|s| bar.set_style(s));
            bar
        });
        Self { bar, shown: clock::now() }
    }

    /// Something has changed.
    pub(super) fn at(&mut self, text: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_message(text());
            bar.tick();
        } else if self.shown.elapsed() >= LINE_EVERY {
            self.note(&text());
        }
    }

    /// Something that is to be read for sure.
    pub(super) fn note(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
        self.shown = clock::now();
    }

    /// The line is not needed any more.
    pub(super) fn clear(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

const LINE_EVERY: Duration = Duration::from_secs(3);
