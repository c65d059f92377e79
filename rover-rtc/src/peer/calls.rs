//! Links that other peers have called, until the application asks for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::handle::PeerLink;
use crate::util::watched::{Aside, Wakers, Watch, Watched};

/// Where the application takes them. Any number of tasks may wait.
#[derive(Debug)]
pub(super) struct Calls {
    shared: Arc<Watched<Queue>>,
}

/// Where the driver puts them. Who waits sees the end when it is dropped.
#[derive(Debug)]
pub(super) struct Caller {
    shared: Arc<Watched<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    links: VecDeque<PeerLink>,
    /// Nobody puts any, or nobody takes them.
    closed: bool,
    waiting: Wakers,
    aside: Aside<PeerLink>,
}

impl Watch for Queue {
    type Item = PeerLink;

    fn aside(&mut self) -> &mut Aside<PeerLink> {
        &mut self.aside
    }
}

/// The two ends of a queue.
pub(super) fn calls() -> (Caller, Calls) {
    let shared = Arc::new(Watched::new(Queue::default()));
    (Caller { shared: shared.clone() }, Calls { shared })
}

impl Caller {
    /// False if there are too many already, or nobody takes any.
    pub(super) fn push(&self, link: PeerLink) -> bool {
        self.shared.with(|queue| {
            let taken = !queue.closed && queue.links.len() < MAX_CALLS;
            if taken {
                queue.links.push_back(link);
                queue.aside.woken.append(&mut queue.waiting);
            } else {
                queue.aside.dropped.push(link);
            }
            taken
        })
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.shared.with(|queue| {
            queue.closed = true;
            queue.aside.woken.append(&mut queue.waiting);
        });
    }
}

impl Calls {
    /// The oldest; `None` when there will be no more.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<PeerLink>> {
        self.shared.poll(
            cx,
            |queue| &mut queue.waiting,
            |queue| match queue.links.pop_front() {
                Some(link) => Poll::Ready(Some(link)),
                None if queue.closed => Poll::Ready(None),
                None => Poll::Pending,
            },
        )
    }
}

impl Drop for Calls {
    /// Lets go of those that nobody has taken, which closes them.
    fn drop(&mut self) {
        self.shared.with(|queue| {
            queue.closed = true;
            queue.aside.dropped.extend(queue.links.drain(..));
        });
    }
}

/// Links that wait.
const MAX_CALLS: usize = 16;
