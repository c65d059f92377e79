//! The driver's side of links with other peers: handles, letters, closing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::driver::{Command, Driver, Owner, waker};
use super::handle::PeerLink;
use super::line::Line;
use crate::error::DialError;
use crate::event::Event;
use crate::link::{LinkEvent, Message};
use crate::rendezvous::{Rendezvous, TieEvent, TieId};
use crate::signal::post::{FromHub, MAX_TEXT};
use crate::stats::LinkStats;
use crate::util::spare::PAUSE;

/// What the application sees of links with other peers.
#[derive(Debug)]
pub(super) struct Bonds {
    pub(super) lines: HashMap<TieId, Line>,
    /// Who waits for a link to come up.
    dialing: HashMap<TieId, Vec<oneshot::Sender<Result<PeerLink, DialError>>>>,
    /// Links that others have called, if this peer has a name.
    called: Option<mpsc::Sender<Box<PeerLink>>>,
    commands: mpsc::WeakSender<Box<Command>>,
    /// Since when letters have no link to travel on.
    cut_off: Option<Instant>,
    /// The way that letters had at the last turn.
    way: Way,
    /// HTTP is not asked for letters before.
    mail_after: Option<Instant>,
}

/// How letters travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Not at all.
    None,
    /// On the link with the hub.
    Link,
    /// Over HTTP.
    Http,
}

impl Bonds {
    pub(super) fn new(
        called: Option<mpsc::Sender<Box<PeerLink>>>,
        commands: mpsc::WeakSender<Box<Command>>,
    ) -> Self {
        Self {
            lines: HashMap::new(),
            dialing: HashMap::new(),
            called,
            commands,
            cut_off: None,
            way: Way::None,
            mail_after: None,
        }
    }

    /// Does not ask for letters over HTTP for a while.
    pub(super) fn pause_mail(&mut self, now: Instant) {
        self.mail_after = Some(now + MAIL_PAUSE);
    }

    /// A handle on a link; `None` when the peer is being dropped.
    fn handle(&mut self, ties: &mut Rendezvous, id: TieId) -> Option<PeerLink> {
        let tie = ties.tie(id)?;
        let (name, fingerprint) = (tie.name().into(), tie.fingerprint());
        let (held, directory, events) = self.lines.get_mut(&id)?.hold();
        let commands = self.commands.upgrade()?;
        let owner = Owner::Tie(id);
        Some(PeerLink { owner, name, fingerprint, commands, events, directory, _held: held })
    }
}

impl Driver {
    /// Calls another peer, or finds the link that there is.
    pub(super) fn dial_peer(
        &mut self,
        now: Instant,
        name: &str,
        patience: Option<Duration>,
        reply: oneshot::Sender<Result<PeerLink, DialError>>,
    ) {
        let Some(mut ties) = self.ties.take() else {
            let _ = reply.send(Err(DialError::Nameless));
            return;
        };
        self.take_back(now, &mut ties, name);
        match ties.dial(now, name, patience.unwrap_or(Duration::MAX)) {
            Err(error) => {
                let _ = reply.send(Err(error));
            }
            Ok(id) => {
                self.line_of(&mut ties, id);
                let up = ties.tie(id).is_some_and(|t| t.is_up()) || patience.is_none();
                // A handle that is made and dropped would close the link.
                match up.then(|| self.bonds.handle(&mut ties, id)).flatten() {
                    Some(link) => {
                        let _ = reply.send(Ok(link));
                    }
                    None => self.bonds.dialing.entry(id).or_default().push(reply),
                }
            }
        }
        self.ties = Some(ties);
    }

    /// A link that is being closed is no answer to a call: one that was only let go of goes on, any
    /// other ends now.
    fn take_back(&mut self, now: Instant, ties: &mut Rendezvous, name: &str) {
        let Some(id) = ties.find(name) else { return };
        let Some(line) = self.bonds.lines.get_mut(&id) else { return };
        let Some(closing) = &line.closing else { return };
        if !closing.told && closing.waiting.is_empty() {
            return line.reopen();
        }
        if !closing.told {
            ties.say_bye(now, id);
        }
        ties.hang_up(now, id);
        self.forget(id);
    }

    /// All links with other peers: names and counters.
    pub(super) fn links(&mut self, now: Instant) -> Vec<(String, LinkStats)> {
        let Some(ties) = &mut self.ties else { return Vec::new() };
        let lines = &self.bonds.lines;
        let stats = ties.ties().filter_map(|tie| {
            let line = lines.get(&tie.id())?;
            Some((tie.name().to_owned(), line.stats(now, tie.link())))
        });
        stats.collect()
    }

    /// When something is due that the links themselves do not know of.
    pub(super) fn bonds_deadline(&mut self, now: Instant) -> Option<Instant> {
        let ties = self.ties.as_mut()?;
        let http = self.bonds.cut_off.filter(|_| self.bonds.way == Way::None);
        let http = http.map(|since| since + HTTP_AFTER).filter(|due| *due > now);
        let closing = self.bonds.lines.values().filter_map(|l| l.closing.as_ref());
        let closing = closing.map(|c| c.until).min();
        let mail = self.bonds.mail_after.filter(|due| *due > now);
        [ties.poll_timeout(now), http, closing, mail].into_iter().flatten().min()
    }

    /// Takes what the hub says about other peers.
    pub(super) fn on_mail(&mut self, now: Instant, text: &[u8]) {
        let Some(ties) = &mut self.ties else { return };
        if text.len() > MAX_TEXT {
            return tracing::debug!(bytes = text.len(), "the hub says too much at a time");
        }
        match serde_json::from_slice::<FromHub>(text) {
            Ok(post) => ties.handle_post(now, post),
            Err(error) => tracing::debug!(%error, "the hub says what nobody understands"),
        }
    }

    /// Lets time pass on the links with other peers, and moves letters.
    /// True if there is more to hand over to the transports.
    pub(super) fn turn_bonds(&mut self, now: Instant) -> bool {
        let Some(mut ties) = self.ties.take() else { return false };
        self.choose_way(now, &mut ties);
        if ties.poll_timeout(now).is_some_and(|t| t <= now) {
            ties.handle_timeout(now);
        }
        let more = ties.pump_some(now);
        let mut pruned = false;
        while let Some((id, event)) = ties.poll_event() {
            pruned |= self.on_tie_event(now, &mut ties, id, event);
        }
        pruned |= self.close_lines(now, &mut ties);
        pruned |= self.drop_calls(now, &mut ties);
        while let Some(parcel) = ties.poll_parcel() {
            match self.bonds.way {
                Way::Link => {
                    let text = serde_json::to_string(&parcel).expect("strings have a JSON form");
                    let outbox = self.home.signal.and_then(|id| self.home.link.outbox(id));
                    let queued = outbox.map(|o| o.try_push(now, Message::text(text)));
                    if !matches!(queued, Some(Ok(_))) {
                        tracing::debug!("a letter was not sent: too many are waiting");
                    }
                }
                Way::Http => {
                    if let Some(route) = &mut self.home.route {
                        route.signaling.post(parcel);
                    }
                }
                Way::None => {}
            }
        }
        self.home.link.pump(now);
        while let Some(why) = ties.poll_refusal() {
            self.home.line.emit(Event::Trouble(why));
        }
        self.ties = Some(ties);
        if pruned {
            self.prune_sockets(now);
        }
        more
    }

    /// Ends all links at once.
    pub(super) fn end_bonds(&mut self, now: Instant) {
        let Some(mut ties) = self.ties.take() else { return };
        let ids: Vec<_> = ties.ties().map(|t| t.id()).collect();
        ids.into_iter().for_each(|id| ties.end(now, id));
        self.ties = Some(ties);
        self.bonds.lines.values_mut().for_each(Line::end);
        for reply in self.bonds.dialing.drain().flat_map(|(_, replies)| replies) {
            let _ = reply.send(Err(DialError::Closed));
        }
    }

    /// Decides how letters travel, and looks for those that wait at the hub.
    fn choose_way(&mut self, now: Instant, ties: &mut Rendezvous) {
        let linked = self.home.carries_letters();
        if let Some(trouble) = self.home.take_trouble() {
            ties.set_hub_trouble(Some(trouble));
        }
        let Some(route) = &mut self.home.route else { return };
        let way = if linked {
            self.bonds.cut_off = None;
            Way::Link
        } else {
            let since = *self.bonds.cut_off.get_or_insert(now);
            let patient = now.saturating_duration_since(since) < HTTP_AFTER;
            if patient || !route.signaling.has_session() { Way::None } else { Way::Http }
        };
        if way != self.bonds.way {
            self.bonds.way = way;
            ties.set_reachable(now, way != Way::None);
        }
        let paused = self.bonds.mail_after.is_some_and(|t| t > now);
        // Without a link, who may be called has to ask.
        route.signaling.collect_mail(way == Way::Http && !paused);
    }

    /// True if sockets may have become free.
    fn on_tie_event(
        &mut self,
        now: Instant,
        ties: &mut Rendezvous,
        id: TieId,
        event: TieEvent,
    ) -> bool {
        self.line_of(ties, id);
        match event {
            TieEvent::Wanted { fresh } => {
                let places = if fresh { self.fresh_places(now) } else { ties.places().to_vec() };
                ties.begin(now, id, &places);
            }
            TieEvent::Released => return true,
            TieEvent::Called => {
                let link = self.bonds.handle(ties, id).map(Box::new);
                let called = self.bonds.called.as_ref().zip(link);
                if called.is_none_or(|(called, link)| called.try_send(link).is_err()) {
                    tracing::warn!("a call was not taken: nobody asks for calls");
                    ties.say_bye(now, id);
                    ties.hang_up(now, id);
                    self.forget(id);
                    return true;
                }
            }
            TieEvent::Link(event) => {
                let connected = matches!(event, LinkEvent::Connected);
                let free = connected || matches!(event, LinkEvent::TransportClosed(_));
                if let Some(line) = self.bonds.lines.get_mut(&id)
                    && let Some(tie) = ties.tie(id)
                {
                    line.on_event(now, tie.link(), event);
                }
                if connected {
                    self.pause = Some(now + PAUSE);
                    for reply in self.bonds.dialing.remove(&id).unwrap_or_default() {
                        let link = self.bonds.handle(ties, id).ok_or(DialError::Closed);
                        // Who does not wait any more drops the handle with the answer.
                        let _ = reply.send(link);
                    }
                }
                return free;
            }
            TieEvent::Restarting => self.emit(id, Event::Restarting),
            TieEvent::Dialing(n) => self.emit(id, Event::Dialing(n)),
            TieEvent::Trouble(why) => {
                tracing::warn!("{why}");
                self.emit(id, Event::Trouble(why));
            }
            TieEvent::Ended(why) => {
                self.emit(id, Event::Disconnected(why.to_string()));
                for reply in self.bonds.dialing.remove(&id).unwrap_or_default() {
                    let _ = reply.send(Err(why.clone()));
                }
                self.forget(id);
                return true;
            }
        }
        false
    }

    /// Closes links that the application has let go of, when what was queued is sent.
    /// True if sockets may have become free.
    fn close_lines(&mut self, now: Instant, ties: &mut Rendezvous) -> bool {
        let mut ended = false;
        let mut ending = Vec::new();
        for (id, line) in &mut self.bonds.lines {
            if let Some(tie) = ties.tie(*id) {
                line.resume_receiving(now, tie.link());
            }
            if line.is_dropped() {
                line.close(now);
            }
            if line.closing.is_some() {
                ending.push(*id);
            }
        }
        for id in ending {
            let Some(tie) = ties.tie(id) else { continue };
            let line = self.bonds.lines.get_mut(&id);
            let Some(closing) = line.and_then(|l| l.closing.as_mut()) else { continue };
            let late = closing.until <= now || !tie.is_alive();
            if !late && !tie.link().is_flushed() {
                continue;
            }
            if !closing.told {
                closing.told = true;
                ties.say_bye(now, id);
            }
            let flushed = ties.tie(id).is_none_or(|t| t.link().is_flushed());
            if late || flushed {
                ties.hang_up(now, id);
                self.forget(id);
                ended = true;
            }
        }
        ended
    }

    /// Gives up calls whose callers do not wait any more.
    /// True if sockets may have become free.
    fn drop_calls(&mut self, now: Instant, ties: &mut Rendezvous) -> bool {
        for replies in self.bonds.dialing.values_mut() {
            replies.retain(|reply| !reply.is_closed());
        }
        let given_up = self.bonds.dialing.extract_if(|_, replies| replies.is_empty());
        let given_up: Vec<_> = given_up.collect();
        for (id, _) in &given_up {
            // Who has called without waiting has the link still.
            if !self.bonds.lines.get(id).is_some_and(Line::is_held) {
                ties.hang_up(now, *id);
                self.forget(*id);
            }
        }
        !given_up.is_empty()
    }

    /// The line of a link, which is made when it is first asked for.
    fn line_of(&mut self, ties: &mut Rendezvous, id: TieId) {
        if let Some(tie) = ties.tie(id) {
            let (wake, inbox_bytes) = (&self.wake, self.config.inbox_bytes);
            let line = || {
                tie.link().set_waker(waker(wake));
                Line::new(tie.link(), wake.clone(), inbox_bytes, false)
            };
            self.bonds.lines.entry(id).or_insert_with(line);
        }
    }

    fn emit(&self, id: TieId, event: Event) {
        if let Some(line) = self.bonds.lines.get(&id) {
            line.emit(event);
        }
    }

    fn forget(&mut self, id: TieId) {
        self.demux.remove(Owner::Tie(id));
        if let Some(mut line) = self.bonds.lines.remove(&id) {
            line.end();
        }
    }
}

/// How long letters wait for the link with the hub before they go over HTTP.
const HTTP_AFTER: Duration = Duration::from_secs(1);

/// After a call for letters that failed: at most three tries in 10 s, as for dials.
const MAIL_PAUSE: Duration = Duration::from_secs(4);
