//! One connection of the guard: reads a request, has it answered, and closes in good order.

#![allow(clippy::disallowed_methods, reason = "a driver: it waits by itself")]

use std::future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::answer::{AnswerHead, Refusal};
use super::backend::HttpHandover;
use super::exchange::HttpLimits;
use super::guard::Stop;
use super::pending_reply::{Memory, NO_MEMORY, Room};
use super::private_socket::Pipe;
use super::request::{Head, HeadScanner};
use super::slots::{ConnectionSlot, ConnectionSlots, Eviction};
use crate::util::clock;

/// What the connections of one listener share.
#[derive(Debug)]
pub(super) struct ConnectionContext {
    limits: HttpLimits,
    handover: Arc<HttpHandover>,
    slots: Arc<ConnectionSlots>,
    /// For answers that wait for their clients.
    memory: Memory,
}

impl ConnectionContext {
    pub(super) fn new(
        limits: HttpLimits,
        handover: Arc<HttpHandover>,
        slots: Arc<ConnectionSlots>,
    ) -> Self {
        Self { limits, handover, slots, memory: Memory::new() }
    }
}

/// An accepted connection that has a slot.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    remote: SocketAddr,
    slot: ConnectionSlot,
    context: Arc<ConnectionContext>,
    stop: Stop,
}

/// Tells a client that there is no slot for it.
pub(super) async fn refuse(mut stream: TcpStream, refusal: Refusal) {
    // A fresh connection takes a few bytes at once or never.
    if stream.try_write(&refusal.to_bytes()).is_ok() {
        linger(&mut stream).await;
    }
}

impl Connection {
    pub(super) const fn new(
        stream: TcpStream,
        remote: SocketAddr,
        slot: ConnectionSlot,
        context: Arc<ConnectionContext>,
        stop: Stop,
    ) -> Self {
        Self { stream, remote, slot, context, stop }
    }

    /// Serves the one request of this connection.
    pub(super) async fn run(mut self, eviction: Eviction) {
        let evicted = tokio::select! {
            () = self.serve() => false,
            _ = eviction => true,
        };
        if evicted {
            // The slot is somebody else's already, so no time is left to make sure it arrives.
            let _ = self.stream.try_write(&EVICTED.to_bytes());
        }
    }

    async fn serve(&mut self) {
        let _ = self.stream.set_nodelay(true);
        let sent = match self.answer().await {
            Ok(answer) => self.send(&answer.bytes).await,
            Err(End::Refused(refusal)) => {
                let (remote, status) = (self.remote, refusal.status());
                tracing::debug!(%remote, status, "refused an http request");
                self.send(&refusal.to_bytes()).await
            }
            Err(End::Gone) => return,
        };
        if sent.is_ok() {
            self.slot.unsettle();
            linger(&mut self.stream).await;
        }
    }

    async fn answer(&mut self) -> Result<Answer, End> {
        let limits = &self.context.limits;
        let request = tokio::select! {
            read = timeout(limits.request_timeout, read_request(&mut self.stream, limits)) => {
                read.unwrap_or(Err(SLOW.into()))?
            }
            () = self.stop.requested() => return Err(STOPPING.into()),
        };
        if !self.slot.settle() {
            return Err(End::Gone);
        }
        tokio::select! {
            asked = timeout(limits.response_timeout, self.context.ask(&request, self.remote)) => {
                Ok(asked.unwrap_or(Err(NO_ANSWER))?)
            }
            () = client_gone(&self.stream) => Err(End::Gone),
            () = self.stop.requested() => Err(STOPPING.into()),
        }
    }

    /// Writes with a deadline for each piece: a long answer may take long, a stuck one may not.
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE) {
            timeout(self.context.limits.write_timeout, self.stream.write_all(piece)).await??;
        }
        Ok(())
    }
}

/// Why a connection gets no answer of the handler's.
enum End {
    /// There is nobody to answer.
    Gone,
    Refused(Refusal),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

struct Request {
    head: Head,
    body: Vec<u8>,
}

async fn read_request(stream: &mut TcpStream, limits: &HttpLimits) -> Result<Request, End> {
    let mut bytes = Vec::new();
    let reading = read_head(stream, &mut bytes, limits);
    let Ok(head) = timeout(limits.head_timeout, reading).await else {
        // To a connection opened ahead of need, an answer without a question is a nuisance.
        return Err(if bytes.is_empty() { End::Gone } else { SLOW.into() });
    };
    let head = head?;
    if head.expects_continue() && bytes.len() < head.body_len() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    while bytes.len() < head.body_len() {
        if receive(stream, &mut bytes, head.body_len()).await? == 0 {
            return Err(End::Gone);
        }
    }
    // What follows is another request, which has to come again on its own connection.
    bytes.truncate(head.body_len());
    Ok(Request { head, body: bytes })
}

/// Reads a head and leaves in `bytes` what came behind it.
async fn read_head(
    stream: &TcpStream,
    bytes: &mut Vec<u8>,
    limits: &HttpLimits,
) -> Result<Head, End> {
    let mut scanner = HeadScanner::default();
    loop {
        if let Some(len) = scanner.scan(bytes)? {
            let head = Head::parse(&bytes[..len], limits.max_body_bytes)?;
            bytes.drain(..len);
            return Ok(head);
        }
        if bytes.len() >= limits.max_head_bytes {
            return Err(scanner.overflow().into());
        }
        if receive(stream, bytes, limits.max_head_bytes).await? == 0 {
            return Err(End::Gone);
        }
    }
}

/// An answer for the client, head and body in one piece.
struct Answer {
    bytes: Vec<u8>,
    _room: Room,
}

impl ConnectionContext {
    /// Has the handler answer. Tries again as long as the request has not reached it.
    async fn ask(&self, request: &Request, remote: SocketAddr) -> Result<Answer, Refusal> {
        for _ in 0..ATTEMPTS {
            let error = match self.handover.submit(&request.head, &request.body, remote).await {
                Ok(mut submission) => {
                    let answer = self.take_answer(&mut submission.pipe, &request.head).await;
                    match answer {
                        Ok(answer) if submission.has_arrived() => return answer,
                        Err(error) if submission.has_arrived() => {
                            tracing::warn!(%error, "an answer was lost on its way");
                            return Err(LOST);
                        }
                        Ok(_) => io::ErrorKind::ConnectionAborted.into(),
                        Err(error) => error,
                    }
                }
                Err(error) => {
                    self.slots.shrink(clock::now());
                    error
                }
            };
            tracing::debug!(%error, "a request did not reach the inner http server");
            sleep(RETRY_PAUSE).await;
        }
        Err(BUSY)
    }

    /// Takes the whole answer as fast as it comes, so that no client holds up the sending thread.
    /// What there is no memory for is dropped at once.
    async fn take_answer(
        &self,
        pipe: &mut Pipe,
        request: &Head,
    ) -> io::Result<Result<Answer, Refusal>> {
        let mut bytes = Vec::new();
        let mut scanner = HeadScanner::default();
        let odd = || io::Error::from(io::ErrorKind::InvalidData);
        let head_len = loop {
            if let Some(len) = scanner.scan(&bytes).map_err(|_| odd())? {
                break len;
            }
            if bytes.len() > MAX_ANSWER_HEAD {
                return Err(odd());
            }
            bytes.reserve(CHUNK);
            if pipe.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = AnswerHead::parse(&bytes[..head_len], request.is_head()).ok_or_else(odd)?;
        let Some(room) = self.memory.take(head.body_len) else {
            return Ok(Err(NO_MEMORY));
        };

        let missing = (head_len + head.body_len).saturating_sub(bytes.len());
        bytes.reserve_exact(missing);
        if pipe.take(missing as u64).read_to_end(&mut bytes).await? < missing {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.splice(..head_len, head.bytes);
        Ok(Ok(Answer { bytes, _room: room }))
    }
}

/// Waits for the client to leave while its answer is being made. It may close its sending half and
/// still wait, so it has a moment left; what it sends in the meantime is nobody's.
async fn client_gone(stream: &TcpStream) {
    match drain(stream).await {
        Ok(true) => sleep(HALF_CLOSE_GRACE).await,
        // It talks on, so it is there. What more it says stays unread.
        Ok(false) => future::pending().await,
        Err(_) => {}
    }
}

/// Closes so that the client sees the answer: closing with bytes unread would reset the connection,
/// and the reset can overtake the answer (RFC 9112 section 9.6).
async fn linger(stream: &mut TcpStream) {
    if stream.shutdown().await.is_ok() {
        let _ = timeout(LINGER, drain(stream)).await;
    }
}

/// Throws away what comes, but not for ever. True if the client has closed its half.
async fn drain(stream: &TcpStream) -> io::Result<bool> {
    let mut scratch = Vec::new();
    let mut drained = 0;
    while drained < MAX_DRAIN {
        match receive(stream, &mut scratch, CHUNK).await? {
            0 => return Ok(true),
            len => drained += len,
        }
        scratch.clear();
    }
    Ok(false)
}

/// Appends to `bytes` what has arrived, up to a length of `max`; 0 is the end. An idle connection
/// has no buffer: the stack of this function is one only while there is something to read.
async fn receive(stream: &TcpStream, bytes: &mut Vec<u8>, max: usize) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        let mut chunk = [0; CHUNK];
        let room = max.saturating_sub(bytes.len()).min(CHUNK);
        match stream.try_read(&mut chunk[..room]) {
            Ok(len) => {
                bytes.extend_from_slice(&chunk[..len]);
                return Ok(len);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

const MAX_ANSWER_HEAD: usize = 64 * 1024;
const CHUNK: usize = 4 * 1024;
const PIECE: usize = 64 * 1024;
/// With the pause, time enough for the inner server to be opened anew.
const ATTEMPTS: usize = 10;
const RETRY_PAUSE: Duration = Duration::from_millis(30);
/// A client that has closed may also have left; until its answer fails to arrive, nobody can tell.
const HALF_CLOSE_GRACE: Duration = Duration::from_secs(2);
/// One retransmission on a slow path, and what fits into a receive buffer.
const LINGER: Duration = Duration::from_millis(500);
const MAX_DRAIN: usize = 64 * 1024;

const SLOW: Refusal = Refusal::new(408, "the request took too long to arrive");
const LOST: Refusal = Refusal::new(502, "the answer was lost inside the hub");
const EVICTED: Refusal = Refusal::new(503, "the hub is full and others were waiting");
const STOPPING: Refusal = Refusal::new(503, "the hub is shutting down");
const BUSY: Refusal = Refusal::new(503, "the hub is short of resources");
const NO_ANSWER: Refusal = Refusal::new(504, "the hub did not answer in time");
