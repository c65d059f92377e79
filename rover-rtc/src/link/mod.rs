//! The lasting relation between two ends: channels with their outboxes, over one transport after
//! another.
//!
//! A [`Link`] is sans-IO. Its driver feeds datagrams and time, calls [`Link::pump`], and takes
//! datagrams and events. Sequence numbers, acknowledgements and replay come with the delivery
//! modes; until then a channel is what a W3C data channel is, and what a transport had in flight
//! when it was replaced is lost.

mod admission;
mod outbox;
mod transport;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::IceCreds;
use str0m::channel::{ChannelConfig as SctpChannelConfig, ChannelId, Reliability};

pub use admission::Admission;
pub use outbox::{Message, Outbox, OutboxConfig, WhenFull};
pub use transport::{Outgoing, Transport, TransportEvent};

use crate::error::SdpError;
use crate::path::PathEvent;
use crate::session::SessionEvent;
use crate::stats::{LinkStats, PathStats};

/// Names a channel within its link, on whichever transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelKey(usize);

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
    Message(ChannelKey, Message),
    /// A channel can be used on the transport of now. `new` if the other side opened it.
    ChannelOpen {
        /// The channel.
        key: ChannelKey,
        /// Its name.
        label: String,
        /// Whether it was not known before.
        new: bool,
    },
    /// A channel was closed by the other side.
    ChannelClosed(ChannelKey),
    /// ICE, as str0m sees it; for the log.
    Ice(str0m::IceConnectionState),
    /// DTLS is up.
    Connected,
    /// Something happened to the paths.
    Path(PathEvent),
    /// The transport is over; the text says why, if anything but the other side's good-bye.
    TransportClosed(Option<String>),
}

/// Channels over a transport.
#[derive(Debug)]
pub struct Link {
    transport: Option<Transport>,
    channels: Vec<Channel>,
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
    id: Option<ChannelId>,
    open: bool,
}

impl Link {
    /// A link without transport. `defaults` are the limits of channels that the other side opens,
    /// of which there can be `max_channels`.
    #[must_use]
    pub fn new(defaults: OutboxConfig, max_channels: usize) -> Self {
        Self {
            transport: None,
            channels: Vec::new(),
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
    pub fn open(&mut self, now: Instant, config: ChannelConfig) -> (ChannelKey, Outbox) {
        let mut id = None;
        if let Some(transport) = &mut self.transport
            && transport.session().is_connected()
        {
            id = Some(transport.session().open(now, config.sctp()));
            transport.collect(now);
        }
        self.add_channel(config, id)
    }

    /// Makes this the link's transport and returns the one before. Channels open on it anew.
    pub fn attach(&mut self, transport: Transport) -> Option<Transport> {
        for channel in &mut self.channels {
            channel.id = None;
            channel.open = false;
        }
        self.buffered = 0;
        self.stats.transports += 1;
        self.transport.replace(transport)
    }

    /// Takes the transport away, to be dropped.
    pub fn detach(&mut self) -> Option<Transport> {
        self.channels.iter_mut().for_each(|c| (c.id, c.open) = (None, false));
        self.buffered = 0;
        self.transport.take()
    }

    /// Writes the offer of a new transport, with all channels of this link.
    ///
    /// # Errors
    ///
    /// Without a transport or a channel.
    pub fn offer(&mut self, now: Instant) -> Result<String, SdpError> {
        let transport = self.transport.as_mut().ok_or(SdpError::NothingToOffer)?;
        let configs: Vec<_> = self.channels.iter().map(|c| c.config.sctp()).collect();
        let (offer, ids) = transport.session().offer(now, &configs)?;
        transport.collect(now);
        for (channel, id) in self.channels.iter_mut().zip(ids) {
            channel.id = Some(id);
        }
        Ok(offer)
    }

    /// Offers an ICE restart of the transport.
    ///
    /// # Errors
    ///
    /// Without a negotiated transport.
    pub fn restart_offer(&mut self, now: Instant, new: IceCreds) -> Result<String, SdpError> {
        self.transport.as_mut().ok_or(SdpError::NothingToOffer)?.restart_offer(now, new)
    }

    /// Takes an offer for the transport and returns the answer.
    ///
    /// # Errors
    ///
    /// Without a transport, or if the offer is not usable.
    pub fn answer(&mut self, now: Instant, offer: &str, new: IceCreds) -> Result<String, SdpError> {
        self.transport.as_mut().ok_or(SdpError::NoPendingOffer)?.answer(now, offer, new)
    }

    /// Takes the answer to the transport's offer.
    ///
    /// # Errors
    ///
    /// Without a transport or an open offer, or if the answer is not usable.
    pub fn accept_answer(&mut self, now: Instant, answer: &str) -> Result<(), SdpError> {
        self.transport.as_mut().ok_or(SdpError::NoPendingOffer)?.accept_answer(now, answer)
    }

    /// Takes a datagram; false if it was refused.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let Some(transport) = &mut self.transport else { return false };
        let taken = transport.handle_datagram(now, local, remote, datagram);
        self.collect(now);
        taken
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(transport) = &mut self.transport {
            transport.handle_timeout(now);
            self.collect(now);
        }
    }

    /// Hands queued messages to SCTP as far as it is to have any, and follows its progress. To be
    /// called after each turn of input, and after messages were queued.
    pub fn pump(&mut self, now: Instant) {
        let Some(transport) = &mut self.transport else { return };
        let open = self.channels.iter().filter(|c| c.open).filter_map(|c| c.id);
        let mut buffered: usize = open.map(|id| transport.session().buffered(id)).sum();
        if buffered < self.buffered {
            let rtt = transport.paths().carrying().and_then(|p| p.rtt()).unwrap_or_default();
            self.admission.acknowledged(now, self.buffered - buffered, rtt);
        }
        let limit = self.admission.limit();
        let count = self.channels.len();
        let mut refusals = 0;
        // One message of each channel in turn.
        while refusals < count && (buffered == 0 || buffered < limit) {
            self.turn = (self.turn + 1) % count;
            let channel = &self.channels[self.turn];
            let room = if buffered == 0 { usize::MAX } else { limit - buffered };
            let next = channel.id.filter(|_| channel.open);
            let next = next.and_then(|id| channel.outbox.pop_if(room).map(|m| (id, m)));
            let Some((id, message)) = next else {
                refusals += 1;
                continue;
            };
            if !transport.write(now, id, message.binary, &message.data) {
                channel.outbox.unpop(message);
                refusals += 1;
                continue;
            }
            refusals = 0;
            buffered += message.data.len();
            self.stats.messages_sent += 1;
        }
        self.buffered = buffered;
        transport.drive_warp(now, buffered);
        self.collect(now);
    }

    /// When [`Link::handle_timeout`] is due.
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        self.transport.as_mut()?.poll_timeout(now)
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Outgoing> {
        self.transport.as_mut()?.poll_transmit()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// The transport of now.
    pub fn transport(&mut self) -> Option<&mut Transport> {
        self.transport.as_mut()
    }

    /// Whether a transport is up, whatever its paths.
    #[must_use]
    pub fn is_connected(&mut self) -> bool {
        self.transport.as_mut().is_some_and(|t| t.session().is_connected())
    }

    /// Since when no path lives, if so.
    #[must_use]
    pub fn dead_since(&self) -> Option<Instant> {
        self.transport.as_ref()?.paths().dead_since()
    }

    /// A channel by its name.
    #[must_use]
    pub fn channel(&self, label: &str) -> Option<ChannelKey> {
        self.channels.iter().position(|c| c.config.label == label).map(ChannelKey)
    }

    /// A channel's name.
    #[must_use]
    pub fn label(&self, key: ChannelKey) -> Option<&str> {
        self.channels.get(key.0).map(|c| c.config.label.as_str())
    }

    /// A channel's outbox.
    #[must_use]
    pub fn outbox(&self, key: ChannelKey) -> Option<&Outbox> {
        self.channels.get(key.0).map(|c| &c.outbox)
    }

    /// Whether a channel is open on the transport of now.
    #[must_use]
    pub fn is_open(&self, key: ChannelKey) -> bool {
        self.channels.get(key.0).is_some_and(|c| c.open)
    }

    /// Bytes that the transport holds unacknowledged, as of the last pump.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.buffered
    }

    /// Whether all that was queued has been acknowledged.
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
        let Some(transport) = &self.transport else { return stats };
        (stats.datagrams_refused, stats.warps) = transport.counters();
        let paths = transport.paths();
        stats.stun = paths.stats();
        let carrying = paths.carrying().map(|p| p.id());
        stats.paths = paths
            .iter()
            .map(|p| PathStats {
                local: p.local(),
                remote: p.remote(),
                state: p.state(),
                carrying: Some(p.id()) == carrying,
                rtt: p.rtt(),
                loss: p.loss(),
                bytes_sent: p.bytes().0,
                bytes_received: p.bytes().1,
            })
            .collect();
        stats
    }

    /// The smoothed round-trip time of the carrying path.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.transport.as_ref()?.paths().carrying()?.rtt()
    }

    /// Says good-bye on the transport.
    pub fn close(&mut self, now: Instant) {
        self.channels.iter().for_each(|c| c.outbox.close());
        if let Some(transport) = &mut self.transport {
            transport.close(now);
        }
        self.collect(now);
    }

    fn add_channel(
        &mut self,
        config: ChannelConfig,
        id: Option<ChannelId>,
    ) -> (ChannelKey, Outbox) {
        let outbox = Outbox::new(config.outbox);
        let key = ChannelKey(self.channels.len());
        self.channels.push(Channel { config, outbox: outbox.clone(), id, open: false });
        (key, outbox)
    }

    fn collect(&mut self, now: Instant) {
        while let Some(event) = self.transport.as_mut().and_then(Transport::poll_event) {
            let event = match event {
                TransportEvent::Path(event) => LinkEvent::Path(event),
                TransportEvent::Session(event) => match self.on_session(now, event) {
                    Some(event) => event,
                    None => continue,
                },
            };
            self.events.push_back(event);
        }
    }

    fn on_session(&mut self, now: Instant, event: SessionEvent) -> Option<LinkEvent> {
        Some(match event {
            SessionEvent::Ice(state) => LinkEvent::Ice(state),
            SessionEvent::Connected => {
                self.open_missing(now);
                LinkEvent::Connected
            }
            SessionEvent::ChannelOpen(id, label, _) => return self.on_open(id, label),
            SessionEvent::Message(id, binary, data) => {
                let index = self.channels.iter().position(|c| c.id == Some(id))?;
                self.stats.messages_received += 1;
                LinkEvent::Message(ChannelKey(index), Message { binary, data: data.into() })
            }
            SessionEvent::ChannelClose(id) => {
                let index = self.channels.iter().position(|c| c.id == Some(id))?;
                let channel = &mut self.channels[index];
                (channel.id, channel.open) = (None, false);
                LinkEvent::ChannelClosed(ChannelKey(index))
            }
            SessionEvent::Closed(reason) => {
                self.channels.iter_mut().for_each(|c| c.open = false);
                LinkEvent::TransportClosed(reason)
            }
        })
    }

    /// Opens channels that were added while the transport was being negotiated.
    fn open_missing(&mut self, now: Instant) {
        let Some(transport) = &mut self.transport else { return };
        // Those of the answerer wait for the other side to open them.
        if !self.channels.iter().any(|c| c.id.is_some()) {
            return;
        }
        for channel in self.channels.iter_mut().filter(|c| c.id.is_none()) {
            channel.id = Some(transport.session().open(now, channel.config.sctp()));
        }
        transport.collect(now);
    }

    fn on_open(&mut self, id: ChannelId, label: String) -> Option<LinkEvent> {
        let by_id = self.channels.iter().position(|c| c.id == Some(id));
        let by_label =
            || self.channels.iter().position(|c| c.id.is_none() && c.config.label == label);
        let (index, new) = match by_id.or_else(by_label) {
            Some(index) => (index, false),
            None if self.channels.len() >= self.max_channels => {
                tracing::warn!(max = self.max_channels, "channel refused: there are too many");
                return None;
            }
            None => {
                let config =
                    ChannelConfig { outbox: self.defaults, ..ChannelConfig::new(label.clone()) };
                (self.add_channel(config, Some(id)).0.0, true)
            }
        };
        let channel = &mut self.channels[index];
        (channel.id, channel.open) = (Some(id), true);
        Some(LinkEvent::ChannelOpen { key: ChannelKey(index), label, new })
    }
}
