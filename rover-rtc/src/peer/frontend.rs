//! What the application sees of one link: its channels, events and outages.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::channel::Channel;
use super::event_broadcast::{EventBroadcast, Subscription};
use super::handle::{Directory, HandleGuard};
use super::inbox::Inbox;
use crate::error::WebrtcError;
use crate::event::{Disconnection, Event, IceConnectionState, Recovery};
use crate::link::LinkStats;
use crate::link::{
    ChannelConfig, ChannelId, Link, LinkEvent, LinkState, Mode, Outbox, RESERVED, STATUS,
};
use crate::path::{PathEvent, SwitchCause};
use crate::util::histogram::Histogram;
use crate::util::limiter::{Limiter, with_withheld};
use crate::util::spare::add;

/// The application's side of a link, kept by the driver.
#[derive(Debug)]
pub(super) struct LinkFrontend {
    /// By the link's channel; `None` for those of the library's own.
    channels: Vec<Option<Channel>>,
    directory: Directory,
    events: EventBroadcast,
    wake: Arc<Notify>,
    inbox_bytes: usize,
    /// Messages that nobody has ever asked for may be dropped.
    forgetful: bool,
    /// Since when no message can flow.
    outage: Option<Instant>,
    outages: Outages,
    /// Times that a path took over from another, and why the last did.
    switches: (u64, Option<SwitchCause>),
    /// An inbox is full, so the transport takes nothing.
    paused: bool,
    /// Ends when the last handle does; absent before there was one.
    guard: Option<Weak<HandleGuard>>,
    /// How often it is said what the other side causes.
    noise: Limiter,
    pub(super) closing: Option<Closing>,
}

/// What is counted of outages.
#[derive(Debug, Default)]
struct Outages {
    count: u64,
    last: Option<Duration>,
    longest: Duration,
    total: Duration,
    lengths: Histogram,
}

/// A link that is being closed.
#[derive(Debug)]
pub(super) struct Closing {
    /// When it ends, whatever is queued.
    pub(super) until: Instant,
    /// The other side has been told.
    pub(super) told: bool,
    pub(super) waiting: Vec<oneshot::Sender<()>>,
}

impl LinkFrontend {
    /// A line with a channel for each that the link has.
    pub(super) fn new(link: &Link, wake: Arc<Notify>, inbox_bytes: usize, forgetful: bool) -> Self {
        let events = EventBroadcast::new();
        let mut frontend = Self {
            channels: Vec::new(),
            directory: Directory::new(events.subscription().reader()),
            events,
            wake,
            inbox_bytes,
            forgetful,
            outage: None,
            outages: Outages::default(),
            switches: (0, None),
            paused: false,
            guard: None,
            noise: Limiter::default(),
            closing: None,
        };
        for (id, _, outbox) in link.channels() {
            frontend.add_channel(link, id, outbox.clone());
        }
        frontend
    }

    /// What a handle is made of. The link is closed when all are gone.
    pub(super) fn hold(&mut self) -> (Arc<HandleGuard>, Directory, Subscription) {
        let guard = self.guard.as_ref().and_then(Weak::upgrade);
        let guard = guard.unwrap_or_else(|| Arc::new(HandleGuard(self.wake.clone())));
        self.guard = Some(Arc::downgrade(&guard));
        (guard, self.directory.clone(), self.events.subscription())
    }

    /// Whether the application has a handle on it.
    pub(super) fn is_held(&self) -> bool {
        self.guard.as_ref().is_some_and(|h| h.strong_count() > 0)
    }

    /// Whether the application has let go of it.
    pub(super) fn is_dropped(&self) -> bool {
        self.closing.is_none() && self.guard.as_ref().is_some_and(|h| h.strong_count() == 0)
    }

    /// Takes what the link says, as far as the application is concerned.
    pub(super) fn on_event(&mut self, now: Instant, link: &mut Link, event: LinkEvent) {
        match event {
            LinkEvent::Message(id, message) => {
                let Some(Some(channel)) = self.channels.get(id.index()) else { return };
                channel.inbox.push(message);
                // A framed channel's sender is told how much there is room for.
                if !self.paused && !channel.mode.is_framed() && channel.inbox.is_full() {
                    self.paused = true;
                    link.set_receiving(false);
                }
            }
            LinkEvent::ChannelOpen { id, label, new } => {
                if new && let Some(outbox) = link.outbox(id).cloned() {
                    self.add_channel(link, id, outbox);
                }
                if !label.starts_with(RESERVED) {
                    self.emit(Event::ChannelOpen(id, label));
                }
            }
            LinkEvent::ChannelClosed(id) => self.emit(Event::ChannelClosed(id)),
            LinkEvent::Progress { channel, bytes, total } => {
                self.emit(Event::Progress { channel, bytes, total });
            }
            LinkEvent::Gap { channel, lost } => {
                if let Some(withheld) = self.noise.admit(now) {
                    let what = "messages of the other side are lost";
                    tracing::warn!(?channel, lost, withheld, "{what}");
                }
                self.emit(Event::Gap { channel, lost });
            }
            LinkEvent::Dropped { channel, messages, why } => {
                tracing::warn!(?channel, messages, why, "messages dropped");
                self.emit(Event::Dropped { channel, messages, why });
            }
            LinkEvent::Resumed { replayed } => {
                tracing::info!(replayed, "resumed on a new transport");
                self.emit(Event::Resumed { replayed });
            }
            LinkEvent::PeerRestarted => {
                tracing::info!("the other side was restarted");
                self.emit(Event::PeerRestarted);
            }
            LinkEvent::Stuck => tracing::warn!("nothing is acknowledged on a path that lives"),
            LinkEvent::Trouble(what) => self.trouble(what),
            LinkEvent::Ice(state) => tracing::debug!(?state, "ice"),
            LinkEvent::Connected => {
                link.set_receiving(!self.paused);
                self.directory.set_state(LinkState::Up);
                self.emit(Event::IceConnectionStateChange(IceConnectionState::Connected));
                self.end_outage(now, Recovery::Transport);
            }
            LinkEvent::Path(event) => self.on_path(now, link, event),
            LinkEvent::DialFailed(_) => {}
            LinkEvent::TransportClosed(reason) => {
                self.begin_outage(now);
                self.emit(Event::IceConnectionStateChange(IceConnectionState::Disconnected));
                self.emit(Event::Disconnected(Disconnection::of_transport(reason)));
            }
        }
    }

    /// Adds the handle of a channel that the link has.
    pub(super) fn add_channel(
        &mut self,
        link: &Link,
        id: ChannelId,
        outbox: Outbox,
    ) -> Option<Channel> {
        if let Some(known) = self.channels.get(id.index()) {
            return known.clone();
        }
        let shown = |label: &str| !label.starts_with(RESERVED) || label == STATUS;
        let config = link.config(id).filter(|c| shown(&c.label));
        let channel = config.map(|config| Channel {
            id,
            label: config.label.as_str().into(),
            mode: config.mode,
            // Elsewhere there is nothing to acknowledge.
            acks: !(config.manual_ack && config.mode.is_kept()),
            outbox,
            inbox: Inbox::new(self.inbox_bytes, config.mode, self.forgetful),
            driver: self.wake.clone(),
        });
        add(&mut self.channels, channel.clone());
        self.directory.extend(channel.clone());
        channel
    }

    /// Opens a further channel of the link.
    pub(super) fn open(
        &mut self,
        now: Instant,
        link: &mut Link,
        config: ChannelConfig,
        journaled: bool,
    ) -> Result<Channel, WebrtcError> {
        // The other side may have opened some that this one has not heard of.
        let fresh = link.channels().skip(self.channels.len());
        let fresh: Vec<_> = fresh.map(|(id, _, outbox)| (id, outbox.clone())).collect();
        for (id, outbox) in fresh {
            self.add_channel(link, id, outbox);
        }
        // Labels are unique within a link.
        if let Some(known) = link.channel(&config.label) {
            let differs =
                |c: &ChannelConfig| (c.manual_ack, c.mode) != (config.manual_ack, config.mode);
            if link.config(known).is_some_and(differs) {
                return Err(WebrtcError::Opened(config.label));
            }
            let known = self.channels.get(known.index()).cloned().flatten();
            return known.ok_or(WebrtcError::Reserved(config.label));
        }
        if config.mode == Mode::Durable && !journaled {
            return Err(WebrtcError::NoJournal(config.label));
        }
        let label = config.label.clone();
        let (id, outbox) = link.open(now, config);
        self.add_channel(link, id, outbox).ok_or(WebrtcError::Reserved(label))
    }

    /// Takes messages again when there is room for them.
    pub(super) fn resume_receiving(&mut self, now: Instant, link: &mut Link) {
        for channel in self.channels.iter().flatten().filter(|c| c.mode.is_framed()) {
            link.set_room(now, channel.id, channel.inbox.room());
        }
        let has_room = |c: &Channel| c.mode.is_framed() || c.inbox.has_room();
        if self.paused && self.channels.iter().flatten().all(has_room) {
            self.paused = false;
            link.set_receiving(true);
        }
    }

    /// The link's counters, with what only its owner knows.
    pub(super) fn stats(&self, now: Instant, link: &Link) -> LinkStats {
        let Outages { count, last, longest, total, lengths } = &self.outages;
        let link = link.stats();
        let unread = self.channels.iter().flatten().map(|c| c.inbox.dropped());
        LinkStats {
            messages_dropped: link.messages_dropped + unread.sum::<u64>(),
            state: self.directory.state(),
            switches: self.switches.0,
            last_switch: self.switches.1,
            outages: *count,
            outage: self.outage.map(|since| now.saturating_duration_since(since)),
            last_outage: *last,
            longest_outage: *longest,
            outage_time: *total,
            outage_lengths: lengths.clone(),
            ..link
        }
    }

    pub(super) fn trouble(&self, what: String) {
        tracing::warn!("{what}");
        self.emit(Event::Trouble(what));
    }

    /// As [`LinkFrontend::trouble`], where the other side may cause it as often as it likes.
    pub(super) fn their_trouble(&mut self, now: Instant, what: String) {
        if let Some(withheld) = self.noise.admit(now) {
            self.trouble(with_withheld(what, withheld));
        }
    }

    pub(super) fn emit(&self, event: Event) {
        self.events.send(event);
    }

    /// Begins to close, unless that has begun.
    pub(super) fn close(&mut self, now: Instant) -> &mut Closing {
        let until = now + CLOSE_PATIENCE;
        self.closing.get_or_insert_with(|| Closing { until, told: false, waiting: Vec::new() })
    }

    /// Takes the application's letting go back: it has asked for the link again.
    pub(super) fn reopen(&mut self) {
        self.closing = None;
        self.guard = None;
    }

    /// The link is over: nothing will come any more.
    pub(super) fn end(&mut self) {
        self.finish();
        self.emit(Event::Closed);
        let waiting = self.closing.take().map(|c| c.waiting).unwrap_or_default();
        for reply in waiting {
            let _ = reply.send(());
        }
    }

    fn finish(&self) {
        self.directory.set_state(LinkState::Closed);
        self.channels.iter().flatten().for_each(|c| {
            if c.mode == Mode::Durable {
                // Its sender has all of it: it comes again on the next link.
                c.inbox.clear();
            }
            c.inbox.close();
            c.outbox.close();
        });
    }

    fn on_path(&mut self, now: Instant, link: &mut Link, event: PathEvent) {
        match event {
            PathEvent::AllDead => {
                self.begin_outage(now);
                self.emit(Event::IceConnectionStateChange(IceConnectionState::Disconnected));
                self.emit(Event::Outage);
            }
            PathEvent::Revived { .. } => {
                self.directory.set_state(LinkState::Up);
                self.emit(Event::IceConnectionStateChange(IceConnectionState::Connected));
                self.end_outage(now, Recovery::Path);
            }
            PathEvent::Switched { from, to, cause } => {
                self.switches.0 += u64::from(from.is_some());
                self.switches.1 = Some(cause);
                let paths = link.transport().map(|t| t.paths());
                let Some((paths, path)) = paths.and_then(|p| Some((p, p.get(to)?))) else { return };
                let kind = paths.kind(path);
                let path = (path.local(), path.remote());
                tracing::info!(local = %path.0, remote = %path.1, %kind, ?cause, "path switch");
                self.emit(Event::PathSwitch { path, kind, cause });
            }
            PathEvent::Mapped { local, public, .. } => tracing::debug!(%local, %public, "mapped"),
        }
    }

    fn begin_outage(&mut self, now: Instant) {
        self.directory.set_state(LinkState::Outage);
        if self.outage.is_none() {
            self.outage = Some(now);
            self.outages.count += 1;
        }
    }

    fn end_outage(&mut self, now: Instant, by: Recovery) {
        if let Some(since) = self.outage.take() {
            let outage = now.saturating_duration_since(since);
            self.outages.last = Some(outage);
            self.outages.longest = self.outages.longest.max(outage);
            self.outages.total += outage;
            self.outages.lengths.record(outage);
            tracing::info!(?outage, ?by, "recovered");
            self.emit(Event::Recovered { outage, by });
        }
    }
}

impl Drop for LinkFrontend {
    /// Whatever ended the driver: nobody waits on it for ever.
    fn drop(&mut self) {
        self.finish();
    }
}

/// How long closing waits for what is queued.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::OutboxConfig;
    use crate::util::clock;

    #[test]
    fn its_state_is_that_of_what_happened() {
        let now = clock::now();
        let mut link = Link::new(OutboxConfig::default(), 16);
        let mut frontend = LinkFrontend::new(&link, Arc::new(Notify::new()), 1 << 20, false);
        let (guard, seen, _events) = frontend.hold();
        assert_eq!(seen.state(), LinkState::Connecting);
        for (event, state) in [
            (LinkEvent::DialFailed(None), LinkState::Connecting),
            (LinkEvent::Connected, LinkState::Up),
            (LinkEvent::Path(PathEvent::AllDead), LinkState::Outage),
            (LinkEvent::Path(PathEvent::Revived { outage: Duration::ZERO }), LinkState::Up),
            (LinkEvent::TransportClosed(None), LinkState::Outage),
            (LinkEvent::DialFailed(None), LinkState::Outage),
            (LinkEvent::Connected, LinkState::Up),
        ] {
            frontend.on_event(now, &mut link, event);
            assert_eq!(seen.state(), state);
            let stats = frontend.stats(now, &link);
            assert_eq!((stats.state, stats.outage.is_some()), (state, state == LinkState::Outage));
        }
        // However the driver ended.
        drop(frontend);
        assert_eq!(seen.state(), LinkState::Closed);
        drop(guard);
    }
}
