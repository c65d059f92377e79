//! The hub's HTTP server: a handler that answers [`Exchange`]s, now or later.
//!
//! `tiny_http` parses and answers the requests, but it must not face a network bare: one failed
//! `accept` ends it for good, it knows no time-outs, it spends a thread on every connection, and it
//! allocates whatever `Content-Length` a stranger writes. So two halves share the work:
//!
//! ```text
//! client -- TCP --> guard: limits, deadlines, parsing -- private socket --> tiny_http --> handler
//! ```
//!
//! The guard reads one whole request, writes it anew in one canonical form to a socket that only
//! this process can reach, and takes the whole answer back, so that a slow client holds up nobody
//! but itself. Every connection carries one request and is closed after its answer.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use tokio::task::spawn_blocking;

use super::answer::Refusal;
use super::backend::Backend;
use super::guard::{Guard, listen};
use super::pending_reply::PendingReply;
use super::private_socket::PrivateDir;
use super::request::is_internal;

/// What one client, and all of them together, may cost the hub.
///
/// The defaults suit a hub on a small machine with some hundred robots. A held request costs four
/// file descriptors, an idle connection one; when the process runs out of them, the guard lowers
/// `max_connections` by itself for a while and lets the idle connections go.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpLimits {
    /// Connections at the same time; default 1024. When all are taken, a new one replaces the
    /// oldest that has not sent its whole request yet, or else is told 503.
    pub max_connections: usize,
    /// Connections at the same time from one IPv4 address or IPv6 /64 network, which is what one
    /// subscriber gets; default 64, one more is told 429. Loopback addresses may have
    /// `max_connections`, since a reverse proxy or tunnel brings all its clients in from there.
    pub max_connections_per_address: usize,
    /// Bytes of request line and headers together; default 16 KiB, more is told 414 or 431.
    pub max_head_bytes: usize,
    /// Bytes of a request's body; default 64 KiB, room for the longest SDP. More is told 413
    /// before any of it is read.
    pub max_body_bytes: usize,
    /// Time from the connection's start to the end of its request's headers; default 5 s. It ends
    /// idle connections as well as those that trickle.
    pub head_timeout: Duration,
    /// Time from the connection's start to the end of its request's body; default 10 s, enough for
    /// 64 KiB at 52 kbit/s. More is told 408.
    pub request_timeout: Duration,
    /// Time the handler may keep a request; default 70 s, a long poll of a minute and some slack.
    /// More is told 504.
    pub response_timeout: Duration,
    /// Time a client may take to read each 64 KiB of its answer; default 10 s. Meanwhile the answer
    /// occupies memory: all answers above 16 KiB together get 16 MiB, and one that finds no room
    /// becomes a 503.
    pub write_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_connections_per_address: 64,
            max_head_bytes: 16 * 1024,
            max_body_bytes: 64 * 1024,
            head_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(70),
            write_timeout: Duration::from_secs(10),
        }
    }
}

/// Why the HTTP server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The address cannot be listened on; the message says what to do about it.
    #[error("cannot listen on {addr}: {advice}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the caller can do.
        advice: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The private half could not start: no thread, descriptor or randomness to be had.
    #[error("cannot start the private half of the http server")]
    Backend(#[source] io::Error),
}

impl HttpError {
    fn listen(addr: SocketAddr, source: io::Error) -> Self {
        let advice = match source.kind() {
            io::ErrorKind::AddrInUse => {
                "another program uses this port; stop it or choose another port (0: any free one)"
            }
            io::ErrorKind::PermissionDenied => {
                "this port needs administrator rights; choose one above 1023"
            }
            io::ErrorKind::AddrNotAvailable => {
                "no interface of this machine has this address; 0.0.0.0 or [::] stand for all"
            }
            _ => "the operating system refused",
        };
        Self::Listen { addr, advice, source }
    }
}

/// A running HTTP server.
///
/// Dropping it stops it too, but only [`shutdown`](Self::shutdown) waits until it has stopped.
#[derive(Debug)]
pub struct HttpServer {
    // The guard goes first: it must not find the private socket gone.
    guard: Guard,
    backend: Backend,
}

impl HttpServer {
    /// Binds `addr` and starts to serve; port 0 picks a free one.
    ///
    /// `handler` is called for every request, on one thread, so it must not block. To answer later
    /// (a long poll) it keeps the [`Exchange`] and returns. A handler that panics costs its own
    /// request a 500, no more.
    ///
    /// # Errors
    ///
    /// [`HttpError::Listen`] if the address is taken or not ours, [`HttpError::Backend`] if the
    /// machine has no thread or descriptor left.
    pub async fn bind(
        addr: SocketAddr,
        limits: HttpLimits,
        handler: impl Fn(Exchange) + Send + Sync + 'static,
    ) -> Result<Self, HttpError> {
        let failed = |source| HttpError::listen(addr, source);
        let listener = listen(addr).map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let max_body = limits.max_body_bytes;
        let start = move || Backend::start(PrivateDir::create(), max_body, Box::new(handler));
        let backend = spawn_blocking(start).await.map_err(io::Error::from).flatten();
        let backend = backend.map_err(HttpError::Backend)?;
        let guard = Guard::start(listener, local_addr, limits, backend.handover());
        Ok(Self { guard, backend })
    }

    /// The address it listens on, with the port that was picked.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.guard.local_addr()
    }

    /// Stops accepting, ends every connection within about a second (requests still held by the
    /// handler are told 503), joins the threads and removes the private socket.
    pub async fn shutdown(self) {
        self.guard.shutdown().await;
        self.backend.shutdown().await;
    }
}

/// One request whose answer is still owed.
///
/// It may be kept and answered from any thread. Dropping it unanswered answers 500. Answering never
/// blocks: the bytes travel on a thread of the server's own.
pub struct Exchange {
    // `None` only between `respond` or `drop` and the end of the value.
    pending: Option<PendingReply>,
}

impl Exchange {
    pub(super) const fn new(pending: PendingReply) -> Self {
        Self { pending: Some(pending) }
    }

    /// The method as sent, in upper case for all the usual ones.
    #[must_use]
    pub fn method(&self) -> &str {
        self.pending().request.method().as_str()
    }

    /// The path without its query, not percent-decoded; it begins with `/` (or is `*`, for
    /// `OPTIONS`).
    #[must_use]
    pub fn path(&self) -> &str {
        let target = self.pending().request.url();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// What follows the first `?` of the target, not decoded.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.pending().request.url().split_once('?').map(|(_, query)| query)
    }

    /// The value of a header; `name` in any case.
    ///
    /// The guard lets through `accept`, `authorization`, `content-type`, `host`, `if-match`,
    /// `if-none-match`, `origin`, `rover-proof`, `user-agent` and `x-rover-*`. Lists sent in
    /// several pieces arrive joined by commas.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        if is_internal(name) {
            return None;
        }
        let headers = self.pending().request.headers();
        let found =
            headers.iter().find(|it| it.field.as_str().as_str().eq_ignore_ascii_case(name))?;
        Some(found.value.as_str())
    }

    /// The whole body; empty if there is none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.pending().body
    }

    /// The client's end of its TCP connection.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        self.pending().remote
    }

    /// True once nobody waits for the answer any more: the client left or the time is over. A long
    /// poll asks this before it gives away what it cannot send twice.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.pending().is_abandoned()
    }

    /// Answers.
    pub fn respond(mut self, reply: Reply) {
        if let Some(pending) = self.pending.take() {
            pending.reply(reply);
        }
    }

    const fn pending(&self) -> &PendingReply {
        self.pending
            .as_ref()
            .expect("only `respond` and `drop` take the debt, and both end the value")
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.take() {
            pending.reply(Reply::refusal(UNANSWERED));
        }
    }
}

impl fmt::Debug for Exchange {
    /// Without path, query, headers and body: they may hold secrets, as a session's URL does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("method", &self.method())
            .field("remote", &self.remote())
            .finish_non_exhaustive()
    }
}

/// An answer: status, headers, body.
///
/// `Content-Length`, `Date` and `Connection` are the server's own affair.
#[derive(Clone)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// `value` as JSON. A value that has no JSON form makes it a 500.
    #[must_use]
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::typed(status, "application/json", body),
            Err(error) => {
                tracing::error!(%error, "an answer has no JSON form");
                Self::refusal(NOT_JSON)
            }
        }
    }

    /// Plain text in UTF-8.
    #[must_use]
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::typed(status, "text/plain; charset=utf-8", text.into().into_bytes())
    }

    /// A page in UTF-8.
    #[must_use]
    pub fn html(status: u16, html: impl Into<String>) -> Self {
        Self::typed(status, "text/html; charset=utf-8", html.into().into_bytes())
    }

    /// No body.
    #[must_use]
    pub const fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// `body` with its media type, such as `application/sdp`.
    #[must_use]
    pub fn typed(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::empty(status) }.header("Content-Type", content_type)
    }

    /// Adds a header. One that HTTP cannot carry (a line break in it, say) is left out when the
    /// answer is sent, and logged.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Its status and body.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> (u16, &[u8]) {
        (self.status, &self.body)
    }

    /// Whether it says when to try again.
    #[cfg(test)]
    pub(crate) fn has_retry_after(&self) -> bool {
        self.headers.iter().any(|(name, _)| name == "Retry-After")
    }

    /// In the form of the guard's own.
    pub(super) fn refusal(refusal: Refusal) -> Self {
        let reply = Self::typed(refusal.status(), "application/json", refusal.body());
        if refusal.is_temporary() { reply.header("Retry-After", "1") } else { reply }
    }
}

impl fmt::Debug for Reply {
    /// Without header values and body: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

const UNANSWERED: Refusal = Refusal::new(500, "the hub dropped the request without an answer");
const NOT_JSON: Refusal = Refusal::new(500, "the answer has no JSON form");
