//! An answer that is owed, and the thread that sends it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refusal;
use super::exchange::Reply;
use crate::util::clock;
use crate::util::limiter::Limiter;

/// A request the handler has, and the way its answer will take.
pub(super) struct PendingReply {
    pub(super) request: tiny_http::Request,
    pub(super) body: Vec<u8>,
    pub(super) remote: SocketAddr,
    /// Dead once the guard no longer waits for the answer.
    pub(super) waiting: Weak<()>,
    pub(super) answers: ReplyQueue,
}

impl PendingReply {
    pub(super) fn is_abandoned(&self) -> bool {
        self.waiting.strong_count() == 0
    }

    /// Leaves the writing to a thread of ours. The caller may be a task of the very runtime on
    /// which the guard reads the answer, and would wait for itself if the answer is larger than a
    /// socket holds.
    pub(super) fn reply(self, reply: Reply) {
        self.answers.send(self.request, reply);
    }
}

/// The way to the sending thread.
#[derive(Clone)]
pub(super) struct ReplyQueue {
    /// `None` is the end.
    queue: mpsc::Sender<Option<QueuedReply>>,
    memory: Memory,
}

struct QueuedReply {
    request: tiny_http::Request,
    reply: Reply,
    _room: Option<Room>,
}

impl ReplyQueue {
    /// The way, and what the thread is to run.
    pub(super) fn channel() -> (Self, impl FnOnce() + Send) {
        let (queue, queued) = mpsc::channel();
        (Self { queue, memory: Memory::new() }, move || send_answers(&queued))
    }

    /// Ends the thread once it has sent what is queued.
    pub(super) fn end(&self) {
        // It may have ended already.
        let _ = self.queue.send(None);
    }

    fn send(&self, request: tiny_http::Request, mut reply: Reply) {
        let room = self.memory.take(reply.body.len());
        if room.is_none() {
            reply = Reply::refusal(NO_MEMORY);
        }
        // After the thread's end the client is gone as well.
        let _ = self.queue.send(Some(QueuedReply { request, reply, _room: room }));
    }
}

/// The memory for answers that wait.
///
/// Small answers always have room: there are no more of them than connections.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    free: Arc<Semaphore>,
    /// Clients that do not read cause it.
    warnings: Arc<Mutex<Limiter>>,
}

/// A share of [`Memory`], given back on drop.
pub(super) type Room = OwnedSemaphorePermit;

impl Memory {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(MAX_WAITING_BYTES)), warnings: Arc::default() }
    }

    /// Room for a body, if there is any.
    pub(super) fn take(&self, body_len: usize) -> Option<Room> {
        let share = u32::try_from(body_len.saturating_sub(SMALL)).ok();
        let room = share.and_then(|it| Arc::clone(&self.free).try_acquire_many_owned(it).ok());
        if room.is_none() {
            let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(withheld) = warnings.admit(clock::now()) {
                tracing::warn!(body_len, withheld, "no memory for an answer");
            }
        }
        room
    }
}

/// The sending thread. It never waits for a client: the guard takes every answer at once.
fn send_answers(queue: &mpsc::Receiver<Option<QueuedReply>>) {
    while let Ok(Some(QueuedReply { request, reply, _room })) = queue.recv() {
        if let Err(error) = request.respond(response(reply)) {
            tracing::debug!(%error, "an answer did not reach the guard");
        }
    }
}

fn response(reply: Reply) -> tiny_http::Response<io::Cursor<Vec<u8>>> {
    let Reply { mut status, headers, body } = reply;
    if !(200..600).contains(&status) {
        tracing::error!(status, "the handler answered with what is no final status");
        status = 500;
    }
    let length = body.len();
    let response = tiny_http::Response::new(
        tiny_http::StatusCode(status),
        headers.iter().filter_map(header).collect(),
        io::Cursor::new(body),
        Some(length),
        None,
    );
    // The guard expects a length with every answer.
    response.with_chunked_threshold(usize::MAX)
}

/// A header of the handler's, unless it would break the answer: `tiny_http` writes any ASCII, line
/// breaks too.
fn header((name, value): &(String, String)) -> Option<tiny_http::Header> {
    let sound = !name.is_empty()
        && name.bytes().all(is_token)
        && value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let header = tiny_http::Header::from_bytes(name.as_str(), value.as_str()).ok();
    let header = header.filter(|_| sound);
    if header.is_none() {
        tracing::error!(?name, "the handler's answer has a header that http cannot carry");
    }
    header
}

/// What names are made of (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Beside the small answers; once for those that wait for the sending thread, and once for those
/// that wait for their clients. No answer can be larger.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
const SMALL: usize = 16 * 1024;
pub(super) const NO_MEMORY: Refusal = Refusal::new(503, "too many large answers are under way");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_would_break_the_answer_are_left_out() {
        let reply = Reply::empty(200)
            .header("Location", "/v1/sessions/7")
            .header("A", "b\r\nSet-Cookie: c")
            .header("A:", "b")
            .header("", "b")
            .header("Umlaut", "\u{fc}");
        let response = response(reply);
        let names: Vec<_> = response.headers().iter().map(|it| it.field.to_string()).collect();
        assert_eq!(names, ["Location"]);
    }

    #[test]
    fn small_answers_have_room_when_large_ones_have_not() {
        let memory = Memory::new();
        assert!(memory.take(MAX_WAITING_BYTES + SMALL + 1).is_none());
        let all = memory.take(MAX_WAITING_BYTES + SMALL).unwrap();
        assert!(memory.take(SMALL + 1).is_none());
        assert!(memory.take(SMALL).is_some());
        drop(all);
        assert!(memory.take(SMALL + 1).is_some());
    }

    #[test]
    fn a_status_that_is_not_final_becomes_500() {
        for status in [0, 101, 199, 600, u16::MAX] {
            assert_eq!(response(Reply::empty(status)).status_code(), 500);
        }
    }
}
