//! What the two sides have told each other on one transport, and what came too early.

use std::collections::{HashMap, VecDeque};

use super::frame::Frame;

/// What was said on a transport.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    pub(super) said_hello: bool,
    pub(super) heard_hello: bool,
    /// The link's channels by the numbers of the other side.
    pub(super) theirs: HashMap<u16, usize>,
    /// Channels that the other side has told about, and has been told about.
    ready: Vec<bool>,
    told: Vec<bool>,
    /// Frames to send before any data.
    pub(super) control: Vec<Frame>,
    /// Frames of channels that have not been introduced.
    early: VecDeque<Frame>,
}

impl Exchange {
    pub(super) fn is_ready(&self, index: usize) -> bool {
        self.ready.get(index).copied().unwrap_or_default()
    }

    /// The other side has told about a channel. True if it is to be told about ours.
    pub(super) fn set_ready(&mut self, number: u16, index: usize) -> bool {
        self.theirs.insert(number, index);
        set(&mut self.ready, index);
        self.said_hello && !self.told.get(index).copied().unwrap_or_default()
    }

    /// The other side is being told about a channel. False if it has been.
    pub(super) fn tell(&mut self, index: usize) -> bool {
        let told = self.told.get(index).copied().unwrap_or_default();
        set(&mut self.told, index);
        !told
    }

    /// Keeps a frame until its channel has been introduced. False if there are too many.
    pub(super) fn stash(&mut self, frame: Frame) -> bool {
        let room = self.early.len() < MAX_EARLY;
        if room {
            self.early.push_back(frame);
        }
        room
    }

    pub(super) fn take_early(&mut self) -> VecDeque<Frame> {
        std::mem::take(&mut self.early)
    }
}

fn set(flags: &mut Vec<bool>, index: usize) {
    if flags.len() <= index {
        flags.resize(index + 1, false);
    }
    flags[index] = true;
}

/// Frames that may outrun the hello: not more than SCTP can have on its way, in the largest
/// containers.
const MAX_EARLY: usize = 4096;
