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
    early_bytes: usize,
    /// There were too many, which is known.
    pub(super) full: bool,
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
        let frame = match frame {
            Frame::Data(data) => Frame::Data(data.own()),
            frame => frame,
        };
        let bytes = frame.body_size();
        let room = self.early.len() < MAX_EARLY && self.early_bytes + bytes <= MAX_EARLY_BYTES;
        if room {
            self.early_bytes += bytes;
            self.early.push_back(frame);
        }
        room
    }

    pub(super) fn take_early(&mut self) -> VecDeque<Frame> {
        self.early_bytes = 0;
        std::mem::take(&mut self.early)
    }
}

fn set(flags: &mut Vec<bool>, index: usize) {
    if flags.len() <= index {
        flags.resize(index + 1, false);
    }
    flags[index] = true;
}

/// Frames that may outrun the hello, and their bytes: not more than SCTP can have on its way.
const MAX_EARLY: usize = 4096;
const MAX_EARLY_BYTES: usize = 16 * 1024 * 1024;
