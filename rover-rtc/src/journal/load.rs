//! Reading what the tables hold.

use std::sync::Arc;

use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _};

use super::row::{self, BATCH, CHANNELS, FORMAT, MESSAGES, META};
use super::tables::{Index, Tables};
use super::{JournalError, Saved, SavedOutgoing, record};

/// Reads everything once, and checks it. Makes the tables of a new file.
pub(super) fn index(db: &Database) -> Result<Index, JournalError> {
    let txn = db.begin_read().map_err(JournalError::from_redb)?;
    if txn.list_tables().map_err(JournalError::from_redb)?.next().is_none() {
        drop(txn);
        return create(db);
    }
    let found = number(&txn, FORMAT)?;
    if found > SUPPORTED {
        return Err(JournalError::Version { found, supported: SUPPORTED });
    }
    let mut index = Index { batch: number(&txn, BATCH)?, ..Index::default() };
    let epochs = channels(&txn, &mut index)?;
    messages(&txn, &mut index, &epochs)?;
    Ok(index)
}

/// What is remembered of a link.
pub(super) fn saved(db: &Database, index: &Index, link: &str) -> Result<Vec<Saved>, JournalError> {
    let txn = db.begin_read().map_err(JournalError::from_redb)?;
    let table = txn.open_table(MESSAGES).map_err(JournalError::from_redb)?;
    let mut all = Vec::new();
    for (label, channel) in index.links.get(link).into_iter().flatten() {
        let mut saved =
            Saved { label: Arc::clone(label), outgoing: None, incoming: channel.incoming };
        if let Some((epoch, acked)) = channel.outgoing {
            let first = row::message_key(channel.id, epoch, 0);
            let last = row::message_key(channel.id, epoch, u64::MAX);
            let mut messages = Vec::new();
            let rows = table.range::<&[u8]>(&first[..]..=&last[..]);
            for row in rows.map_err(JournalError::from_redb)? {
                let (key, value) = row.map_err(JournalError::from_redb)?;
                let (_, _, seq) = row::read_message_key(key.value())?;
                messages.push((seq, row::read_message(key.value(), value.value())?));
            }
            saved.outgoing = Some(SavedOutgoing { epoch, acked, messages });
        }
        all.push(saved);
    }
    Ok(all)
}

fn create(db: &Database) -> Result<Index, JournalError> {
    let mut txn = db.begin_write().map_err(JournalError::from_redb)?;
    txn.set_two_phase_commit(true);
    let mut index = Index::default();
    let mut tables = Tables::open(&txn, &mut index)?;
    tables.set(FORMAT, SUPPORTED)?;
    tables.begin(0)?;
    drop(tables);
    txn.commit().map_err(JournalError::from_redb)?;
    Ok(index)
}

fn number(txn: &ReadTransaction, key: &[u8]) -> Result<u64, JournalError> {
    let table = txn.open_table(META).map_err(JournalError::from_redb)?;
    let value = table.get(key).map_err(JournalError::from_redb)?;
    let value = value.ok_or_else(|| row::damaged("this is another program's file"))?;
    row::read_number(key, value.value())
}

/// The current epochs by the channels' identifiers.
type Epochs = std::collections::HashMap<u32, Option<(u64, u64)>>;

fn channels(txn: &ReadTransaction, index: &mut Index) -> Result<Epochs, JournalError> {
    let table = txn.open_table(CHANNELS).map_err(JournalError::from_redb)?;
    let mut epochs = Epochs::new();
    for row in table.iter().map_err(JournalError::from_redb)? {
        let (key, value) = row.map_err(JournalError::from_redb)?;
        let channel = row::read_channel(key.value(), value.value())?;
        let (link, label) = row::read_channel_key(key.value())?;
        if epochs.insert(channel.id, channel.outgoing).is_some() {
            return Err(row::damaged("two channels have one identifier"));
        }
        index.last_id = index.last_id.max(channel.id);
        let labels = match index.links.get_mut(link) {
            Some(labels) => labels,
            None => index.links.entry(Arc::from(link)).or_default(),
        };
        labels.insert(Arc::from(label), channel);
    }
    Ok(epochs)
}

fn messages(txn: &ReadTransaction, index: &mut Index, epochs: &Epochs) -> Result<(), JournalError> {
    let table = txn.open_table(MESSAGES).map_err(JournalError::from_redb)?;
    for row in table.iter().map_err(JournalError::from_redb)? {
        let (key, value) = row.map_err(JournalError::from_redb)?;
        let message = row::read_message(key.value(), value.value())?;
        let (id, epoch, _) = row::read_message_key(key.value())?;
        let current = epochs.get(&id).copied().flatten();
        if current.is_none_or(|(current, _)| current != epoch) {
            return Err(row::damaged("a message is of no channel"));
        }
        index.bytes += record::size(message.data.len());
        index.messages += 1;
    }
    Ok(())
}

/// The format that is written here, and the latest that can be read.
const SUPPORTED: u64 = 1;
