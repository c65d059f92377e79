//! What the transports of a link say, and what the link makes of it.

use std::time::Instant;

use str0m::channel::ChannelId as SctpChannelId;

use super::channel::event::queue;
use super::{
    Attached, Channel, ChannelConfig, ChannelId, Link, LinkEvent, Message, Mode, RESERVED, Stream,
    TransportEvent,
};
use crate::session::SessionEvent;

impl Link {
    pub(super) fn collect(&mut self, now: Instant) {
        while let Some(event) = self.next.as_mut().and_then(|a| a.transport.poll_event()) {
            match event {
                TransportEvent::Session(SessionEvent::Connected) => self.promote(now),
                TransportEvent::Session(SessionEvent::Ice(state)) => {
                    self.events.push_back(LinkEvent::Ice(state));
                }
                TransportEvent::Session(SessionEvent::Closed(reason)) => {
                    let gone = self.next.take();
                    self.let_go(gone);
                    self.events.push_back(LinkEvent::DialFailed(reason));
                    self.report_loss();
                }
                // Paths and channels are of interest once it is in use.
                _ => {}
            }
        }
        self.take_events_of_mux();
        while let Some(event) = self.current.as_mut().and_then(|a| a.transport.poll_event()) {
            match event {
                TransportEvent::Path(event) => self.events.push_back(LinkEvent::Path(event)),
                TransportEvent::Session(event) => {
                    let event = self.on_session(now, event);
                    self.take_events_of_mux();
                    self.events.extend(event);
                }
            }
        }
    }

    fn take_events_of_mux(&mut self) {
        while let Some(event) = self.mux.events.pop_front() {
            queue(&mut self.events, event);
        }
    }

    /// The negotiated transport is up: it takes over, and the one before says good-bye.
    fn promote(&mut self, now: Instant) {
        let old = std::mem::replace(&mut self.current, self.next.take());
        if let Some(mut old) = old {
            old.transport.close(now);
            self.let_go(Some(old));
        }
        self.suspend();
        self.mux.attach();
        self.limit_plain();
        self.lost = None;
        self.transports += 1;
        // Those of the answerer wait for the other side to open them.
        if self.current.as_ref().is_some_and(|a| a.dialed) {
            self.open_missing(now);
        }
        self.events.push_back(LinkEvent::Connected);
    }

    /// Channels without frames have the limit of the transport's SCTP.
    pub(super) fn limit_plain(&mut self) {
        if let Some(attached) = &mut self.current {
            let limit = attached.transport.session().remote_max_message();
            self.mux.set_plain_limit(limit as usize);
        }
    }

    /// What was sent on a transport that is over has to be sent again.
    fn suspend(&mut self) {
        self.mux.detach();
        (self.buffered, self.plain_buffered, self.unsent) = (0, 0, None);
    }

    /// Tells of a transport that was lost and has not been replaced.
    pub(super) fn report_loss(&mut self) {
        let lost = self.lost.take().map(LinkEvent::TransportClosed);
        self.events.extend(lost);
    }

    /// Forgets a transport, but not the good-bye that it may have ready.
    fn let_go(&mut self, gone: Option<Box<Attached>>) {
        let Some(mut gone) = gone else { return };
        let transport = &mut gone.transport;
        self.last_words.extend(std::iter::from_fn(|| transport.poll_transmit()));
    }

    fn on_session(&mut self, now: Instant, event: SessionEvent) -> Option<LinkEvent> {
        Some(match event {
            SessionEvent::Ice(state) => LinkEvent::Ice(state),
            SessionEvent::Connected => return None, // it was promoted by this
            SessionEvent::ChannelOpen(id, label, protocol) => {
                return self.on_open(now, id, label, &protocol);
            }
            SessionEvent::Message(id, _, data) if self.carries_frames(id) => {
                let messages = self.mux.on_container(now, data.into());
                if messages && let Some(transport) = self.transport() {
                    transport.message_received(now);
                }
                // It may have brought new channels.
                self.line_up();
                return None;
            }
            SessionEvent::Message(id, binary, data) => {
                let index = self.stream_of(id)?;
                self.transport()?.message_received(now);
                self.mux.stats.messages_received += 1;
                self.mux.channel(ChannelId(index)).counters.received += 1;
                let message = Message { binary, data: data.into(), ..Message::default() };
                LinkEvent::Message(ChannelId(index), message)
            }
            SessionEvent::ChannelClose(id) if self.carries_frames(id) => LinkEvent::Stuck,
            SessionEvent::ChannelClose(id) => {
                let index = self.stream_of(id)?;
                self.current.as_mut()?.streams[index] = Stream::default();
                LinkEvent::ChannelClosed(ChannelId(index))
            }
            SessionEvent::Closed(reason) => {
                let gone = self.current.take();
                self.let_go(gone);
                self.suspend();
                // The other side may have gone over to the next one a moment before us.
                self.lost = Some(reason);
                if self.next.is_none() {
                    self.report_loss();
                }
                return None;
            }
        })
    }

    fn carries_frames(&self, id: SctpChannelId) -> bool {
        self.current.as_ref().is_some_and(|a| a.frame_streams.carries(id))
    }

    fn stream_of(&self, id: SctpChannelId) -> Option<usize> {
        self.current.as_ref()?.streams.iter().position(|s| s.id == Some(id))
    }

    /// Opens channels that the other side has not. The side that answered calls this when it has
    /// seen all that were offered.
    pub fn open_missing(&mut self, now: Instant) {
        let Some(attached) = &mut self.current else { return };
        if self.framed || self.mux.is_needed() {
            attached.open_frame_streams(now);
        }
        let Attached { transport, streams, .. } = &mut **attached;
        // The library's own come last: when one of them opens, all others have.
        for own in [false, true] {
            for (channel, stream) in self.mux.channels().iter().zip(&mut *streams) {
                let config = &channel.config;
                let turn = config.label.starts_with(RESERVED) == own;
                if turn && stream.id.is_none() && !config.mode.is_framed() {
                    stream.id = Some(transport.session().open(now, config.sctp()));
                }
            }
        }
        transport.collect(now);
    }

    fn on_open(
        &mut self,
        now: Instant,
        id: SctpChannelId,
        label: String,
        protocol: &str,
    ) -> Option<LinkEvent> {
        if self.current.as_mut()?.frame_streams.opened(id, &label, protocol) {
            return None;
        }
        if self.mux.is_needed() {
            // Those of frames come first, if the other side offers them.
            self.current.as_mut()?.open_frame_streams(now);
        }
        let streams = &self.current.as_ref()?.streams;
        let free = |(c, s): (&Channel, &Stream)| {
            s.id.is_none() && c.config.label == label && c.config.mode == Mode::Plain
        };
        let channels = self.mux.channels();
        let by_label = || channels.iter().zip(streams).position(free);
        let (index, new) = match self.stream_of(id).or_else(by_label) {
            Some(index) => (index, false),
            None if self.mux.is_full(now) => return None,
            None => {
                let mut config = ChannelConfig::plain(label.clone());
                config.outbox = self.mux.outbox_of(&config);
                let index = self.mux.open(now, config).0.0;
                self.line_up();
                (index, true)
            }
        };
        self.current.as_mut()?.streams[index] = Stream { id: Some(id), open: true };
        Some(LinkEvent::ChannelOpen { id: ChannelId(index), label, new })
    }
}
