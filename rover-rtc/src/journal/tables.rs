//! The effect of records on the tables, within one transaction.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use redb::{Table, WriteTransaction};

use super::batch::Op;
use super::row::{self, BATCH, CHANNELS, Channel, MESSAGES, META, MessageKey};
use super::{JournalError, Record, record};
use crate::link::Message;

/// What is known without asking the disk: as in the tables, after each commit.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Channels by link and label.
    pub(super) links: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Channel>>,
    /// The last identifier given to a channel.
    pub(super) last_id: u32,
    /// The last batch.
    pub(super) batch: u64,
    /// Of all messages, as [`record::size`] counts.
    pub(super) bytes: u64,
    /// How many messages there are.
    pub(super) messages: u64,
}

/// What to take back if a batch that failed is there in spite of it.
#[derive(Debug)]
pub(super) struct Undo {
    /// Its number.
    pub(super) batch: u64,
    appended: Vec<MessageKey>,
    /// Cursors as they were before, in the order of the changes.
    received: Vec<Cursor>,
}

/// Link, label, and the other side's epoch with the last number taken.
type Cursor = (Arc<str>, Arc<str>, Option<(u64, u64)>);

/// The open tables of a transaction.
pub(super) struct Tables<'txn> {
    channels: Table<'txn, &'static [u8], &'static [u8]>,
    messages: Table<'txn, &'static [u8], &'static [u8]>,
    meta: Table<'txn, &'static [u8], &'static [u8]>,
    index: &'txn mut Index,
}

impl Undo {
    pub(super) fn of(batch: u64) -> Self {
        Self { batch, appended: Vec::new(), received: Vec::new() }
    }
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(
        txn: &'txn WriteTransaction,
        index: &'txn mut Index,
    ) -> Result<Self, JournalError> {
        let open = |table| txn.open_table(table).map_err(JournalError::from_redb);
        let (channels, messages, meta) = (open(CHANNELS)?, open(MESSAGES)?, open(META)?);
        Ok(Self { channels, messages, meta, index })
    }

    /// Writes a number of the table [`META`].
    pub(super) fn set(&mut self, key: &'static [u8], number: u64) -> Result<(), JournalError> {
        let value = row::number_value(key, number);
        self.meta.insert(key, &value[..]).map_err(JournalError::from_redb)?;
        Ok(())
    }

    /// Marks all that follows as this batch.
    pub(super) fn begin(&mut self, batch: u64) -> Result<(), JournalError> {
        self.set(BATCH, batch)?;
        self.index.batch = batch;
        Ok(())
    }

    /// Does what an operation says. The inner error is only this operation's.
    pub(super) fn apply(
        &mut self,
        op: &Op,
        max_bytes: u64,
        undo: &mut Undo,
    ) -> Result<Result<(), JournalError>, JournalError> {
        match op {
            Op::Record(link, Record::Append { label, epoch, seq, message }) => {
                let mut channel = self.channel(link, label)?;
                if channel.outgoing.is_none_or(|(current, _)| current != *epoch) {
                    self.remove(all(channel.id))?;
                    channel.outgoing = Some((*epoch, 0));
                    self.put(link, label, channel)?;
                }
                if self.index.bytes.saturating_add(record::size(message.data.len())) > max_bytes {
                    return Ok(Err(JournalError::Full { limit: max_bytes }));
                }
                let key = row::message_key(channel.id, *epoch, *seq);
                self.append(&key, message)?;
                undo.appended.push(key);
            }
            Op::Record(link, Record::Acked { label, epoch, through }) => {
                let mut channel = self.channel(link, label)?;
                let (current, acked) = channel.outgoing.unwrap_or((*epoch, 0));
                if current == *epoch && (*through > acked || channel.outgoing.is_none()) {
                    channel.outgoing = Some((current, acked.max(*through)));
                    self.put(link, label, channel)?;
                    let first = row::message_key(channel.id, current, 0);
                    self.remove(first..=row::message_key(channel.id, current, *through))?;
                }
            }
            Op::Record(link, Record::Received { label, epoch, through }) => {
                let mut channel = self.channel(link, label)?;
                let before = channel.incoming;
                let through = match before {
                    Some((current, taken)) if current == *epoch => taken.max(*through),
                    _ => *through,
                };
                channel.incoming = Some((*epoch, through));
                if channel.incoming != before {
                    self.put(link, label, channel)?;
                    undo.received.push((Arc::clone(link), Arc::clone(label), before));
                }
            }
            Op::Forget(link) => {
                for (label, channel) in self.index.links.remove(link).unwrap_or_default() {
                    self.remove(all(channel.id))?;
                    let key = row::channel_key(link, &label);
                    self.channels.remove(&key[..]).map_err(JournalError::from_redb)?;
                }
            }
        }
        Ok(Ok(()))
    }

    /// Takes back what was reported as failed.
    pub(super) fn undo(&mut self, undo: &Undo) -> Result<(), JournalError> {
        for key in &undo.appended {
            self.remove(*key..=*key)?;
        }
        for (link, label, before) in undo.received.iter().rev() {
            // Its link may have been forgotten later in the same batch.
            let channel = self.index.links.get(link).and_then(|labels| labels.get(label)).copied();
            if let Some(channel) = channel {
                self.put(link, label, Channel { incoming: *before, ..channel })?;
            }
        }
        Ok(())
    }

    fn append(&mut self, key: &MessageKey, message: &Message) -> Result<(), JournalError> {
        let value = row::message_value(key, message);
        let before = self.messages.insert(&key[..], &value[..]).map_err(JournalError::from_redb)?;
        if let Some(before) = before {
            self.index.bytes -= record::size(row::message_len(before.value()));
            self.index.messages -= 1;
        }
        self.index.bytes += record::size(message.data.len());
        self.index.messages += 1;
        Ok(())
    }

    fn remove(&mut self, keys: RangeInclusive<MessageKey>) -> Result<(), JournalError> {
        let (start, end) = keys.into_inner();
        let index = &mut *self.index;
        self.messages
            .retain_in::<&[u8], _>(&start[..]..=&end[..], |_, value| {
                let size = record::size(row::message_len(value));
                index.bytes = index.bytes.saturating_sub(size);
                index.messages = index.messages.saturating_sub(1);
                false
            })
            .map_err(JournalError::from_redb)
    }

    /// What is known of a channel, or a new one.
    fn channel(&mut self, link: &str, label: &str) -> Result<Channel, JournalError> {
        let known = self.index.links.get(link).and_then(|labels| labels.get(label)).copied();
        if let Some(channel) = known {
            return Ok(channel);
        }
        let id = self.index.last_id.checked_add(1);
        let id = id.ok_or_else(|| row::damaged("the identifiers of channels are used up"))?;
        self.index.last_id = id;
        Ok(Channel { id, outgoing: None, incoming: None })
    }

    fn put(
        &mut self,
        link: &Arc<str>,
        label: &Arc<str>,
        channel: Channel,
    ) -> Result<(), JournalError> {
        let key = row::channel_key(link, label);
        let value = row::channel_value(&key, &channel);
        self.channels.insert(&key[..], &value[..]).map_err(JournalError::from_redb)?;
        let labels = self.index.links.entry(Arc::clone(link)).or_default();
        labels.insert(Arc::clone(label), channel);
        Ok(())
    }
}

/// The keys of all messages of a channel.
fn all(channel: u32) -> RangeInclusive<MessageKey> {
    row::message_key(channel, 0, 0)..=row::message_key(channel, u64::MAX, u64::MAX)
}
