//! A queue whose entries have keys: the entry of a key is found without a search.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// What such a queue holds.
pub(crate) trait Keyed {
    /// Its key, of which there is one entry at most.
    fn key(&self) -> &Bytes;
}

/// Entries in order, and where that of each key is. Without keys it is a queue as any other.
#[derive(Debug)]
pub(crate) struct KeyedQueue<T> {
    /// `None` where one was taken out of the middle; never in front.
    entries: VecDeque<Option<T>>,
    /// Places count from the first entry that there ever was; absent where keys mean nothing.
    places: Option<HashMap<Bytes, i64>>,
    /// The place of the first entry.
    first: i64,
    /// Entries that there are.
    len: usize,
}

impl<T: Keyed> KeyedQueue<T> {
    pub(crate) fn new(keyed: bool) -> Self {
        let places = keyed.then(HashMap::new);
        Self { entries: VecDeque::new(), places, first: 0, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.entries.front()?.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().flatten()
    }

    pub(crate) fn contains(&self, key: &Bytes) -> bool {
        self.places.as_ref().is_some_and(|places| places.contains_key(key))
    }

    /// The entry of a key.
    pub(crate) fn get_mut(&mut self, key: &Bytes) -> Option<&mut T> {
        let place = *self.places.as_ref()?.get(key)?;
        let index = usize::try_from(place - self.first).ok()?;
        self.entries.get_mut(index)?.as_mut()
    }

    /// Adds the last entry. There must be none of its key.
    pub(crate) fn push_back(&mut self, entry: T) {
        if let Some(places) = &mut self.places {
            places.insert(entry.key().clone(), self.first + self.entries.len() as i64);
        }
        self.entries.push_back(Some(entry));
        self.len += 1;
    }

    /// Adds the first entry. There must be none of its key.
    pub(crate) fn push_front(&mut self, entry: T) {
        self.first -= 1;
        if let Some(places) = &mut self.places {
            places.insert(entry.key().clone(), self.first);
        }
        self.entries.push_front(Some(entry));
        self.len += 1;
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let entry = self.entries.pop_front()??;
        self.first += 1;
        self.len -= 1;
        if let Some(places) = &mut self.places {
            places.remove(entry.key());
        }
        self.tidy();
        Some(entry)
    }

    /// Takes the entry of a key out, wherever it is.
    pub(crate) fn remove(&mut self, key: &Bytes) -> Option<T> {
        let place = self.places.as_mut()?.remove(key)?;
        let index = usize::try_from(place - self.first).ok()?;
        let entry = self.entries.get_mut(index)?.take()?;
        self.len -= 1;
        self.tidy();
        Some(entry)
    }

    /// Takes out all entries of which something holds, and gives them to `taken`.
    pub(crate) fn extract_if(&mut self, holds: impl Fn(&T) -> bool, mut taken: impl FnMut(T)) {
        for entry in &mut self.entries {
            entry.take_if(|entry| holds(entry)).into_iter().for_each(&mut taken);
        }
        self.close_gaps();
    }

    /// Takes gaps away that are in front, and all of them if they are most of the queue.
    fn tidy(&mut self) {
        while self.entries.front().is_some_and(Option::is_none) {
            self.entries.pop_front();
            self.first += 1;
        }
        if self.entries.len() > 2 * self.len + GAPS {
            self.close_gaps();
        }
    }

    fn close_gaps(&mut self) {
        self.entries.retain(Option::is_some);
        self.len = self.entries.len();
        if let Some(places) = &mut self.places {
            places.clear();
            let keys = self.entries.iter().flatten().map(|entry| entry.key().clone());
            places.extend(keys.zip(self.first..));
        }
    }
}

/// So many gaps more than entries are left where they are: closing them costs a look at all.
const GAPS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::random;

    impl Keyed for (Bytes, u64) {
        fn key(&self) -> &Bytes {
            &self.0
        }
    }

    /// Against a list that is searched.
    #[test]
    fn is_a_queue_and_a_map_at_once() {
        let key = |number: u64| Bytes::from(vec![number as u8]);
        for _ in 0..20 {
            let (mut queue, mut plain) = (KeyedQueue::new(true), VecDeque::<(Bytes, u64)>::new());
            for step in 0..2000 {
                let wanted = key(random::number() % 40);
                let at = plain.iter().position(|e| e.0 == wanted);
                assert_eq!(queue.contains(&wanted), at.is_some());
                match random::number() % 8 {
                    0 | 1 if at.is_none() => {
                        queue.push_back((wanted.clone(), step));
                        plain.push_back((wanted, step));
                    }
                    2 if at.is_none() => {
                        queue.push_front((wanted.clone(), step));
                        plain.push_front((wanted, step));
                    }
                    3 => assert_eq!(queue.pop_front(), plain.pop_front()),
                    4 | 5 => {
                        // As a newer one is put behind all others.
                        assert_eq!(queue.remove(&wanted), at.and_then(|at| plain.remove(at)));
                        queue.push_back((wanted.clone(), step));
                        plain.push_back((wanted, step));
                    }
                    6 => {
                        assert_eq!(queue.get_mut(&wanted), at.and_then(|at| plain.get_mut(at)));
                    }
                    _ if step % 50 == 0 => {
                        let mut taken = Vec::new();
                        queue.extract_if(|e| e.1 % 3 == 0, |e| taken.push(e));
                        assert!(taken.iter().all(|e| e.1 % 3 == 0));
                        plain.retain(|e| e.1 % 3 != 0);
                    }
                    _ => {}
                }
                assert_eq!((queue.len(), queue.front()), (plain.len(), plain.front()));
                assert!(queue.entries.len() <= 2 * queue.len() + GAPS);
            }
            assert!(queue.iter().eq(plain.iter()));
        }
    }

    #[test]
    fn keys_may_mean_nothing() {
        let mut queue = KeyedQueue::new(false);
        (0..3).for_each(|number| queue.push_back((Bytes::new(), number)));
        assert!(!queue.contains(&Bytes::new()) && queue.get_mut(&Bytes::new()).is_none());
        queue.extract_if(|e| e.1 == 1, drop);
        let left: Vec<_> = std::iter::from_fn(|| queue.pop_front()).map(|e| e.1).collect();
        assert_eq!(left, [0, 2]);
    }
}
