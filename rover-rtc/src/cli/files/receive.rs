//! The side that receives: a task for each link that another rover has called.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rover_rtc::cli::ExitCode;
use rover_rtc::util::{clock, stop_requested};
use rover_rtc::{Channel, Event, Message, PeerLink};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{sleep_until, timeout};

use super::protocol::{Heard, LABEL, Part, Say};
use super::show::{Progress, Show};
use super::store::{Incoming, Origin, StoreError};
use super::{ReceiveOptions, connect, event_note};

/// Receives until SIGINT or SIGTERM, or until there were as many files as were asked for.
pub(crate) async fn receive(
    options: ReceiveOptions,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let stop = stop_requested();
    tokio::pin!(stop);
    let dir = &options.dir;
    std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let show = Arc::new(Show::new(options.json));
    let peer = connect(&options.connect, &show).await?;
    show.note(&format!("Waiting for files to put into {}", dir.display()));
    let mut links: JoinSet<()> = JoinSet::new();
    let (counter, mut counted) = mpsc::channel(16);
    let mut files = 0;
    while options.count.is_none_or(|count| files < count) {
        tokio::select! {
            link = peer.accept() => {
                let Some(link) = link else { break };
                let mut may = options.from.iter();
                let welcome = options.from.is_empty() || may.any(|from| from == link.name());
                let (dir, show, counter) = (dir.clone(), show.clone(), counter.clone());
                links.spawn(Reception::serve(link, welcome, dir, show, counter));
            }
            Some(()) = counted.recv() => files += 1,
            Some(_) = links.join_next() => {}
            () = &mut stop => {
                show.note("Stopped: the same command goes on with what has begun");
                break;
            }
        }
    }
    links.shutdown().await;
    peer.close().await;
    Ok(ExitCode::SUCCESS)
}

/// What is received on one link.
struct Reception {
    name: String,
    /// Whether this rover may send.
    welcome: bool,
    dir: PathBuf,
    channel: Channel,
    show: Arc<Show>,
    counter: mpsc::Sender<()>,
    current: Option<Current>,
    /// What was written and is not known to be on disk; acknowledged then.
    written: Vec<Message>,
    written_bytes: usize,
    /// The last id that was not known.
    unknown: Option<u64>,
}

struct Current {
    id: u64,
    file: Incoming,
    /// From when it has begun.
    progress: Option<Progress>,
}

impl Reception {
    async fn serve(
        link: PeerLink,
        welcome: bool,
        dir: PathBuf,
        show: Arc<Show>,
        counter: mpsc::Sender<()>,
    ) {
        let mut events = link.events();
        let name = link.name().to_owned();
        let Some(channel) = link.channel(LABEL) else { return };
        let mut reception = Self {
            name: name.clone(),
            welcome,
            dir,
            channel: channel.clone(),
            show,
            counter,
            current: None,
            written: Vec::new(),
            written_bytes: 0,
            unknown: None,
        };
        loop {
            tokio::select! {
                message = channel.recv() => match message {
                    Some(message) => reception.take(message).await,
                    None => break,
                },
                event = events.recv() => match event {
                    None | Some(Event::Closed) => break,
                    Some(event) => {
                        let note = event_note(&name, &event);
                        note.into_iter().for_each(|note| reception.show.note(&note));
                    }
                },
            }
        }
        if let Some(current) = reception.current {
            drop(current.progress);
            reception.show.note(&format!("{name} is gone: {} is not complete", current.file.name));
        }
    }

    /// Takes a message, and all that are there.
    async fn take(&mut self, message: Message) {
        let mut next = Some(message);
        while let Some(message) = next {
            match Heard::of(&message) {
                Some(Heard::Part(part)) => {
                    self.written_bytes += message.data.len();
                    self.written.push(message);
                    self.on_part(part).await;
                }
                Some(Heard::Say(say)) => {
                    self.flush().await;
                    self.on_say(say).await;
                    message.ack();
                }
                None => message.ack(),
            }
            let full = self.written_bytes >= SYNC_BYTES;
            next = if full { None } else { self.channel.try_recv() };
        }
        self.flush().await;
    }

    async fn on_say(&mut self, say: Say) {
        let id = say.id();
        match say {
            Say::Offer { id, name, size, modified } => {
                // Before it is opened again.
                self.current = None;
                let origin = Origin { from: self.name.clone(), size, modified };
                self.on_offer(id, &name, origin).await;
            }
            Say::From { offset, .. } => {
                let Some(current) = self.current.as_mut().filter(|c| c.id == id) else {
                    return self.again(id).await;
                };
                match block_in_place(|| current.file.start(offset)) {
                    Ok(true) => {
                        let (file, name) = (&current.file, &self.name);
                        let (size, bytes) = (file.origin.size, file.bytes);
                        let progress = self.show.begin(name, &file.name, size, bytes);
                        current.progress = Some(progress);
                    }
                    Ok(false) => self.again(id).await,
                    Err(error) => self.refuse(id, &error).await,
                }
            }
            Say::End { sha256, .. } => match self.current.take_if(|c| c.id == id) {
                Some(current) => self.on_end(current, &sha256).await,
                None => self.again(id).await,
            },
            // Of a sender.
            _ => {}
        }
    }

    async fn on_offer(&mut self, id: u64, name: &str, origin: Origin) {
        if !self.welcome {
            let why = format!("{} may not send files", self.name);
            self.show.failed(&format!("{name:?}"), &why);
            return self.refuse(id, &why).await;
        }
        let mut tries = 0;
        let opened = loop {
            let opened = block_in_place(|| Incoming::open(&self.dir, name, origin.clone()));
            // An earlier link with the same rover may be about to end.
            if !matches!(opened, Err(StoreError::Busy(_))) || tries == BUSY_TRIES {
                break opened;
            }
            tries += 1;
            sleep_until((clock::now() + BUSY_PAUSE).into()).await;
        };
        match opened {
            Ok(file) => {
                let (bytes, sha256) = (file.bytes, file.sha256());
                self.current = Some(Current { id, file, progress: None });
                self.say(Say::Have { id, bytes, sha256 }).await;
            }
            Err(error) => {
                self.show.failed(&format!("{name:?}"), &error.to_string());
                self.refuse(id, &error).await;
            }
        }
    }

    async fn on_part(&mut self, part: Part) {
        let Some(current) = self.current.as_mut().filter(|c| c.id == part.id) else {
            return self.again(part.id).await;
        };
        let end = part.offset.saturating_add(part.data.len() as u64);
        let fits = part.offset == current.file.bytes && end <= current.file.origin.size;
        let Some(progress) = current.progress.as_ref().filter(|_| fits && !current.file.is_whole())
        else {
            self.current = None;
            return self.again(part.id).await;
        };
        match block_in_place(|| current.file.write(&part.data)) {
            Ok(()) => self.show.at(progress, current.file.bytes),
            Err(error) => self.refuse(part.id, &error).await,
        }
    }

    async fn on_end(&mut self, mut current: Current, sha256: &str) {
        let id = current.id;
        let Some(progress) = current.progress.take() else { return self.again(id).await };
        let whole = current.file.bytes == current.file.origin.size;
        if !whole || current.file.sha256() != sha256 {
            progress.clear();
            self.show.note(&format!("{} came damaged: from the beginning", current.file.name));
            if let Err(error) = block_in_place(|| current.file.reset()) {
                return self.refuse(id, &error).await;
            }
            return self.say(Say::Damaged { id }).await;
        }
        let was_here = current.file.is_whole();
        match block_in_place(|| current.file.finish()) {
            Ok(name) => {
                if was_here {
                    self.show.note(&format!("{name} was here already"));
                }
                self.show.done(&progress, &name, sha256);
                self.say(Say::Done { id, name }).await;
                // Who counts may end this process.
                let _ = timeout(LAST_WORD, self.channel.acknowledged()).await;
                let _ = self.counter.send(()).await;
            }
            Err(error) => {
                self.show.failed(&current.file.name, &error.to_string());
                self.refuse(id, &error).await;
            }
        }
    }

    /// Acknowledges what was written, when it is on disk.
    async fn flush(&mut self) {
        self.written_bytes = 0;
        let synced = match &self.current {
            Some(current) if !self.written.is_empty() => block_in_place(|| current.file.sync()),
            _ => Ok(()),
        };
        if let Err(error) = synced
            && let Some(current) = &self.current
        {
            self.refuse(current.id, &error).await;
        }
        // What was refused is done with, too: what is behind it has to get through.
        self.written.drain(..).for_each(|message| message.ack());
    }

    /// Tells the sender, once, that what it sends is not known to go with an offer.
    async fn again(&mut self, id: u64) {
        if self.unknown.replace(id) != Some(id) {
            self.say(Say::Again { id }).await;
        }
    }

    async fn refuse(&mut self, id: u64, why: &(impl ToString + Sync)) {
        // What still comes of it is not told.
        self.unknown = Some(id);
        self.current = None;
        self.say(Say::Refused { id, why: why.to_string() }).await;
    }

    async fn say(&self, say: Say) {
        // An error means that the link is over, which ends the task.
        let _ = self.channel.send_message(say.message()).await;
    }
}

/// Bytes after which a sync is worth its time.
const SYNC_BYTES: usize = 1024 * 1024;

/// How long the sender may take to hear that a file is done.
const LAST_WORD: Duration = Duration::from_secs(5);

const BUSY_TRIES: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(100);
