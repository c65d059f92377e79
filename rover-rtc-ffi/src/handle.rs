//! Handles: what a program has of peers, links, channels and hubs.
//!
//! A handle looks like a pointer and is a number: a place in a table, how many things have been in
//! that place before, and the kind of thing. So a handle that was freed, freed twice or made up is
//! found out, where a pointer would be followed.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use crate::status::{Failure, ROVER_RTC_BAD_HANDLE};

/// A kind of thing that a program has handles of.
pub(crate) trait Kind: Any + Send + Sync {
    /// Its number, which is part of each handle: 1 to 7, another one for each kind.
    const KIND: usize;
    /// What it is called in errors.
    const NAME: &'static str;
}

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

struct Object {
    kind: usize,
    thing: Arc<dyn Any + Send + Sync>,
}

/// A new handle.
pub(crate) fn insert<T: Kind>(thing: Arc<T>) -> Result<usize, Failure> {
    insert_once(thing, || Ok(0), |_| ())
}

/// A new handle, unless there is one already, or there is to be none; `set` notes the new one.
pub(crate) fn insert_once<T: Kind>(
    thing: Arc<T>,
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
    slot.object = Some(Object { kind: T::KIND, thing });
    let handle = (slot.generation << INDEX_BITS | index) << KIND_BITS | T::KIND;
    set(handle);
    Ok(handle)
}

/// What a handle stands for.
pub(crate) fn get<T: Kind>(handle: usize) -> Result<Arc<T>, Failure> {
    let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
    table.find(handle)
}

/// Makes a handle invalid, and returns what it stood for.
pub(crate) fn remove<T: Kind>(handle: usize) -> Result<Arc<T>, Failure> {
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    let found = table.find::<T>(handle)?;
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
    fn find<T: Kind>(&self, handle: usize) -> Result<Arc<T>, Failure> {
        self.look_up(handle).ok_or_else(|| bad::<T>(handle))
    }

    fn look_up<T: Kind>(&self, handle: usize) -> Option<Arc<T>> {
        let slot = self.slots.get(index(handle))?;
        let kind = handle & ((1 << KIND_BITS) - 1);
        if slot.generation != handle >> (INDEX_BITS + KIND_BITS) & GENERATIONS {
            return None;
        }
        let object = slot.object.as_ref().filter(|object| object.kind == kind)?;
        object.thing.clone().downcast().ok()
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

    struct One;
    struct Two;

    impl Kind for One {
        const KIND: usize = 6;
        const NAME: &'static str = "one";
    }

    impl Kind for Two {
        const KIND: usize = 7;
        const NAME: &'static str = "two";
    }

    #[test]
    fn a_handle_is_good_until_it_is_removed() {
        let one = Arc::new(One);
        let handles = [(); 3].map(|()| insert(one.clone()).unwrap());
        for handle in handles {
            assert!(Arc::ptr_eq(&get::<One>(handle).unwrap(), &one));
            assert!(get::<Two>(handle).is_err(), "of another kind");
            assert!(get::<One>(handle ^ 1).is_err(), "with the bits of another kind");
            assert!(get::<Two>(handle ^ 1).is_err(), "with the bits of another kind");
            assert!(get::<One>(handle ^ 1 << (KIND_BITS + INDEX_BITS)).is_err());
            remove::<One>(handle).unwrap();
            assert!(get::<One>(handle).is_err());
            assert!(remove::<One>(handle).is_err());
        }
        for made_up in [0, 1, 4, 7, usize::MAX, usize::MAX / 2] {
            assert!(get::<One>(made_up).is_err(), "{made_up}");
        }
        // A place that is used again has another number.
        let again = insert(one).unwrap();
        assert!(!handles.contains(&again));
        remove::<One>(again).unwrap();
    }
}
