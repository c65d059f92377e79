//! The link with the hub, or with the one other side whose signaling is the application's: its
//! ladder, and the signaling calls that the ladder makes.

use std::time::Instant;

use super::line::Line;
use super::signaling::{Done, Signaling};
use crate::error::SdpError;
use crate::event::Event;
use crate::link::{ChannelId, Link, LinkEvent, Transport};
use crate::path::PathEvent;
use crate::recovery::{Action, Ladder};
use crate::session::Pace;
use crate::session::sdp::hide_password;
use crate::signal::client::CallError;
use crate::util::random;

/// The first link of a peer.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) link: Link,
    pub(super) line: Line,
    /// Absent where signaling is the application's.
    pub(super) route: Option<Box<Route>>,
    /// The channel on which the hub passes letters on; a peer without a name has none.
    pub(super) signal: Option<ChannelId>,
    /// Transports or credentials have changed since it was last asked.
    changed: bool,
    /// Why the hub is not reached, since it was last asked.
    trouble: Option<String>,
}

/// The way to the hub.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) ladder: Ladder,
    pub(super) signaling: Signaling,
}

/// What the driver, which has the sockets, is to do for the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Bring the sockets in line with the interfaces.
    Scan,
    /// Make a transport on fresh sockets and give it to [`Home::dial`].
    Transport,
}

impl Home {
    pub(super) fn new(
        link: Link,
        line: Line,
        route: Option<Box<Route>>,
        signal: Option<ChannelId>,
    ) -> Self {
        Self { link, line, route, signal, changed: true, trouble: None }
    }

    /// Whether what is handed to the link now can arrive.
    pub(super) fn is_alive(&self) -> bool {
        self.link.is_alive()
    }

    /// Whether letters can travel on the link.
    pub(super) fn carries_letters(&self) -> bool {
        self.is_alive() && self.signal.is_some_and(|id| self.link.is_open(id))
    }

    /// Whether transports or credentials have changed since this was last asked.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Why the hub is not reached, if there is news of that.
    pub(super) fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    /// Takes the ladder's next step, as far as that needs no sockets.
    pub(super) fn climb(&mut self, now: Instant) -> Option<Need> {
        let action = self.route.as_mut().and_then(|r| r.ladder.poll(now))?;
        if self.line.closing.is_some() {
            return None;
        }
        Some(match action {
            Action::Restart => Need::Scan,
            Action::Dial => Need::Transport,
        })
    }

    /// Restarts ICE, with the candidates of now.
    pub(super) fn restart(&mut self, now: Instant) {
        self.line.emit(Event::Restarting);
        let offer = self.link.restart_offer(now, random::ice_credentials());
        let Some(Route { ladder, signaling }) = self.route.as_deref_mut() else { return };
        signaling.abort();
        let sent = offer.is_ok_and(|offer| signaling.restart(offer));
        if !sent {
            ladder.transport_lost(now, true);
        }
    }

    /// Dials with this transport. The one in use, if any, goes on until it is connected.
    pub(super) fn dial(&mut self, now: Instant, transport: Result<Transport, String>) {
        let dials = self.route.as_ref().map_or(0, |r| r.ladder.dials());
        self.line.emit(Event::Dialing(dials));
        let offer = transport.and_then(|t| self.link.dial(now, t).map_err(|e| e.to_string()));
        self.changed = true;
        let Some(Route { ladder, signaling }) = self.route.as_deref_mut() else { return };
        signaling.abort();
        signaling.retire();
        match offer {
            Ok(offer) => {
                let shown = hide_password(&offer);
                signaling.create(offer);
                self.line.emit(Event::Offer(shown));
            }
            Err(error) => {
                ladder.dial_failed(now);
                self.line.trouble(error);
            }
        }
    }

    /// Offers a transport whose answer the application will bring.
    pub(super) fn offer(&mut self, now: Instant, transport: Transport) -> Result<String, SdpError> {
        self.changed = true;
        self.link.dial(now, transport)
    }

    /// Answers an offer that the application brings.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        transport: Transport,
        offer: &str,
    ) -> Result<String, SdpError> {
        self.changed = true;
        self.link.answer(now, transport, offer)
    }

    /// Takes the answer to an offer, which the application brings.
    pub(super) fn accept_answer(&mut self, now: Instant, answer: &str) -> Result<(), SdpError> {
        self.changed = true;
        self.link.accept_answer(now, answer)
    }

    /// Takes an event of the link; true if sockets may have become free.
    pub(super) fn on_event(&mut self, now: Instant, event: LinkEvent) -> bool {
        let mut free = false;
        if let Some(Route { ladder, signaling }) = self.route.as_deref_mut() {
            match &event {
                LinkEvent::Connected => {
                    ladder.healthy();
                    signaling.session = signaling.next.take();
                    free = true;
                }
                LinkEvent::Path(PathEvent::AllDead) => {
                    ladder.paths_died(now);
                    // The hub cannot push to a client without a path: it may have an offer.
                    signaling.poll();
                }
                LinkEvent::Path(PathEvent::Revived { .. }) => {
                    ladder.healthy();
                    signaling.abort();
                    if let Some(next) = signaling.next.take() {
                        signaling.delete(next);
                    }
                    self.link.hang_up();
                    free = true;
                }
                LinkEvent::DialFailed(reason) => {
                    ladder.dial_failed(now);
                    let reason = reason.clone();
                    let reason = reason.unwrap_or_else(|| "the transport ended".to_owned());
                    self.trouble = Some(format!("no path to the hub: {reason}"));
                    self.line.trouble(reason);
                }
                LinkEvent::Stuck => ladder.transport_stuck(now),
                LinkEvent::TransportClosed(_) => {
                    signaling.session = None;
                    ladder.transport_lost(now, false);
                    free = true;
                }
                _ => {}
            }
        } else if let LinkEvent::DialFailed(reason) = &event {
            let reason = reason.clone();
            self.line.trouble(reason.unwrap_or_else(|| "the transport ended".to_owned()));
        }
        self.changed |= free;
        self.line.on_event(now, &mut self.link, event);
        free
    }

    /// Takes what a signaling call came to; true if sockets may have become free.
    pub(super) fn on_call(&mut self, now: Instant, done: Done) -> bool {
        self.changed = true;
        let mut free = false;
        let result = match done {
            Done::Created(Ok(answer)) => {
                self.take_answer(now, &answer.sdp, answer.rover.map(|r| r.session))
            }
            Done::Restarted(Ok(answer)) => {
                self.link.accept_restart(now, &answer.sdp).map_err(|e| e.to_string())
            }
            Done::Polled(Ok(offer)) => self.answer_hub(now, offer.map(|o| o.sdp)),
            Done::Created(Err(error)) => {
                if let Some(Route { ladder, .. }) = self.route.as_deref_mut() {
                    ladder.dial_failed(now);
                }
                self.link.hang_up();
                free = true;
                Err(error.to_string())
            }
            Done::Restarted(Err(CallError::UnknownSession)) => {
                if let Some(Route { ladder, signaling }) = self.route.as_deref_mut() {
                    signaling.session = None;
                    ladder.transport_lost(now, true);
                }
                Err(CallError::UnknownSession.to_string())
            }
            Done::Restarted(Err(error)) => Err(error.to_string()),
            // The ladder's own restart finds out the same.
            Done::Polled(Err(_)) | Done::Mailed(_) | Done::Other => Ok(()),
        };
        if let Err(error) = result {
            self.trouble = Some(error.clone());
            self.line.trouble(error);
        }
        free
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
        self.line.emit(Event::Answer(hide_password(answer)));
        let accepted = self.link.accept_answer(now, answer);
        let Some(Route { ladder, signaling }) = self.route.as_deref_mut() else { return Ok(()) };
        signaling.next = session.flatten();
        signaling.delete_retired();
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
            self.line.emit(Event::Restarting);
            self.link.answer_restart(now, &o, random::ice_credentials())
        });
        let Some(Route { signaling, .. }) = self.route.as_deref_mut() else { return Ok(()) };
        signaling.poll();
        match answer.transpose() {
            Ok(answer) => answer.into_iter().for_each(|a| signaling.answer(a)),
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    }
}
