//! The link with the hub, or with the one other side whose signaling is the application's: its
//! escalation, and the signaling calls that the escalation makes.

use std::time::Instant;

use super::frontend::LinkFrontend;
use super::signaling::{Signaling, SignalingResult};
use crate::event::Event;
use crate::http::client::CallError;
use crate::link::{ChannelId, Link, LinkEvent, Outbox, Transport};
use crate::path::PathEvent;
use crate::recovery::{Action, Escalation};
use crate::session::Pace;
use crate::session::SdpError;
use crate::session::sdp::hide_password;
use crate::util::random;

/// The first link of a peer.
#[derive(Debug)]
pub(super) struct HubLink {
    pub(super) link: Link,
    pub(super) frontend: LinkFrontend,
    /// Absent where signaling is the application's.
    pub(super) hub_session: Option<Box<HubSession>>,
    /// The channel on which the hub passes signal messages on; a peer without a name has none.
    pub(super) signal: Option<ChannelId>,
    /// Transports or credentials have changed since it was last asked.
    changed: bool,
    /// Why the hub is not reached, since it was last asked.
    trouble: Option<String>,
}

/// The way to the hub.
#[derive(Debug)]
pub(super) struct HubSession {
    pub(super) escalation: Escalation,
    pub(super) signaling: Signaling,
}

/// What the driver, which has the sockets, is to do for the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HubLinkStep {
    /// Bring the sockets in line with the interfaces.
    Scan,
    /// Make a transport on fresh sockets and give it to [`HubLink::dial`].
    Transport,
}

impl HubLink {
    pub(super) fn new(
        link: Link,
        frontend: LinkFrontend,
        hub_session: Option<Box<HubSession>>,
        signal: Option<ChannelId>,
    ) -> Self {
        Self { link, frontend, hub_session, signal, changed: true, trouble: None }
    }

    /// Whether what is handed to the link now can arrive.
    pub(super) fn is_alive(&self) -> bool {
        self.link.is_alive()
    }

    /// Whether signal messages can travel on the link.
    pub(super) fn carries_signals(&self) -> bool {
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

    /// The hub has acknowledged a message that it could pass on to nobody.
    pub(super) fn undelivered(&self, label: &str, size: usize) {
        let Some(channel) = self.link.channel(label) else { return };
        self.link.outbox(channel).into_iter().for_each(Outbox::note_rejected);
        let why = format!("no reader at the hub takes a message of {size} bytes");
        tracing::warn!(label, size, "the hub has passed a message on to nobody");
        self.frontend.emit(Event::Dropped { channel, messages: 1, why });
    }

    /// Takes the escalation's next step, as far as that needs no sockets.
    pub(super) fn escalate(&mut self, now: Instant) -> Option<HubLinkStep> {
        let action = self.hub_session.as_mut().and_then(|r| r.escalation.poll(now))?;
        if self.frontend.closing.is_some() {
            return None;
        }
        Some(match action {
            Action::Restart => HubLinkStep::Scan,
            Action::Dial => HubLinkStep::Transport,
        })
    }

    /// Restarts ICE, with the candidates of now.
    pub(super) fn restart(&mut self, now: Instant) {
        self.frontend.emit(Event::Restarting);
        let offer = self.link.restart_offer(now, random::ice_credentials());
        let Some(HubSession { escalation, signaling }) = self.hub_session.as_deref_mut() else {
            return;
        };
        signaling.abort();
        let sent = offer.is_ok_and(|offer| signaling.restart(offer));
        if !sent {
            escalation.transport_lost(now, true);
        }
    }

    /// Dials with this transport. The one in use, if any, goes on until it is connected.
    pub(super) fn dial(&mut self, now: Instant, transport: Result<Transport, String>) {
        let dials = self.hub_session.as_ref().map_or(0, |r| r.escalation.dials());
        self.frontend.emit(Event::Dialing(dials));
        let offer = transport.and_then(|t| self.link.dial(now, t).map_err(|e| e.to_string()));
        self.changed = true;
        let Some(HubSession { escalation, signaling }) = self.hub_session.as_deref_mut() else {
            return;
        };
        signaling.abort();
        signaling.retire();
        match offer {
            Ok(offer) => {
                let shown = hide_password(&offer);
                signaling.create(offer);
                self.frontend.emit(Event::Offer(shown));
            }
            Err(error) => {
                escalation.dial_failed(now);
                self.frontend.trouble(error);
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
        if let Some(HubSession { escalation, signaling }) = self.hub_session.as_deref_mut() {
            match &event {
                LinkEvent::Connected => {
                    escalation.healthy();
                    signaling.session = signaling.next.take();
                    free = true;
                }
                LinkEvent::Path(PathEvent::AllDead) => {
                    escalation.paths_died(now);
                    // The hub cannot push to a client without a path: it may have an offer.
                    signaling.poll();
                }
                LinkEvent::Path(PathEvent::Revived { .. }) => {
                    escalation.healthy();
                    signaling.abort();
                    if let Some(next) = signaling.next.take() {
                        signaling.delete(next);
                    }
                    self.link.hang_up();
                    free = true;
                }
                LinkEvent::DialFailed(reason) => {
                    escalation.dial_failed(now);
                    let reason = reason.clone();
                    let reason = reason.unwrap_or_else(|| "the transport ended".to_owned());
                    self.trouble = Some(format!("no path to the hub: {reason}"));
                    self.frontend.trouble(reason);
                }
                LinkEvent::Stuck => escalation.transport_stuck(now),
                LinkEvent::TransportClosed(_) => {
                    signaling.session = None;
                    escalation.transport_lost(now, false);
                    free = true;
                }
                _ => {}
            }
        } else if let LinkEvent::DialFailed(reason) = &event {
            let reason = reason.clone();
            self.frontend.trouble(reason.unwrap_or_else(|| "the transport ended".to_owned()));
        }
        self.changed |= free;
        self.frontend.on_event(now, &mut self.link, event);
        free
    }

    /// Takes what a signaling call came to; true if sockets may have become free.
    pub(super) fn on_call(&mut self, now: Instant, done: SignalingResult) -> bool {
        self.changed = true;
        let mut free = false;
        let result = match done {
            SignalingResult::Created(Ok(answer)) => {
                self.take_answer(now, &answer.sdp, answer.rover.map(|r| r.session))
            }
            SignalingResult::Restarted(Ok(answer)) => {
                self.link.accept_restart(now, &answer.sdp).map_err(|e| e.to_string())
            }
            SignalingResult::Polled(Ok(offer)) => self.answer_hub(now, offer.map(|o| o.sdp)),
            SignalingResult::Created(Err(error)) => {
                if let Some(HubSession { escalation, .. }) = self.hub_session.as_deref_mut() {
                    escalation.dial_failed(now);
                }
                self.link.hang_up();
                free = true;
                Err(error.to_string())
            }
            SignalingResult::Restarted(Err(CallError::UnknownSession)) => {
                if let Some(HubSession { escalation, signaling }) = self.hub_session.as_deref_mut()
                {
                    signaling.session = None;
                    escalation.transport_lost(now, true);
                }
                Err(CallError::UnknownSession.to_string())
            }
            SignalingResult::Restarted(Err(error)) => Err(error.to_string()),
            // The escalation's own restart finds out the same.
            SignalingResult::Polled(Err(_))
            | SignalingResult::Mailbox(_)
            | SignalingResult::Other => Ok(()),
        };
        if let Err(error) = result {
            self.trouble = Some(error.clone());
            self.frontend.trouble(error);
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
        self.frontend.emit(Event::Answer(hide_password(answer)));
        let accepted = self.link.accept_answer(now, answer);
        let Some(HubSession { escalation, signaling }) = self.hub_session.as_deref_mut() else {
            return Ok(());
        };
        signaling.next = session.flatten();
        signaling.delete_retired();
        accepted.map_err(|error| {
            escalation.dial_failed(now);
            error.to_string()
        })
    }

    fn answer_hub(&mut self, now: Instant, offer: Option<String>) -> Result<(), String> {
        if self.link.dead_since().is_none() {
            return Ok(());
        }
        let answer = offer.map(|o| {
            self.frontend.emit(Event::Restarting);
            self.link.answer_restart(now, &o, random::ice_credentials())
        });
        let Some(HubSession { signaling, .. }) = self.hub_session.as_deref_mut() else {
            return Ok(());
        };
        signaling.poll();
        match answer.transpose() {
            Ok(answer) => answer.into_iter().for_each(|a| signaling.answer(a)),
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    }
}
