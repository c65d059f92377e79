//! Channels.

use std::task::Poll;

use pyo3::prelude::*;
use rover_rtc::link::Mode;
use rover_rtc::pull::{self, Received};
use rover_rtc::{Message as Inner, SendError, Settled};

use crate::config::mode_name;
use crate::error::Failure;
use crate::fork::Here;
use crate::message::Message;
use crate::payload;
use crate::wait::{Outcome, Wait};

/// A channel of a link.
#[pyclass(frozen, module = "rover_rtc._native")]
pub(crate) struct Channel {
    channel: Here<pull::Channel>,
    manual_ack: bool,
}

impl Channel {
    pub(crate) fn new(channel: pull::Channel) -> Self {
        let manual_ack = channel.is_manual_ack();
        crate::tag::name_once(|| channel.tag(), |tag| channel.set_tag(tag));
        Self { channel: Here::new(channel), manual_ack }
    }

    fn take(&self, max_bytes: usize) -> Result<Taken, Failure> {
        Ok(match self.channel.get()?.recv(max_bytes) {
            Poll::Pending => Taken::None,
            Poll::Ready(Received::Message { message, more }) => Taken::Message(message, more),
            Poll::Ready(Received::TooLarge(_)) => Taken::TooLarge,
            Poll::Ready(_) => return Err(Failure::closed("the channel is closed")),
        })
    }
}

enum Taken {
    None,
    Message(Inner, bool),
    /// It stays where it is.
    TooLarge,
}

#[pymethods]
impl Channel {
    /// The number by which events name it.
    #[getter]
    fn id(&self) -> Result<usize, Failure> {
        Ok(self.channel.get()?.tag())
    }

    #[getter]
    fn label(&self) -> Result<&str, Failure> {
        Ok(self.channel.get()?.label())
    }

    #[getter]
    fn mode(&self) -> Result<&'static str, Failure> {
        Ok(mode_name(self.channel.get()?.mode()))
    }

    #[getter]
    fn manual_ack(&self) -> bool {
        self.manual_ack
    }

    /// Queues a message if there is room now; False if there is not, and the event ROOM follows.
    /// Where the policy is to refuse, that is an error of the kind FULL.
    #[pyo3(signature = (data, key=None))]
    fn send(&self, data: &Bound<'_, PyAny>, key: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let mut message = payload::message(data)?;
        if let Some(key) = key {
            message = message.with_key(payload::message(key)?.data);
        }
        match self.channel.get()?.send(message) {
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(error)) => Err(Failure::from(error).into()),
            Poll::Pending => Ok(false),
        }
    }

    /// The next message, or None if there is none by now: then the event READABLE follows.
    /// An error of the kind CLOSED says that there will be none.
    fn recv(&self, py: Python<'_>) -> Result<Option<Message>, Failure> {
        Ok(match self.take(usize::MAX)? {
            Taken::Message(message, _) => Some(Message::new(py, message, self.manual_ack)),
            _ => None,
        })
    }

    /// The next messages: as many as there are, but only so many, and so many bytes in all, though
    /// one at least.
    fn recv_many(
        &self,
        py: Python<'_>,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<Vec<Message>, Failure> {
        let mut messages = Vec::new();
        let mut room = max_bytes;
        while messages.len() < max_messages {
            let limit = if messages.is_empty() { usize::MAX } else { room };
            match self.take(limit) {
                Ok(Taken::Message(message, more)) => {
                    room = room.saturating_sub(message.data.len());
                    messages.push(Message::new(py, message, self.manual_ack));
                    if !more {
                        break;
                    }
                }
                // The end is told next time.
                Err(error) if messages.is_empty() => return Err(error),
                Ok(Taken::None | Taken::TooLarge) | Err(_) => break,
            }
        }
        Ok(messages)
    }

    /// Messages and bytes that wait to be sent, and messages that were sent and not acknowledged.
    fn queued(&self) -> Result<(usize, usize, usize), Failure> {
        let channel = self.channel.get()?;
        let (messages, bytes) = channel.queued();
        Ok((messages, bytes, channel.held()))
    }

    /// Waits until what was sent so far is on disk, on a durable channel.
    fn stored(&self) -> Result<Wait, Failure> {
        let channel = self.channel.get()?.inner().clone();
        Ok(Wait::new(async move {
            channel.stored().await?;
            Ok(Outcome::Done)
        }))
    }

    /// Waits until the other side has acknowledged what was sent so far.
    fn acknowledged(&self) -> Result<Wait, Failure> {
        let channel = self.channel.get()?.inner().clone();
        Ok(Wait::new(async move {
            match channel.settled().await {
                Settled::Acknowledged => Ok(Outcome::Done),
                Settled::Dropped => Err(Failure::new(
                    "DROPPED",
                    "messages were dropped: the statistics of the channel say why",
                )),
                _ => Err(Failure::from(SendError::Closed)),
            }
        }))
    }

    /// Whether messages are kept until they are acknowledged.
    #[getter]
    fn is_kept(&self) -> Result<bool, Failure> {
        Ok(matches!(self.channel.get()?.mode(), Mode::Reliable | Mode::Durable))
    }
}
