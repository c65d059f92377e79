//! What one driver tells another.

use std::sync::Arc;

use super::super::names::OwnerId;
use super::super::status::{StatusFor, Totals};
use crate::link::Message;
use crate::model::client::ClientId;
use crate::signal::letter::Sealed;
use crate::signal::post::FromHub;

/// One thing that a driver tells another. Notes between two drivers arrive in order.
#[derive(Debug)]
pub(in crate::server) enum Note {
    /// A channel has its first member here, or its last one is gone.
    Interest { label: Arc<str>, here: bool },
    /// A message for all who have the channel there. Its guard comes along: the last copy to go,
    /// wherever it is, tells the writer's driver.
    Passed { from: ClientId, label: Arc<str>, message: Message },
    /// Such a message comes back: the last one who had the channel there has left.
    Returned { from: ClientId, label: Arc<str>, message: Message },
    /// What a named peer here says to one of a name that belongs there.
    Letter(Box<Letter>),
    /// What a named peer is told.
    Text { to: OwnerId, text: FromHub },
    /// The channel of a call on the side of `other`, for the side of `to`; none if it has none.
    Channel { to: OwnerId, other: OwnerId, call: String, number: Option<u16> },
    /// A call that the one had with the other is over.
    Over { name: String, other: String, call: String },
    /// Somebody has registered this name.
    Present { name: String },
    /// Datagrams of calls, in their frames.
    Frames(Vec<Frame>),
    /// A request for the status, on its way round all drivers.
    Status { totals: Box<Totals>, first: usize, asker: StatusFor },
    /// A bug.
    #[cfg(test)]
    Panic,
}

/// A letter to a name of another driver, or the wish for a relay channel.
#[derive(Debug)]
pub(in crate::server) struct Letter {
    pub(in crate::server) from: OwnerId,
    /// The name of `from`.
    pub(in crate::server) writer: String,
    pub(in crate::server) to: String,
    pub(in crate::server) call: String,
    pub(in crate::server) letter: Option<Box<Sealed>>,
    /// Whether it begins a call.
    pub(in crate::server) begins: bool,
    /// The call's channel on the writer's side.
    pub(in crate::server) number: Option<u16>,
}

/// A datagram of a call, as the peer there is to get it.
#[derive(Debug)]
pub(in crate::server) struct Frame {
    pub(in crate::server) to: OwnerId,
    pub(in crate::server) number: u16,
    /// Whether it is part of a flow.
    pub(in crate::server) flows: bool,
    /// The frame, with its header.
    pub(in crate::server) datagram: Vec<u8>,
}
