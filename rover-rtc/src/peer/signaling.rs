//! The peer's signaling: HTTP calls under way, and the sessions they are about.

use tokio::task::JoinSet;

use crate::config::PeerConfig;
use crate::path::Redundancy;
use crate::signal::client::{CallError, SignalClient};
use crate::signal::message::{Description, Rover, VERSION};

/// What a call came to.
#[derive(Debug)]
pub(super) enum Done {
    /// A new session.
    Created(Result<Description, CallError>),
    /// An ICE restart of ours.
    Restarted(Result<Description, CallError>),
    /// An offer of the hub, if it had one.
    Polled(Result<Option<Description>, CallError>),
    /// Nobody waits for it.
    Other,
}

/// Calls of one peer; they end with it.
#[derive(Debug)]
pub(super) struct Signaling {
    client: SignalClient,
    name: Option<String>,
    redundancy: Redundancy,
    /// The session of the transport in use.
    pub(super) session: Option<String>,
    /// The session of the one that is being dialed.
    pub(super) next: Option<String>,
    calls: JoinSet<Done>,
}

impl Signaling {
    pub(super) fn new(config: &PeerConfig) -> Result<Self, CallError> {
        let client = SignalClient::new(&config.server)?;
        let (name, redundancy) = (config.name.clone(), config.path.redundancy);
        Ok(Self { client, name, redundancy, session: None, next: None, calls: JoinSet::new() })
    }

    /// Asks for a session in the place of the present one.
    pub(super) fn create(&mut self, offer: String) {
        let rover = Rover {
            version: VERSION,
            name: self.name.clone(),
            redundancy: Some(self.redundancy),
            replaces: self.session.clone(),
            session: None,
            ..Rover::default()
        };
        let offer = Description::offer(offer, Some(rover));
        let client = self.client.clone();
        self.calls.spawn(async move { Done::Created(client.create(&offer).await) });
    }

    /// Restarts ICE of the present session. False if there is none.
    pub(super) fn restart(&mut self, offer: String) -> bool {
        let Some(session) = self.session.clone() else { return false };
        let (client, offer) = (self.client.clone(), Description::offer(offer, None));
        self.calls.spawn(async move { Done::Restarted(client.restart(&session, &offer).await) });
        true
    }

    /// Waits for an offer of the hub.
    pub(super) fn poll(&mut self) {
        let Some(session) = self.session.clone() else { return };
        let client = self.client.clone();
        self.calls.spawn(async move { Done::Polled(client.poll(&session).await) });
    }

    /// Answers an offer of the hub.
    pub(super) fn answer(&mut self, answer: String) {
        let Some(session) = self.session.clone() else { return };
        let (client, answer) = (self.client.clone(), Description::answer(answer, None));
        self.calls.spawn(async move {
            let _ = client.answer(&session, &answer).await;
            Done::Other
        });
    }

    /// Ends a session; the hub would also find out by itself.
    pub(super) fn delete(&mut self, session: String) {
        let client = self.client.clone();
        self.calls.spawn(async move {
            let _ = client.delete(&session).await;
            Done::Other
        });
    }

    /// Gives up the calls under way: they were made on a network that is no more, or for a
    /// transport that is not wanted.
    pub(super) fn abort(&mut self) {
        self.calls.abort_all();
    }

    /// The next call that comes to an end. Never ends without calls.
    pub(super) async fn done(&mut self) -> Done {
        loop {
            match self.calls.join_next().await {
                Some(Ok(done)) => return done,
                Some(Err(_)) => {} // aborted
                None => return std::future::pending().await,
            }
        }
    }

    /// Lets the calls under way end.
    pub(super) async fn finish(&mut self) {
        while self.calls.join_next().await.is_some() {}
    }
}
