//! What has something to be pulled, and how who pulls learns of it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake};

use tokio::sync::Notify;

use super::channel::SharedChannel;
use super::link::SharedLink;
use super::notifier::EventNotifier;
use crate::util::watched::{Aside, Wakers, Watch, Watched};

/// Sources that have something, in the order in which they got it. Each is here once at most, so it
/// is bounded by their number.
pub(super) struct Queue {
    state: Watched<State>,
    /// Set exactly while there are sources, and once the queue is closed. Changed under the queue's
    /// lock only.
    notifier: EventNotifier,
    /// Told when the queue is no longer empty.
    told: Mutex<Option<Arc<Notify>>>,
}

struct State {
    sources: VecDeque<Arc<Source>>,
    closed: bool,
    /// Those who wait until there is something.
    waiting: Wakers,
    aside: Aside<Arc<Source>>,
}

impl Watch for State {
    type Item = Arc<Source>;

    fn aside(&mut self) -> &mut Aside<Arc<Source>> {
        &mut self.aside
    }
}

/// Something that is pulled from. It wakes the queue as a waker does.
pub(super) struct Source {
    queue: Arc<Queue>,
    of: Of,
    /// It is in the queue. Changed under the queue's lock only.
    marked: AtomicBool,
    /// It will not be again: its owner was let go of. Changed under the queue's lock only.
    retired: AtomicBool,
}

/// Whose source it is. Not held: who is waited for holds the waker, and with it this.
#[derive(Debug, Clone)]
pub(super) enum Of {
    /// Links that others have called.
    Calls,
    /// Events of a link.
    Link(Weak<SharedLink>),
    /// Messages of a channel.
    Messages(Weak<SharedChannel>),
    /// Room in the outbox of a channel.
    Room(Weak<SharedChannel>),
}

impl Queue {
    pub(super) fn new() -> Arc<Self> {
        let state = State {
            sources: VecDeque::new(),
            closed: false,
            waiting: Wakers::default(),
            aside: Aside::default(),
        };
        let (state, notifier) = (Watched::new(state), EventNotifier::new());
        Arc::new(Self { state, notifier, told: Mutex::new(None) })
    }

    /// A source that is not in it.
    pub(super) fn source(self: &Arc<Self>, of: Of) -> Arc<Source> {
        let (marked, retired) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Source { queue: self.clone(), of, marked, retired })
    }

    /// The source that has had something for longest.
    pub(super) fn pop(&self) -> Option<Arc<Source>> {
        self.state.with(|state| {
            let source = state.sources.pop_front()?;
            source.marked.store(false, Ordering::Release);
            self.left(state);
            Some(source)
        })
    }

    /// Ready when there is something: true; and once the queue is closed: false.
    pub(super) fn poll_filled(&self, cx: &Context<'_>) -> Poll<bool> {
        self.state.poll(
            cx,
            |state| &mut state.waiting,
            |state| match state.closed || !state.sources.is_empty() {
                true => Poll::Ready(!state.closed),
                false => Poll::Pending,
            },
        )
    }

    /// The notifier's descriptor.
    #[cfg(unix)]
    pub(super) fn fd(&self) -> std::io::Result<std::os::fd::RawFd> {
        self.notifier.fd()
    }

    /// Sets who is told when it is no longer empty; if it is not, that is now.
    pub(super) fn tell(&self, who: Option<Arc<Notify>>) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&who);
        if let Some(who) = who.filter(|_| !self.state.with(|state| state.sources.is_empty())) {
            who.notify_one();
        }
    }

    /// Ends it: nothing comes in any more, and who waits is told.
    pub(super) fn close(&self) {
        let was_closed = self.state.with(|state| {
            if state.closed {
                return true;
            }
            if state.sources.is_empty() {
                self.filled(state);
            }
            state.closed = true;
            // They hold the queue.
            state.aside.dropped.extend(state.sources.drain(..));
            false
        });
        if !was_closed {
            self.tell(None);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.with(|state| state.closed)
    }

    /// It is no longer empty.
    fn filled(&self, state: &mut State) {
        self.notifier.set();
        state.aside.woken.append(&mut state.waiting);
    }

    /// It may have become empty.
    fn left(&self, state: &State) {
        if state.sources.is_empty() && !state.closed {
            self.notifier.clear();
        }
    }
}

impl Source {
    pub(super) fn of(&self) -> &Of {
        &self.of
    }

    /// It has something.
    pub(super) fn mark(self: &Arc<Self>) {
        if self.marked.load(Ordering::Acquire) {
            return;
        }
        let skip = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let first = self.queue.state.with(|state| {
            if state.closed || skip(&self.marked) || skip(&self.retired) {
                return false;
            }
            self.marked.store(true, Ordering::Release);
            state.sources.push_back(self.clone());
            let first = state.sources.len() == 1;
            if first {
                self.queue.filled(state);
            }
            first
        });
        if first {
            let told = self.queue.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
            told.into_iter().for_each(|who| who.notify_one());
        }
    }

    /// It has nothing any more. True if it was marked.
    pub(super) fn unmark(self: &Arc<Self>) -> bool {
        if !self.marked.load(Ordering::Acquire) {
            return false;
        }
        self.queue.state.with(|state| self.take_out(state))
    }

    /// It has nothing any more, whoever still wakes it: the driver has its waker until it wakes it.
    pub(super) fn retire(self: &Arc<Self>) {
        self.queue.state.with(|state| {
            self.retired.store(true, Ordering::Relaxed);
            self.take_out(state);
        });
    }

    fn take_out(self: &Arc<Self>, state: &mut State) -> bool {
        let marked = self.marked.load(Ordering::Relaxed);
        if marked {
            self.marked.store(false, Ordering::Release);
            state.sources.retain(|source| !Arc::ptr_eq(source, self));
            self.queue.left(state);
        }
        marked
    }
}

impl Wake for Source {
    fn wake(self: Arc<Self>) {
        self.mark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mark();
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sources, closed) = self.state.with(|state| (state.sources.len(), state.closed));
        f.debug_struct("Queue").field("sources", &sources).field("closed", &closed).finish()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let marked = self.marked.load(Ordering::Relaxed);
        f.debug_struct("Source").field("of", &self.of).field("marked", &marked).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::task::Waker;

    use super::super::wait::wait_for;
    use super::*;
    use crate::util::watched::testing::{in_time, waker};

    #[cfg(target_os = "linux")]
    fn is_readable(queue: &Queue) -> bool {
        super::super::notifier::tests::is_readable(&queue.notifier)
    }

    fn filled(queue: &Queue) -> Poll<bool> {
        queue.poll_filled(&Context::from_waker(Waker::noop()))
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn is_readable_exactly_while_there_is_something() {
        let queue = Queue::new();
        assert!(!is_readable(&queue));
        let one = queue.source(Of::Calls);
        let two = queue.source(Of::Calls);
        one.mark();
        one.mark();
        two.mark();
        assert!(is_readable(&queue) && filled(&queue) == Poll::Ready(true));
        assert!(Arc::ptr_eq(&queue.pop().unwrap(), &one));
        assert!(is_readable(&queue));
        two.unmark();
        assert!(!is_readable(&queue) && queue.pop().is_none());
        assert_eq!(filled(&queue), Poll::Pending);
        two.mark();
        assert!(is_readable(&queue));
        queue.close();
        assert!(is_readable(&queue) && filled(&queue) == Poll::Ready(false));
        assert!(queue.pop().is_none());
    }

    #[test]
    fn what_is_retired_is_not_marked_again() {
        let queue = Queue::new();
        let sources = [queue.source(Of::Calls), queue.source(Of::Calls)];
        sources.iter().for_each(|source| source.mark());
        let waker = Waker::from(sources[0].clone());
        sources[0].retire();
        waker.wake();
        sources[0].mark();
        assert!(Arc::ptr_eq(&queue.pop().unwrap(), &sources[1]));
        assert!(queue.pop().is_none() && filled(&queue) == Poll::Pending);
    }

    #[test]
    fn who_is_to_be_told_is_told_once_until_it_is_empty_again() {
        let queue = Queue::new();
        let who = Arc::new(Notify::new());
        let is_told = || {
            let mut cx = Context::from_waker(Waker::noop());
            std::pin::pin!(who.notified()).poll(&mut cx).is_ready()
        };
        let sources = [queue.source(Of::Calls), queue.source(Of::Calls)];
        sources[0].mark();
        assert!(!is_told());
        queue.tell(Some(who.clone()));
        assert!(is_told(), "there was something already");
        sources[1].mark();
        assert!(!is_told());
        while queue.pop().is_some() {}
        sources[1].mark();
        assert!(is_told());
    }

    #[test]
    fn who_waits_is_woken() {
        let queue = Queue::new();
        let source = queue.source(Of::Calls);
        let wait = || {
            let queue = queue.clone();
            std::thread::spawn(move || wait_for(std::future::poll_fn(|cx| queue.poll_filled(cx))))
        };
        let waiting = wait();
        source.mark();
        assert!(waiting.join().unwrap());
        queue.pop();
        let waiting = wait();
        queue.close();
        assert!(!waiting.join().unwrap());
    }

    #[test]
    fn wakers_may_use_the_queue() {
        in_time(|| {
            let queue = Queue::new();
            let source = queue.source(Of::Calls);
            let inner = queue.clone();
            let (waker, count) = waker(move || drop(inner.pop()));
            let wait = || queue.poll_filled(&Context::from_waker(&waker)).is_pending();
            assert!(wait());
            source.mark();
            // The waker has taken it.
            assert!(wait());
            queue.close();
            assert_eq!(count.load(Ordering::Relaxed), 2);
        });
    }
}
