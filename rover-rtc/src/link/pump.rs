//! From the outboxes to SCTP: no more at a time than it can send in about two round trips.

use std::time::Instant;

use super::channel::delivery::Outcome;
use super::mux::Room;
use super::{Admission, Attached, ChannelId, Link, Out};
use crate::path::Path;

impl Link {
    /// Hands queued messages to SCTP as far as it is to have any, and follows its progress. To be
    /// called after each turn of input, and after messages were queued.
    pub fn pump(&mut self, now: Instant) {
        while self.pump_some(now) {}
    }

    /// [`Link::pump`] in portions: true if there is more to hand over, but what is ready had better
    /// be sent first, so that the other side can work on it meanwhile.
    pub fn pump_some(&mut self, now: Instant) -> bool {
        self.mux.keep(now);
        let Some(Attached { transport, streams, frame_streams, .. }) = self.current.as_deref_mut()
        else {
            return false;
        };
        let (frames, datagrams) = frame_streams.sending();
        let open = streams.iter().filter(|s| s.open).filter_map(|s| s.id);
        self.plain_buffered = open.map(|id| transport.session().buffered(id)).sum();
        let framed = frames.into_iter().chain(datagrams);
        let framed: usize = framed.map(|id| transport.session().buffered(id)).sum();
        let mut buffered = self.plain_buffered + framed;
        let progress = buffered < self.buffered;
        let path = transport.paths().selected().map(Path::id);
        if path != self.path {
            // Another network, of which nothing is known.
            (self.path, self.admission) = (path, Admission::default());
        }
        if progress {
            let path = transport.paths().selected();
            let [least, latest] = path.and_then(Path::rtt_range).unwrap_or_default();
            self.admission.acknowledged(now, self.buffered - buffered, least, latest);
        }
        // What SCTP holds when a transport is replaced has to be sent again, or is lost; without a
        // path it stays with us.
        let live = transport.paths().dead_since().is_none();
        let more = live && self.fill(now, &mut buffered);
        self.buffered = buffered;
        let Some(Attached { transport, .. }) = self.current.as_deref_mut() else { return false };
        transport.drive_warp(now, buffered, progress);
        let rtt = transport.paths().selected().and_then(Path::rtt).unwrap_or_default();
        transport.session().follow_rtt(now, rtt);
        // A plain channel that nobody reads stops the transport, and that is as it should be.
        self.mux.watch_progress(now, live && self.plain_buffered == 0, rtt);
        self.collect(now);
        more
    }

    /// Writes until SCTP has enough, there is nothing left, or it was much for one go, which it
    /// returns.
    fn fill(&mut self, now: Instant, buffered: &mut usize) -> bool {
        if let Some(out) = self.unsent.take()
            && !self.write(now, out, buffered)
        {
            return false;
        }
        let limit = self.admission.limit();
        let before = *buffered;
        loop {
            if *buffered - before >= GO {
                return true;
            }
            let bytes = if *buffered == 0 { usize::MAX } else { limit.saturating_sub(*buffered) };
            let Some(Attached { streams, frame_streams, .. }) = self.current.as_deref() else {
                return false;
            };
            let (frames, datagrams) = frame_streams.sending();
            let room = Room { open: (frames.is_some(), datagrams.is_some()), bytes, limit };
            let Some(out) = self.mux.poll_out(now, room, |index, channel| {
                let size = channel.outbox.front_size();
                // Large ones fill the limit as well as they can.
                streams[index].open && size.is_some_and(|size| size / 2 <= bytes)
            }) else {
                // What is left has no room, or there is nothing left and plenty of room.
                if bytes < limit / 2 {
                    self.admission.reached();
                }
                return false;
            };
            if !self.write(now, out, buffered) {
                return false;
            }
        }
    }

    /// False if SCTP does not take it, so that nothing else can be written now.
    fn write(&mut self, now: Instant, out: Out, buffered: &mut usize) -> bool {
        let Some(Attached { transport, streams, frame_streams, .. }) = self.current.as_deref_mut()
        else {
            return false;
        };
        let (frames, datagrams) = frame_streams.sending();
        let (stream, container) = match &out {
            Out::Control(container) | Out::Frames(container) => (frames, container),
            Out::Datagrams(container) => (datagrams, container),
            Out::Plain(index) => {
                let outbox = &self.mux.channel(ChannelId(*index)).outbox;
                let Some((id, mut queued)) = streams[*index].id.zip(outbox.pop_if(now, usize::MAX))
                else {
                    return false;
                };
                let written = transport.write(now, id, queued.message.binary, &queued.message.data);
                if written {
                    // Nobody acknowledges it.
                    queued.message.settle(Outcome::Accepted);
                    transport.note_use(now);
                    *buffered += queued.message.data.len();
                    self.mux.stats.messages_sent += 1;
                    self.mux.channel(ChannelId(*index)).counters.sent += 1;
                } else {
                    outbox.unpop(queued);
                }
                return written;
            }
        };
        let written = stream.is_some_and(|id| transport.write(now, id, true, container));
        if written {
            *buffered += container.len();
            if !matches!(out, Out::Control(_)) {
                transport.note_use(now);
            }
        } else {
            self.unsent = Some(out);
        }
        written
    }
}

/// Bytes written in one go: a container. Both sides have work at the same time then, and a system
/// call for so much costs little.
const GO: usize = 16 * 1024;
