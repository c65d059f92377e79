//! `rover-rtc peer`.

mod meter;
mod options;
mod output;
mod screen;
mod table;

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use rover_rtc::peer::{STARTING, event_line, message_line, send_payloads};
use rover_rtc::util::{clock, stop_requested};
use rover_rtc::{Channel, Event, Message, Peer, PeerLink, WebrtcError};

pub(crate) use options::{ConnectOptions, PeerOptions, redundancy_parser};

use meter::Meter;
use output::Output;

/// Connects to a hub, calls the rovers that are to be called, and exchanges payloads until SIGINT
/// or SIGTERM.
///
/// # Errors
///
/// If the settings cannot be used, or a rover is not reached in time; a hub that is down is waited
/// for.
pub(crate) async fn main(options: PeerOptions) -> Result<(), WebrtcError> {
    // Before anything is shown: who waits for a line may stop us right after.
    let stop = stop_requested();
    let mut out = Output::new(&options);
    out.line(STARTING);
    let config = options.connect.config().await?;
    let kept = config.state.is_some();
    let peer = Arc::new(Peer::connect(config)?);
    if let (Some(name), Some(key)) = (&options.connect.name, peer.fingerprint()) {
        out.line(&format!("Rover {name}, key {key}"));
        if !kept && !options.connect.no_state {
            out.line("There is no home directory to keep this key in: the next start has another");
        }
    }
    let done = Session::new(peer.clone(), options, out).run(stop).await;
    peer.close().await;
    done
}

/// A peer at work.
struct Session {
    peer: Arc<Peer>,
    options: PeerOptions,
    out: Output,
    meter: Meter,
    /// Calls that are under way.
    calls: JoinSet<(String, Result<PeerLink, WebrtcError>)>,
    /// Exchanges on links with rovers.
    links: JoinSet<String>,
    /// Whose links they are.
    linked: HashSet<String>,
    lines: (mpsc::Sender<String>, mpsc::Receiver<String>),
}

impl Session {
    fn new(peer: Arc<Peer>, options: PeerOptions, out: Output) -> Self {
        Self {
            peer,
            options,
            out,
            meter: Meter::default(),
            calls: JoinSet::new(),
            links: JoinSet::new(),
            linked: HashSet::new(),
            lines: mpsc::channel(LINES),
        }
    }

    async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), WebrtcError> {
        let peer = self.peer.clone();
        let mut events = peer.events();
        let channel = peer.channel("test").ok_or(WebrtcError::Closed)?;
        let hub = peer.status();
        // Who calls rovers exchanges payloads with them, and not with all clients of the hub.
        let calls = !self.options.to.is_empty();
        let every = if calls { 0 } else { self.options.every };
        let mut sender = pin!(send_every(channel.clone(), every));
        let mut stop = pin!(stop);
        let named = self.options.connect.name.is_some();
        let shows = self.options.status.is_some();
        let mut status =
            tokio::time::interval(self.options.status.unwrap_or(Duration::from_secs(1)));
        status.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        for name in self.options.to.clone() {
            self.call(name, Duration::ZERO);
        }
        while !self.out.is_closed() {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.out.line(&event_line(&event)),
                    None => break,
                },
                Some(message) = channel.recv() => if !(self.options.quiet || calls && message.binary) {
                    self.out.line(&message_line(&message));
                },
                Some(message) = next(hub.as_ref()) => self.out.line(&message_line(&message)),
                Some(line) = self.lines.1.recv() => self.out.line(&line),
                Some(link) = peer.accept(), if named => self.exchange(link, ", which called"),
                Some(Ok((name, link))) = self.calls.join_next() => match link {
                    Ok(link) => self.exchange(link, ""),
                    Err(error) => {
                        self.out.line(&format!("No link with {name}"));
                        return Err(error);
                    }
                },
                Some(Ok(name)) = self.links.join_next() => self.ended(name),
                _ = status.tick(), if shows => self.show_status().await?,
                () = &mut sender => {}
                () = &mut stop => break,
            }
        }
        Ok(())
    }

    /// Calls a rover after a pause.
    fn call(&mut self, name: String, pause: Duration) {
        let (peer, patience) = (self.peer.clone(), self.options.patience());
        self.out.line(&format!("Calling {name}"));
        self.calls.spawn(async move {
            tokio::time::sleep_until((clock::now() + pause).into()).await;
            let link = peer.dial_within(&name, patience).await;
            (name, link)
        });
    }

    /// Exchanges payloads on a link, unless that has begun: each may have called the other.
    fn exchange(&mut self, link: PeerLink, how: &str) {
        let name = link.name().to_owned();
        if !self.linked.insert(name.clone()) {
            return;
        }
        let key = link.fingerprint().map(|key| format!(", key {key}")).unwrap_or_default();
        self.out.line(&format!("Link with {name}{how}{key}"));
        let (every, quiet) = (self.options.every, self.options.quiet);
        self.links.spawn(exchange(link, every, quiet, self.lines.0.clone()));
    }

    /// A link is over: the other rover has said good-bye, or was away for too long.
    fn ended(&mut self, name: String) {
        // Its last lines are on their way still.
        while let Ok(line) = self.lines.1.try_recv() {
            self.out.line(&line);
        }
        self.out.line(&format!("The link with {name} has ended"));
        self.linked.remove(&name);
        if self.options.to.contains(&name) {
            self.call(name, CALL_PAUSE);
        }
    }

    async fn show_status(&mut self) -> Result<(), WebrtcError> {
        let mut links = vec![(None, self.peer.stats().await?)];
        let mut rovers = self.peer.links().await?;
        rovers.sort_by(|a, b| a.0.cmp(&b.0));
        links.extend(rovers.into_iter().map(|(name, stats)| (Some(name), stats)));
        let rows = self.meter.rows(clock::now(), links);
        self.out.status(&rows);
        Ok(())
    }
}

/// Sends payloads to another rover and prints what comes, until the link is over; returns its name.
async fn exchange(link: PeerLink, every: u64, quiet: bool, lines: mpsc::Sender<String>) -> String {
    let name = link.name().to_owned();
    let mut events = link.events();
    let Some(channel) = link.channel("test") else { return name };
    let mut sender = pin!(send_every(channel.clone(), every));
    let mut open = true;
    loop {
        let line = tokio::select! {
            message = channel.recv(), if open => match message {
                Some(_) if quiet => continue,
                Some(message) => message_line(&message),
                None => {
                    open = false;
                    continue;
                }
            },
            event = events.recv() => match event {
                None | Some(Event::Closed) => break,
                Some(event) => event_line(&event),
            },
            () = &mut sender => continue,
        };
        let _ = lines.send(format!("{name}: {line}")).await;
    }
    // What came before the end is there still.
    while let Some(message) = channel.try_recv().filter(|_| !quiet) {
        let _ = lines.send(format!("{name}: {}", message_line(&message))).await;
    }
    name
}

/// The next message of a channel that may not be there.
async fn next(channel: Option<&Channel>) -> Option<Message> {
    match channel {
        Some(channel) => channel.recv().await,
        None => None,
    }
}

/// Sends a payload every so many milliseconds; none at all for 0.
async fn send_every(channel: Channel, ms: u64) {
    match ms {
        0 => std::future::pending().await,
        ms => send_payloads(channel, Duration::from_millis(ms)).await,
    }
}

/// Before a rover that said good-bye is called again.
const CALL_PAUSE: Duration = Duration::from_secs(1);

/// Lines of links that wait to be printed.
const LINES: usize = 256;
