//! Collects the datagrams of one turn and joins them into as few send calls as possible.
//!
//! A run of datagrams of one flow (same socket, same destination) with equal sizes, of which the
//! last one may be shorter, is one GSO send. Flows are kept apart while they are collected, so
//! records that alternate between two paths still make two runs.

use std::{collections::HashMap, fmt, net::SocketAddr, ops::Range};

/// The datagrams of one turn, on their way out
///
/// The order of datagrams is kept within a flow, and flows go out in the order of their first
/// datagrams. All memory is reused by the next turn.
#[derive(Default)]
pub(super) struct SendBatch {
    /// The contents of all datagrams, in the order of arrival
    bytes: Vec<u8>,
    datagrams: Vec<Datagram>,
    flows: Vec<Flow>,
    /// The flow that the next run is of
    next_flow: usize,
    /// The position in `flows` by socket and destination
    index: HashMap<(usize, SocketAddr), usize>,
    /// Where a run is put together whose datagrams do not lie side by side in `bytes`
    gathered: Vec<u8>,
}

impl SendBatch {
    /// Appends a datagram for `dst`, to be sent by the socket that the caller calls `socket`
    pub(super) fn push(&mut self, socket: usize, dst: SocketAddr, datagram: &[u8]) {
        let added = self.datagrams.len();
        let position = self.position(socket, dst);
        match self.flows.get_mut(position) {
            Some(flow) => {
                self.datagrams[flow.last].next = Some(added);
                flow.last = added;
            }
            None => self.flows.push(Flow { socket, dst, first: added, last: added }),
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.datagrams.push(Datagram { start, end: self.bytes.len(), flow: position, next: None });
    }

    /// The datagrams with their socket and destination, in the order in which they were pushed
    pub(super) fn datagrams(&self) -> impl Iterator<Item = (usize, SocketAddr, &[u8])> {
        self.datagrams.iter().map(|datagram| {
            let flow = &self.flows[datagram.flow];
            (flow.socket, flow.dst, &self.bytes[datagram.range()])
        })
    }

    /// Takes out the next run, or empties the batch when there is none
    ///
    /// `max_segments` tells how many datagrams a socket takes in one call. Once a run has been
    /// taken out, nothing may be pushed until all have been.
    pub(super) fn next_run(
        &mut self,
        max_segments: impl FnOnce(usize) -> usize,
    ) -> Option<Transmit<'_>> {
        let Some(flow) = self.flows.get_mut(self.next_flow) else {
            self.clear();
            return None;
        };
        let limit = max_segments(flow.socket);
        let first = &self.datagrams[flow.first];
        let mut run = Run::new(first);
        let mut next = first.next;
        while let Some(datagram) = next.map(|next| &self.datagrams[next])
            && run.takes(datagram, limit)
        {
            run.push(datagram, &self.bytes, &mut self.gathered);
            next = datagram.next;
        }
        match next {
            Some(next) => flow.first = next,
            None => self.next_flow += 1,
        }
        Some(Transmit {
            socket: flow.socket,
            dst: flow.dst,
            contents: run.contents(&self.bytes, &self.gathered),
            segment_size: (run.count > 1).then_some(run.segment),
            datagrams: run.count,
        })
    }

    /// The position of a flow in `flows`, where a new flow is not yet
    fn position(&mut self, socket: usize, dst: SocketAddr) -> usize {
        // Most datagrams follow one of their own flow, which saves the hash.
        if let Some(last) = self.datagrams.last()
            && let flow = &self.flows[last.flow]
            && (flow.socket, flow.dst) == (socket, dst)
        {
            return last.flow;
        }
        *self.index.entry((socket, dst)).or_insert(self.flows.len())
    }

    /// Gives back all memory of an empty batch
    pub(super) fn rest(&mut self) {
        if self.datagrams.is_empty() {
            *self = Self::default();
        }
    }

    /// Empties the batch and gives back the memory of an unusually large turn
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.datagrams.clear();
        self.flows.clear();
        self.next_flow = 0;
        self.index.clear();
    }
}

impl fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBatch")
            .field("datagrams", &self.datagrams.len())
            .field("flows", &self.flows.len())
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// One send call: a datagram, or several of equal size
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transmit<'a> {
    /// The socket, as it was called in [`SendBatch::push`]
    pub(super) socket: usize,
    /// Where to
    pub(super) dst: SocketAddr,
    /// The datagrams, side by side
    pub(super) contents: &'a [u8],
    /// The size of each datagram but the last, when there are several
    pub(super) segment_size: Option<usize>,
    /// The number of datagrams
    pub(super) datagrams: usize,
}

#[derive(Debug)]
struct Datagram {
    /// Where its contents begin in `SendBatch::bytes`
    start: usize,
    /// Where its contents end
    end: usize,
    flow: usize,
    /// The next datagram of the same flow
    next: Option<usize>,
}

impl Datagram {
    fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

#[derive(Debug)]
struct Flow {
    socket: usize,
    dst: SocketAddr,
    /// The first datagram that is not taken out yet
    first: usize,
    last: usize,
}

/// The datagrams of the next send call, while they are found
struct Run {
    /// Where they lie in `SendBatch::bytes`, unless they had to be gathered
    range: Range<usize>,
    is_gathered: bool,
    /// The size of each but the last
    segment: usize,
    count: usize,
    len: usize,
}

impl Run {
    fn new(first: &Datagram) -> Self {
        let range = first.range();
        let segment = range.len();
        Self { range, is_gathered: false, segment, count: 1, len: segment }
    }

    fn takes(&self, datagram: &Datagram, max_segments: usize) -> bool {
        let len = datagram.range().len();
        // A short datagram is the last one of its run: the kernel cuts at multiples of `segment`.
        let is_open = self.len == self.count * self.segment;
        is_open
            && self.count < max_segments
            && (1..=self.segment).contains(&len)
            && self.len + len <= MAX_RUN_BYTES
    }

    fn push(&mut self, datagram: &Datagram, bytes: &[u8], gathered: &mut Vec<u8>) {
        if !self.is_gathered && datagram.start == self.range.end {
            self.range.end = datagram.end;
        } else {
            if !self.is_gathered {
                self.is_gathered = true;
                gathered.clear();
                gathered.extend_from_slice(&bytes[self.range.clone()]);
            }
            gathered.extend_from_slice(&bytes[datagram.range()]);
        }
        self.count += 1;
        self.len += datagram.range().len();
    }

    fn contents<'a>(&self, bytes: &'a [u8], gathered: &'a [u8]) -> &'a [u8] {
        if self.is_gathered { gathered } else { &bytes[self.range.clone()] }
    }
}

/// Bytes of a GSO send: the kernel takes 65,535 with its IP and UDP headers
const MAX_RUN_BYTES: usize = 65_000;

/// Memory that an empty batch keeps: the turn of a hub that sends 1,200 bytes to 800 clients
const KEPT_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_datagrams_make_one_run_and_a_short_one_ends_it() {
        let mut batch = SendBatch::default();
        for datagram in [&b"aaa"[..], b"bbb", b"c", b"ddd", b"eee"] {
            batch.push(0, dst(1), datagram);
        }
        assert_eq!(
            drain(&mut batch, 64),
            [run(0, 1, "aaabbbc", Some(3), 3), run(0, 1, "dddeee", Some(3), 2)]
        );
        assert!(batch.datagrams.is_empty());
    }

    #[test]
    fn a_longer_datagram_begins_a_run() {
        let mut batch = SendBatch::default();
        for datagram in [&b"aa"[..], b"bbb", b"ccc"] {
            batch.push(0, dst(1), datagram);
        }
        assert_eq!(
            drain(&mut batch, 64),
            [run(0, 1, "aa", None, 1), run(0, 1, "bbbccc", Some(3), 2)]
        );
    }

    #[test]
    fn interleaved_flows_are_gathered() {
        let mut batch = SendBatch::default();
        for datagram in [b"1a", b"2b", b"3c"] {
            batch.push(0, dst(1), datagram);
            batch.push(1, dst(1), datagram);
            batch.push(0, dst(2), datagram);
        }
        assert_eq!(
            drain(&mut batch, 64),
            [
                run(0, 1, "1a2b3c", Some(2), 3),
                run(1, 1, "1a2b3c", Some(2), 3),
                run(0, 2, "1a2b3c", Some(2), 3)
            ]
        );
    }

    #[test]
    fn a_gathered_run_does_not_leak_into_the_next_one() {
        let mut batch = SendBatch::default();
        for datagram in [&b"aa"[..], b"bb", b"cccc", b"dddd"] {
            batch.push(0, dst(1), datagram);
            batch.push(0, dst(2), b"x");
        }
        let runs = drain(&mut batch, 64);
        assert_eq!(runs[0], run(0, 1, "aabb", Some(2), 2));
        assert_eq!(runs[1], run(0, 1, "ccccdddd", Some(4), 2));
        assert_eq!(runs[2], run(0, 2, "xxxx", Some(1), 4));
    }

    #[test]
    fn runs_respect_the_limits() {
        let mut batch = SendBatch::default();
        for _ in 0..5 {
            batch.push(0, dst(1), b"ab");
        }
        let counts = drain(&mut batch, 2).iter().map(|run| run.4).collect::<Vec<_>>();
        assert_eq!(counts, [2, 2, 1]);

        for _ in 0..64 {
            batch.push(0, dst(1), &[7; 1_200]);
        }
        let runs = drain(&mut batch, 64);
        assert_eq!(runs.iter().map(|run| run.4).collect::<Vec<_>>(), [54, 10]);
        assert!(runs.iter().all(|run| run.2.len() <= MAX_RUN_BYTES));
    }

    #[test]
    fn without_gso_each_datagram_goes_alone() {
        let mut batch = SendBatch::default();
        for datagram in [b"aa", b"bb"] {
            batch.push(0, dst(1), datagram);
        }
        for limit in [1, 0] {
            batch.push(0, dst(1), b"cc");
            assert!(drain(&mut batch, limit).iter().all(|run| run.3.is_none() && run.4 == 1));
        }
    }

    #[test]
    fn empty_datagrams_go_alone() {
        let mut batch = SendBatch::default();
        for datagram in [&b"aa"[..], b"", b"", b"bb"] {
            batch.push(0, dst(1), datagram);
        }
        assert!(drain(&mut batch, 64).iter().all(|run| run.4 == 1));
    }

    #[test]
    fn memory_is_reused_and_bounded() {
        let mut batch = SendBatch::default();
        let turn = |batch: &mut SendBatch| {
            (0..40).for_each(|_| batch.push(0, dst(1), &[0; 1_200]));
            drain(batch, 64);
        };
        turn(&mut batch);
        let pointers = (batch.bytes.as_ptr(), batch.datagrams.as_ptr(), batch.flows.as_ptr());
        turn(&mut batch);
        let again = (batch.bytes.as_ptr(), batch.datagrams.as_ptr(), batch.flows.as_ptr());
        assert_eq!(pointers, again);

        (0..2_000).for_each(|_| batch.push(0, dst(1), &[0; 1_200]));
        drain(&mut batch, 64);
        assert!(batch.bytes.capacity() <= KEPT_BYTES);
    }

    /// Any sequence of pushes comes out whole and in order within each flow.
    #[test]
    fn nothing_is_lost_or_reordered() {
        let mut seed = 1_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        let mut batch = SendBatch::default();
        for round in 0..200 {
            let mut pushed: HashMap<(usize, SocketAddr), Vec<Vec<u8>>> = HashMap::new();
            for _ in 0..random(120) {
                let (socket, dst) = (random(3) as usize, dst(random(3) as u16));
                let datagram = vec![random(256) as u8; [3, 3, 3, 2, 4, 0][random(6) as usize]];
                batch.push(socket, dst, &datagram);
                pushed.entry((socket, dst)).or_default().push(datagram);
            }
            let mut sent: HashMap<(usize, SocketAddr), Vec<Vec<u8>>> = HashMap::new();
            while let Some(run) = batch.next_run(|_| 5) {
                let size = run.segment_size.unwrap_or(run.contents.len().max(1));
                let flow = sent.entry((run.socket, run.dst)).or_default();
                if run.contents.is_empty() {
                    flow.push(Vec::new());
                }
                assert_eq!(run.contents.chunks(size).len().max(1), run.datagrams);
                flow.extend(run.contents.chunks(size).map(<[u8]>::to_vec));
            }
            assert_eq!(sent, pushed, "round {round}");
        }
    }

    type OwnedRun = (usize, SocketAddr, String, Option<usize>, usize);

    fn drain(batch: &mut SendBatch, max_segments: usize) -> Vec<OwnedRun> {
        let mut runs = Vec::new();
        while let Some(run) = batch.next_run(|_| max_segments) {
            let contents = String::from_utf8(run.contents.to_vec()).unwrap();
            runs.push((run.socket, run.dst, contents, run.segment_size, run.datagrams));
        }
        runs
    }

    fn run(
        socket: usize,
        port: u16,
        contents: &str,
        segment: Option<usize>,
        count: usize,
    ) -> OwnedRun {
        (socket, dst(port), contents.into(), segment, count)
    }

    fn dst(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }
}
