//! What a link tells its driver, and how that is queued.

use std::collections::VecDeque;

use super::{ChannelId, Message};
use crate::path::PathEvent;

/// What a link tells its driver.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkEvent {
    /// A message arrived.
    Message(ChannelId, Message),
    /// A channel can be used on the transport of now. `new` if the other side opened it.
    ChannelOpen {
        /// The channel.
        id: ChannelId,
        /// Its name.
        label: String,
        /// Whether it was not known before.
        new: bool,
    },
    /// A channel was closed by the other side.
    ChannelClosed(ChannelId),
    /// A message of several pieces is coming in.
    Progress {
        /// The channel.
        channel: ChannelId,
        /// Bytes that are here.
        bytes: usize,
        /// Bytes of the message.
        total: usize,
    },
    /// Messages of the other side will not come: it has dropped so many pieces, or lost its state,
    /// and nobody knows how many.
    Gap {
        /// The channel.
        channel: ChannelId,
        /// How many pieces, if that is known.
        lost: Option<u64>,
    },
    /// Messages of this side were dropped that it had taken to send: nobody gets them.
    Dropped {
        /// The channel.
        channel: ChannelId,
        /// How many.
        messages: u64,
        /// Why, in words for people.
        why: String,
    },
    /// The link goes on on a new transport.
    Resumed {
        /// Messages that are sent once more.
        replayed: u64,
    },
    /// The other side has begun anew: its process was restarted.
    PeerRestarted,
    /// A path lives, but nothing is acknowledged: the transport is to be replaced.
    Stuck,
    /// Something is wrong, in words for people.
    Trouble(String),
    /// ICE, as str0m sees it; for the log.
    Ice(str0m::IceConnectionState),
    /// DTLS is up.
    Connected,
    /// Something happened to the paths.
    Path(PathEvent),
    /// The transport that was being negotiated has failed.
    DialFailed(Option<String>),
    /// The transport is over; the text says why, if anything but the other side's good-bye.
    TransportClosed(Option<String>),
}

/// Adds an event. A skip of a few bytes is a gap: those of a channel between which nothing else has
/// come are one.
pub(in crate::link) fn queue(events: &mut VecDeque<LinkEvent>, event: LinkEvent) {
    if let LinkEvent::Gap { channel, lost } = event {
        // There is one of each channel at most.
        let gaps = events.iter_mut().rev().map_while(|event| match event {
            LinkEvent::Gap { channel, lost } => Some((channel, lost)),
            _ => None,
        });
        for (before, sum) in gaps {
            if *before == channel {
                *sum = sum.zip(lost).map(|(sum, lost)| sum.saturating_add(lost));
                return;
            }
        }
    }
    events.push_back(event);
}
