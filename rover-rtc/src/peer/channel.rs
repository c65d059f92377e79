//! The application's handle on a channel.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::ready;

use bytes::Bytes;
use tokio::sync::Notify;

use super::inbox::Inbox;
use crate::error::SendError;
use crate::link::{ChannelId, Message, Outbox};

/// A channel of a peer. It stays the same across path switches, restarts and new transports:
/// while there is no connection, what is sent waits in its outbox.
///
/// Cheap to clone; clones share the outbox and the inbox.
#[derive(Debug, Clone)]
pub struct Channel {
    pub(super) id: ChannelId,
    pub(super) label: Arc<str>,
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

    /// Queues a binary message, waiting for room if the outbox is full and its policy is to wait.
    ///
    /// `Ok` means queued: this side has it, the other side does not yet. Cancelling the future
    /// sends nothing.
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
        let was_empty = poll_fn(|cx| self.outbox.poll_push(cx, &mut message)).await?;
        self.tell_driver(was_empty);
        Ok(())
    }

    /// Queues a message if there is room now.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if there is none.
    pub fn try_send(&self, message: Message) -> Result<(), SendError> {
        let was_empty = self.outbox.try_push(message)?;
        self.tell_driver(was_empty);
        Ok(())
    }

    /// The next message; `None` when the peer has been closed and all have been taken.
    pub async fn recv(&self) -> Option<Message> {
        let (message, made_room) = poll_fn(|cx| self.inbox.poll_pop(cx)).await?;
        self.tell_driver(made_room);
        Some(message)
    }

    /// A message that is there already.
    #[must_use]
    pub fn try_recv(&self) -> Option<Message> {
        let (message, made_room) = self.inbox.try_pop()?;
        self.tell_driver(made_room);
        Some(message)
    }

    /// Messages and bytes that wait in the outbox.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.outbox.len()
    }

    /// Waits until at most `bytes` are queued.
    pub async fn queued_at_most(&self, bytes: usize) {
        poll_fn(|cx| {
            ready!(self.outbox.poll_drained(cx, bytes));
            std::task::Poll::Ready(())
        })
        .await;
    }

    fn tell_driver(&self, tell: bool) {
        if tell {
            self.driver.notify_one();
        }
    }
}
