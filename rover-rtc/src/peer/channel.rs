//! The application's handle on a channel.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::Notify;

use super::inbox::Inbox;
use crate::link::SendError;
use crate::link::{ChannelId, Message, Mode, Outbox, Settled};
use crate::util::clock;

/// A channel of a peer. It stays the same across path switches, restarts and new transports:
/// while there is no connection, what is sent waits in its outbox.
///
/// Cheap to clone; clones share the outbox and the inbox.
#[derive(Debug, Clone)]
pub struct Channel {
    pub(super) id: ChannelId,
    pub(super) label: Arc<str>,
    pub(super) mode: Mode,
    /// What is received is acknowledged when it is handed out.
    pub(super) acks: bool,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
    /// Wakes the driver.
    pub(super) driver: Arc<Notify>,
}

impl Channel {
    /// Its name within the link.
    #[must_use]
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// Its label.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What it promises.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether what is received is acknowledged by the application.
    #[must_use]
    pub fn is_manual_ack(&self) -> bool {
        !self.acks
    }

    /// Queues a binary message, waiting for room if the outbox is full and its policy is to wait.
    ///
    /// `Ok` means queued: this side has it, the other side does not yet; on a durable channel it
    /// is on disk, and will be delivered even if this process dies now. Cancelling the future
    /// sends nothing, unless it waits for the disk already.
    ///
    /// # Errors
    ///
    /// [`SendError`], among them [`SendError::Full`] where the policy is to refuse.
    pub async fn send(&self, data: impl Into<Bytes>) -> Result<(), SendError> {
        self.send_message(Message::binary(data)).await
    }

    /// As [`Channel::send`], for text.
    ///
    /// # Errors
    ///
    /// See [`Channel::send`].
    pub async fn send_text(&self, text: impl Into<String>) -> Result<(), SendError> {
        self.send_message(Message::text(text)).await
    }

    /// As [`Channel::send`], for either kind of message.
    ///
    /// # Errors
    ///
    /// See [`Channel::send`].
    pub async fn send_message(&self, message: Message) -> Result<(), SendError> {
        let mut message = Some(message);
        let pushed = poll_fn(|cx| self.outbox.poll_push(clock::now(), cx, &mut message)).await?;
        self.tell_driver(pushed.wake);
        poll_fn(|cx| self.outbox.poll_stored(cx, pushed.ordinal)).await
    }

    /// Queues a message if there is room now. On a durable channel it is on its way to the disk;
    /// [`Channel::stored`] tells when it is there.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if there is none.
    pub fn try_send(&self, message: Message) -> Result<(), SendError> {
        let pushed = self.outbox.try_push(clock::now(), message)?;
        self.tell_driver(pushed.wake);
        Ok(())
    }

    /// Queues a message if there is room now, as [`Channel::try_send`] does; if there is none and
    /// the policy is to wait, the waker is woken when half of the outbox is free. The message is
    /// taken out of its place when it was queued.
    ///
    /// # Errors
    ///
    /// See [`Channel::send`].
    pub fn poll_send(
        &self,
        cx: &Context<'_>,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), SendError>> {
        let pushed = ready!(self.outbox.poll_push(clock::now(), cx, message))?;
        self.tell_driver(pushed.wake);
        Poll::Ready(Ok(()))
    }

    /// Waits until all messages queued so far are on disk, on a durable channel; on others there
    /// is nothing to wait for.
    ///
    /// # Errors
    ///
    /// [`SendError::NotStored`] if the last of them could not be, [`SendError::Closed`].
    pub async fn stored(&self) -> Result<(), SendError> {
        let ordinal = self.outbox.pushed();
        poll_fn(|cx| self.outbox.poll_stored(cx, ordinal)).await
    }

    /// Waits until nothing is queued that the other side has not acknowledged; on channels without
    /// acknowledgements, until all has been handed to the transport. False if some of it was
    /// dropped instead, or the channel was closed before: [`Channel::settled`] says which.
    ///
    /// Through a hub, the other side is all who read the channel there and stay.
    pub async fn acknowledged(&self) -> bool {
        self.settled().await == Settled::Acknowledged
    }

    /// Waits as [`Channel::acknowledged`] does, and says what became of all that was queued since
    /// the last answer. The answer stays the same until something is queued again. A message that
    /// `send` has refused is none of them.
    pub async fn settled(&self) -> Settled {
        poll_fn(|cx| self.outbox.poll_settled(cx)).await
    }

    /// The next message; `None` when the peer has been closed and all have been taken.
    ///
    /// Unless the channel is set to manual acknowledgement, this acknowledges it. On a durable
    /// channel a crash of this process within the milliseconds that follow may bring it once more,
    /// or let what was to be done with it undone: who needs neither acknowledges by
    /// [`Message::ack`] when its effect is safe, and drops what comes again by [`Message::number`].
    pub async fn recv(&self) -> Option<Message> {
        let (message, made_room) = poll_fn(|cx| self.inbox.poll_pop(cx)).await?;
        self.hand_out(&message, made_room);
        Some(message)
    }

    /// A message that is there already.
    #[must_use]
    pub fn try_recv(&self) -> Option<Message> {
        let (message, made_room) = self.inbox.try_pop()?;
        self.hand_out(&message, made_room);
        Some(message)
    }

    /// A message of at most so many bytes that is there already. Whoever gets `Pending`, or a
    /// message without `more`, is woken by the next one.
    pub fn poll_recv(&self, cx: &Context<'_>, max_bytes: usize) -> Poll<Received> {
        let (received, made_room) = ready!(self.inbox.poll_take(cx, max_bytes));
        if let Received::Message { message, .. } = &received {
            self.hand_out(message, made_room);
        }
        Poll::Ready(received)
    }

    /// Ready when there is a message, or there will be none any more. Takes nothing.
    pub fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        self.inbox.poll_filled(cx)
    }

    fn hand_out(&self, message: &Message, made_room: bool) {
        if self.acks {
            message.ack();
        }
        self.tell_driver(made_room);
    }

    /// Messages and bytes that wait in the outbox.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.outbox.len()
    }

    /// Messages that are kept until the other side has acknowledged them, beside those that wait.
    #[must_use]
    pub fn held(&self) -> usize {
        self.outbox.held().0
    }

    /// Waits until at most `bytes` are queued.
    pub async fn queued_at_most(&self, bytes: usize) {
        poll_fn(|cx| {
            ready!(self.outbox.poll_drained(cx, bytes));
            Poll::Ready(())
        })
        .await;
    }

    fn tell_driver(&self, tell: bool) {
        if tell {
            self.driver.notify_one();
        }
    }
}

/// What [`Channel::poll_recv`] has found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received {
    /// A message.
    Message {
        /// It.
        message: Message,
        /// There is another one, or the end, to be had at once.
        more: bool,
    },
    /// The next message has so many bytes; it stays where it is.
    TooLarge(usize),
    /// There will be no more.
    Closed,
}
