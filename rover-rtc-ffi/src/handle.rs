//! Handles: what a program has of peers, links, channels and hubs.
//!
//! A handle looks like a pointer and is a number: a place in a table, how many things have been in
//! that place before, and the kind of thing. So a handle that was freed, freed twice or made up is
//! found out, where a pointer would be followed.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use rover_rtc::pull;

use crate::channel::ChannelHandle;
use crate::link::LinkHandle;
use crate::peer::PeerHandle;
use crate::status::{Failure, ROVER_RTC_BAD_HANDLE};

/// Something that a program has a handle of.
#[derive(Debug, Clone)]
pub(crate) enum Object {
    Peer(Arc<PeerHandle>),
    Link(Arc<LinkHandle>),
    Channel(Arc<ChannelHandle>),
    Server(Arc<pull::Server>),
}

impl Object {
    fn kind(&self) -> usize {
        match self {
            Self::Peer(_) => PeerHandle::KIND,
            Self::Link(_) => LinkHandle::KIND,
            Self::Channel(_) => ChannelHandle::KIND,
            Self::Server(_) => pull::Server::KIND,
        }
    }
}

/// A kind of thing, and how to find one by its handle.
pub(crate) trait Kind: Sized {
    const KIND: usize;
    const NAME: &'static str;
    fn of(object: &Object) -> Option<&Arc<Self>>;
}

macro_rules! kind {
    ($type:ty, $variant:ident, $number:literal, $name:literal) => {
        impl Kind for $type {
            const KIND: usize = $number;
            const NAME: &'static str = $name;
            fn of(object: &Object) -> Option<&Arc<Self>> {
                match object {
                    Object::$variant(thing) => Some(thing),
                    _ => None,
                }
            }
        }
    };
}

kind!(PeerHandle, Peer, 1, "peer");
kind!(LinkHandle, Link, 2, "link");
kind!(ChannelHandle, Channel, 3, "channel");
kind!(pull::Server, Server, 4, "server");

static TABLE: RwLock<Table> = RwLock::new(Table { slots: Vec::new(), free: VecDeque::new() });

struct Table {
    slots: Vec<Slot>,
    /// The one that has been free for longest comes first, so that a number returns late.
    free: VecDeque<usize>,
}

struct Slot {
    generation: usize,
    object: Option<Object>,
}

/// A new handle.
pub(crate) fn insert<T: Kind>(object: Object) -> Result<usize, Failure> {
    insert_once::<T>(object, || Ok(0), |_| ())
}

/// A new handle, unless there is one already, or there is to be none; `set` notes the new one.
pub(crate) fn insert_once<T: Kind>(
    object: Object,
    known: impl FnOnce() -> Result<usize, Failure>,
    set: impl FnOnce(usize),
) -> Result<usize, Failure> {
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    let handle = known()?;
    if handle != 0 {
        return Ok(handle);
    }
    let index = match table.free.pop_front() {
        Some(index) => index,
        None if table.slots.len() < 1 << INDEX_BITS => {
            let index = table.slots.len();
            let generation = FIRST.wrapping_mul(index + 1) & GENERATIONS;
            table.slots.push(Slot { generation, object: None });
            index
        }
        None => return Err(Failure::invalid("there are too many handles: free some")),
    };
    let slot = &mut table.slots[index];
    slot.object = Some(object);
    let handle = (slot.generation << INDEX_BITS | index) << KIND_BITS | T::KIND;
    set(handle);
    Ok(handle)
}

/// What a handle stands for.
pub(crate) fn get<T: Kind>(handle: usize) -> Result<Arc<T>, Failure> {
    let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
    let found = table.find(handle).and_then(T::of).cloned();
    found.ok_or_else(|| bad::<T>(handle))
}

/// Makes a handle invalid, and returns what it stood for.
pub(crate) fn remove<T: Kind>(handle: usize) -> Result<Arc<T>, Failure> {
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    let found = table.find(handle).and_then(T::of).cloned();
    let found = found.ok_or_else(|| bad::<T>(handle))?;
    let index = index(handle);
    let slot = &mut table.slots[index];
    let object = slot.object.take();
    slot.generation = (slot.generation + 1) & GENERATIONS;
    table.free.push_back(index);
    drop(table);
    // What it ends may look for handles.
    drop(object);
    Ok(found)
}

fn bad<T: Kind>(handle: usize) -> Failure {
    let why = if handle == 0 { "NULL" } else { "none, freed already, or of another kind" };
    Failure::new(ROVER_RTC_BAD_HANDLE, format!("the handle of a {} is {why}", T::NAME))
}

impl Table {
    fn find(&self, handle: usize) -> Option<&Object> {
        let slot = self.slots.get(index(handle))?;
        let kind = handle & ((1 << KIND_BITS) - 1);
        if slot.generation != handle >> (INDEX_BITS + KIND_BITS) & GENERATIONS {
            return None;
        }
        slot.object.as_ref().filter(|object| object.kind() == kind)
    }
}

fn index(handle: usize) -> usize {
    handle >> KIND_BITS & ((1 << INDEX_BITS) - 1)
}

/// No small number, no flag and no address of a program is a handle by chance: 2^32 over the golden
/// ratio.
const FIRST: usize = 0x9E37_79B9;

const KIND_BITS: u32 = 3;

/// 16 million things at a time, or 8,192 where a pointer has 32 bits.
const INDEX_BITS: u32 = if usize::BITS == 64 { 24 } else { 13 };

const GENERATIONS: usize = (1 << (usize::BITS - KIND_BITS - INDEX_BITS)) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Object {
        let any = "127.0.0.1:0".parse().unwrap();
        let config = rover_rtc::ServerConfig {
            listen: any,
            udp: vec![any],
            ..rover_rtc::ServerConfig::default()
        };
        Object::Server(Arc::new(pull::Server::start(config).unwrap()))
    }

    #[test]
    fn a_handle_is_good_until_it_is_removed() {
        let object = server();
        let handles = [(); 3].map(|()| insert::<pull::Server>(object.clone()).unwrap());
        for handle in handles {
            assert!(get::<pull::Server>(handle).is_ok());
            assert!(get::<PeerHandle>(handle).is_err(), "of another kind");
            assert!(get::<pull::Server>(handle ^ 1).is_err(), "with the bits of another kind");
            assert!(get::<pull::Server>(handle ^ 1 << (KIND_BITS + INDEX_BITS)).is_err());
            remove::<pull::Server>(handle).unwrap();
            assert!(get::<pull::Server>(handle).is_err());
            assert!(remove::<pull::Server>(handle).is_err());
        }
        for made_up in [0, 1, 4, 7, usize::MAX, usize::MAX / 2] {
            assert!(get::<pull::Server>(made_up).is_err(), "{made_up}");
        }
        // A place that is used again has another number.
        let again = insert::<pull::Server>(object).unwrap();
        assert!(!handles.contains(&again));
        remove::<pull::Server>(again).unwrap();
    }
}
