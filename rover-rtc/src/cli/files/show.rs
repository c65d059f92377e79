//! What is shown of files on their way: bars on a terminal, lines elsewhere, JSON for programs.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rover_rtc::util::clock;
use serde_json::{Value, json};

/// Where it goes. All bars share it.
#[derive(Debug)]
pub(super) struct Show {
    form: Form,
}

#[derive(Debug)]
enum Form {
    Bars(MultiProgress),
    Lines,
    Json,
}

/// One file on its way.
#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    /// The other rover.
    peer: String,
    size: u64,
    /// When it began, with so many bytes.
    begin: (Instant, u64),
    bar: Option<ProgressBar>,
    shown: Mutex<Instant>,
}

impl Show {
    /// JSON, or what suits standard output.
    pub(super) fn new(json: bool) -> Self {
        let form = match json {
            true => Form::Json,
            false if std::io::stdout().is_terminal() => Form::Bars(MultiProgress::new()),
            false => Form::Lines,
        };
        Self { form }
    }

    /// Tells something that is for people.
    pub(super) fn note(&self, text: &str) {
        match &self.form {
            Form::Bars(bars) => drop(bars.println(text)),
            Form::Lines => write(text),
            Form::Json => write(&json!({ "event": "note", "text": text }).to_string()),
        }
    }

    /// A file begins, or goes on.
    pub(super) fn begin(&self, peer: &str, name: &str, size: u64, bytes: u64) -> Progress {
        let now = clock::now();
        let (peer, name) = (peer.to_owned(), name.to_owned());
        let bar = match &self.form {
            Form::Bars(bars) => {
                let bar = bars.add(ProgressBar::new(size));
                let style = ProgressStyle::with_template(STYLE).ok();
                style.into_iter().for_each(|style| bar.set_style(style));
                bar.set_message(name.clone());
                bar.set_position(bytes);
                // The rate and the time that is left are of what is new.
                bar.reset_eta();
                Some(bar)
            }
            Form::Lines | Form::Json => None,
        };
        let progress =
            Progress { name, peer, size, begin: (now, bytes), bar, shown: Mutex::new(now) };
        match &self.form {
            Form::Bars(_) if bytes == 0 => {}
            Form::Bars(_) => self.note(&format!("{} goes on at {}", progress.name, mb(bytes))),
            Form::Lines => self.note(&progress.line(bytes)),
            Form::Json => self.json("begin", &progress, bytes, &[]),
        }
        progress
    }

    /// So many bytes have come.
    pub(super) fn at(&self, progress: &Progress, bytes: u64) {
        if let Some(bar) = &progress.bar {
            return bar.set_position(bytes);
        }
        let every = if matches!(self.form, Form::Json) { JSON_EVERY } else { LINE_EVERY };
        {
            let Ok(mut shown) = progress.shown.lock() else { return };
            if shown.elapsed() < every {
                return;
            }
            *shown = clock::now();
        }
        match self.form {
            Form::Json => self.json("progress", progress, bytes, &[]),
            _ => self.note(&progress.line(bytes)),
        }
    }

    /// The file is there, under this name.
    pub(super) fn done(&self, progress: &Progress, kept: &str, sha256: &str) {
        if let Form::Json = self.form {
            let more = [("kept_as", json!(kept)), ("sha256", json!(sha256))];
            return self.json("done", progress, progress.size, &more);
        }
        progress.clear();
        let called = if kept == progress.name { String::new() } else { format!(" as {kept:?}") };
        let (new, seconds) = progress.new_since(progress.size);
        self.note(&format!(
            "{}: done{called}, {} in {seconds:.1} s, SHA-256 {sha256}",
            progress.name,
            mb(new)
        ));
    }

    /// A file was not sent or received.
    pub(super) fn failed(&self, name: &str, why: &str) {
        match self.form {
            Form::Json => {
                write(&json!({ "event": "failed", "name": name, "why": why }).to_string());
            }
            _ => self.note(&format!("{name}: {why}")),
        }
    }

    fn json(&self, event: &str, progress: &Progress, bytes: u64, more: &[(&str, Value)]) {
        let (new, seconds) = progress.new_since(bytes);
        let mut line = json!({
            "event": event,
            "name": progress.name,
            "peer": progress.peer,
            "bytes": bytes,
            "size": progress.size,
            "new_bytes": new,
            "seconds": (seconds * 1e3).round() / 1e3,
        });
        for (key, value) in more {
            line[*key] = value.clone();
        }
        write(&line.to_string());
    }
}

impl Progress {
    /// It is over, or begins again.
    pub(super) fn clear(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }

    fn new_since(&self, bytes: u64) -> (u64, f64) {
        (bytes.saturating_sub(self.begin.1), self.begin.0.elapsed().as_secs_f64())
    }

    fn line(&self, bytes: u64) -> String {
        let share = if self.size == 0 { 100.0 } else { bytes as f64 * 100.0 / self.size as f64 };
        let (new, seconds) = self.new_since(bytes);
        let rate = if new == 0 {
            String::new()
        } else {
            format!(", {:.1} MB/s", new as f64 / 1e6 / seconds.max(1e-3))
        };
        format!("{}: {share:.0} % of {}{rate}", self.name, mb(self.size))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[allow(clippy::print_stdout, reason = "the command line")]
fn write(text: &str) {
    // Nobody may be reading any more, which does not stop a transfer.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

const STYLE: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

const LINE_EVERY: Duration = Duration::from_secs(3);
const JSON_EVERY: Duration = Duration::from_secs(1);
