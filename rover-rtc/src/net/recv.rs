//! The buffers of a batched receive, and the datagrams in them.
//!
//! The kernel may put up to 64 datagrams of one sender into one buffer (GRO), 65,535 bytes in
//! all, so each buffer has 64 KiB: nothing is ever truncated. A driver has one batch for all of
//! its sockets, and drivers that share a thread may share one: [`RecvBatch::with`].

use std::{array, cell::RefCell, fmt, io, io::IoSliceMut, net::SocketAddr};

use quinn_udp::RecvMeta;

/// Reusable memory for the datagrams of one receive call
///
/// It reserves 1 MiB of address space; pages that no datagram has reached take no memory.
pub struct RecvBatch {
    memory: Box<[u8]>,
    meta: [RecvMeta; BUFFERS],
    /// The number of buffers in use
    filled: usize,
    /// Whether each datagram is kept; empty, which is the normal case, when all are
    kept: Vec<bool>,
}

impl RecvBatch {
    /// Reserves the buffers
    pub fn new() -> Self {
        Self {
            memory: vec![0; BUFFERS * BUFFER_LEN].into_boxed_slice(),
            meta: [RecvMeta::default(); BUFFERS],
            filled: 0,
            kept: Vec::new(),
        }
    }

    /// Does something with this thread's batch, which has its memory in the cache
    pub fn with<T>(act: impl FnOnce(&mut Self) -> T) -> T {
        thread_local!(static BATCH: RefCell<Option<RecvBatch>> = const { RefCell::new(None) });
        BATCH.with(|shared| match shared.try_borrow_mut() {
            Ok(mut batch) => act(batch.get_or_insert_with(Self::new)),
            // Of a caller further up, who is not done with it.
            Err(_) => act(&mut Self::new()),
        })
    }

    /// The datagrams with their sources, in the order in which they arrived
    ///
    /// Empty datagrams are left out: no protocol here has them.
    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.cut(1)
    }

    /// [`datagrams`](Self::datagrams), but DTLS records of one sender that lie side by side come as
    /// one datagram of several records (RFC 6347 section 4.1.1)
    ///
    /// That is one look-up, one turn of the transport and one acknowledgement of SCTP for up to
    /// eight of them.
    pub fn arrivals(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        // What the faults have left goes one by one.
        self.cut(if self.kept.is_empty() { MAX_JOINED } else { 1 })
    }

    fn cut(&self, most: usize) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        cut(&self.memory, &self.meta[..self.filled], most)
            .enumerate()
            .filter(|(index, _)| self.kept.get(*index) != Some(&false))
            .map(|(_, datagram)| datagram)
    }

    /// Whether all buffers were filled, so that there may be more to receive
    pub fn is_full(&self) -> bool {
        self.filled == BUFFERS
    }

    /// Forgets the datagrams for which `keep` says no; returns how many are left
    pub(super) fn retain(&mut self, mut keep: impl FnMut(SocketAddr, &[u8]) -> bool) -> usize {
        let filled = &self.meta[..self.filled];
        self.kept.clear();
        self.kept.extend(cut(&self.memory, filled, 1).map(|(from, datagram)| keep(from, datagram)));
        self.kept.iter().filter(|kept| **kept).count()
    }

    /// Forgets all datagrams
    pub(super) fn clear(&mut self) {
        self.filled = 0;
        self.kept.clear();
    }

    /// Empties the batch, lets `recv` fill the buffers, and returns the number of datagrams
    ///
    /// `recv` is given the buffers and a slot of metadata for each; it returns how many it used.
    pub(super) fn fill(
        &mut self,
        recv: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.clear();
        let mut chunks = self.memory.chunks_exact_mut(BUFFER_LEN);
        let mut buffers: [IoSliceMut<'_>; BUFFERS] =
            array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        self.filled = recv(&mut buffers, &mut self.meta)?.min(BUFFERS);
        Ok(cut(&self.memory, &self.meta[..self.filled], 1).count())
    }
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvBatch").field("filled", &self.filled).finish_non_exhaustive()
    }
}

/// Cuts the filled buffers into datagrams, with so many records in one at most
fn cut<'a>(
    memory: &'a [u8],
    filled: &'a [RecvMeta],
    most: usize,
) -> impl Iterator<Item = (SocketAddr, &'a [u8])> {
    memory.chunks_exact(BUFFER_LEN).zip(filled).flat_map(move |(buffer, meta)| {
        let received = &buffer[..meta.len.min(BUFFER_LEN)];
        // The stride of an empty datagram is zero, which `chunks` does not take.
        let cut = Cut { received, stride: meta.stride.max(1), most };
        cut.map(|datagram| (meta.addr, datagram))
    })
}

/// What is received of one sender
struct Cut<'a> {
    received: &'a [u8],
    stride: usize,
    most: usize,
}

impl<'a> Iterator for Cut<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let datagrams = self.received.chunks(self.stride).take(self.most);
        let records = datagrams.take_while(|datagram| is_data_record(datagram)).count().max(1);
        let end = self.received.len().min(records * self.stride);
        let (next, rest) = self.received.split_at(end);
        self.received = rest;
        (!next.is_empty()).then_some(next)
    }
}

/// Whether a datagram is one DTLS 1.2 record of application data (RFC 6347 section 4.1)
fn is_data_record(datagram: &[u8]) -> bool {
    // Of epoch 1: before that nothing is encrypted.
    let header = &datagram[..datagram.len().min(RECORD_HEADER)];
    let [23, 0xfe, 0xfd, 0, 1, .., high, low] = *header else {
        return false;
    };
    datagram.len() == RECORD_HEADER + usize::from(u16::from_be_bytes([high, low]))
}

/// Bytes of a DTLS 1.2 record header
const RECORD_HEADER: usize = 13;

/// Records that the transport takes in one datagram (dimpl, `Records`)
const MAX_JOINED: usize = 8;

/// Bytes of one buffer: the largest GRO result (`GRO_LEGACY_MAX_SIZE` of Linux)
const BUFFER_LEN: usize = 1 << 16;

/// Buffers per receive call
const BUFFERS: usize = if quinn_udp::BATCH_SIZE < 16 { quinn_udp::BATCH_SIZE } else { 16 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_cut_by_stride() {
        let batch = filled(&[(b"aabbc", 2), (b"", 0), (b"dd", 2)]);
        let datagrams: Vec<_> = batch.datagrams().map(|(_, datagram)| datagram).collect();
        assert_eq!(datagrams, [&b"aa"[..], b"bb", b"c", b"dd"]);
    }

    #[test]
    fn a_thread_has_one_batch_but_nobody_meets_it_in_use() {
        let address = |batch: &mut RecvBatch| batch.memory.as_ptr().addr();
        let first = RecvBatch::with(address);
        assert_eq!(RecvBatch::with(address), first);
        RecvBatch::with(|_| assert_ne!(RecvBatch::with(address), first));
    }

    #[test]
    fn retained_datagrams_keep_their_order() {
        let mut batch = filled(&[(b"aabbc", 2), (b"dd", 2)]);
        assert_eq!(batch.retain(|_, datagram| datagram != b"bb"), 3);
        let datagrams: Vec<_> = batch.datagrams().map(|(_, datagram)| datagram).collect();
        assert_eq!(datagrams, [&b"aa"[..], b"c", b"dd"]);
    }

    #[test]
    fn records_that_lie_side_by_side_arrive_together() {
        let record = |size: u8| {
            let mut record = vec![size; RECORD_HEADER + usize::from(size)];
            record[..5].copy_from_slice(&[23, 0xfe, 0xfd, 0, 1]);
            record[11..13].copy_from_slice(&[0, size]);
            record
        };
        let sizes = |contents: &[(&[u8], usize)]| {
            let batch = filled(contents);
            batch.arrivals().map(|(_, datagram)| datagram.len()).collect::<Vec<_>>()
        };
        let full = record(87);
        let ten = [full.repeat(10), record(20)].concat();
        assert_eq!(sizes(&[(&ten, 100), (b"xyz", 2)]), [800, 233, 2, 1]);
        // A handshake record, or a datagram that is more or less than one record, goes alone.
        let mut other = full.clone();
        other[0] = 22;
        assert_eq!(sizes(&[(&[&full[..], &full, &other, &full].concat(), 100)]), [200, 100, 100]);
        let mut short = full.clone();
        short[12] = 80;
        assert_eq!(sizes(&[(&[&short[..], &full, &full].concat(), 100)]), [100, 200]);
        // What is left by the faults goes one by one.
        let mut batch = filled(&[(&full.repeat(3), 100)]);
        let mut number = 0;
        batch.retain(|_, _| {
            number += 1;
            number != 2
        });
        assert_eq!(batch.arrivals().map(|(_, d)| d.len()).collect::<Vec<_>>(), [100, 100]);
    }

    #[test]
    fn a_failed_receive_leaves_the_batch_empty() {
        let mut batch = filled(&[(b"aabbc", 2)]);
        batch.retain(|_, _| true);
        let failed = batch.fill(|_, _| Err(io::ErrorKind::WouldBlock.into()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(batch.datagrams().count(), 0);
    }

    fn filled(contents: &[(&[u8], usize)]) -> RecvBatch {
        let mut batch = RecvBatch::new();
        let datagrams = batch.fill(|buffers, meta| {
            for (slot, (bytes, stride)) in contents.iter().enumerate() {
                buffers[slot][..bytes.len()].copy_from_slice(bytes);
                meta[slot].len = bytes.len();
                meta[slot].stride = *stride;
            }
            Ok(contents.len())
        });
        assert_eq!(datagrams.unwrap(), batch.datagrams().count());
        batch
    }
}
