//! The peer's side of signaling: HTTP calls that end, one way or the other.

mod routes;

use std::time::Duration;

use reqwest::{Client, Response, StatusCode, header};

use crate::http::Token;
use crate::net::InterfaceFilter;
use crate::signal::description::{Description, Failure, Kind};
use crate::signal::hub_messages::{FromHub, PROOF_HEADER, ToHub};
use routes::{HttpRoutes, TOTAL_TIMEOUT};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The hub was not reached, or not in time.
    #[error("no answer from {url}: {reason}")]
    Unreachable {
        /// Whom we asked.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The hub does not know the session (any more): it was restarted, or gave us up.
    #[error("the hub does not know this session")]
    UnknownSession,
    /// The hub refused.
    #[error("the hub answered {status}: {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its reason.
        reason: String,
    },
    /// The answer makes no sense.
    #[error("unusable answer: {0}")]
    Invalid(String),
}

/// Makes the calls of one peer.
#[derive(Debug, Clone)]
pub struct SignalClient {
    routes: HttpRoutes,
    server: String,
    token: Option<Token>,
}

impl SignalClient {
    /// A client of the hub at this URL, with what the hub asks for before it registers a name.
    /// Where the routes lead nowhere, the interfaces that `filter` lets through are tried one by
    /// one.
    ///
    /// # Errors
    ///
    /// If the URL cannot be used or TLS cannot be set up.
    pub fn new(
        server: &str,
        token: Option<&Token>,
        filter: InterfaceFilter,
    ) -> Result<Self, CallError> {
        let server = normalise(server);
        reqwest::Url::parse(&server).map_err(|e| CallError::Invalid(format!("{server}: {e}")))?;
        let routes = HttpRoutes::new(filter).map_err(|e| CallError::Invalid(e.to_string()))?;
        Ok(Self { routes, server, token: token.cloned() })
    }

    /// The hub's URL.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Asks for a session.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn create(&self, offer: &Description) -> Result<Description, CallError> {
        let url = format!("{}/v1/sessions", self.server);
        let mut request = self.http().post(&url).json(offer);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.secret());
        }
        let response = self.execute(request, &url).await?;
        read(response, Kind::Answer).await
    }

    /// Tells the hub something about another peer. `proof` shows that the session is ours.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn send(&self, session: &str, proof: &str, text: &ToHub) -> Result<(), CallError> {
        let url = format!("{}/mail", self.session_url(session));
        let request = self.http().post(&url).header(PROOF_HEADER, proof).json(text);
        self.execute(request, &url).await.map(drop)
    }

    /// Waits for what the hub has to say about other peers; empty if it had nothing for a while.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn poll_mailbox(
        &self,
        session: &str,
        proof: &str,
    ) -> Result<Vec<FromHub>, CallError> {
        let url = format!("{}/mail?wait={}", self.session_url(session), POLL_TIME.as_secs());
        let request = self.http().get(&url).header(PROOF_HEADER, proof);
        let response = self.execute(request.timeout(POLL_TIME + TOTAL_TIMEOUT), &url).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(Vec::new());
        }
        let body = read_limited(response, MAX_MAILBOX).await?;
        serde_json::from_slice(&body).map_err(|e| CallError::Invalid(format!("bad JSON: {e}")))
    }

    /// Restarts ICE of a session.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn restart(
        &self,
        session: &str,
        offer: &Description,
    ) -> Result<Description, CallError> {
        let url = self.session_url(session);
        let response = self.execute(self.http().patch(&url).json(offer), &url).await?;
        read(response, Kind::Answer).await
    }

    /// Answers an offer of the hub.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn answer(&self, session: &str, answer: &Description) -> Result<(), CallError> {
        let url = self.session_url(session);
        self.execute(self.http().patch(&url).json(answer), &url).await.map(drop)
    }

    /// Waits for an offer of the hub; `None` if it had none for a while.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn poll(&self, session: &str) -> Result<Option<Description>, CallError> {
        let url = format!("{}?wait={}", self.session_url(session), POLL_TIME.as_secs());
        let request = self.http().get(&url).timeout(POLL_TIME + TOTAL_TIMEOUT);
        let response = self.execute(request, &url).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        read(response, Kind::Offer).await.map(Some)
    }

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn delete(&self, session: &str) -> Result<(), CallError> {
        let url = self.session_url(session);
        self.execute(self.http().delete(&url), &url).await.map(drop)
    }

    fn http(&self) -> Client {
        self.routes.builder()
    }

    fn session_url(&self, session: &str) -> String {
        format!("{}/v1/sessions/{session}", self.server)
    }

    async fn execute(
        &self,
        request: reqwest::RequestBuilder,
        url: &str,
    ) -> Result<Response, CallError> {
        let request = request.header(header::ACCEPT, "application/json").build();
        let sent = match request {
            Ok(request) => self.routes.send(request).await,
            Err(error) => Err(error),
        };
        let response = sent.map_err(|e| CallError::Unreachable {
            // Not `url`: a session's URL is its key.
            url: self.server.clone(),
            reason: reason(&e),
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status == StatusCode::NOT_FOUND && url != format!("{}/v1/sessions", self.server) {
            return Err(CallError::UnknownSession);
        }
        let body = read_limited(response, MAX_BODY).await.unwrap_or_default();
        let reason = serde_json::from_slice(&body).map(|f: Failure| f.error).unwrap_or_default();
        Err(CallError::Refused { status: status.as_u16(), reason })
    }
}

/// Whether a hub answers at this URL, within half a second.
pub async fn is_reachable(server: &str) -> bool {
    let Ok(client) = SignalClient::new(server, None, InterfaceFilter::default()) else {
        return false;
    };
    let url = format!("{}/v1/status", client.server);
    let call = client.http().get(&url).timeout(PEEK_TIMEOUT).send().await;
    call.is_ok_and(|response| response.status().is_success())
}

/// `host`, `host:port` and URLs all name a hub.
fn normalise(server: &str) -> String {
    let server = server.trim();
    let scheme = if server.contains("://") { "" } else { "http://" };
    format!("{scheme}{server}").trim_end_matches('/').to_owned()
}

async fn read(response: Response, kind: Kind) -> Result<Description, CallError> {
    let body = read_limited(response, MAX_BODY).await?;
    Description::from_json(&body, kind).map_err(CallError::Invalid)
}

/// A hub that lies must not fill our memory.
async fn read_limited(mut response: Response, limit: usize) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| CallError::Invalid(reason(&e)))? {
        body.extend_from_slice(&chunk);
        if body.len() > limit {
            return Err(CallError::Invalid(format!("the hub's answer is over {limit} bytes")));
        }
    }
    Ok(body)
}

/// The innermost cause says what happened; what reqwest says first repeats the URL.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.is_timeout() { "timed out".to_owned() } else { cause.to_string() }
}

const PEEK_TIMEOUT: Duration = Duration::from_millis(500);

/// How long the hub is asked to hold a poll.
const POLL_TIME: Duration = Duration::from_secs(25);

const MAX_BODY: usize = 64 * 1024;

/// What a mailbox at the hub can hold, and some.
const MAX_MAILBOX: usize = 512 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hubs_are_named_in_many_ways() {
        for name in ["hub:3000", "http://hub:3000", "http://hub:3000/"] {
            assert_eq!(
                SignalClient::new(name, None, InterfaceFilter::default()).unwrap().server(),
                "http://hub:3000"
            );
        }
        assert!(SignalClient::new("http://", None, InterfaceFilter::default()).is_err());
    }
}
