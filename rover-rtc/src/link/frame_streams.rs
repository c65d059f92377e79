//! The streams of a transport that carry frames.

use str0m::channel::{ChannelConfig, ChannelId as SctpChannelId, Reliability};

use super::mux::{DATAGRAMS, PROTOCOL, STREAM};

/// The stream of frames, and that of datagrams.
#[derive(Debug, Default)]
pub(super) struct FrameStreams {
    frames: FrameStream,
    datagrams: FrameStream,
}

/// A stream: the one of ours and that of the other side, where both opened one.
#[derive(Debug, Default)]
struct FrameStream {
    ours: Option<SctpChannelId>,
    ours_open: bool,
    theirs: Option<SctpChannelId>,
}

impl FrameStream {
    fn sending(&self) -> Option<SctpChannelId> {
        self.ours.filter(|_| self.ours_open).or(self.theirs)
    }

    fn is(&self, id: SctpChannelId) -> bool {
        self.ours == Some(id) || self.theirs == Some(id)
    }
}

impl FrameStreams {
    /// The two streams, as they are offered.
    pub(super) fn streams() -> [ChannelConfig; 2] {
        [STREAM, DATAGRAMS].map(|label| ChannelConfig {
            label: label.to_owned(),
            // A lost piece of one channel must not hold up another.
            ordered: false,
            reliability: if label == STREAM {
                Reliability::Reliable
            } else {
                Reliability::MaxRetransmits { retransmits: 0 }
            },
            protocol: PROTOCOL.to_owned(),
            ..ChannelConfig::default()
        })
    }

    /// Notes that this side has opened the streams.
    pub(super) fn offered(&mut self, ids: [SctpChannelId; 2]) {
        [self.frames.ours, self.datagrams.ours] = ids.map(Some);
    }

    pub(super) fn is_offered(&self) -> bool {
        self.frames.ours.is_some() || self.frames.theirs.is_some()
    }

    /// Takes note of a stream that is open; false if it is none of these.
    pub(super) fn opened(&mut self, id: SctpChannelId, label: &str, protocol: &str) -> bool {
        for (way, name) in [(&mut self.frames, STREAM), (&mut self.datagrams, DATAGRAMS)] {
            if way.ours == Some(id) {
                way.ours_open = true;
                return true;
            }
            if label == name && protocol == PROTOCOL {
                way.theirs.get_or_insert(id);
                return true;
            }
        }
        label == STREAM || label == DATAGRAMS
    }

    /// The streams that are open: of frames, of datagrams.
    pub(super) fn sending(&self) -> (Option<SctpChannelId>, Option<SctpChannelId>) {
        (self.frames.sending(), self.datagrams.sending())
    }

    pub(super) fn carries(&self, id: SctpChannelId) -> bool {
        self.frames.is(id) || self.datagrams.is(id)
    }
}
