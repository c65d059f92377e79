//! The error of peers and hubs, which holds those of all layers below.

use crate::identity::{IdentityError, TableError};
use crate::journal::JournalError;
use crate::link::{LabelError, SendError};
use crate::net::NetworkError;
use crate::rendezvous::DialError;
use crate::session::SdpError;
#[cfg(feature = "turn")]
use crate::turn::IceServerError;

/// What can go wrong on a peer or a hub.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebrtcError {
    /// The hub could not be reached or refused: caused by the hub, the network or the address
    /// given for it. The message holds what it said.
    #[error("signaling server: {0}")]
    Server(String),
    /// An offer or answer was not usable: caused by whoever wrote it.
    #[error(transparent)]
    Sdp(#[from] SdpError),
    /// A socket could not be opened or used: caused by this machine's network.
    #[error("network: {0}")]
    Network(#[from] NetworkError),
    /// A message was not taken: caused by the caller or a full outbox.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Another peer could not be called.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The peer's own key could not be loaded or made: caused by the state directory.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The file of known peers or the roster could not be used.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A text names no STUN or TURN server: caused by whoever wrote it. It is not repeated, since
    /// it may hold a password.
    #[cfg(feature = "turn")]
    #[error(transparent)]
    IceServer(#[from] IceServerError),
    /// A channel's label is empty or too long: choose another.
    #[error("{0:?} is no label: 1 to 255 bytes")]
    Label(String),
    /// The channel is open with other promises than asked for; maybe the other side has opened it
    /// first: put it into the settings (`channels`), so that it is there before, or choose another
    /// label.
    #[error(
        "the channel {0:?} is open with another mode or manual_ack: open it with the same, or another label"
    )]
    Opened(String),
    /// A durable channel needs a journal: set a state directory.
    #[error("the channel {0:?} is durable, and there is no journal: set a state directory")]
    NoJournal(String),
    /// The journal could not be opened: caused by the state directory, or another process that has
    /// it.
    #[error("journal: {0}")]
    Journal(#[from] JournalError),
    /// A channel's label is one of the library's own: choose another.
    #[error("the label {0:?} begins with \"rover-rtc/\", which is kept for the library itself")]
    Reserved(String),
    /// The peer, hub or connection has been closed on this side.
    #[error("closed")]
    Closed,
}

impl From<LabelError> for WebrtcError {
    fn from(error: LabelError) -> Self {
        match error {
            LabelError::Length(label) => Self::Label(label),
            LabelError::Reserved(label) => Self::Reserved(label),
        }
    }
}
