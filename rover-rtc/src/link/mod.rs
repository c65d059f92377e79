//! The lasting relation between two ends: channels with their outboxes, over one transport after
//! another.
//!
//! A [`Link`] is sans-IO. Its driver feeds datagrams and time, calls [`Link::pump`], and takes
//! datagrams and events. Sequence numbers, acknowledgements and replay come with the delivery
//! modes; until then a channel is what a W3C data channel is, and what a transport had in flight
//! when it was replaced is lost.

mod admission;
mod events;
mod outbox;
mod transport;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use str0m::IceCreds;
use str0m::channel::{ChannelConfig as SctpChannelConfig, ChannelId as SctpChannelId, Reliability};

pub use admission::Admission;
pub use outbox::{Message, Outbox, OutboxConfig, WhenFull};
pub use transport::{Outgoing, Transport, TransportEvent};

use crate::error::SdpError;
use crate::path::{Path, PathEvent};
use crate::stats::{LinkStats, PathStats};

/// What every label of this library's own channels begins with.
pub const RESERVED: &str = "rover-rtc/";

/// Names a channel within its link, on whichever transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(usize);

impl ChannelId {
    /// Its place among the channels of its link, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// Settings of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelConfig {
    /// Its name.
    pub label: String,
    /// Whether messages arrive in the order sent. Default true.
    pub ordered: bool,
    /// Times a lost message is sent again; `None`, the default, until it arrives.
    pub max_retransmits: Option<u16>,
    /// Limits of its outbox.
    pub outbox: OutboxConfig,
}

impl ChannelConfig {
    /// A reliable, ordered channel of this name.
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        let outbox = OutboxConfig::default();
        Self { label: label.into(), ordered: true, max_retransmits: None, outbox }
    }

    fn sctp(&self) -> SctpChannelConfig {
        let reliability = self.max_retransmits.map_or(Reliability::Reliable, |retransmits| {
            Reliability::MaxRetransmits { retransmits }
        });
        let label = self.label.clone();
        SctpChannelConfig { label, ordered: self.ordered, reliability, ..Default::default() }
    }
}

/// What a link tells its driver.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkEvent {
    /// A message arrived.
    Message(ChannelId, Message),
    /// A channel can be used on the transport of now. `new` if the other side opened it.
    ChannelOpen {
        /// The channel.
        id: ChannelId,
        /// Its name.
        label: String,
        /// Whether it was not known before.
        new: bool,
    },
    /// A channel was closed by the other side.
    ChannelClosed(ChannelId),
    /// ICE, as str0m sees it; for the log.
    Ice(str0m::IceConnectionState),
    /// DTLS is up.
    Connected,
    /// Something happened to the paths.
    Path(PathEvent),
    /// The transport that was being negotiated has failed.
    DialFailed(Option<String>),
    /// The transport is over; the text says why, if anything but the other side's good-bye.
    TransportClosed(Option<String>),
}

/// Channels over a transport.
#[derive(Debug)]
pub struct Link {
    current: Option<Attached>,
    /// Being negotiated beside the current one, which goes on until this is up.
    next: Option<Attached>,
    channels: Vec<Channel>,
    /// Good-byes of transports that are over.
    last_words: VecDeque<Outgoing>,
    /// Why the transport before is over, while the next one may still take its place.
    lost: Option<Option<String>>,
    /// What channels that the other side opens get.
    defaults: OutboxConfig,
    max_channels: usize,
    admission: Admission,
    /// Bytes in SCTP when last looked.
    buffered: usize,
    turn: usize,
    events: VecDeque<LinkEvent>,
    stats: LinkStats,
}

#[derive(Debug)]
struct Channel {
    config: ChannelConfig,
    outbox: Outbox,
}

/// A transport and the link's channels on it, in the order of the link's.
#[derive(Debug)]
struct Attached {
    transport: Transport,
    streams: Vec<Stream>,
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
            channels: Vec::new(),
            last_words: VecDeque::new(),
            lost: None,
            defaults,
            max_channels,
            admission: Admission::default(),
            buffered: 0,
            turn: 0,
            events: VecDeque::new(),
            stats: LinkStats::default(),
        }
    }

    /// Adds a channel. On a connected transport it opens at once, else with the next one.
    pub fn open(&mut self, now: Instant, config: ChannelConfig) -> (ChannelId, Outbox) {
        let mut stream = Stream::default();
        if let Some(attached) = &mut self.current
            && attached.transport.session().is_connected()
        {
            stream.id = Some(attached.transport.session().open(now, config.sctp()));
            attached.transport.collect(now);
        }
        self.add_channel(config, stream)
    }

    /// Begins a new transport: returns its offer, with all channels of this link. A transport that
    /// works goes on until the new one is connected; one that was being negotiated is dropped.
    ///
    /// # Errors
    ///
    /// Without a channel.
    pub fn dial(&mut self, now: Instant, mut transport: Transport) -> Result<String, SdpError> {
        // The library's own come last: when one of them opens, all others have.
        let mut order: Vec<usize> = (0..self.channels.len()).collect();
        order.sort_by_key(|i| self.channels[*i].config.label.starts_with(RESERVED));
        let configs: Vec<_> = order.iter().map(|i| self.channels[*i].config.sctp()).collect();
        let (offer, ids) = transport.session().offer(now, &configs)?;
        transport.collect(now);
        let mut streams = vec![Stream::default(); self.channels.len()];
        for (i, id) in order.into_iter().zip(ids) {
            streams[i].id = Some(id);
        }
        self.next = Some(Attached { transport, streams });
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
        let streams = vec![Stream::default(); self.channels.len()];
        self.next = Some(Attached { transport, streams });
        Ok(answer)
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

    /// Takes a datagram; false if it was refused.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let owner = self.attached().find(|a| a.transport.paths().has_local(local));
        let Some(attached) = owner else { return false };
        let taken = attached.transport.handle_datagram(now, local, remote, datagram);
        self.collect(now);
        taken
    }

    /// The operating system refused to send by this way: its path is in doubt at once.
    pub fn send_failed(&mut self, local: SocketAddr, remote: SocketAddr) {
        self.attached().for_each(|a| a.transport.send_failed(local, remote));
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.attached().for_each(|a| a.transport.handle_timeout(now));
        self.collect(now);
    }

    /// Hands queued messages to SCTP as far as it is to have any, and follows its progress. To be
    /// called after each turn of input, and after messages were queued.
    pub fn pump(&mut self, now: Instant) {
        let Some(Attached { transport, streams }) = &mut self.current else { return };
        let open = streams.iter().filter(|s| s.open).filter_map(|s| s.id);
        let mut buffered: usize = open.map(|id| transport.session().buffered(id)).sum();
        let progress = buffered < self.buffered;
        if progress {
            let rtt = transport.paths().carrying().and_then(Path::least_rtt).unwrap_or_default();
            self.admission.acknowledged(now, self.buffered - buffered, rtt);
        }
        let limit = self.admission.limit();
        let count = streams.len();
        let mut refusals = 0;
        // What SCTP holds when a transport is replaced is lost; without a path it stays with us.
        let live = transport.paths().dead_since().is_none();
        // One message of each channel in turn.
        while live && refusals < count && (buffered == 0 || buffered < limit) {
            self.turn = (self.turn + 1) % count;
            let (stream, outbox) = (streams[self.turn], &self.channels[self.turn].outbox);
            let room = if buffered == 0 { usize::MAX } else { limit - buffered };
            let id = stream.id.filter(|_| stream.open);
            let Some((id, message)) = id.and_then(|id| Some((id, outbox.pop_if(room)?))) else {
                refusals += 1;
                continue;
            };
            if !transport.write(now, id, message.binary, &message.data) {
                outbox.unpop(message);
                refusals += 1;
                continue;
            }
            refusals = 0;
            buffered += message.data.len();
            self.stats.messages_sent += 1;
        }
        self.buffered = buffered;
        transport.drive_warp(now, buffered, progress);
        self.collect(now);
    }

    /// When [`Link::handle_timeout`] is due.
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        self.attached().filter_map(|a| a.transport.poll_timeout(now)).min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Outgoing> {
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
    pub fn carrying(&self) -> Option<&Path> {
        self.current.as_ref()?.transport.paths().carrying()
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
        self.channels.iter().position(|c| c.config.label == label).map(ChannelId)
    }

    /// A channel's name.
    #[must_use]
    pub fn label(&self, id: ChannelId) -> Option<&str> {
        self.channels.get(id.0).map(|c| c.config.label.as_str())
    }

    /// All channels: their names within the link, labels and outboxes.
    pub fn channels(&self) -> impl Iterator<Item = (ChannelId, &str, &Outbox)> {
        let channels = self.channels.iter().enumerate();
        channels.map(|(i, c)| (ChannelId(i), c.config.label.as_str(), &c.outbox))
    }

    /// A channel's outbox.
    #[must_use]
    pub fn outbox(&self, id: ChannelId) -> Option<&Outbox> {
        self.channels.get(id.0).map(|c| &c.outbox)
    }

    /// Whether a channel is open on the transport in use.
    #[must_use]
    pub fn is_open(&self, id: ChannelId) -> bool {
        let streams = self.current.as_ref().map(|a| &a.streams);
        streams.and_then(|s| s.get(id.0)).is_some_and(|s| s.open)
    }

    /// Whether all that was queued has been acknowledged, as of the last pump.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.buffered == 0 && self.channels.iter().all(|c| c.outbox.is_empty())
    }

    /// Counters and paths as of now.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        let mut stats = self.stats.clone();
        stats.messages_dropped = self.channels.iter().map(|c| c.outbox.dropped()).sum();
        stats.messages_queued = self.channels.iter().map(|c| c.outbox.len().0).sum();
        let Some(Attached { transport, .. }) = &self.current else { return stats };
        (stats.datagrams_refused, stats.warps) = transport.counters();
        stats.stun = transport.paths().stats();
        let carrying = transport.paths().carrying().map(Path::id);
        let kind = |p: &Path| transport.paths().kind(p);
        let path = |p: &Path| PathStats::of(p, kind(p), Some(p.id()) == carrying);
        stats.paths = transport.paths().iter().map(path).collect();
        stats
    }

    /// Stops or resumes taking messages; while stopped, the other side keeps what it sends.
    pub fn set_receiving(&mut self, receiving: bool) {
        self.attached().for_each(|a| a.transport.set_receiving(receiving));
    }

    /// Says good-bye on the transports.
    pub fn close(&mut self, now: Instant) {
        self.channels.iter().for_each(|c| c.outbox.close());
        self.attached().for_each(|a| a.transport.close(now));
        self.collect(now);
    }

    fn attached(&mut self) -> impl Iterator<Item = &mut Attached> {
        self.current.iter_mut().chain(&mut self.next)
    }

    fn add_channel(&mut self, config: ChannelConfig, stream: Stream) -> (ChannelId, Outbox) {
        let outbox = Outbox::new(config.outbox);
        let id = ChannelId(self.channels.len());
        self.channels.push(Channel { config, outbox: outbox.clone() });
        if let Some(attached) = &mut self.current {
            attached.streams.push(stream);
        }
        if let Some(next) = &mut self.next {
            next.streams.push(Stream::default());
        }
        (id, outbox)
    }
}
