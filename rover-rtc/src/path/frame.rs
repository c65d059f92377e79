//! ChannelData frames (RFC 8656 section 12.4): a datagram of a call, on its way through the hub.

/// Bytes before the datagram.
pub(crate) const HEADER: usize = 4;

/// Writes a frame. The datagram must be shorter than 64 KiB, as all are.
pub(crate) fn write(frame: &mut Vec<u8>, number: u16, datagram: &[u8]) {
    frame.clear();
    frame.extend_from_slice(&number.to_be_bytes());
    frame.extend_from_slice(&(datagram.len() as u16).to_be_bytes());
    frame.extend_from_slice(datagram);
}

/// Reads a frame: its number and what is in it. Padding at the end is ignored.
pub(crate) fn read(frame: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = frame.split_first_chunk::<HEADER>()?;
    let number = u16::from_be_bytes([head[0], head[1]]);
    let length = u16::from_be_bytes([head[2], head[3]]);
    let datagram = rest.get(..usize::from(length))?;
    is_frame(frame).then_some((number, datagram))
}

/// Whether a datagram is a frame, by its first byte: of the channel numbers 0x4000 to 0x4FFF.
pub(crate) fn is_frame(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0x40..=0x4f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let mut frame = Vec::new();
        write(&mut frame, 0x4001, b"datagram");
        assert_eq!(read(&frame), Some((0x4001, &b"datagram"[..])));
        frame.extend([0; 3]);
        assert_eq!(read(&frame), Some((0x4001, &b"datagram"[..])));
        for length in 0..12 {
            assert_eq!(read(&frame[..length]), None);
        }
        write(&mut frame, 0x5000, b"datagram");
        assert_eq!(read(&frame), None);
    }
}
