//! Errors, one type per operation.

use std::io;

use crate::identity::{Fingerprint, IdentityError, TableError};
use crate::journal::JournalError;

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
    #[error(transparent)]
    IceServer(#[from] crate::turn::IceServerError),
    /// A channel's label is empty or too long: choose another.
    #[error("{0:?} is no label: 1 to 255 bytes")]
    Label(String),
    /// The channel is open with other promises than asked for; maybe the other side has opened it first:
    /// put it into the settings (`channels`), so that it is there before, or choose another label.
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

/// A link with another peer did not come to be, or is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The name cannot be one: caused by the caller.
    #[error("{0:?} is no name: 1 to 64 bytes without white space, control characters or /")]
    BadName(String),
    /// A peer has no link with itself: caused by the caller.
    #[error("{0} is this peer's own name")]
    Oneself(String),
    /// This peer has no name, under which others would answer: set one.
    #[error("this peer has no name: set one to call others and be called")]
    Nameless,
    /// This peer has as many links as it may have: end one, or raise `max_links`.
    #[error("there are {0} links, and no more are allowed: end one, or raise the limit")]
    TooMany(usize),
    /// The other peer was not reached in time. The reason is the last that is known.
    #[error("{name} was not reached in time: {}", reason.as_deref().unwrap_or("no answer"))]
    TimedOut {
        /// Who was called.
        name: String,
        /// Why not, as far as is known.
        reason: Option<String>,
    },
    /// What came in the name of the other peer was not from it, or not for this call: the hub, or
    /// somebody between, is not to be trusted.
    #[error("{0}")]
    Distrusted(String),
    /// What the journal knows of the other peer cannot be read: caused by the disk. Try again when it
    /// is well.
    #[error("journal: {0}")]
    Journal(String),
    /// The other peer has ended the link.
    #[error("{0} said good-bye")]
    Bye(String),
    /// The other peer was away for longer than links wait.
    #[error("{0} was away for too long")]
    GivenUp(String),
    /// This peer has been closed.
    #[error("closed")]
    Closed,
}

/// An offer, answer or candidate could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// No `a=ice-ufrag` and `a=ice-pwd`: the writer left them out.
    #[error("the session description names no ICE credentials (a=ice-ufrag, a=ice-pwd)")]
    Credentials,
    /// The text does not parse, or asks for what data channels have not.
    #[error("unusable session description: {0}")]
    Invalid(String),
    /// An answer came to an offer that is not open, for example after a newer offer.
    #[error("no offer of ours waits for this answer")]
    NoPendingOffer,
    /// It names another certificate than the other side's: whoever wrote it is not who was
    /// called.
    #[error("the description names the certificate {}, not {expected}",
        named.map_or_else(|| "of nobody".to_owned(), |n| n.to_string()))]
    Fingerprint {
        /// The one that is known.
        expected: Fingerprint,
        /// The one that it names.
        named: Option<Fingerprint>,
    },
    /// This side has no channel to offer.
    #[error("nothing to offer: open a channel first")]
    NothingToOffer,
}

/// A socket or interface could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The machine has no interface with a usable address.
    #[error("no usable network interface: all are down or left out by the settings")]
    NoInterface,
    /// An address could not be bound.
    #[error(transparent)]
    Bind(#[from] crate::net::BindError),
    /// A hub of several drivers needs a port for each, and one could not be bound.
    #[error("{drivers} drivers take {drivers} ports in a row from {first} on, and the {source}")]
    Ports {
        /// How many drivers there are to be.
        drivers: usize,
        /// The first one's address.
        first: std::net::SocketAddr,
        /// Which address it was, and why.
        source: crate::net::BindError,
    },
    /// A hub of several drivers needs a port for each, and there are not as many: choose a lower one.
    #[error("{drivers} drivers take {drivers} ports in a row, and from {first} on there are fewer")]
    NoPort {
        /// How many drivers there are to be.
        drivers: usize,
        /// The first one's address.
        first: std::net::SocketAddr,
    },
    /// Another call to the operating system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A message was not taken by a channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The channel's outbox is full and its policy is to refuse. Send again when there is room.
    #[error("the channel's outbox is full")]
    Full,
    /// The message is empty, which SCTP cannot carry. Send a byte that means it.
    #[error("an empty message cannot be sent")]
    Empty,
    /// The message alone is larger than the channel's limit.
    #[error("the message has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The message has a key and its channel none, or the key has more than 255 bytes: caused by
    /// the caller.
    #[error("a key is for channels of mode latest, and has 255 bytes at most")]
    Key,
    /// The journal could not keep the message, so it is not sent: caused by the disk, or the
    /// journal's limit. The text says more.
    #[error("the journal did not keep the message: {0}")]
    NotStored(String),
    /// The channel or the peer it belongs to is closed.
    #[error("the channel is closed")]
    Closed,
}
