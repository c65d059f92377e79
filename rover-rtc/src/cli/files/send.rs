//! The side that sends: one file after the other, over one link after another if need be.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use rover_rtc::cli::ExitCode;
use rover_rtc::peer::Events;
use rover_rtc::util::{clock, random, stop_requested};
use rover_rtc::{Channel, DialError, Event, Peer, PeerLink, WebrtcError};
use tokio::time::sleep_until;

use super::hash::Hash;
use super::protocol::{Heard, LABEL, PART, Part, Say};
use super::show::{Progress, Show};
use super::{SendOptions, connect, event_note};

/// Sends all files. The exit code is 0 when all are on the other side's disk, 1 if one cannot be,
/// 130 when it was stopped.
pub(crate) async fn send(options: SendOptions) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let stop = stop_requested();
    tokio::pin!(stop);
    // What cannot be read is said before anybody is called.
    for path in &options.files {
        Source::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let show = Arc::new(Show::new(options.json));
    let peer = connect(&options.connect, &show).await?;
    let mut sender = Sender { peer: &peer, to: &options.to, show: &show, link: None };
    let sending = sender.all(&options.files);
    let code = tokio::select! {
        done = sending => match done {
            Ok(true) => Ok(ExitCode::SUCCESS),
            Ok(false) => Ok(ExitCode::FAILURE),
            Err(error) => Err(error.into()),
        },
        () = &mut stop => {
            show.note("Stopped: the same command goes on where this one was");
            Ok(ExitCode::from(STOPPED))
        }
    };
    peer.close().await;
    code
}

struct Sender<'a> {
    peer: &'a Peer,
    to: &'a str,
    show: &'a Show,
    link: Option<OpenLink>,
}

/// A link that is up.
struct OpenLink {
    channel: Channel,
    events: Events,
    /// Ends the link when it is dropped.
    _link: PeerLink,
}

/// Why an attempt came to nothing.
enum Failure {
    /// The link is over.
    Link,
    /// The other side has lost the thread, or was restarted.
    Again,
    /// The file is not what it was.
    Changed,
    /// It arrived as something else.
    Damaged,
    /// It is of no use to try again.
    Final(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Final(error.to_string())
    }
}

impl Sender<'_> {
    /// Sends the files; false if one could not be.
    async fn all(&mut self, files: &[PathBuf]) -> Result<bool, WebrtcError> {
        let mut all = true;
        for path in files {
            all &= self.one(path).await?;
        }
        Ok(all)
    }

    async fn one(&mut self, path: &Path) -> Result<bool, WebrtcError> {
        let shown = path.display().to_string();
        let mut tries = 0;
        loop {
            if self.link.is_none() {
                self.link = Some(self.call().await?);
            }
            let Some(link) = &mut self.link else { continue };
            let attempt = Attempt { id: random::number(), to: self.to, show: self.show, link };
            let failure = match attempt.run(path).await {
                Ok(()) => return Ok(true),
                Err(failure) => failure,
            };
            match failure {
                Failure::Link => {
                    self.link = None;
                    self.show.note(&format!("The link with {} has ended: calling again", self.to));
                    sleep_until((clock::now() + CALL_PAUSE).into()).await;
                }
                Failure::Again => {}
                Failure::Changed | Failure::Damaged if tries < TRIES => {
                    tries += 1;
                    let what = match failure {
                        Failure::Changed => "has changed while it was sent",
                        _ => "came damaged",
                    };
                    self.show.note(&format!("{shown} {what}: from the beginning"));
                }
                Failure::Changed => {
                    self.show.failed(&shown, "it changes all the time");
                    return Ok(false);
                }
                Failure::Damaged => {
                    self.show.failed(&shown, "it comes damaged all the time");
                    return Ok(false);
                }
                Failure::Final(why) => {
                    self.show.failed(&shown, &why);
                    return Ok(false);
                }
            }
        }
    }

    /// Calls the other rover, for as long as it takes.
    async fn call(&self) -> Result<OpenLink, WebrtcError> {
        self.show.note(&format!("Calling {}", self.to));
        loop {
            match self.peer.dial_within(self.to, FOR_EVER).await {
                Ok(link) => {
                    let (events, channel) = (link.events(), link.channel(LABEL));
                    let channel = channel.ok_or(WebrtcError::Closed)?;
                    return Ok(OpenLink { channel, events, _link: link });
                }
                Err(WebrtcError::Dial(
                    DialError::TimedOut { .. } | DialError::Bye(_) | DialError::GivenUp(_),
                )) => sleep_until((clock::now() + CALL_PAUSE).into()).await,
                Err(error) => return Err(error),
            }
        }
    }
}

/// One offer, and what comes of it.
struct Attempt<'a> {
    id: u64,
    to: &'a str,
    show: &'a Show,
    link: &'a mut OpenLink,
}

impl Attempt<'_> {
    async fn run(mut self, path: &Path) -> Result<(), Failure> {
        let id = self.id;
        let mut source = Source::open(path)?;
        let (name, size) = (source.name.clone(), source.size);
        let modified = source.modified;
        self.say(Say::Offer { id, name: name.clone(), size, modified }).await?;
        let Say::Have { bytes, sha256, .. } = self.hear().await? else {
            return Err(Failure::Again);
        };
        let offset = source.skip(bytes, &sha256)?;
        if offset < bytes {
            let what =
                format!("{name}: what {} has is of something else: from the beginning", self.to);
            self.show.note(&what);
        }
        self.say(Say::From { id, offset }).await?;
        let progress = self.show.begin(self.to, &name, size, offset);
        self.parts(&mut source, &progress).await?;
        if source.has_changed(path) {
            return Err(Failure::Changed);
        }
        let sha256 = source.hash.hex();
        self.say(Say::End { id, sha256: sha256.clone() }).await?;
        match self.hear().await? {
            Say::Done { name, .. } => {
                self.show.done(&progress, &name, &sha256);
                Ok(())
            }
            Say::Damaged { .. } => Err(Failure::Damaged),
            _ => Err(Failure::Again),
        }
    }

    async fn parts(&mut self, source: &mut Source, progress: &Progress) -> Result<(), Failure> {
        while let Some(data) = source.next()? {
            let part = Part { id: self.id, offset: source.offset - data.len() as u64, data };
            self.send(part.message()).await?;
            // What waits here is not there yet.
            let waiting = self.link.channel.queued().1 as u64;
            self.show.at(progress, source.offset.saturating_sub(waiting));
        }
        Ok(())
    }

    async fn say(&mut self, say: Say) -> Result<(), Failure> {
        self.send(say.message()).await
    }

    /// Sends a message, and listens while there is no room for it.
    async fn send(&mut self, message: rover_rtc::Message) -> Result<(), Failure> {
        let channel = self.link.channel.clone();
        let mut sending = std::pin::pin!(channel.send_message(message));
        tokio::select! {
            biased;
            // Nothing is to be said now: whatever it is, it is of an earlier state of things.
            said = self.hear() => Err(said.err().unwrap_or(Failure::Again)),
            sent = &mut sending => sent.map_err(|_| Failure::Link),
        }
    }

    /// What the other side says of this attempt.
    async fn hear(&mut self) -> Result<Say, Failure> {
        loop {
            tokio::select! {
                message = self.link.channel.recv() => {
                    let Some(message) = message else { return Err(Failure::Link) };
                    message.ack();
                    match Heard::of(&message) {
                        // What an earlier attempt has led to is of no interest.
                        Some(Heard::Say(say)) if say.id() != self.id => {}
                        Some(Heard::Say(Say::Refused { why, .. })) => {
                            return Err(Failure::Final(format!("{} refuses: {why:?}", self.to)));
                        }
                        Some(Heard::Say(Say::Again { .. })) => return Err(Failure::Again),
                        Some(Heard::Say(say)) => return Ok(say),
                        Some(Heard::Part(_)) | None => {}
                    }
                }
                event = self.link.events.recv() => match event {
                    None | Some(Event::Closed) => return Err(Failure::Link),
                    Some(Event::PeerRestarted) => return Err(Failure::Again),
                    Some(event) => {
                        let note = event_note(self.to, &event);
                        note.into_iter().for_each(|note| self.show.note(&note));
                    }
                },
            }
        }
    }
}

/// A file that is sent.
struct Source {
    file: File,
    name: String,
    size: u64,
    modified: i64,
    offset: u64,
    hash: Hash,
}

impl Source {
    fn open(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let name = name.to_str().ok_or_else(|| io::Error::other("its name is not UTF-8"))?;
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let (size, modified) = (metadata.len(), modified(&metadata));
        Ok(Self { file, name: name.to_owned(), size, modified, offset: 0, hash: Hash::new() })
    }

    /// Goes behind what the other side has, if that is the beginning of this; returns where it is.
    fn skip(&mut self, bytes: u64, sha256: &str) -> io::Result<u64> {
        if bytes > 0 && bytes <= self.size {
            let (hash, read) = Hash::of(&mut self.file, bytes)?;
            if read == bytes && hash.hex() == sha256 {
                (self.offset, self.hash) = (bytes, hash);
                return Ok(bytes);
            }
            io::Seek::rewind(&mut self.file)?;
        }
        Ok(0)
    }

    /// The next part; `None` at the end of what was offered, or of the file, if it has shrunk.
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let left = self.size - self.offset;
        let mut data = Vec::with_capacity(PART);
        (&mut self.file).take(left.min(PART as u64)).read_to_end(&mut data)?;
        self.hash.add(&data);
        self.offset += data.len() as u64;
        Ok((!data.is_empty()).then(|| data.into()))
    }

    fn has_changed(&self, path: &Path) -> bool {
        let now = path.metadata();
        now.map_or(true, |now| (now.len(), modified(&now)) != (self.size, self.modified))
            || self.offset != self.size
    }
}

/// In nanoseconds since 1970; 0 where that is not known.
fn modified(metadata: &Metadata) -> i64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or_default()
}

/// A hundred years.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Before a rover that said good-bye is called again.
const CALL_PAUSE: Duration = Duration::from_secs(1);

/// Times that a file may change, or come damaged.
const TRIES: u32 = 3;

/// As shells have it for what SIGINT has ended.
const STOPPED: u8 = 130;
