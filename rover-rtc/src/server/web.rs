//! HTTP requests: what they ask for, checked and put into words for the hub.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use crate::http::server::{Exchange, Reply};
use crate::server::shard::command_router::CommandRouter;
use crate::signal::description::{Description, Failure, Kind, Trickle};

/// What a shard of the hub is to do.
#[derive(Debug)]
pub struct HubCommand(pub(in crate::server) CommandKind);

/// Who wants it.
#[derive(Debug)]
pub(in crate::server) enum CommandKind {
    /// Somebody who has asked over HTTP, and is to be answered.
    Http(Box<(HubRequest, Exchange)>),
    /// This process wants to know the hub's status.
    Status(oneshot::Sender<Bytes>),
}

impl HubCommand {
    /// Tells who asked that nothing comes of it.
    fn refuse(self, reply: Reply) {
        match self.0 {
            CommandKind::Http(asked) => asked.1.respond(reply),
            // Dropping it says so.
            CommandKind::Status(_) => {}
        }
    }
}

/// What is asked for.
#[derive(Debug)]
pub(in crate::server) enum HubRequest {
    /// A session for this offer.
    Create { offer: Description, as_sdp: bool, v1: bool },
    /// Something that a named peer asks of the hub.
    Send { session: String, text: Vec<u8> },
    /// What the hub has for a named peer, when it has something.
    Mailbox { session: String, wait: Duration },
    /// A restart, an answer to a restart, or further candidates.
    SessionChange { session: String, change: SessionChange },
    /// An offer of the hub, when it has one.
    Poll { session: String, wait: Duration },
    /// The end of a session.
    Delete { session: String },
    /// The hub's status.
    Status,
}

/// A change of a session.
#[derive(Debug)]
pub(in crate::server) enum SessionChange {
    Description(Description),
    Candidates { lines: Vec<String>, tag: Option<String> },
}

/// Handles one HTTP request: answers it, or hands it to the shard of the hub that it
/// concerns, which does.
///
/// | request | body | answer |
/// |---|---|---|
/// | `GET /`, `/app.css`, `/app.js` | | a page that joins as a client |
/// | `POST /` | JSON or SDP offer | 200, the answer |
/// | `POST /v1/sessions` | JSON or SDP offer | 201, the answer, `Location`, `ETag` |
/// | `PATCH /v1/sessions/ID` | JSON offer | 200, the answer: ICE is restarted |
/// | | JSON answer | 204: to an offer of the hub |
/// | | JSON `candidates`, SDP fragment | 204 |
/// | `GET /v1/sessions/ID?wait=S` | | 200, an offer of the hub, or 204 after S seconds |
/// | `DELETE /v1/sessions/ID` | | 204 |
/// | `POST /v1/sessions/ID/mail` | JSON [`ToHub`] | 204; what comes of it comes as mail |
/// | `GET /v1/sessions/ID/mail?wait=S` | | 200, a JSON array of [`FromHub`], or 204 after S s |
/// | `GET /v1/status` | | 200, JSON |
///
/// An offer whose `rover` block has a `name` and a `certificate` asks for that name: it is refused
/// with 401 if the hub wants a token (`Authorization: Bearer TOKEN`) and gets none of its own, 409
/// if another key has the name (with `Retry-After` if that may change soon), and 429 if the name
/// asks too often. Any offer is refused with 429 if too many come from its address, or have no
/// connection yet, and 503 if the hub has no room; both with `Retry-After`. Mail needs a
/// `Rover-Proof`, the signature in base64 of the session's id by the certificate's key in the
/// context [`PROOF_CONTEXT`]: 401 without one, and 409 if the session did not ask for a name, or
/// does not have it (yet).
///
/// [`ToHub`]: crate::signal::hub_messages::ToHub
/// [`FromHub`]: crate::signal::hub_messages::FromHub
/// [`PROOF_CONTEXT`]: crate::signal::hub_messages::PROOF_CONTEXT
pub fn web_request(exchange: Exchange, hub: &CommandRouter) {
    let reply = match parse(&exchange) {
        Ok(request) => {
            match hub.route(HubCommand(CommandKind::Http(Box::new((request, exchange))))) {
                Ok(()) => return,
                Err(TrySendError::Full(command)) => {
                    let busy = refuse(503, "the hub is busy, try again in a moment");
                    return command.refuse(busy.header("Retry-After", "1"));
                }
                Err(TrySendError::Closed(command)) => {
                    return command.refuse(refuse(503, "the hub is shutting down"));
                }
            }
        }
        Err(reply) => reply,
    };
    exchange.respond(reply);
}

fn parse(exchange: &Exchange) -> Result<HubRequest, Reply> {
    let method = exchange.method();
    match exchange.path() {
        "/" => match method {
            "GET" | "HEAD" => Err(asset("text/html", PAGE)),
            "POST" => create(exchange, false),
            "OPTIONS" => Err(options("GET, POST, OPTIONS")),
            _ => Err(not_allowed("GET, POST, OPTIONS")),
        },
        "/app.css" => match method {
            "GET" | "HEAD" => Err(asset("text/css", STYLE)),
            _ => Err(not_allowed("GET")),
        },
        "/app.js" => match method {
            "GET" | "HEAD" => Err(asset("text/javascript", SCRIPT)),
            _ => Err(not_allowed("GET")),
        },
        "/v1/sessions" => match method {
            "POST" => create(exchange, true),
            "OPTIONS" => Err(options("POST, OPTIONS")),
            _ => Err(not_allowed("POST, OPTIONS")),
        },
        "/v1/status" => match method {
            "GET" => Ok(HubRequest::Status),
            _ => Err(not_allowed("GET")),
        },
        path => match path.strip_prefix("/v1/sessions/").map(|rest| (rest, rest.split_once('/'))) {
            Some((session, None)) if !session.is_empty() => {
                of_session(exchange, session.to_owned())
            }
            Some((_, Some((session, "mail")))) if !session.is_empty() => {
                mail(exchange, session.to_owned())
            }
            _ => Err(refuse(404, "nothing here; POST an offer to / or /v1/sessions")),
        },
    }
}

fn create(exchange: &Exchange, v1: bool) -> Result<HubRequest, Reply> {
    let as_sdp = is_type(exchange, "application/sdp");
    let offer = if as_sdp {
        let sdp = std::str::from_utf8(exchange.body()).map_err(|_| refuse(400, "not UTF-8"))?;
        Description::offer(sdp.to_owned(), None)
    } else {
        Description::from_json(exchange.body(), Kind::Offer).map_err(|e| refuse(400, &e))?
    };
    let name = offer.rover.as_ref().and_then(|r| r.name.as_deref());
    if name.is_some_and(|n| n.len() > MAX_NAME || n.chars().any(char::is_control)) {
        return Err(refuse(400, "a name has at most 64 bytes and no control characters"));
    }
    Ok(HubRequest::Create { offer, as_sdp, v1 })
}

fn of_session(exchange: &Exchange, session: String) -> Result<HubRequest, Reply> {
    match exchange.method() {
        "GET" => Ok(HubRequest::Poll { session, wait: wait(exchange.query()) }),
        "DELETE" => Ok(HubRequest::Delete { session }),
        "PATCH" => Ok(HubRequest::SessionChange { session, change: change(exchange)? }),
        "OPTIONS" => Err(options("GET, PATCH, DELETE, OPTIONS")),
        _ => Err(not_allowed("GET, PATCH, DELETE, OPTIONS")),
    }
}

fn mail(exchange: &Exchange, session: String) -> Result<HubRequest, Reply> {
    match exchange.method() {
        "GET" => Ok(HubRequest::Mailbox { session, wait: wait(exchange.query()) }),
        "POST" => Ok(HubRequest::Send { session, text: exchange.body().to_vec() }),
        "OPTIONS" => Err(options("GET, POST, OPTIONS")),
        _ => Err(not_allowed("GET, POST, OPTIONS")),
    }
}

fn change(exchange: &Exchange) -> Result<SessionChange, Reply> {
    let body = exchange.body();
    if is_type(exchange, "application/trickle-ice-sdpfrag") {
        let tag = exchange.header("If-Match").map(str::to_owned);
        let tag = tag.ok_or_else(|| refuse(428, "If-Match with the session's ETag is needed"))?;
        let text = std::str::from_utf8(body).map_err(|_| refuse(400, "not UTF-8"))?;
        if text.lines().any(|l| l.starts_with("a=ice-ufrag:")) && tag == "*" {
            return Err(refuse(422, "restart with a whole offer in JSON instead"));
        }
        let lines = text.lines().filter(|l| l.starts_with("a=candidate:"));
        return Ok(SessionChange::Candidates {
            lines: lines.map(str::to_owned).collect(),
            tag: Some(tag),
        });
    }
    if let Ok(trickle) = serde_json::from_slice::<Trickle>(body) {
        return Ok(SessionChange::Candidates { lines: trickle.candidates, tag: None });
    }
    let description = serde_json::from_slice(body);
    description.map(SessionChange::Description).map_err(|e| refuse(400, &format!("bad JSON: {e}")))
}

fn is_type(exchange: &Exchange, media_type: &str) -> bool {
    exchange.header("Content-Type").is_some_and(|t| {
        t.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case(media_type))
    })
}

/// `wait=S` of a query; 0 to 25 s, so that proxies do not give up before we do.
fn wait(query: Option<&str>) -> Duration {
    let pairs = query.into_iter().flat_map(|q| q.split('&'));
    let seconds = pairs.filter_map(|p| p.strip_prefix("wait=")).find_map(|v| v.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0u64).min(MAX_WAIT))
}

/// A part of the page, which may use nothing but what this hub serves.
fn asset(media_type: &str, text: &str) -> Reply {
    Reply::typed(200, &format!("{media_type}; charset=utf-8"), text)
        .header("Content-Security-Policy", POLICY)
        .header("X-Content-Type-Options", "nosniff")
        .header("Referrer-Policy", "no-referrer")
        // A browser must not join a hub with the page of another version.
        .header("Cache-Control", "no-cache")
}

fn options(allow: &str) -> Reply {
    Reply::empty(204)
        .header("Allow", allow)
        .header("Accept-SignalQueue", "application/json, application/sdp")
}

fn not_allowed(allow: &str) -> Reply {
    refuse(405, &format!("only {allow} here")).header("Allow", allow)
}

fn refuse(status: u16, reason: &str) -> Reply {
    Reply::json(status, &Failure { error: reason.to_owned() })
}

const PAGE: &str = include_str!("../../web/index.html");
const STYLE: &str = include_str!("../../web/app.css");
const SCRIPT: &str = include_str!("../../web/app.js");

/// The icon is an empty `data:` URL, so that browsers do not ask for one.
const POLICY: &str = "default-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const MAX_WAIT: u64 = 25;

const MAX_NAME: usize = 64;
