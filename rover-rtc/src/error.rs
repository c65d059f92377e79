//! Errors, one type per operation.

use std::io;

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
    /// The peer, hub or connection has been closed on this side.
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
    /// Another call to the operating system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A message was not taken by a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The channel's outbox is full and its policy is to refuse. Send again when there is room.
    #[error("the channel's outbox is full")]
    Full,
    /// The message alone is larger than the channel's limit.
    #[error("the message has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The channel or the peer it belongs to is closed.
    #[error("the channel is closed")]
    Closed,
}
