//! Memory of queues that are empty most of the time.

use std::collections::VecDeque;
use std::time::Duration;

/// Gives back the memory of an empty queue.
pub(crate) fn spare<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > 0 {
        *queue = VecDeque::new();
    }
}

/// Adds to a list that seldom has more than one or two, without room for the next ones.
pub(crate) fn add<T>(list: &mut Vec<T>, item: T) {
    list.reserve_exact(1);
    list.push(item);
}

/// Who sleeps longer than this gives back memory first: what is in use has a probe in 50 ms, of a
/// hub in 250 ms at most, and an allocation costs nothing beside a wake-up.
pub(crate) const REST: Duration = Duration::from_millis(400);

/// Whose transport has just come up gives it back at the first pause of this length already: what
/// the next handshake in this process takes finds room there, not beside it.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);
