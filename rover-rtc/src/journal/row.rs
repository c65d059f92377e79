//! Rows of the tables as bytes; the layout is told in the module above.

use bytes::Bytes;
use redb::TableDefinition;

use super::JournalError;
use crate::link::Message;

/// A table from bytes to bytes.
pub(super) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// The format, and the number of the last batch.
pub(super) const META: Definition = TableDefinition::new("meta");
/// What is known of each channel beside its messages.
pub(super) const CHANNELS: Definition = TableDefinition::new("channels");
/// The messages.
pub(super) const MESSAGES: Definition = TableDefinition::new("messages");

/// Keys of [`META`].
pub(super) const FORMAT: &[u8] = b"format";
pub(super) const BATCH: &[u8] = b"batch";

/// A row of [`CHANNELS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Channel {
    /// In the keys of its messages.
    pub(super) id: u32,
    /// This side's epoch, and the last number acknowledged.
    pub(super) outgoing: Option<(u64, u64)>,
    /// The other side's epoch, and the last number taken.
    pub(super) incoming: Option<(u64, u64)>,
}

pub(super) type MessageKey = [u8; 20];

pub(super) fn message_key(channel: u32, epoch: u64, seq: u64) -> MessageKey {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&channel.to_be_bytes());
    key[4..12].copy_from_slice(&epoch.to_be_bytes());
    key[12..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// Channel, epoch and number.
pub(super) fn read_message_key(key: &[u8]) -> Result<(u32, u64, u64), JournalError> {
    let mut rest = key;
    match (take(&mut rest), take(&mut rest), take(&mut rest), rest) {
        (Some(id), Some(epoch), Some(seq), []) => {
            Ok((u32::from_be_bytes(id), u64::from_be_bytes(epoch), u64::from_be_bytes(seq)))
        }
        _ => Err(damaged("the key of a message has a wrong length")),
    }
}

pub(super) fn message_value(key: &[u8], message: &Message) -> Vec<u8> {
    seal(key, message.data.len() + 1, |value| {
        value.push(u8::from(message.binary));
        value.extend_from_slice(&message.data);
    })
}

pub(super) fn read_message(key: &[u8], value: &[u8]) -> Result<Message, JournalError> {
    match unseal(key, value)? {
        [binary @ (0 | 1), data @ ..] => Ok(Message {
            binary: *binary == 1,
            data: Bytes::copy_from_slice(data),
            ..Message::default()
        }),
        _ => Err(damaged("a message is neither text nor binary")),
    }
}

/// How long the message in a value is.
pub(super) fn message_len(value: &[u8]) -> usize {
    value.len().saturating_sub(SUM + 1)
}

pub(super) fn channel_key(link: &str, label: &str) -> Vec<u8> {
    let len = u32::try_from(link.len()).unwrap_or(u32::MAX);
    [&len.to_be_bytes()[..], link.as_bytes(), label.as_bytes()].concat()
}

/// Link and label.
pub(super) fn read_channel_key(key: &[u8]) -> Result<(&str, &str), JournalError> {
    let mut rest = key;
    let len = take(&mut rest).map(|len| u32::from_be_bytes(len) as usize);
    let names = len.and_then(|len| rest.split_at_checked(len));
    let names = names.and_then(|(link, label)| {
        Some((std::str::from_utf8(link).ok()?, std::str::from_utf8(label).ok()?))
    });
    names.ok_or_else(|| damaged("the key of a channel is no text"))
}

pub(super) fn channel_value(key: &[u8], channel: &Channel) -> Vec<u8> {
    seal(key, 37, |value| {
        value.extend_from_slice(&channel.id.to_be_bytes());
        value.push(
            u8::from(channel.outgoing.is_some()) | (u8::from(channel.incoming.is_some()) << 1),
        );
        for (epoch, through) in [channel.outgoing, channel.incoming].map(Option::unwrap_or_default)
        {
            value.extend_from_slice(&epoch.to_be_bytes());
            value.extend_from_slice(&through.to_be_bytes());
        }
    })
}

pub(super) fn read_channel(key: &[u8], value: &[u8]) -> Result<Channel, JournalError> {
    let channel = parse_channel(unseal(key, value)?);
    channel.ok_or_else(|| damaged("the row of a channel has a wrong length"))
}

fn parse_channel(mut rest: &[u8]) -> Option<Channel> {
    let id = u32::from_be_bytes(take(&mut rest)?);
    let [flags] = take(&mut rest)?;
    let [a, b, c, d] = [take(&mut rest)?, take(&mut rest)?, take(&mut rest)?, take(&mut rest)?]
        .map(u64::from_be_bytes);
    let (outgoing, incoming) = (flags & 1 != 0, flags & 2 != 0);
    rest.is_empty().then_some(Channel {
        id,
        outgoing: outgoing.then_some((a, b)),
        incoming: incoming.then_some((c, d)),
    })
}

pub(super) fn number_value(key: &[u8], number: u64) -> Vec<u8> {
    seal(key, 8, |value| value.extend_from_slice(&number.to_be_bytes()))
}

pub(super) fn read_number(key: &[u8], value: &[u8]) -> Result<u64, JournalError> {
    let number = unseal(key, value)?.try_into().map(u64::from_be_bytes);
    number.map_err(|_| damaged("a number has a wrong length"))
}

/// A value with its checksum in front.
fn seal(key: &[u8], len: usize, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut value = Vec::with_capacity(SUM + len);
    value.extend_from_slice(&[0; SUM]);
    write(&mut value);
    let sum = checksum(key, &value[SUM..]);
    value[..SUM].copy_from_slice(&sum);
    value
}

fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], JournalError> {
    match value.split_at_checked(SUM) {
        Some((sum, rest)) if sum == checksum(key, rest) => Ok(rest),
        _ => Err(damaged("the checksum of a row does not fit")),
    }
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; SUM] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key);
    sum.update(value);
    sum.finalize().to_be_bytes()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

pub(super) fn damaged(what: &str) -> JournalError {
    JournalError::Corrupt(what.to_owned())
}

/// The checksum's bytes.
const SUM: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_channel_epoch_and_number() {
        let sorted =
            [(0, u64::MAX, 9), (1, 0, 256), (1, 1, 2), (1, 1, 255), (1, 1, 256), (256, 0, 0)];
        let keys = sorted.map(|(id, epoch, seq)| message_key(id, epoch, seq));
        assert!(keys.is_sorted());
        for (key, parts) in keys.iter().zip(sorted) {
            assert_eq!(read_message_key(key).unwrap(), parts);
            assert!(read_message_key(&key[1..]).is_err());
        }
    }

    #[test]
    fn names_of_any_content_are_told_apart() {
        let pairs = [("a", "b\0c"), ("a\0b", "c"), ("", ""), ("ab", ""), ("a", "b"), ("", "ab")];
        let mut keys: Vec<_> = pairs.iter().map(|(link, label)| channel_key(link, label)).collect();
        for (key, pair) in keys.iter().zip(pairs) {
            assert_eq!(read_channel_key(key).unwrap(), pair);
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), pairs.len());
        assert!(read_channel_key(&[0, 0, 0, 9, b'a']).is_err());
        assert!(read_channel_key(&[0, 0, 0, 0, 0xff]).is_err());
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let key = message_key(1, 2, 3);
        let message = Message::text("a message");
        let value = message_value(&key, &message);
        assert_eq!(read_message(&key, &value).unwrap(), message);
        assert_eq!(message_len(&value), message.data.len());
        for bit in 0..value.len() * 8 {
            let mut value = value.clone();
            value[bit / 8] ^= 1 << (bit % 8);
            assert!(read_message(&key, &value).is_err(), "bit {bit}");
        }
        for bit in 0..key.len() * 8 {
            let mut key = key;
            key[bit / 8] ^= 1 << (bit % 8);
            assert!(read_message(&key, &value).is_err(), "bit {bit} of the key");
        }
        for len in 0..value.len() {
            assert!(read_message(&key, &value[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn channels_and_numbers_come_back() {
        let key = channel_key("rover", "test");
        let both = [None, Some((1, 0)), Some((u64::MAX, 7))];
        for outgoing in both {
            for incoming in both {
                let channel = Channel { id: 9, outgoing, incoming };
                let value = channel_value(&key, &channel);
                assert_eq!(read_channel(&key, &value).unwrap(), channel);
                assert!(read_channel(&key, &value[..20]).is_err());
            }
        }
        assert_eq!(read_number(BATCH, &number_value(BATCH, 7)).unwrap(), 7);
        assert!(read_number(FORMAT, &number_value(BATCH, 7)).is_err());
    }
}
