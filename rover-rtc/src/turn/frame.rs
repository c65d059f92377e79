//! Messages in a TCP stream: where each ends, and how long it must be (RFC 8656 section 12.5).
//!
//! On a stream, ChannelData is padded to four bytes. `turn-client-proto` 0.7 neither writes nor
//! expects the padding, so a length that four does not divide would shift everything behind it.

/// Cuts what a stream brings into messages.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    bytes: Vec<u8>,
    /// The bytes in front that have been taken.
    taken: usize,
}

/// The stream holds something that is neither STUN nor ChannelData; nothing behind it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotTurn;

impl FrameBuffer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        // Less than one message is left in front whenever all have been taken before.
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, without padding.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, NotTurn> {
        let rest = &self.bytes[self.taken..];
        let &[kind, _, high, low, ..] = rest else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (length, padded) = match kind {
            0x00..=0x3f if rest.len() < STUN_HEADER => return Ok(None),
            0x00..=0x3f if rest[4..8] == MAGIC_COOKIE => {
                (STUN_HEADER + length, STUN_HEADER + length)
            }
            // Channel numbers are 0x4000 to 0x4fff (RFC 8656 section 12).
            0x40..=0x4f => (CHANNEL_HEADER + length, CHANNEL_HEADER + length.next_multiple_of(4)),
            _ => return Err(NotTurn),
        };
        if rest.len() < padded {
            return Ok(None);
        }
        let start = self.taken;
        self.taken += padded;
        Ok(Some(&self.bytes[start..start + length]))
    }
}

/// Pads a message for a stream; STUN has its length already.
pub(super) fn pad(message: &mut Vec<u8>) {
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Bytes in front of the attributes of a STUN message (RFC 8489 section 5).
const STUN_HEADER: usize = 20;

/// What tells STUN from other protocols (RFC 8489 section 5).
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Bytes in front of the data of a ChannelData message (RFC 8656 section 12.4).
const CHANNEL_HEADER: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> (Vec<u8>, [Vec<u8>; 3]) {
        let mut stun = vec![1, 1, 0, 8];
        stun.extend(MAGIC_COOKIE);
        stun.extend([7; 20]);
        let channel = vec![0x40, 0, 0, 5, 1, 2, 3, 4, 5];
        let empty = vec![0x4f, 0xff, 0, 0];
        let mut stream = Vec::new();
        for message in [&stun, &channel, &empty] {
            let mut message = message.clone();
            pad(&mut message);
            stream.extend(message);
        }
        (stream, [stun, channel, empty])
    }

    #[test]
    fn messages_come_out_however_the_stream_is_cut() {
        let (stream, messages) = stream();
        for size in 1..=stream.len() {
            let mut buffer = FrameBuffer::default();
            let mut found = Vec::new();
            for chunk in stream.chunks(size) {
                buffer.push(chunk);
                while let Some(message) = buffer.next().unwrap() {
                    found.push(message.to_vec());
                }
            }
            assert_eq!(found, messages, "chunks of {size}");
        }
    }

    #[test]
    fn another_protocol_is_noticed() {
        for strange in [&[0xff, 0, 0, 0][..], &[0; 20], b"SSH-2.0"] {
            let mut buffer = FrameBuffer::default();
            buffer.push(strange);
            assert_eq!(buffer.next(), Err(NotTurn));
        }
    }
}
