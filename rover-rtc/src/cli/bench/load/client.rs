//! One client of the hub: a link on a socket of its own. A peer would have a task besides, which
//! costs more than what is measured when there are thousands.

use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rover_rtc::link::{ChannelId, Link, LinkEvent, Outbox, Transport};
use rover_rtc::net::{Faults, RecvBatch, SocketSet, UdpSocket};
use rover_rtc::path::{LocalAddress, PathConfig};
use rover_rtc::session::SessionConfig;
use rover_rtc::signal::description::{Description, Rover, VERSION};
use rover_rtc::util::random;
use rover_rtc::{ChannelConfig, Message, OutboxConfig};

use super::options::LoadOptions;

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    link: Link,
    sockets: SocketSet,
    channel: ChannelId,
    outbox: Outbox,
    /// What one that does not read has got.
    unread: Option<Vec<Message>>,
    is_open: bool,
    /// Why it is over.
    failed: Option<String>,
    /// There is nothing to move.
    still: bool,
    /// When its link wants to be called, as of the last turn.
    due: Option<Instant>,
}

impl Client {
    /// A client with a channel of this name, and the offer for the hub. One that will not read
    /// takes little, so that it is soon full.
    pub(super) fn new(
        now: Instant,
        options: &LoadOptions,
        label: &str,
        reads: bool,
    ) -> Result<(Self, Description), String> {
        let mut config = ChannelConfig::of_mode(label, options.channel.promise());
        config.outbox = OutboxConfig {
            max_messages: usize::MAX,
            max_bytes: usize::MAX,
            max_message: config.outbox.max_message.max(options.size),
            ..config.outbox
        };
        let mut link = Link::new(config.outbox, MAX_CHANNELS);
        let (channel, outbox) = link.open(now, config);
        link.set_room(now, channel, if reads { ROOM } else { SMALL_ROOM });
        let paths = PathConfig::default();
        let redundancy = Some(paths.redundancy);
        let session = SessionConfig::new(random::ice_credentials());
        let mut transport = Transport::new(now, session, paths, true, random::number());
        let mut sockets = SocketSet::new(Faults::default());
        let address = SocketAddr::new(options.bind, 0);
        let socket = UdpSocket::bind(address, None).map_err(|e| e.to_string())?;
        transport.add_local(now, LocalAddress::host(socket.local_addr()));
        sockets.insert(socket, None);
        let offer = link.dial(now, transport).map_err(|e| e.to_string())?;
        let rover = Rover { version: VERSION, redundancy, ..Rover::default() };
        let unread = (!reads).then(Vec::new);
        let client = Self {
            link,
            sockets,
            channel,
            outbox,
            unread,
            is_open: false,
            failed: None,
            still: false,
            due: None,
        };
        Ok((client, Description::offer(offer, Some(rover))))
    }

    /// Takes the hub's answer.
    pub(super) fn accept(&mut self, now: Instant, answer: &Description) {
        if let Err(error) = self.link.accept_answer(now, &answer.sdp) {
            self.failed = Some(error.to_string());
        }
    }

    /// Whether its channel can be used.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Why it is over, if it is; told once.
    pub(super) fn take_failure(&mut self) -> Option<String> {
        self.failed.take()
    }

    /// Queues a message; false if it is refused.
    pub(super) fn send(&self, now: Instant, message: Message) -> bool {
        self.outbox.try_push(now, message).is_ok()
    }

    /// Takes what its socket has, and has the context's waker called when there is more.
    pub(super) fn receive(&mut self, now: Instant, cx: &mut Context<'_>, batch: &mut RecvBatch) {
        self.still = true;
        while let Poll::Ready((local, _)) = self.sockets.poll_recv(cx, batch) {
            for (remote, datagram) in batch.arrivals() {
                self.still &= !self.link.handle_datagram(now, local, remote, datagram).moved;
            }
        }
    }

    /// Lets time pass, moves messages and sends what is to be sent; gives out what has come.
    pub(super) fn turn(&mut self, now: Instant, mut got: impl FnMut(&Message)) {
        if self.due.take_if(|t| *t <= now).is_some() {
            self.still &= !self.link.handle_timeout(now);
        }
        loop {
            while let Some(event) = self.link.poll_event() {
                self.on_event(now, event, &mut got);
            }
            if std::mem::replace(&mut self.still, true) {
                break;
            }
            self.link.pump(now);
        }
        // The next time something has been queued, unless it is known better.
        self.still = false;
        while let Some(out) = self.link.poll_transmit() {
            self.sockets.send(out.local, out.remote, &out.datagram);
        }
        for failure in self.sockets.flush(now) {
            self.link.send_failed(failure.local, failure.dst);
        }
        self.due = self.link.poll_timeout(now);
        if self.due.is_none_or(|t| t.saturating_duration_since(now) > REST) {
            self.link.rest();
            self.sockets.rest();
        }
    }

    /// When it wants to be called again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Lets time pass only: nothing has been queued since the last turn.
    pub(super) fn on_time(&mut self) {
        self.still = true;
    }

    /// Says good-bye; a turn sends it.
    pub(super) fn close(&mut self, now: Instant) {
        self.link.close(now);
    }

    fn on_event(&mut self, now: Instant, event: LinkEvent, got: &mut impl FnMut(&Message)) {
        match event {
            LinkEvent::Message(id, message) if id == self.channel => {
                if let Some(unread) = &mut self.unread {
                    unread.push(message);
                    let bytes: usize = unread.iter().map(|m| m.data.len()).sum();
                    self.link.set_room(now, id, SMALL_ROOM.saturating_sub(bytes));
                    // Of a plain channel there is no other way to take no more.
                    let full = bytes >= SMALL_ROOM;
                    self.link.set_receiving(!full || self.link.config(id).is_some_and(is_framed));
                } else {
                    got(&message);
                    message.ack();
                }
            }
            LinkEvent::ChannelOpen { id, .. } if id == self.channel => self.is_open = true,
            LinkEvent::DialFailed(why) | LinkEvent::TransportClosed(why) => {
                let why = why.unwrap_or_else(|| "the hub said good-bye".to_owned());
                self.failed.get_or_insert(why);
            }
            LinkEvent::Message(_, message) => message.ack(),
            _ => {}
        }
    }
}

fn is_framed(config: &ChannelConfig) -> bool {
    config.mode.is_framed()
}

/// Who has nothing to do for so long gives back memory.
const REST: Duration = Duration::from_secs(1);

/// What a client takes that reads at once.
const ROOM: usize = 1 << 20;

/// Some messages.
const SMALL_ROOM: usize = 4096;

/// The hub opens none but its own.
const MAX_CHANNELS: usize = 8;
