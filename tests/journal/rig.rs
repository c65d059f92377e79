//! A journal with what every test does to it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rover_rtc::Message;
use rover_rtc::journal::{Journal, JournalConfig, JournalError, Record, SavedOutgoing};

/// The link and the channel of most tests.
pub const LINK: &str = "rover-2";
pub const LABEL: &str = "mission";
pub const EPOCH: u64 = 7;

/// How long the disk may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A journal whose results can be waited for.
pub struct Rig {
    pub journal: Journal,
    woken: Receiver<()>,
}

impl Rig {
    pub fn open(dir: &str) -> Self {
        Self::open_with(dir, JournalConfig::default())
    }

    pub fn open_with(dir: &str, config: JournalConfig) -> Self {
        Self::try_open(dir, config).unwrap()
    }

    pub fn try_open(dir: &str, config: JournalConfig) -> Result<Self, JournalError> {
        Self::with(|wake| Journal::open(Path::new(dir), config, wake))
    }

    /// A journal that is opened so.
    pub fn with(
        open: impl FnOnce(Box<dyn Fn() + Send>) -> Result<Journal, JournalError>,
    ) -> Result<Self, JournalError> {
        let (wake, woken) = mpsc::channel();
        let journal = open(Box::new(move || {
            let _ = wake.send(());
        }))?;
        Ok(Self { journal, woken })
    }

    /// The next results.
    pub fn wait(&mut self, count: usize) -> Vec<Result<(), JournalError>> {
        let until = Instant::now() + PATIENCE;
        let mut results = Vec::new();
        while results.len() < count {
            match self.journal.poll_done() {
                Some((_, result)) => results.push(result),
                None => {
                    let left = until.saturating_duration_since(Instant::now());
                    self.woken.recv_timeout(left).expect("a result comes");
                }
            }
        }
        results
    }

    /// Submits one record and waits for its result.
    pub fn do_one(&mut self, record: Record) -> Result<(), JournalError> {
        self.journal.submit(LINK, record);
        self.wait(1).remove(0)
    }

    /// What is remembered of the one channel.
    pub fn outgoing(&self) -> SavedOutgoing {
        let saved = self.journal.saved(LINK).unwrap();
        assert_eq!(saved.len(), 1);
        saved.into_iter().next().unwrap().outgoing.unwrap()
    }

    /// The numbers of the messages of the one channel, each of which must be as written.
    pub fn numbers(&self) -> Vec<u64> {
        let saved = self.journal.saved(LINK).unwrap();
        let messages = saved.into_iter().filter_map(|s| s.outgoing).flat_map(|o| o.messages);
        messages
            .map(|(seq, message)| {
                assert_eq!(message, text(seq), "wrong data");
                seq
            })
            .collect()
    }
}

/// The message of a number: of any length up to some pages.
pub fn text(seq: u64) -> Message {
    let length = match seq % 7 {
        0 => 9000,
        1 => 1,
        other => 40 * other as usize,
    };
    let data: Vec<u8> = (0..length).map(|i| (seq * 31 + i as u64) as u8).collect();
    let mut message = Message::binary(data);
    message.binary = seq.is_multiple_of(2);
    message
}

pub fn append(seq: u64) -> Record {
    Record::Append { label: label(), epoch: EPOCH, seq, message: text(seq) }
}

pub fn acked(through: u64) -> Record {
    Record::Acked { label: label(), epoch: EPOCH, through }
}

pub fn received(through: u64) -> Record {
    Record::Received { label: label(), epoch: 3, through }
}

fn label() -> Arc<str> {
    LABEL.into()
}
