//! The peer's signaling: HTTP calls under way, and the sessions they are about.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::task::JoinSet;

use crate::config::PeerConfig;
use crate::http::client::{CallError, SignalClient};
use crate::identity::Identity;
use crate::net::InterfaceFilter;
use crate::path::Redundancy;
use crate::signal::description::{Description, Rover, VERSION};
use crate::signal::hub_messages::{FromHub, PROOF_CONTEXT, ToHub};

/// What a call came to.
#[derive(Debug)]
pub(super) enum SignalingResult {
    /// A new session.
    Created(Result<Description, CallError>),
    /// An ICE restart of ours.
    Restarted(Result<Description, CallError>),
    /// An offer of the hub, if it had one.
    Polled(Result<Option<Description>, CallError>),
    /// Signal messages of other peers.
    Mailbox(Result<Vec<FromHub>, CallError>),
    /// Nobody waits for it.
    Other,
}

/// Calls of one peer; they end with it.
#[derive(Debug)]
pub(super) struct Signaling {
    client: SignalClient,
    name: Option<String>,
    /// Its identity; a peer without a name need not be anybody.
    identity: Option<Arc<Identity>>,
    redundancy: Redundancy,
    /// The session of the transport in use.
    pub(super) session: Option<String>,
    /// The session of the one that is being dialed.
    pub(super) next: Option<String>,
    /// The session of a dial that came to nothing: until there is another one, signal messages can
    /// still go by it.
    retired: Option<String>,
    calls: JoinSet<SignalingResult>,
    /// Signal messages out.
    sending: JoinSet<()>,
    /// A call that waits for signal messages.
    mailbox_poll: JoinSet<SignalingResult>,
}

impl Signaling {
    pub(super) fn new(
        config: &PeerConfig,
        identity: Option<Arc<Identity>>,
    ) -> Result<Self, CallError> {
        let filter = InterfaceFilter {
            only: config.interfaces.clone(),
            except: config.no_interfaces.clone(),
            ..InterfaceFilter::default()
        };
        Ok(Self {
            client: SignalClient::new(&config.server, config.token.as_ref(), filter)?,
            name: config.name.clone(),
            identity,
            redundancy: config.path.redundancy,
            session: None,
            next: None,
            retired: None,
            calls: JoinSet::new(),
            sending: JoinSet::new(),
            mailbox_poll: JoinSet::new(),
        })
    }

    /// Asks for a session in the place of the present one.
    pub(super) fn create(&mut self, offer: String) {
        let identity = self.identity.as_ref();
        let rover = Rover {
            version: VERSION,
            name: self.name.clone(),
            certificate: identity.map(|i| BASE64.encode(i.certificate())),
            kept: identity.is_some_and(|i| i.is_kept()),
            redundancy: Some(self.redundancy),
            replaces: self.session.clone(),
            session: None,
        };
        let offer = Description::offer(offer, Some(rover));
        let client = self.client.clone();
        self.calls.spawn(async move { SignalingResult::Created(client.create(&offer).await) });
    }

    /// Restarts ICE of the present session. False if there is none.
    pub(super) fn restart(&mut self, offer: String) -> bool {
        let Some(session) = self.session.clone() else { return false };
        let (client, offer) = (self.client.clone(), Description::offer(offer, None));
        self.calls.spawn(async move {
            SignalingResult::Restarted(client.restart(&session, &offer).await)
        });
        true
    }

    /// Waits for an offer of the hub.
    pub(super) fn poll(&mut self) {
        let Some(session) = self.session.clone() else { return };
        let client = self.client.clone();
        self.calls.spawn(async move { SignalingResult::Polled(client.poll(&session).await) });
    }

    /// Answers an offer of the hub.
    pub(super) fn answer(&mut self, answer: String) {
        let Some(session) = self.session.clone() else { return };
        let (client, answer) = (self.client.clone(), Description::answer(answer, None));
        self.calls.spawn(async move {
            let _ = client.answer(&session, &answer).await;
            SignalingResult::Other
        });
    }

    /// Ends a session; the hub would also find out by itself.
    pub(super) fn delete(&mut self, session: String) {
        let client = self.client.clone();
        self.calls.spawn(async move {
            let _ = client.delete(&session).await;
            SignalingResult::Other
        });
    }

    /// The dial under way is given up for another one.
    pub(super) fn retire(&mut self) {
        if let Some(next) = self.next.take() {
            self.delete_retired();
            self.retired = Some(next);
        }
    }

    /// Ends the session of the dial before: there is a new one.
    pub(super) fn delete_retired(&mut self) {
        if let Some(retired) = self.retired.take() {
            self.delete(retired);
        }
    }

    /// Whether signal messages can go over HTTP: there is a session that the hub knows.
    pub(super) fn has_session(&self) -> bool {
        self.newest().is_some()
    }

    fn newest(&self) -> Option<&String> {
        self.next.as_ref().or(self.session.as_ref()).or(self.retired.as_ref())
    }

    /// Sends a signal message over HTTP. What is too much at a time is dropped: signal messages are
    /// repeated.
    pub(super) fn send(&mut self, request: ToHub) {
        while self.sending.try_join_next().is_some() {}
        let Some((session, proof)) = self.proof() else { return };
        if self.sending.len() >= MAX_SENDING {
            return;
        }
        let client = self.client.clone();
        self.sending.spawn(async move {
            if let Err(error) = client.send(&session, &proof, &request).await {
                tracing::debug!(%error, "a signal message was not sent");
            }
        });
    }

    /// Waits for signal messages over HTTP, or stops to.
    pub(super) fn poll_mailbox(&mut self, wanted: bool) {
        if !wanted {
            if !self.mailbox_poll.is_empty() {
                self.mailbox_poll.abort_all();
            }
        } else if self.mailbox_poll.is_empty()
            && let Some((session, proof)) = self.proof()
        {
            let client = self.client.clone();
            self.mailbox_poll.spawn(async move {
                SignalingResult::Mailbox(client.poll_mailbox(&session, &proof).await)
            });
        }
    }

    /// Gives up the calls under way: they were made on a network that is no more, or for a
    /// transport that is not wanted.
    pub(super) fn abort(&mut self) {
        // Results that are there already, too.
        self.calls = JoinSet::new();
    }

    /// The next call that comes to an end. Never ends without calls.
    pub(super) async fn done(&mut self) -> SignalingResult {
        poll_fn(|cx| {
            for calls in [&mut self.calls, &mut self.mailbox_poll] {
                while let Poll::Ready(Some(ended)) = calls.poll_join_next(cx) {
                    // An error is a call that was aborted.
                    if let Ok(done) = ended {
                        return Poll::Ready(done);
                    }
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Lets the calls under way end.
    pub(super) async fn finish(&mut self) {
        self.mailbox_poll.abort_all();
        while self.calls.join_next().await.is_some() {}
        while self.sending.join_next().await.is_some() {}
    }

    /// The newest session, and what shows that it is ours.
    fn proof(&self) -> Option<(String, String)> {
        let session = self.newest()?.clone();
        let proof = self.identity.as_ref()?.sign(PROOF_CONTEXT, session.as_bytes());
        Some((session, BASE64.encode(proof)))
    }
}

/// Signal messages on their way at a time.
const MAX_SENDING: usize = 16;
