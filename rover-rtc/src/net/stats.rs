//! Counters of a socket.

use std::io;

use super::batch::Transmit;

/// What a socket has done since it was bound
///
/// Datagrams that the kernel drops on the way in, because nobody reads in time, are not seen
/// here; on Linux they are in `/proc/net/udp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketStats {
    /// Datagrams that the kernel took
    pub datagrams_sent: u64,
    /// Bytes in them, without IP and UDP headers
    pub bytes_sent: u64,
    /// Calls that it took; fewer than datagrams where GSO works
    pub send_calls: u64,
    /// Datagrams lost because the send buffer was full
    pub send_drops: u64,
    /// Datagrams lost because the kernel refused them, for example without a route
    pub send_errors: u64,
    /// Datagrams received, those that the fault layer then dropped included
    pub datagrams_received: u64,
    /// Bytes in them, without IP and UDP headers
    pub bytes_received: u64,
    /// Calls that it took; fewer than datagrams where several were waiting
    pub recv_calls: u64,
    /// Receive calls that failed, ICMP errors aside
    pub recv_errors: u64,
    /// Datagrams, either way, that the fault layer dropped
    pub faulted: u64,
}

impl SocketStats {
    /// Counts a send call
    pub(super) fn on_send(&mut self, transmit: &Transmit<'_>, sent: &io::Result<()>) {
        let datagrams = transmit.datagrams as u64;
        self.send_calls += 1;
        match sent {
            Ok(()) => {
                self.datagrams_sent += datagrams;
                self.bytes_sent += transmit.contents.len() as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.send_drops += datagrams,
            Err(_) => self.send_errors += datagrams,
        }
    }

    /// Counts a receive call that returned these datagrams
    pub(super) fn on_recv<'a>(&mut self, datagrams: impl Iterator<Item = &'a [u8]>) {
        self.recv_calls += 1;
        for datagram in datagrams {
            self.datagrams_received += 1;
            self.bytes_received += datagram.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_buffer_is_no_error_and_both_count_datagrams() {
        let run = Transmit {
            socket: 0,
            dst: ([127, 0, 0, 1], 9).into(),
            contents: b"aabbc",
            segment_size: Some(2),
            datagrams: 3,
        };
        let mut stats = SocketStats::default();
        stats.on_send(&run, &Ok(()));
        stats.on_send(&run, &Err(io::ErrorKind::WouldBlock.into()));
        stats.on_send(&run, &Err(io::ErrorKind::NetworkUnreachable.into()));
        assert_eq!((stats.send_calls, stats.datagrams_sent, stats.bytes_sent), (3, 3, 5));
        assert_eq!((stats.send_drops, stats.send_errors), (3, 3));
    }
}
