//! The task behind a peer: the only place where its sockets, its clock and its links meet.
//!
//! | file | what it does |
//! |---|---|
//! | `driver.rs` | the loop: sockets, timers, commands |
//! | `hub_link.rs` | the link with the hub |
//! | `peer_links.rs`, `calls.rs` | the links with other peers; those that they have called |
//! | `network.rs` | sockets, as interfaces come and go |
//! | `frontend.rs` | what the application sees of a link |

mod commands;

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};

use super::channel::Channel;
use super::frontend::LinkFrontend;
use super::handle::PeerLink;
use super::hub_link::{HubLink, HubLinkStep, HubSession};
use super::network::Network;
use super::peer_links::{PeerLinks, PeerTurn};
use super::shared_journal::{HUB_LINK, SharedJournal};
use super::signaling::SignalingResult;
use crate::config::PeerConfig;
use crate::error::WebrtcError;
use crate::identity::{Fingerprint, Identity};
use crate::link::LinkStats;
use crate::link::{ChannelConfig, Link, LinkEvent, Mode, Priority, STATUS, Saved, Transport};
use crate::net::NetworkError;
use crate::net::{FineTimer, InterfaceWatch, RecvBatch};
use crate::path::demux::Demux;
use crate::path::{LocalAddress, Packet, PathEvent, frame};
use crate::rendezvous::DialError;
use crate::rendezvous::{RemotePeerId, Rendezvous, RoutedTransmit};
use crate::session::SdpError;
use crate::session::SessionConfig;
use crate::util::spare::{PAUSE, REST};
use crate::util::{clock, random};

/// Whose a datagram or a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum LinkId {
    /// The link with the hub, or the only one.
    Hub,
    /// A link with another peer.
    Remote(RemotePeerId),
}

/// What a handle asks of the driver.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) owner: LinkId,
    pub(super) request: Request,
}

#[derive(Debug)]
pub(super) enum Request {
    Open(ChannelConfig, oneshot::Sender<Result<Channel, WebrtcError>>),
    Stats(oneshot::Sender<LinkStats>),
    AcceptAnswer(String, oneshot::Sender<Result<(), SdpError>>),
    Close(oneshot::Sender<()>),
    /// Without patience the link is given out before it is up.
    Dial(String, Option<Duration>, oneshot::Sender<Result<PeerLink, DialError>>),
    Links(oneshot::Sender<Vec<(String, LinkStats)>>),
    Fingerprint(oneshot::Sender<Option<Fingerprint>>),
}

/// State of the task.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) config: Arc<PeerConfig>,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) network: Network,
    pub(super) demux: Demux<LinkId>,
    pub(super) hub_link: HubLink,
    /// Links with other peers, if this one has a name.
    pub(super) rendezvous: Option<Box<Rendezvous>>,
    pub(super) peer_links: PeerLinks,
    commands: mpsc::Receiver<Box<Command>>,
    watch: InterfaceWatch,
    timer: FineTimer,
    /// The journal, if there is a state directory.
    pub(super) shared_journal: Option<SharedJournal>,
    pub(super) wake: Arc<Notify>,
    /// When what a handshake took is given back, unless something happens before.
    pub(super) pause: Option<Instant>,
    /// A frame for the hub, put together here.
    frame: Vec<u8>,
    /// When the last one went out.
    framed: Option<Instant>,
    /// When the link with the hub wants to be called, as of the last turn.
    due: Option<Instant>,
}

impl Driver {
    pub(super) fn new(
        config: PeerConfig,
        identity: Option<Arc<Identity>>,
        hub_session: Option<Box<HubSession>>,
        rendezvous: Option<Box<Rendezvous>>,
        commands: mpsc::Receiver<Box<Command>>,
        peer_links: PeerLinks,
        (wake, shared_journal): (Arc<Notify>, Option<(Vec<Saved>, SharedJournal)>),
    ) -> Self {
        let now = clock::now();
        let defaults = config.channels.first().map(|c| c.outbox).unwrap_or_default();
        let mut link = Link::new(defaults, config.max_channels);
        link.set_waker(waker(&wake));
        link.set_max_message(config.max_message);
        let shared_journal = shared_journal.map(|(saved, shared_journal)| {
            link.set_journal(saved);
            shared_journal
        });
        for channel in &config.channels {
            link.open(now, channel.clone());
        }
        let signal = rendezvous.as_ref().map(|_| {
            link.set_framed();
            let status = ChannelConfig::of_mode(STATUS, Mode::Latest);
            link.open(now, ChannelConfig { priority: Priority::Low, ..status });
            let channel = crate::signal::hub_messages::channel();
            link.open(now, channel).0
        });
        // The hub passes on what others say to it, and who calls others need not listen.
        let forgetful = rendezvous.is_some();
        let frontend = LinkFrontend::new(&link, wake.clone(), config.inbox_bytes, forgetful);
        let config = Arc::new(config);
        Self {
            network: Network::new(now, &config, hub_session.is_some()),
            demux: Demux::default(),
            hub_link: HubLink::new(link, frontend, hub_session, signal),
            rendezvous,
            peer_links,
            commands,
            watch: InterfaceWatch::new(),
            timer: FineTimer::default(),
            shared_journal,
            wake,
            pause: None,
            frame: Vec::new(),
            framed: None,
            due: None,
            config,
            identity,
        }
    }

    /// Begins a transport as the side that offers.
    pub(super) fn offer(&mut self) -> Result<String, WebrtcError> {
        let now = clock::now();
        let transport = self.hub_transport(now, true)?;
        Ok(self.hub_link.offer(now, transport)?)
    }

    /// Begins a transport as the side that answers.
    pub(super) fn answer(&mut self, offer: &str) -> Result<String, WebrtcError> {
        let now = clock::now();
        let transport = self.hub_transport(now, false)?;
        Ok(self.hub_link.answer(now, transport, offer)?)
    }

    /// Runs until the peer is closed or its handle dropped. Boxed: a task holds several copies of
    /// what its function takes by value.
    pub(super) async fn run(mut self: Box<Self>) {
        let mut moved = true;
        loop {
            let now = clock::now();
            self.turn(now, moved);
            moved = true;
            if self.has_closed(now) {
                break;
            }
            if self.has_paused(now) {
                self.rest();
            }
            let deadline = self.deadline(now);
            if deadline.saturating_duration_since(now) > REST {
                self.rest();
                self.timer.rest();
            }
            let calls = async {
                match &mut self.hub_link.hub_session {
                    Some(hub_session) => hub_session.signaling.done().await,
                    None => std::future::pending().await,
                }
            };
            // Sockets first: an answer that lies in one must be read before its time is up.
            tokio::select! {
                biased;
                () = self.network.sockets.readable() => {
                    moved = RecvBatch::with(|batch| self.receive(batch));
                    // A flood must not keep the application out.
                    for _ in 0..COMMAND_TURNS {
                        let Ok(command) = self.commands.try_recv() else { break };
                        moved = true;
                        self.on_command(*command);
                    }
                }
                Some(command) = self.commands.recv() => self.on_command(*command),
                () = self.wake.notified() => {}
                done = calls => self.on_call(done),
                heard = self.watch.changed() => self.on_watch(clock::now(), heard),
                () = self.network.turn.ready() => {}
                () = self.timer.sleep_until(clock::now(), deadline) => {
                    moved = self.rendezvous.is_some();
                }
            }
        }
        self.end().await;
    }

    /// Feeds what the sockets have; the caller's turn sends the answers. Bounded: others have their
    /// turn after some batches. False if all of it was of interest to probes only.
    fn receive(&mut self, batch: &mut RecvBatch) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        // What came for other links is not told apart.
        let mut moved = self.rendezvous.is_some();
        for turn in 0..=RECV_TURNS {
            let received = self.network.sockets.poll_recv(&mut cx, batch);
            let Poll::Ready((local, _)) = received else { break };
            let now = clock::now();
            if turn > 0 {
                // The other side can work on these while we work on what has come.
                self.turn(now, moved);
            }
            for (remote, datagram) in batch.arrivals() {
                if !self.network.turn.handle_datagram(now, local, remote, datagram) {
                    moved |= self.on_datagram(now, local, remote, datagram);
                }
            }
        }
        moved
    }

    /// Takes a datagram; false if it was of interest to the paths' probes only.
    pub(super) fn on_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let Some(packet) = Packet::parse(datagram) else {
            self.hub_link.link.refuse(local);
            return false;
        };
        let Some(rendezvous) = &mut self.rendezvous else {
            return self.hub_link.link.handle_packet(now, local, remote, &packet).moved;
        };
        if let Packet::ChannelData(number, datagram) = packet {
            // Only the hub relays, and only by a path that it has proven.
            let paths = self.hub_link.link.transport().map(|t| t.paths());
            return paths.is_some_and(|p| p.accepts_record(local, remote))
                && rendezvous.handle_relayed(now, number, datagram).moved;
        }
        let source = (local, remote);
        let owner = self.demux.find(source, &packet).unwrap_or(LinkId::Hub);
        let (handled, link) = match owner {
            LinkId::Hub => {
                let link = &mut self.hub_link.link;
                (link.handle_packet(now, local, remote, &packet), link)
            }
            LinkId::Remote(id) => {
                let handled = rendezvous.handle_packet(now, id, local, remote, &packet);
                let Some(peer) = rendezvous.peer(id) else { return handled.moved };
                (handled, peer.link())
            }
        };
        if matches!(packet, Packet::Stun(..)) && self.demux.owner(source) != Some(owner) {
            // Only who proves to be there takes a source away from another.
            let taken = self.demux.owner(source).is_some();
            let proven = link.transports().any(|t| match taken {
                false => t.paths().accepts_record(local, remote),
                true => t.paths().is_alive(local, remote),
            });
            if proven {
                self.demux.add_source(source, owner);
            }
        }
        handled.moved
    }

    /// Lets time pass, moves messages, and sends what is to be sent. `moved` unless all that has
    /// happened since the last turn was the probes' of the link with the hub.
    fn turn(&mut self, now: Instant, mut moved: bool) {
        self.on_journal(now);
        self.on_hub_events(now);
        self.hub_link.frontend.resume_receiving(now, &mut self.hub_link.link);
        if self.due.take_if(|t| *t <= now).is_some() {
            moved |= self.hub_link.link.handle_timeout(now);
        }
        match self.hub_link.escalate(now) {
            Some(HubLinkStep::Scan) => {
                self.follow_interfaces(now);
                self.hub_link.restart(now);
            }
            Some(HubLinkStep::Transport) => self.dial_hub(now),
            None => {}
        }
        self.on_hub_events(now);
        if self.network.turn.poll_timeout().is_some_and(|t| t <= now) {
            self.network.turn.handle_timeout(now);
        }
        self.on_turn_events(now);
        let mut more = self.turn_links(now, moved);
        self.register();
        self.keep_journal();
        self.flush(now);
        while more {
            more = self.hub_link.link.pump_some(now);
            more |= self.rendezvous.as_mut().is_some_and(|rendezvous| rendezvous.pump_some(now));
            self.keep_journal();
            self.flush(now);
        }
        self.on_hub_events(now);
    }

    /// Moves signal messages, and hands a portion to each transport; true if there is more, which
    /// waits until what is ready has been sent.
    fn turn_links(&mut self, now: Instant, moved: bool) -> bool {
        let PeerTurn { more, queued } = self.turn_peer_links(now);
        // Signal messages of this turn are among what has a priority.
        more | ((moved || queued) && self.hub_link.link.pump_some(now))
    }

    /// Tells the links what the journal has kept.
    fn on_journal(&mut self, now: Instant) {
        let Some(shared_journal) = &self.shared_journal else { return };
        while let Some((name, result)) = shared_journal.poll_done() {
            if *name == *HUB_LINK {
                self.hub_link.link.recorded(now, result);
            } else if let Some(rendezvous) = &mut self.rendezvous {
                rendezvous.recorded(now, &name, result);
            }
        }
    }

    /// Hands the journal what the links want it to keep.
    pub(super) fn keep_journal(&mut self) {
        let Some(shared_journal) = &self.shared_journal else { return };
        while let Some(record) = self.hub_link.link.poll_record() {
            shared_journal.submit(HUB_LINK, record);
        }
        while let Some((name, record)) =
            self.rendezvous.as_deref_mut().and_then(Rendezvous::poll_record)
        {
            shared_journal.submit(&name, record);
        }
    }

    pub(super) fn flush(&mut self, now: Instant) {
        let Self { hub_link, rendezvous, network, demux, .. } = self;
        while let Some(out) = hub_link.link.poll_transmit() {
            if rendezvous.is_some() {
                demux.sent(now, (out.local, out.remote), &out.datagram, LinkId::Hub);
            }
            network.sockets.send(out.local, out.remote, &out.datagram);
        }
        while let Some(transmit) =
            self.rendezvous.as_deref_mut().and_then(Rendezvous::poll_transmit)
        {
            match transmit {
                RoutedTransmit::Datagram(id, out) => {
                    let source = (out.local, out.remote);
                    self.demux.sent(now, source, &out.datagram, LinkId::Remote(id));
                    self.network.send(now, out.local, out.remote, &out.datagram);
                }
                RoutedTransmit::Frame(number, datagram) => self.send_frame(now, number, &datagram),
            }
        }
        while let Some((local, remote, datagram)) = self.network.turn.poll_transmit() {
            self.network.sockets.send(local, remote, &datagram);
        }
        for failure in self.network.sockets.flush(now) {
            self.hub_link.link.send_failed(failure.local, failure.dst);
            if let Some(rendezvous) = &mut self.rendezvous {
                rendezvous.send_failed(failure.local, failure.dst);
            }
        }
    }

    /// Sends a datagram of a call through the hub.
    fn send_frame(&mut self, now: Instant, number: u16, datagram: &[u8]) {
        let Some(path) = self.hub_link.link.selected() else { return };
        let (local, remote) = (path.local(), path.remote());
        frame::write(&mut self.frame, number, datagram);
        self.network.sockets.send(local, remote, &self.frame);
        // Probes of a link that does without the hub are no use of it; a flow is.
        let last = self.framed.replace(now);
        if last.is_some_and(|t| now.saturating_duration_since(t) < FLOW)
            && let Some(transport) = self.hub_link.link.transport()
        {
            transport.note_use(now);
        }
    }

    /// Gives back memory that is of no use while nothing happens.
    fn rest(&mut self) {
        self.pause = None;
        self.hub_link.link.rest();
        if let Some(rendezvous) = &mut self.rendezvous {
            rendezvous.rest();
        }
        self.network.sockets.rest();
    }

    /// Whether nothing has happened for a while, for the first time since a transport came up.
    fn has_paused(&mut self, now: Instant) -> bool {
        let over = self.pause.is_some_and(|due| due <= now);
        self.pause = self.pause.map(|_| now + PAUSE);
        over
    }

    fn deadline(&mut self, now: Instant) -> Instant {
        let escalation = self.hub_link.hub_session.as_ref().and_then(|r| r.escalation.deadline());
        let closing = self.hub_link.frontend.closing.as_ref().map(|c| c.until);
        self.due = self.hub_link.link.poll_timeout(now);
        let deadlines = [
            self.due,
            self.network.sockets.next_deadline(),
            self.network.turn.poll_timeout(),
            escalation,
            closing,
            self.pause,
            self.peer_links_deadline(now),
        ];
        deadlines.into_iter().flatten().min().unwrap_or(now + IDLE).min(now + IDLE)
    }

    fn on_hub_events(&mut self, now: Instant) {
        while let Some(event) = self.hub_link.link.poll_event() {
            match &event {
                LinkEvent::Message(id, message) if Some(*id) == self.hub_link.signal => {
                    let text = message.data.clone();
                    self.on_hub_message(now, &text);
                    continue;
                }
                LinkEvent::Path(PathEvent::Mapped { local, remote, public })
                    if self.rendezvous.is_some()
                        && self.network.note_mapped(*local, *remote, *public) =>
                {
                    self.tell_local_addresses(now);
                }
                LinkEvent::Connected => {
                    self.pause = Some(now + PAUSE);
                    self.share_hub_sockets(now);
                }
                _ => {}
            }
            if self.hub_link.on_event(now, event) {
                self.prune_sockets(now);
            }
        }
    }

    fn on_call(&mut self, done: SignalingResult) {
        let now = clock::now();
        match done {
            SignalingResult::Mailbox(Ok(mailbox_poll)) => {
                mailbox_poll.into_iter().for_each(|message| self.on_post(now, message));
            }
            SignalingResult::Mailbox(Err(error)) => {
                tracing::debug!(%error, "no signal messages over http");
                self.peer_links.pause_mailbox(now);
            }
            done => {
                if self.hub_link.on_call(now, done) {
                    self.prune_sockets(now);
                }
            }
        }
    }

    fn dial_hub(&mut self, now: Instant) {
        self.hub_link.link.hang_up();
        self.prune_sockets(now);
        let transport = self.hub_transport(now, true).map_err(|e| e.to_string());
        self.hub_link.dial(now, transport);
    }

    /// A transport with fresh sockets: records of another one on the same addresses would be
    /// fatal to its handshake.
    fn hub_transport(
        &mut self,
        now: Instant,
        controlling: bool,
    ) -> Result<Transport, NetworkError> {
        let mut session = SessionConfig::new(random::ice_credentials());
        session.pace = self.config.pace;
        session.certificate = self.identity.as_ref().map(|i| i.dtls());
        let paths = self.config.path.clone();
        let mut transport = Transport::new(now, session, paths, controlling, random::number());
        let sockets = self.network.bind()?;
        for socket in &sockets {
            transport.add_local(now, LocalAddress::host(*socket));
        }
        if !self.hub_link.link.is_connected() {
            self.network.shared = sockets;
            self.tell_local_addresses(now);
        }
        Ok(transport)
    }
}

/// What wakes the driver.
pub(super) fn waker(wake: &Arc<Notify>) -> Waker {
    struct Wakes(Arc<Notify>);
    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.notify_one();
        }
    }
    Arc::new(Wakes(wake.clone())).into()
}

/// Batches read in one go before the clock and the timers have their turn.
const RECV_TURNS: usize = 8;

/// Commands taken after them.
const COMMAND_TURNS: usize = 8;

/// Longest sleep; only a guard against a lost deadline.
const IDLE: Duration = Duration::from_secs(60);

/// Frames closer together than this are a flow: probes of a path that stands by are not.
const FLOW: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests;
