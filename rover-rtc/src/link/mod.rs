//! The lasting relation between two ends: channels with their outboxes, over one transport after
//! another.
//!
//! A [`Link`] is sans-IO. Its driver feeds datagrams and time, calls [`Link::pump`], and takes
//! datagrams, events, and records for the journal.
//!
//! | file | what it does |
//! |---|---|
//! | `mod.rs` | the verbs: open, dial, answer, feed, poll |
//! | `channel/` | what a channel promises, a message and its acknowledgement, the outbox; events |
//! | `pump.rs`, `admission.rs` | from outboxes to SCTP, and how much at a time |
//! | `closing.rs` | the last acknowledgements, before good-bye |
//! | `mux/` | framed channels: numbers, acknowledgements, replay |
//! | `transport.rs`, `events.rs`, `frame_streams.rs` | one transport after another, and its streams |
//! | `state.rs` | whether messages can flow |

mod admission;
mod channel;
mod closing;
mod events;
mod frame_streams;
pub(crate) mod measured;
mod mux;
mod pump;
mod state;
mod stats;
mod transport;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::task::Waker;
use std::time::Instant;

use str0m::IceCreds;
use str0m::channel::ChannelId as SctpChannelId;

pub use admission::Admission;
pub(crate) use channel::delivery::Outcome;
#[cfg(feature = "server")]
pub(crate) use channel::delivery::{Fanout, Source, Unsettled};
pub use channel::error::{LabelError, SendError};
pub use channel::event::LinkEvent;
pub use channel::outbox::{Outbox, OutboxConfig, Pushed, Settled, WhenFull};
pub use channel::stats::{ChannelCounters, ChannelStats, Drops};
pub use channel::{
    ChannelConfig, ChannelId, MAX_MESSAGE, Message, Mode, Priority, RESERVED, STATUS,
};
pub use mux::{FinalAck, Record, Saved, SavedOutgoing};
pub use state::LinkState;
pub use stats::LinkStats;

pub use transport::{Transport, TransportEvent};

use crate::path::{Handled, Packet, Path, PathId, PathStats, Transmit};
use crate::session::SdpError;
use crate::util::spare::spare;
use frame_streams::FrameStreams;
use mux::{Channel, Mux, Out};

/// Channels over a transport.
#[derive(Debug)]
pub struct Link {
    /// Boxed, as the next one is: most links have one transport, and many are idle.
    current: Option<Box<Attached>>,
    /// Being negotiated beside the current one, which goes on until this is up.
    next: Option<Box<Attached>>,
    mux: Mux,
    /// Good-byes of transports that are over.
    last_words: VecDeque<Transmit>,
    /// Why the transport before is over, while the next one may still take its place.
    lost: Option<Option<String>>,
    /// Whether the other side is known to speak frames.
    framed: bool,
    /// What SCTP did not take.
    unsent: Option<Out>,
    admission: Admission,
    /// The path that it was measured on.
    path: Option<PathId>,
    /// Bytes in SCTP when last looked: all, and those of plain channels.
    buffered: usize,
    plain_buffered: usize,
    events: VecDeque<LinkEvent>,
    /// How many transports have come up.
    transports: u64,
}

/// A transport and the link's channels on it, in the order of the link's.
#[derive(Debug)]
struct Attached {
    transport: Transport,
    streams: Vec<Stream>,
    frame_streams: FrameStreams,
    /// Whether this side offered it, and so opens the channels.
    dialed: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    id: Option<SctpChannelId>,
    open: bool,
}

impl Link {
    /// A link without transport. `defaults` are the limits of channels that the other side opens,
    /// of which there can be `max_channels`.
    #[must_use]
    pub fn new(defaults: OutboxConfig, max_channels: usize) -> Self {
        Self {
            current: None,
            next: None,
            mux: Mux::new(defaults, max_channels),
            last_words: VecDeque::new(),
            lost: None,
            framed: false,
            unsent: None,
            admission: Admission::default(),
            path: None,
            buffered: 0,
            plain_buffered: 0,
            events: VecDeque::new(),
            transports: 0,
        }
    }

    /// Says that the other side speaks frames: the streams for them are opened even before there is
    /// a framed channel, so that it can open some.
    pub fn set_framed(&mut self) {
        self.framed = true;
    }

    /// Says that messages are passed on: they are acknowledged when all copies of them have been.
    pub(crate) fn set_passes_on(&mut self) {
        self.mux.passes_on = true;
    }

    /// Goes on where another link was, which had a transport to the same other side and is over.
    /// This one has a transport that has just come up.
    /// False if it does not: it has channels of its own.
    pub(crate) fn inherit(&mut self, old: &mut Self) -> bool {
        let can = self.mux.channels().is_empty();
        if can {
            self.mux.take_over(&mut old.mux);
            self.limit_plain();
            self.line_up();
        }
        can
    }

    /// Whether a channel is one of frames.
    pub(crate) fn is_framed(&self, id: ChannelId) -> bool {
        self.config(id).is_some_and(|config| config.mode.is_framed())
    }

    /// Answers to the writers for all that a channel has to send, and that was passed on.
    pub(crate) fn vouch(&mut self, id: ChannelId) {
        self.mux.settle_all(id, Some(Outcome::Accepted));
    }

    /// Gives up what a channel has to send, and that was passed on: it may be for others.
    pub(crate) fn release(&mut self, id: ChannelId) {
        self.mux.settle_all(id, None);
    }

    /// Limits the messages that this side takes on framed channels. Default 16 MiB.
    pub fn set_max_message(&mut self, bytes: usize) {
        self.mux.max_message = bytes;
    }

    /// Says that there is a journal, and what it remembers of this link.
    pub fn set_journal(&mut self, saved: Vec<Saved>) {
        self.mux.set_journal(saved);
    }

    /// Who is to be woken when the application acknowledges a message.
    pub fn set_waker(&mut self, waker: Waker) {
        self.mux.set_waker(waker);
    }

    /// Adds a channel. On a connected transport it opens at once, else with the next one.
    pub fn open(&mut self, now: Instant, config: ChannelConfig) -> (ChannelId, Outbox) {
        let framed = config.mode.is_framed();
        let mut stream = Stream::default();
        if let Some(attached) = &mut self.current
            && attached.transport.session().is_connected()
        {
            if !framed {
                stream.id = Some(attached.transport.session().open(now, config.sctp()));
            } else {
                attached.open_frame_streams(now);
            }
            attached.transport.collect(now);
        }
        let opened = self.mux.open(now, config);
        self.line_up();
        if let Some(attached) = &mut self.current {
            attached.streams[opened.0.0] = stream;
        }
        opened
    }

    /// Gives each channel a place on each transport.
    fn line_up(&mut self) {
        let count = self.mux.channels().len();
        self.attached().for_each(|a| a.streams.resize(count, Stream::default()));
    }

    /// Begins a new transport: returns its offer. The channels of this link open when it is
    /// connected. A transport that works goes on until then; one that was being negotiated is
    /// dropped.
    ///
    /// # Errors
    ///
    /// Without a channel.
    pub fn dial(&mut self, now: Instant, mut transport: Transport) -> Result<String, SdpError> {
        if self.mux.channels().is_empty() && !self.framed {
            return Err(SdpError::NothingToOffer);
        }
        let offer = transport.session().offer(now)?;
        transport.collect(now);
        self.next = Some(Box::new(self.attach(transport, true)));
        Ok(offer)
    }

    /// Takes the answer to the offer of [`Link::dial`].
    ///
    /// # Errors
    ///
    /// If there is none, or the answer is not usable.
    pub fn accept_answer(&mut self, now: Instant, answer: &str) -> Result<(), SdpError> {
        let next = self.next.as_mut().ok_or(SdpError::NoPendingOffer)?;
        let accepted = next.transport.accept_answer(now, answer);
        self.collect(now);
        accepted
    }

    /// Takes the other side's offer of a new transport and returns the answer.
    ///
    /// # Errors
    ///
    /// If the offer is not usable.
    pub fn answer(
        &mut self,
        now: Instant,
        mut transport: Transport,
        offer: &str,
    ) -> Result<String, SdpError> {
        let new = transport.session().credentials().clone();
        let answer = transport.answer(now, offer, new)?;
        self.next = Some(Box::new(self.attach(transport, false)));
        Ok(answer)
    }

    /// Gives away the transport that is being negotiated: it is for another link.
    pub(crate) fn take_next(&mut self) -> Option<Transport> {
        self.next.take().map(|next| next.transport)
    }

    /// Takes a transport that another link has answered with, and that is not up yet.
    pub(crate) fn adopt(&mut self, transport: Transport) {
        self.next = Some(Box::new(self.attach(transport, false)));
    }

    /// Gives up the transport that is being negotiated.
    pub fn hang_up(&mut self) {
        self.next = None;
        self.report_loss();
    }

    /// Offers an ICE restart of the transport in use.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn restart_offer(&mut self, now: Instant, new: IceCreds) -> Result<String, SdpError> {
        self.transport().ok_or(SdpError::NothingToOffer)?.restart_offer(now, new)
    }

    /// Takes the answer to the offer of [`Link::restart_offer`].
    ///
    /// # Errors
    ///
    /// If there is none, or the answer is not usable.
    pub fn accept_restart(&mut self, now: Instant, answer: &str) -> Result<(), SdpError> {
        self.transport().ok_or(SdpError::NoPendingOffer)?.accept_answer(now, answer)
    }

    /// Takes the other side's offer of an ICE restart and returns the answer.
    ///
    /// # Errors
    ///
    /// Without a transport, or if the offer is not usable.
    pub fn answer_restart(
        &mut self,
        now: Instant,
        offer: &str,
        new: IceCreds,
    ) -> Result<String, SdpError> {
        self.transport().ok_or(SdpError::NoPendingOffer)?.answer(now, offer, new)
    }

    /// Adds candidates of the other side (`candidate:...` lines) to the newest transport. What the
    /// policy leaves out, or comes after the first 20, is ignored.
    pub fn add_candidates(&mut self, now: Instant, lines: &[String]) {
        let Some(attached) = self.attached().last() else { return };
        attached.transport.add_candidates(now, lines);
        self.collect(now);
    }

    /// Takes a packet.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        packet: &Packet<'_>,
    ) -> Handled {
        let owner = self.attached().find(|a| a.transport.paths().has_local(local));
        let Some(attached) = owner else { return Handled::REFUSED };
        let dead = attached.transport.paths().dead_since();
        let handled = attached.transport.handle_packet(now, local, remote, packet);
        let lives = dead.is_none() && attached.transport.paths().dead_since().is_none();
        self.collect(now);
        Handled { moved: handled.moved || !lives || !self.events.is_empty(), ..handled }
    }

    /// Takes a datagram that nobody has parsed yet: [`Link::handle_packet`].
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) -> Handled {
        match Packet::parse(datagram) {
            Some(packet) => self.handle_packet(now, local, remote, &packet),
            None => {
                self.refuse(local);
                Handled::REFUSED
            }
        }
    }

    /// Counts a datagram that came to a socket of the link's and that nobody can read.
    pub(crate) fn refuse(&mut self, local: SocketAddr) {
        let owner = self.attached().find(|a| a.transport.paths().has_local(local));
        owner.into_iter().for_each(|a| a.transport.refuse());
    }

    /// The operating system refused to send by this way: its path is in doubt at once.
    pub fn send_failed(&mut self, local: SocketAddr, remote: SocketAddr) {
        self.attached().for_each(|a| a.transport.send_failed(local, remote));
    }

    /// Lets time pass; false if that was of interest to the paths' probes only, and changed nothing:
    /// then there is nothing to move that was not there before. Else the link is to be pumped.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let dead = self.dead_since();
        let mut moved = self.mux_timeout().is_some_and(|t| t <= now);
        for attached in self.attached() {
            moved |= attached.transport.handle_timeout(now);
        }
        self.collect(now);
        let lives = dead.is_none() && self.dead_since().is_none();
        moved || !lives || !self.events.is_empty()
    }

    /// What the journal is to keep. Each is answered by [`Link::recorded`], in order.
    pub fn poll_record(&mut self) -> Option<Record> {
        self.mux.poll_record()
    }

    /// The journal has kept the oldest record that was not answered yet, or could not.
    pub fn recorded(&mut self, now: Instant, result: Result<(), SendError>) {
        self.mux.recorded(now, result);
        self.collect(now);
    }

    /// Says how many bytes the application takes on a channel: the other side sends no more.
    pub fn set_room(&mut self, now: Instant, id: ChannelId, bytes: usize) {
        self.mux.set_room(now, id, bytes);
    }

    /// When [`Link::handle_timeout`] is due.
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let mux = self.mux_timeout();
        self.attached().filter_map(|a| a.transport.poll_timeout(now)).chain(mux).min()
    }

    /// What cannot be sent now is due when it can.
    fn mux_timeout(&self) -> Option<Instant> {
        let can_send = |a: &Attached| {
            a.frame_streams.sending().0.is_some() && a.transport.paths().dead_since().is_none()
        };
        let can_send = self.unsent.is_none() && self.current.as_deref().is_some_and(can_send);
        self.mux.poll_timeout(can_send)
    }

    /// Gives back memory that an idle link has no use for. For a driver that is about to sleep.
    pub fn rest(&mut self) {
        self.attached().for_each(|a| a.transport.rest());
        for queue in [&mut self.events, &mut self.mux.events] {
            spare(queue);
        }
        spare(&mut self.last_words);
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let last_words = self.last_words.pop_front();
        last_words.or_else(|| self.attached().find_map(|a| a.transport.poll_transmit()))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// The transport in use.
    pub fn transport(&mut self) -> Option<&mut Transport> {
        self.current.as_mut().map(|a| &mut a.transport)
    }

    /// The transport in use, and the one that is being negotiated.
    pub fn transports(&mut self) -> impl Iterator<Item = &mut Transport> {
        self.attached().map(|a| &mut a.transport)
    }

    /// The transport of a call between two peers.
    pub fn transport_of(&mut self, call: &str) -> Option<&mut Transport> {
        self.transports().find(|t| t.call() == call)
    }

    /// The transport that is being negotiated.
    pub fn next_transport(&mut self) -> Option<&mut Transport> {
        self.next.as_mut().map(|a| &mut a.transport)
    }

    /// Whether one of the transports uses this local socket.
    #[must_use]
    pub fn has_local(&self, local: SocketAddr) -> bool {
        let mut attached = self.current.iter().chain(&self.next);
        attached.any(|a| a.transport.paths().has_local(local))
    }

    /// The path that carries the messages.
    #[must_use]
    pub fn selected(&self) -> Option<&Path> {
        self.current.as_ref()?.transport.paths().selected()
    }

    /// Tries all paths anew that do not live: the network has changed.
    pub fn look_again(&mut self, now: Instant) {
        self.attached().for_each(|a| a.transport.look_again(now));
        self.collect(now);
    }

    /// Whether the transport that is being negotiated uses this local socket.
    #[must_use]
    pub fn next_has_local(&self, local: SocketAddr) -> bool {
        self.next.as_ref().is_some_and(|a| a.transport.paths().has_local(local))
    }

    /// Whether a transport is up, whatever its paths.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.current.as_ref().is_some_and(|a| a.transport.is_connected())
    }

    /// Whether what is sent now can arrive: a transport is up, and a path lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.is_connected() && self.dead_since().is_none()
    }

    /// Since when no path lives, if so.
    #[must_use]
    pub fn dead_since(&self) -> Option<Instant> {
        self.current.as_ref()?.transport.paths().dead_since()
    }

    /// A channel by its name.
    #[must_use]
    pub fn channel(&self, label: &str) -> Option<ChannelId> {
        self.mux.channels().iter().position(|c| c.config.label == label).map(ChannelId)
    }

    /// A channel's settings.
    #[must_use]
    pub fn config(&self, id: ChannelId) -> Option<&ChannelConfig> {
        self.mux.channels().get(id.0).map(|c| &c.config)
    }

    /// A channel's name.
    #[must_use]
    pub fn label(&self, id: ChannelId) -> Option<&str> {
        self.mux.channels().get(id.0).map(|c| c.config.label.as_str())
    }

    /// All channels: their names within the link, labels and outboxes.
    pub fn channels(&self) -> impl Iterator<Item = (ChannelId, &str, &Outbox)> {
        let channels = self.mux.channels().iter().enumerate();
        channels.map(|(i, c)| (ChannelId(i), c.config.label.as_str(), &c.outbox))
    }

    /// A channel's outbox.
    #[must_use]
    pub fn outbox(&self, id: ChannelId) -> Option<&Outbox> {
        self.mux.channels().get(id.0).map(|c| &c.outbox)
    }

    /// Whether a channel is open on the transport in use.
    #[must_use]
    pub fn is_open(&self, id: ChannelId) -> bool {
        let streams = self.current.as_ref().map(|a| &a.streams);
        self.mux.is_ready(id) || streams.and_then(|s| s.get(id.0)).is_some_and(|s| s.open)
    }

    /// Whether all that was queued has been acknowledged, as of the last pump.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        let empty = |o: &Outbox| o.is_empty() && o.held().0 == 0;
        self.buffered == 0 && self.mux.channels().iter().all(|c| empty(&c.outbox))
    }

    /// Counters and paths as of now.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        let counted = &self.mux.stats;
        let mut stats = LinkStats {
            messages_sent: counted.messages_sent,
            messages_received: counted.messages_received,
            frames_refused: counted.frames_refused,
            stuck: counted.stuck,
            transports: self.transports,
            ..LinkStats::default()
        };
        stats.channels = self.mux.channels().iter().map(Channel::stats).collect();
        stats.messages_dropped = stats.channels.iter().map(|c| c.drops.total()).sum();
        stats.messages_queued = stats.channels.iter().map(|c| c.queued).sum();
        let Some(Attached { transport, .. }) = self.current.as_deref() else { return stats };
        (stats.datagrams_refused, stats.warps) = transport.counters();
        stats.stun = transport.paths().stats();
        let selected = transport.paths().selected().map(Path::id);
        let kind = |p: &Path| transport.paths().kind(p);
        let path = |p: &Path| PathStats::of(p, kind(p), Some(p.id()) == selected);
        stats.paths = transport.paths().iter().map(path).collect();
        stats
    }

    /// Stops or resumes taking messages; while stopped, the other side keeps what it sends.
    pub fn set_receiving(&mut self, receiving: bool) {
        self.attached().for_each(|a| a.transport.set_receiving(receiving));
    }

    /// Says good-bye on the transports.
    pub fn close(&mut self, now: Instant) {
        self.mux.channels().iter().for_each(|c| c.outbox.close());
        self.attached().for_each(|a| a.transport.close(now));
        self.collect(now);
    }

    fn attach(&self, transport: Transport, dialed: bool) -> Attached {
        let streams = vec![Stream::default(); self.mux.channels().len()];
        Attached { transport, streams, frame_streams: FrameStreams::default(), dialed }
    }

    fn attached(&mut self) -> impl Iterator<Item = &mut Attached> {
        self.current.iter_mut().chain(&mut self.next).map(|attached| &mut **attached)
    }
}

impl Attached {
    /// Opens the streams of frames, unless either side has.
    fn open_frame_streams(&mut self, now: Instant) {
        if !self.frame_streams.is_offered() {
            self.frame_streams
                .offered(FrameStreams::streams().map(|s| self.transport.session().open(now, s)));
        }
    }
}
