//! What one shard tells another.

use std::sync::Arc;

use crate::link::{Fanout, Message};
use crate::model::client::ClientId;
use crate::server::hub::status::{HubTotals, StatusRequester};
use crate::server::registry::OwnerId;
use crate::signal::hub_messages::FromHub;
use crate::signal::signed::SignedMessage;

/// One thing that a shard tells another. Messages between two shards arrive in order.
#[derive(Debug)]
pub(in crate::server) enum ShardMessage {
    /// A channel has its first subscriber here, or its last one is gone.
    Interest { label: Arc<str>, here: bool },
    /// A message for all who have the channel there. It is a copy itself, to be released when each
    /// of them has its own: the last one that is settled, wherever that is, tells the writer's
    /// shard.
    Passed { label: Arc<str>, message: Message },
    /// Nobody has got such a message, and no copy of it is left.
    Undelivered(Arc<Fanout>),
    /// What a named peer here says to one of a name that belongs there.
    Signal(Box<ForwardedSignal>),
    /// What a named peer is told.
    Text { to: OwnerId, text: FromHub },
    /// The channel of a call on the side of `other`, for the side of `to`; none if it has none.
    Channel { to: OwnerId, other: OwnerId, call: String, number: Option<u16> },
    /// A call that the one had with the other is over.
    EndedCall { name: String, other: String, call: String },
    /// Somebody has registered this name.
    Present { name: String },
    /// A half-open client makes room for another one.
    Evict(ClientId),
    /// Datagrams of calls, in their frames.
    Frames(Vec<RelayedFrame>),
    /// A request for the status, on its way round all shards.
    Status { totals: Box<HubTotals>, first: usize, asker: StatusRequester },
    /// A bug.
    #[cfg(test)]
    Panic,
}

/// A signal message to a name of another shard, or the wish for a relay channel.
#[derive(Debug)]
pub(in crate::server) struct ForwardedSignal {
    pub(in crate::server) from: OwnerId,
    /// The name of `from`.
    pub(in crate::server) writer: String,
    pub(in crate::server) to: String,
    pub(in crate::server) call: String,
    pub(in crate::server) signal: Option<Box<SignedMessage>>,
    /// Whether it begins a call.
    pub(in crate::server) begins: bool,
    /// The call's channel on the writer's side.
    pub(in crate::server) number: Option<u16>,
}

/// A datagram of a call, as the peer there is to get it.
#[derive(Debug)]
pub(in crate::server) struct RelayedFrame {
    pub(in crate::server) to: OwnerId,
    pub(in crate::server) number: u16,
    /// Whether it is part of a flow.
    pub(in crate::server) flows: bool,
    /// The frame, with its header.
    pub(in crate::server) datagram: Vec<u8>,
}
