//! Events that a hub passes from one client to the others.

use bytes::Bytes;

use super::client::ClientId;
use crate::link::Message;

/// An event of one client that concerns others. Media comes with its own stage.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Propagated {
    /// Nothing to pass on.
    Noop,
    /// A message that a client sent on a channel, for all other clients that have a channel of
    /// the same name open.
    Data {
        /// Who sent it.
        from: ClientId,
        /// The channel's name.
        label: String,
        /// The message; its bytes are shared, not copied, between those it goes to.
        message: Message,
    },
    /// A client has opened a channel, or can use it again.
    Opened {
        /// Who has.
        by: ClientId,
        /// The channel's name.
        label: String,
    },
    /// A channel of a client is closed.
    Closed {
        /// Whose it was.
        by: ClientId,
        /// The channel's name.
        label: String,
    },
    /// The hub's status, for all clients.
    Status(Bytes),
    /// A message that a client sent to the hub itself, on the channel
    /// [`CHANNEL`](crate::signal::hub_messages::CHANNEL). No client gets it.
    ToHub {
        /// Who sent it.
        from: ClientId,
        /// The message.
        message: Message,
    },
}

impl Propagated {
    /// The client that must not get it back.
    #[must_use]
    pub fn client_id(&self) -> Option<ClientId> {
        match self {
            Self::Data { from, .. } | Self::ToHub { from, .. } => Some(*from),
            Self::Opened { by, .. } | Self::Closed { by, .. } => Some(*by),
            Self::Noop | Self::Status(_) => None,
        }
    }
}
