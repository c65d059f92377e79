//! The task behind a peer: the only place where its sockets, its clock and its link meet.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, broadcast, mpsc, oneshot};

use super::Directory;
use super::channel::Channel;
use super::inbox::Inbox;
use super::signaling::{Done, Signaling};
use super::sockets::{self, Reach};
use crate::config::PeerConfig;
use crate::error::{NetworkError, SdpError};
use crate::event::{Event, IceConnectionState, Recovery};
use crate::link::{ChannelConfig, ChannelId, Link, LinkEvent, Outbox, Transport};
use crate::net::{RecvBatch, SocketSet};
use crate::path::{LocalAddress, PathEvent};
use crate::recovery::{Action, Ladder};
use crate::session::sdp::hide_password;
use crate::session::{Pace, SessionConfig};
use crate::signal::client::CallError;
use crate::stats::LinkStats;
use crate::util::{clock, random};

/// What the handle asks of the driver.
#[derive(Debug)]
pub(super) enum Command {
    Open(ChannelConfig, oneshot::Sender<Channel>),
    Stats(oneshot::Sender<LinkStats>),
    AcceptAnswer(String, oneshot::Sender<Result<(), SdpError>>),
    Close(oneshot::Sender<()>),
}

/// State of the task.
#[derive(Debug)]
pub(super) struct Driver {
    config: PeerConfig,
    reach: Reach,
    link: Link,
    sockets: SocketSet,
    batch: RecvBatch,
    channels: Vec<Channel>,
    directory: Directory,
    commands: mpsc::Receiver<Command>,
    events: broadcast::Sender<Event>,
    wake: Arc<Notify>,
    /// Absent where signaling is the application's.
    ladder: Option<(Ladder, Signaling)>,
    /// Since when no message can flow.
    outage: Option<Instant>,
    /// An inbox is full, so the transport takes nothing.
    paused: bool,
    /// The handle is gone: no command will come any more.
    orphaned: bool,
    closing: Option<(Instant, Vec<oneshot::Sender<()>>)>,
}

impl Driver {
    pub(super) fn new(
        config: PeerConfig,
        signaling: Option<Signaling>,
        commands: mpsc::Receiver<Command>,
        events: broadcast::Sender<Event>,
        directory: Directory,
    ) -> Self {
        let now = clock::now();
        let reach = signaling.as_ref().map_or(Reach::Anywhere, |_| Reach::of(&config.server));
        let ladder = |s| (Ladder::new(now, config.recovery.clone(), random::number()), s);
        let defaults = config.channels.first().map(|c| c.outbox).unwrap_or_default();
        let mut driver = Self {
            reach,
            link: Link::new(defaults, config.max_channels),
            sockets: SocketSet::new(config.faults.clone()),
            batch: RecvBatch::new(),
            channels: Vec::new(),
            wake: Arc::new(Notify::new()),
            ladder: signaling.map(ladder),
            outage: None,
            paused: false,
            orphaned: false,
            closing: None,
            config,
            directory,
            commands,
            events,
        };
        for channel in driver.config.channels.clone() {
            driver.open(now, channel);
        }
        driver
    }

    /// Begins a transport as the side that offers.
    pub(super) fn offer(&mut self) -> Result<String, crate::WebrtcError> {
        let now = clock::now();
        let transport = self.new_transport(now, true)?;
        Ok(self.link.dial(now, transport)?)
    }

    /// Begins a transport as the side that answers.
    pub(super) fn answer(&mut self, offer: &str) -> Result<String, crate::WebrtcError> {
        let now = clock::now();
        let transport = self.new_transport(now, false)?;
        Ok(self.link.answer(now, transport, offer)?)
    }

    /// Runs until the peer is closed or its handle dropped.
    pub(super) async fn run(mut self) {
        loop {
            let now = clock::now();
            self.turn(now);
            if self.has_closed(now) {
                break;
            }
            let deadline = self.deadline(now);
            let calls = async {
                match &mut self.ladder {
                    Some((_, signaling)) => signaling.done().await,
                    None => std::future::pending().await,
                }
            };
            // Sockets first: an answer that lies in one must be read before its time is up.
            tokio::select! {
                biased;
                (local, _) = self.sockets.recv(&mut self.batch) => self.receive(local),
                command = self.commands.recv(), if !self.orphaned => self.on_command(command),
                () = self.wake.notified() => {}
                done = calls => self.on_call(done),
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
        }
        self.end().await;
    }

    /// Feeds what a socket had, and what others have by now.
    fn receive(&mut self, mut local: std::net::SocketAddr) {
        for turn in 0.. {
            let now = clock::now();
            for (remote, datagram) in self.batch.datagrams() {
                self.link.handle_datagram(now, local, remote, datagram);
            }
            if turn == RECV_TURNS {
                return;
            }
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            match self.sockets.poll_recv(&mut cx, &mut self.batch) {
                Poll::Ready((next, _)) => local = next,
                Poll::Pending => return,
            }
            self.turn(now);
        }
    }

    /// Lets time pass, moves messages, and sends what is to be sent.
    fn turn(&mut self, now: Instant) {
        self.on_link_events(now);
        self.resume_receiving();
        if self.link.poll_timeout(now).is_some_and(|t| t <= now) {
            self.link.handle_timeout(now);
        }
        self.link.pump(now);
        self.climb(now);
        self.on_link_events(now);
        self.flush(now);
    }

    fn flush(&mut self, now: Instant) {
        while let Some(out) = self.link.poll_transmit() {
            self.sockets.send(out.local, out.remote, &out.datagram);
        }
        for failure in self.sockets.flush(now) {
            self.link.send_failed(failure.local, failure.dst);
        }
    }

    fn deadline(&mut self, now: Instant) -> Instant {
        let ladder = self.ladder.as_ref().and_then(|(l, _)| l.deadline());
        let closing = self.closing.as_ref().map(|c| c.0);
        let deadlines =
            [self.link.poll_timeout(now), self.sockets.next_deadline(), ladder, closing];
        deadlines.into_iter().flatten().min().unwrap_or(now + IDLE).min(now + IDLE)
    }

    fn on_link_events(&mut self, now: Instant) {
        while let Some(event) = self.link.poll_event() {
            match event {
                LinkEvent::Message(id, message) => {
                    let Some(channel) = self.channels.get(id.index()) else { continue };
                    channel.inbox.push(message);
                    if !self.paused && channel.inbox.is_full() {
                        self.paused = true;
                        self.link.set_receiving(false);
                    }
                }
                LinkEvent::ChannelOpen { id, label, new } => {
                    if new && let Some(outbox) = self.link.outbox(id).cloned() {
                        self.add_channel(id, &label, outbox);
                    }
                    self.emit(Event::ChannelOpen(id, label));
                }
                LinkEvent::ChannelClosed(id) => self.emit(Event::ChannelClosed(id)),
                LinkEvent::Ice(state) => tracing::debug!(?state, "ice"),
                LinkEvent::Connected => self.on_connected(now),
                LinkEvent::Path(event) => self.on_path(now, event),
                LinkEvent::DialFailed(reason) => {
                    self.trouble(reason.unwrap_or_else(|| "the transport ended".to_owned()));
                    if let Some((ladder, _)) = &mut self.ladder {
                        ladder.dial_failed(now);
                    }
                }
                LinkEvent::TransportClosed(reason) => {
                    self.begin_outage(now);
                    self.emit(Event::IceConnectionStateChange(IceConnectionState::Disconnected));
                    let reason =
                        reason.unwrap_or_else(|| "the other side said good-bye".to_owned());
                    self.emit(Event::Disconnected(reason));
                    self.prune_sockets();
                    if let Some((ladder, signaling)) = &mut self.ladder {
                        signaling.session = None;
                        ladder.transport_lost(now, false);
                    }
                }
            }
        }
    }

    fn on_connected(&mut self, now: Instant) {
        if let Some((ladder, signaling)) = &mut self.ladder {
            ladder.healthy();
            signaling.session = signaling.next.take();
        }
        self.prune_sockets();
        self.link.set_receiving(!self.paused);
        self.emit(Event::IceConnectionStateChange(IceConnectionState::Connected));
        self.end_outage(now, Recovery::Transport);
    }

    fn on_path(&mut self, now: Instant, event: PathEvent) {
        match event {
            PathEvent::AllDead => {
                self.begin_outage(now);
                self.emit(Event::IceConnectionStateChange(IceConnectionState::Disconnected));
                self.emit(Event::Outage);
                if let Some((ladder, signaling)) = &mut self.ladder {
                    ladder.paths_died(now);
                    // The hub cannot push to a client without a path: it may have an offer.
                    signaling.poll();
                }
            }
            PathEvent::Revived { .. } => {
                if let Some((ladder, signaling)) = &mut self.ladder {
                    ladder.healthy();
                    signaling.abort();
                    if let Some(next) = signaling.next.take() {
                        signaling.delete(next);
                    }
                    self.link.hang_up();
                    self.prune_sockets();
                }
                self.emit(Event::IceConnectionStateChange(IceConnectionState::Connected));
                self.end_outage(now, Recovery::Path);
            }
            PathEvent::Switched { to, cause, .. } => {
                let path = self.link.transport().and_then(|t| t.paths().get(to));
                if let Some(path) = path {
                    let path = (path.local(), path.remote());
                    tracing::info!(local = %path.0, remote = %path.1, ?cause, "path switch");
                    self.emit(Event::PathSwitch { path, cause });
                }
            }
            PathEvent::Mapped { local, public } => tracing::debug!(%local, %public, "mapped"),
        }
    }

    fn climb(&mut self, now: Instant) {
        let action = self.ladder.as_mut().and_then(|(l, _)| l.poll(now));
        match action.filter(|_| self.closing.is_none()) {
            Some(Action::Restart) => self.restart(now),
            Some(Action::Dial) => self.dial(now),
            None => {}
        }
    }

    fn restart(&mut self, now: Instant) {
        self.emit(Event::Restarting);
        self.follow_interfaces(now);
        let offer = self.link.restart_offer(now, random::ice_credentials());
        let Some((ladder, signaling)) = &mut self.ladder else { return };
        signaling.abort();
        let sent = offer.is_ok_and(|offer| signaling.restart(offer));
        if !sent {
            ladder.transport_lost(now, true);
        }
    }

    fn dial(&mut self, now: Instant) {
        let dials = self.ladder.as_ref().map_or(0, |(l, _)| l.dials());
        self.emit(Event::Dialing(dials));
        self.link.hang_up();
        self.prune_sockets();
        let offer = self.offer();
        let Some((ladder, signaling)) = &mut self.ladder else { return };
        signaling.abort();
        if let Some(next) = signaling.next.take() {
            signaling.delete(next);
        }
        match offer {
            Ok(offer) => {
                let shown = hide_password(&offer);
                signaling.create(offer);
                self.emit(Event::Offer(shown));
            }
            Err(error) => {
                ladder.dial_failed(now);
                self.trouble(error.to_string());
            }
        }
    }

    fn on_call(&mut self, done: Done) {
        let now = clock::now();
        let result = match done {
            Done::Created(Ok(answer)) => {
                self.take_answer(now, &answer.sdp, answer.rover.map(|r| r.session))
            }
            Done::Restarted(Ok(answer)) => {
                self.link.accept_restart(now, &answer.sdp).map_err(|e| e.to_string())
            }
            Done::Polled(Ok(offer)) => self.answer_hub(now, offer.map(|o| o.sdp)),
            Done::Created(Err(error)) => {
                if let Some((ladder, _)) = &mut self.ladder {
                    ladder.dial_failed(now);
                }
                self.link.hang_up();
                self.prune_sockets();
                Err(error.to_string())
            }
            Done::Restarted(Err(CallError::UnknownSession)) => {
                if let Some((ladder, signaling)) = &mut self.ladder {
                    signaling.session = None;
                    ladder.transport_lost(now, true);
                }
                Err(CallError::UnknownSession.to_string())
            }
            Done::Restarted(Err(error)) => Err(error.to_string()),
            // The ladder's own restart finds out the same.
            Done::Polled(Err(_)) | Done::Other => Ok(()),
        };
        if let Err(error) = result {
            self.trouble(error);
        }
    }

    /// The answer of a dial. `session` is absent for a foreign stack.
    fn take_answer(
        &mut self,
        now: Instant,
        answer: &str,
        session: Option<Option<String>>,
    ) -> Result<(), String> {
        if session.is_none()
            && let Some(next) = self.link.next_transport()
        {
            next.session().set_pace(now, Pace::FOREIGN);
        }
        self.emit(Event::Answer(hide_password(answer)));
        let accepted = self.link.accept_answer(now, answer);
        let Some((ladder, signaling)) = &mut self.ladder else { return Ok(()) };
        signaling.next = session.flatten();
        accepted.map_err(|error| {
            ladder.dial_failed(now);
            error.to_string()
        })
    }

    fn answer_hub(&mut self, now: Instant, offer: Option<String>) -> Result<(), String> {
        if self.link.dead_since().is_none() {
            return Ok(());
        }
        let answer = offer.map(|o| {
            self.emit(Event::Restarting);
            self.link.answer_restart(now, &o, random::ice_credentials())
        });
        let Some((_, signaling)) = &mut self.ladder else { return Ok(()) };
        signaling.poll();
        match answer.transpose() {
            Ok(answer) => answer.into_iter().for_each(|a| signaling.answer(a)),
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    }

    fn on_command(&mut self, command: Option<Command>) {
        let now = clock::now();
        match command {
            Some(Command::Open(config, reply)) => {
                let _ = reply.send(self.open(now, config));
            }
            Some(Command::Stats(reply)) => {
                let _ = reply.send(self.link.stats());
            }
            Some(Command::AcceptAnswer(answer, reply)) => {
                let _ = reply.send(self.link.accept_answer(now, &answer));
            }
            Some(Command::Close(reply)) => {
                let closing = self.closing.get_or_insert((now + CLOSE_PATIENCE, Vec::new()));
                closing.1.push(reply);
            }
            None => {
                self.orphaned = true;
                self.closing.get_or_insert((now + CLOSE_PATIENCE, Vec::new()));
            }
        }
    }

    fn open(&mut self, now: Instant, config: ChannelConfig) -> Channel {
        let label = config.label.clone();
        let (id, outbox) = self.link.open(now, config);
        self.add_channel(id, &label, outbox)
    }

    fn add_channel(&mut self, id: ChannelId, label: &str, outbox: Outbox) -> Channel {
        let channel = Channel {
            id,
            label: label.into(),
            outbox,
            inbox: Inbox::new(self.config.inbox_bytes),
            driver: self.wake.clone(),
        };
        self.channels.push(channel.clone());
        self.directory.add(channel.clone());
        channel
    }

    fn resume_receiving(&mut self) {
        if self.paused && self.channels.iter().all(|c| c.inbox.has_room()) {
            self.paused = false;
            self.link.set_receiving(true);
        }
    }

    /// A transport with fresh sockets: records of another one on the same addresses would be
    /// fatal to its handshake.
    fn new_transport(
        &mut self,
        now: Instant,
        controlling: bool,
    ) -> Result<Transport, NetworkError> {
        let mut session = SessionConfig::new(random::ice_credentials());
        session.pace = self.config.pace;
        let paths = self.config.path.clone();
        let mut transport = Transport::new(now, session, paths, controlling, random::number());
        let mut bound = 0;
        let mut failed = None;
        for place in sockets::places(&self.config, self.reach)? {
            match sockets::bind(&place) {
                Ok(socket) => {
                    transport.add_local(now, LocalAddress::host(socket.local_addr()));
                    self.sockets.insert(socket, None);
                    bound += 1;
                }
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if bound == 0 => Err(error),
            _ => Ok(transport),
        }
    }

    /// Brings the sockets of the transport in use in line with the interfaces of now.
    fn follow_interfaces(&mut self, now: Instant) {
        let Ok(places) = sockets::places(&self.config, self.reach) else { return };
        let Some(transport) = self.link.transport() else { return };
        let old: Vec<_> = self.sockets.local_addrs().collect();
        for gone in old.iter().filter(|a| places.iter().all(|p| p.ip != a.ip())) {
            transport.remove_local(now, LocalAddress::host(*gone));
            self.sockets.remove(*gone);
        }
        for place in places.iter().filter(|p| old.iter().all(|a| a.ip() != p.ip)) {
            if let Ok(socket) = sockets::bind(place) {
                transport.add_local(now, LocalAddress::host(socket.local_addr()));
                self.sockets.insert(socket, None);
            }
        }
    }

    /// Closes sockets that no transport uses any more.
    fn prune_sockets(&mut self) {
        // A good-bye may still be on its way out by one of them.
        self.flush(clock::now());
        let locals: Vec<_> = self.sockets.local_addrs().collect();
        for local in locals.into_iter().filter(|l| !self.link.has_local(*l)) {
            self.sockets.remove(local);
        }
    }

    fn begin_outage(&mut self, now: Instant) {
        self.outage.get_or_insert(now);
    }

    fn end_outage(&mut self, now: Instant, by: Recovery) {
        if let Some(since) = self.outage.take() {
            let outage = now.saturating_duration_since(since);
            tracing::info!(?outage, ?by, "recovered");
            self.emit(Event::Recovered { outage, by });
        }
    }

    fn trouble(&self, what: String) {
        tracing::warn!("{what}");
        self.emit(Event::Trouble(what));
    }

    fn emit(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    fn has_closed(&self, now: Instant) -> bool {
        let Some((patience, _)) = &self.closing else { return false };
        let live = self.link.is_connected() && self.link.dead_since().is_none();
        *patience <= now || !live || self.link.is_flushed()
    }

    async fn end(mut self) {
        let now = clock::now();
        self.link.close(now);
        self.flush(now);
        self.channels.iter().for_each(|c| c.inbox.close());
        if let Some((_, signaling)) = &mut self.ladder {
            signaling.abort();
            if let Some(session) = signaling.session.take() {
                signaling.delete(session);
            }
            // The hub has heard the good-bye; the call is for one that has not.
            let _ = tokio::time::timeout(CLOSE_PATIENCE, signaling.finish()).await;
        }
        self.emit(Event::Closed);
        for reply in self.closing.into_iter().flat_map(|c| c.1) {
            let _ = reply.send(());
        }
    }
}

/// Batches read in one go before the clock and the timers have their turn.
const RECV_TURNS: usize = 8;

/// Longest sleep; only a guard against a lost deadline.
const IDLE: Duration = Duration::from_secs(60);

/// How long closing waits for what is queued, and for the hub.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
