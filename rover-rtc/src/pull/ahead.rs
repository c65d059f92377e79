//! One step ahead of who pulls.

use std::task::Poll;

/// Keeps the next item, so that a queue says that it is not empty only when it is not.
#[derive(Debug)]
pub(super) struct Ahead<T> {
    next: Option<T>,
}

impl<T> Ahead<T> {
    pub(super) fn new() -> Self {
        Self { next: None }
    }

    /// The next item, and whether there is one after it. Without one after it, `poll` was pending,
    /// or has ended.
    pub(super) fn take(&mut self, mut poll: impl FnMut() -> Poll<Option<T>>) -> Option<(T, bool)> {
        let mut fetch = || match poll() {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        };
        let item = self.next.take().or_else(&mut fetch)?;
        self.next = fetch();
        Some((item, self.next.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_whether_there_is_more() {
        let mut items = vec![3, 2, 1];
        let mut ahead = Ahead::new();
        let mut poll = || items.pop().map_or(Poll::Pending, |n| Poll::Ready(Some(n)));
        assert_eq!(ahead.take(&mut poll), Some((1, true)));
        assert_eq!(ahead.take(&mut poll), Some((2, true)));
        assert_eq!(ahead.take(&mut poll), Some((3, false)));
        assert_eq!(ahead.take(&mut poll), None);
    }
}
