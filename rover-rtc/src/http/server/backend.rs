//! The private half of the HTTP server: `tiny_http` behind a socket only this process can reach.
//!
//! On Unix that is a socket in a fresh directory of mode 0700; where there is none to be had, a
//! port of 127.0.0.1. Either way every request carries a ticket, a random number good for one
//! request, which the receiving thread trades in for what the guard knows of the client. Whoever
//! shows none is told 403.
//!
//! `tiny_http` ends when an `accept` fails, and the process running out of descriptors is enough
//! for that. So hand-overs are few at a time, each makes sure first that descriptors are left, and
//! if `tiny_http` ends all the same, the receiving thread opens a new one.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::exchange::Exchange;
use super::pending_reply::{PendingReply, ReplyQueue};
use super::private_socket::{Address, Pipe, PrivateDir, check_descriptors, random_hex};
use super::request::{Head, TICKET_HEADER};

/// What is called with every request.
pub(super) type Handler = dyn Fn(Exchange) + Send + Sync;

/// The threads of the private half. Dropping it ends them without waiting.
#[derive(Debug)]
pub(super) struct Backend {
    handover: Arc<HttpHandover>,
    threads: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    thread: thread::JoinHandle<()>,
    /// Resolves when the thread is about to end, so that waiting for it can have a limit.
    ended: oneshot::Receiver<()>,
}

impl Backend {
    /// Starts with a socket in `dir`, or on a port of 127.0.0.1.
    /// The guard lets no body above `max_body_bytes` through.
    pub(super) fn start(
        dir: Option<PrivateDir>,
        max_body_bytes: usize,
        handler: Box<Handler>,
    ) -> io::Result<Self> {
        let (answers, send_answers) = ReplyQueue::channel();
        let inner = InnerServer::open(dir.as_ref())?;
        let handover = Arc::new(HttpHandover {
            inner: Mutex::new(Some(inner)),
            tickets: Mutex::default(),
            permits: Arc::new(Semaphore::new(HANDOVERS)),
            answers,
            stopping: AtomicBool::new(false),
            max_body_bytes,
        });
        // From here on dropping `backend` ends what has been started.
        let mut backend = Self { handover: Arc::clone(&handover), threads: Vec::new() };
        backend.spawn("rover-http-in", move || handover.receive(&handler, dir.as_ref()))?;
        backend.spawn("rover-http-out", send_answers)?;
        Ok(backend)
    }

    pub(super) fn handover(&self) -> Arc<HttpHandover> {
        Arc::clone(&self.handover)
    }

    /// Ends the threads and the private socket. Gives up on a handler that blocks for too long.
    pub(super) async fn shutdown(mut self) {
        self.handover.stop();
        for Worker { thread, ended } in self.threads.drain(..) {
            if tokio::time::timeout(JOIN_PATIENCE, ended).await.is_ok() {
                // An error is a panic, which the panic hook has reported.
                let _ = thread.join();
            } else {
                tracing::warn!("the handler blocks, its thread is left behind");
            }
        }
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let (ending, ended) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            run();
            drop(ending);
        })?;
        self.threads.push(Worker { thread, ended });
        Ok(())
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.handover.stop();
    }
}

/// Where the guard hands requests over and the receiving thread picks them up.
pub(super) struct HttpHandover {
    inner: Mutex<Option<InnerServer>>,
    tickets: Mutex<HashMap<String, Pending>>,
    permits: Arc<Semaphore>,
    answers: ReplyQueue,
    stopping: AtomicBool,
    max_body_bytes: usize,
}

/// One `tiny_http` and the way in.
struct InnerServer {
    server: Arc<tiny_http::Server>,
    address: Address,
}

/// What the guard knows of a request on its way to the receiving thread.
struct Pending {
    remote: SocketAddr,
    waiting: Weak<()>,
    /// Frees a hand-over when the request has arrived.
    _permit: OwnedSemaphorePermit,
}

impl HttpHandover {
    /// Hands a request over. The answer will come out of the submission's pipe.
    pub(super) async fn submit(
        self: &Arc<Self>,
        head: &Head,
        body: &[u8],
        remote: SocketAddr,
    ) -> io::Result<Submission> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(io::Error::other)?;
        let closed = || io::Error::from(io::ErrorKind::NotConnected);
        let address = self.inner().as_ref().ok_or_else(closed)?.address.clone();
        check_descriptors(SPARE_DESCRIPTORS)?;
        let mut pipe = match address.connect().await {
            Ok(pipe) => pipe,
            Err(error) => {
                self.report_dead(&address, &error);
                return Err(error);
            }
        };

        let waiting = Arc::new(());
        let ticket = Ticket { handover: Arc::clone(self), number: random_hex::<TICKET_BYTES>()? };
        let pending = Pending { remote, waiting: Arc::downgrade(&waiting), _permit: permit };
        self.tickets().insert(ticket.number.clone(), pending);
        pipe.write_all(&head.canonical(&ticket.number, body)).await?;
        Ok(Submission { pipe, ticket, _waiting: waiting })
    }

    /// A refused connection means that `tiny_http` has ended without a word, which it does when it
    /// panics. Wakes the receiving thread to open a new one.
    fn report_dead(&self, address: &Address, error: &io::Error) {
        if let Some(inner) = &*self.inner()
            && inner.address == *address
            && matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
        {
            inner.server.unblock();
        }
    }

    /// The receiving thread: until the end, takes what `tiny_http` has read to the handler.
    fn receive(&self, handler: &Handler, dir: Option<&PrivateDir>) {
        while !self.stopping.load(Ordering::SeqCst) {
            let Some(server) = self.inner().as_ref().map(|inner| Arc::clone(&inner.server)) else {
                break;
            };
            match server.recv() {
                Ok(request) => self.admit(request, handler),
                Err(_) if self.stopping.load(Ordering::SeqCst) => break,
                Err(error) => {
                    tracing::warn!(%error, "the inner http server ended, opening a new one");
                    self.reopen(dir);
                }
            }
        }
        // Dropping the server connects to its socket once more, so it goes before the directory.
        let inner = self.inner().take();
        drop(inner);
    }

    fn reopen(&self, dir: Option<&PrivateDir>) {
        while !self.stopping.load(Ordering::SeqCst) {
            match InnerServer::open(dir) {
                Ok(inner) => {
                    let old = self.inner().replace(inner);
                    drop(old);
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot open a new inner http server yet");
                    thread::sleep(REOPEN_PAUSE);
                }
            }
        }
    }

    fn admit(&self, mut request: tiny_http::Request, handler: &Handler) {
        let shown = request.headers().iter().find(|it| it.field.equiv(TICKET_HEADER));
        let pending = shown.and_then(|it| self.tickets().remove(it.value.as_str()));
        let Some(Pending { remote, waiting, _permit: permit }) = pending else {
            return self.turn_away(request);
        };
        let length = request.body_length().unwrap_or(0);
        let mut body = Vec::with_capacity(length);
        let read = request.as_reader().take(length as u64).read_to_end(&mut body);
        if read.is_ok_and(|read| read == length) {
            drop(permit);
            let answers = self.answers.clone();
            let exchange = Exchange::new(PendingReply { request, body, remote, waiting, answers });
            // The exchange is dropped on the way out of a panic, which answers 500.
            if catch_unwind(AssertUnwindSafe(|| handler(exchange))).is_err() {
                tracing::error!("the http handler panicked");
            }
        }
    }

    /// The request came too late for its client, or another process has found the private socket.
    fn turn_away(&self, request: tiny_http::Request) {
        tracing::debug!("a request without a valid ticket");
        let length = request.body_length().unwrap_or(0);
        if length <= READ_AHEAD {
            let _ = request.respond(tiny_http::Response::empty(403));
        } else if length <= self.max_body_bytes {
            // Dropping it waits for the rest of the body or the end of the connection. The guard
            // has closed its end by now, but a stranger may take long.
            let away = move || drop(request);
            if let Err(error) = thread::Builder::new().name("rover-http-away".into()).spawn(away) {
                tracing::debug!(%error, "no thread to turn a request away");
            }
        } else {
            // Certainly a stranger's, and dropping it would allocate all it has announced.
            std::mem::forget(request);
        }
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        if let Some(inner) = &*self.inner() {
            inner.server.unblock();
        }
        self.answers.end();
    }

    fn inner(&self) -> MutexGuard<'_, Option<InnerServer>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tickets(&self) -> MutexGuard<'_, HashMap<String, Pending>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for HttpHandover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpHandover").finish_non_exhaustive()
    }
}

impl InnerServer {
    fn open(dir: Option<&PrivateDir>) -> io::Result<Self> {
        let (listener, address) = Address::listen(dir)?;
        let server = tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?;
        Ok(Self { server: Arc::new(server), address })
    }
}

/// A request that has been handed over; dropping it abandons it.
pub(super) struct Submission {
    /// The connection on which the answer comes.
    pub(super) pipe: Pipe,
    ticket: Ticket,
    _waiting: Arc<()>,
}

impl Submission {
    /// Whether the handler has it. If not, nothing has happened yet and it may be submitted again.
    pub(super) fn has_arrived(&self) -> bool {
        !self.ticket.handover.tickets().contains_key(&self.ticket.number)
    }
}

struct Ticket {
    handover: Arc<HttpHandover>,
    number: String,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Its place wakes who waits for one: not under the lock.
        let pending = self.handover.tickets().remove(&self.number);
        drop(pending);
    }
}

/// As many threads as `tiny_http` keeps; more at a time would make it start and end some more.
const HANDOVERS: usize = 4;
/// Three for each hand-over, and some for the rest of the process in the meantime.
const SPARE_DESCRIPTORS: usize = 16;
/// 128 bits cannot be guessed.
const TICKET_BYTES: usize = 16;
/// Bodies up to here `tiny_http` has read before it shows a request.
const READ_AHEAD: usize = 1024;
const REOPEN_PAUSE: Duration = Duration::from_millis(20);
const JOIN_PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test waits")]
mod tests {
    use std::sync::mpsc;

    use tokio::io::AsyncReadExt as _;

    use super::super::exchange::Reply;
    use super::*;

    const MAX_BODY: usize = 64 * 1024;
    const PEER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7);

    fn echo(dir: Option<PrivateDir>) -> Backend {
        let handler = |exchange: Exchange| {
            let body = exchange.body().to_vec();
            exchange.respond(Reply::typed(200, "text/plain", body));
        };
        Backend::start(dir, MAX_BODY, Box::new(handler)).unwrap()
    }

    async fn submit(handover: &Arc<HttpHandover>, body: &[u8]) -> io::Result<String> {
        let head = Head::parse(b"POST / HTTP/1.0\r\n\r\n", 0).unwrap();
        let mut submission = handover.submit(&head, body, PEER).await?;
        let mut answer = String::new();
        submission.pipe.read_to_string(&mut answer).await?;
        assert!(submission.has_arrived());
        Ok(answer)
    }

    /// What somebody gets who writes to the private socket without the guard.
    async fn intrude(handover: &HttpHandover, request: &str) -> (Pipe, String) {
        let address = handover.inner().as_ref().unwrap().address.clone();
        let mut pipe = address.connect().await.unwrap();
        pipe.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let reading = pipe.read_to_string(&mut answer);
        let _ = tokio::time::timeout(Duration::from_millis(200), reading).await;
        (pipe, answer)
    }

    #[tokio::test]
    async fn requests_pass_on_either_kind_of_socket() {
        for dir in [PrivateDir::create(), None] {
            let backend = echo(dir);
            for body in [b"small".to_vec(), b"large".repeat(10_000)] {
                let answer = submit(&backend.handover(), &body).await.unwrap();
                assert!(answer.as_bytes().ends_with(&body));
            }
            assert!(backend.handover().tickets().is_empty());
            backend.shutdown().await;
        }
    }

    #[tokio::test]
    async fn strangers_are_turned_away() {
        let backend = echo(None);
        let handover = backend.handover();
        let plain = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
        assert!(intrude(&handover, plain).await.1.starts_with("HTTP/1.1 403"));
        let guessed = plain.replace("\r\n\r\n", &format!("\r\n{TICKET_HEADER}: 00\r\n\r\n"));
        assert!(intrude(&handover, &guessed).await.1.starts_with("HTTP/1.1 403"));
        // Would hold up the receiving thread, and would end the process by what it allocates.
        let announce = |length: u64| {
            plain.replace("\r\n\r\n", &format!("\r\nContent-Length: {length}\r\n\r\n"))
        };
        let slow = intrude(&handover, &announce(5000)).await;
        let huge = intrude(&handover, &announce(9_000_000_000_000_000_000)).await;
        assert!(submit(&handover, b"undisturbed").await.unwrap().ends_with("undisturbed"));
        drop((slow, huge));
        backend.shutdown().await;
    }

    #[tokio::test]
    async fn an_ended_server_is_replaced() {
        let backend = echo(PrivateDir::create());
        let handover = backend.handover();
        let address =
            |handover: &HttpHandover| handover.inner().as_ref().map(|inner| inner.address.clone());
        let first = address(&handover);
        // As `tiny_http` does when an accept fails: the receiving thread gets an error.
        handover.inner().as_ref().unwrap().server.unblock();
        while address(&handover) == first {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(submit(&handover, b"still here").await.unwrap().ends_with("still here"));

        // As it does when a panic ends it: nobody listens any more.
        #[cfg(unix)]
        if let Some(Address::Unix(path)) = address(&handover) {
            std::fs::remove_file(path).unwrap();
            assert!(submit(&handover, b"lost").await.is_err());
            while submit(&handover, b"and again").await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        backend.shutdown().await;
    }

    #[tokio::test]
    async fn a_handler_that_blocks_does_not_block_the_end() {
        let (entered, entries) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let handler = move |_: Exchange| {
            entered.send(()).unwrap();
            let _ = released.lock().unwrap().recv();
        };
        let backend = Backend::start(None, MAX_BODY, Box::new(handler)).unwrap();
        let handover = backend.handover();
        let asking = tokio::spawn(async move { submit(&handover, b"").await });
        while entries.try_recv().is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        asking.abort();
        backend.shutdown().await;
        drop(release);
    }
}
