//! The clients of one thread, and what wakes each of them: one loop, in which a client costs
//! nothing until something comes for it or its time has come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use rover_rtc::Message;
use rover_rtc::net::{FineTimer, RecvBatch};
use rover_rtc::util::clock;
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::client::Client;

/// Clients by their place.
pub(super) struct Fleet {
    members: Vec<Option<Member>>,
    ready: Arc<Ready>,
    /// An entry that is not its member's next one is void.
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    batch: RecvBatch,
    timer: FineTimer,
    turn: Vec<usize>,
}

struct Member {
    client: Client,
    waker: Waker,
    /// Its entry among the timers, which is never later than it wants.
    queued: Option<Instant>,
}

/// Who has something in its socket.
#[derive(Debug, Default)]
pub(super) struct Ready {
    list: Mutex<Vec<usize>>,
    notify: Notify,
}

/// Wakes one client.
struct Mark(usize, Arc<Ready>);

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.1.push(Some(self.0));
    }
}

impl Ready {
    /// Ends a wait, for a client or for something else.
    pub(super) fn push(&self, client: Option<usize>) {
        self.lock().extend(client);
        self.notify.notify_one();
    }

    fn is_some(&self) -> bool {
        !self.lock().is_empty()
    }

    fn take(&self, into: &mut Vec<usize>) {
        std::mem::swap(&mut *self.lock(), into);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<usize>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fleet {
    /// With places for so many.
    pub(super) fn new(places: usize) -> Self {
        Self {
            members: (0..places).map(|_| None).collect(),
            ready: Arc::default(),
            timers: BinaryHeap::new(),
            batch: RecvBatch::new(),
            timer: FineTimer::default(),
            turn: Vec::new(),
        }
    }

    /// What ends a wait.
    pub(super) fn ready(&self) -> Arc<Ready> {
        self.ready.clone()
    }

    /// Puts a client into a place, instead of the one that is there.
    pub(super) fn put(&mut self, place: usize, client: Client) {
        let waker = Arc::new(Mark(place, self.ready.clone())).into();
        self.members[place] = Some(Member { client, waker, queued: None });
        self.ready.push(Some(place));
    }

    pub(super) fn get(&mut self, place: usize) -> Option<&mut Client> {
        self.members[place].as_mut().map(|member| &mut member.client)
    }

    /// Lets one client move what was done with it; its messages go to `got`, with its place.
    pub(super) fn turn(
        &mut self,
        now: Instant,
        place: usize,
        got: &mut impl FnMut(usize, &Message),
    ) {
        let Some(member) = &mut self.members[place] else { return };
        member.client.turn(now, |message| got(place, message));
        if let Some(due) = member.client.due()
            && member.queued.is_none_or(|queued| queued > due)
        {
            member.queued = Some(due);
            self.timers.push(Reverse((due, place)));
        }
    }

    /// Serves those for whom something has come and those whose time has come.
    pub(super) fn serve(&mut self, got: &mut impl FnMut(usize, &Message)) {
        let mut places = std::mem::take(&mut self.turn);
        self.ready.take(&mut places);
        for place in places.drain(..) {
            let now = clock::now();
            let Some(member) = &mut self.members[place] else { continue };
            let mut cx = Context::from_waker(&member.waker);
            member.client.receive(now, &mut cx, &mut self.batch);
            self.turn(now, place, got);
        }
        self.turn = places;
        let now = clock::now();
        // Whoever is due again at once has a turn after what has come meanwhile.
        for _ in 0..self.timers.len() {
            let Some(Reverse((at, place))) = self.timers.peek().copied().filter(|t| t.0.0 <= now)
            else {
                break;
            };
            self.timers.pop();
            let Some(member) = self.members[place].as_mut().filter(|m| m.queued == Some(at)) else {
                continue;
            };
            member.queued = None;
            if let Some(due) = member.client.due().filter(|due| *due > now) {
                member.queued = Some(due);
                self.timers.push(Reverse((due, place)));
                continue;
            }
            member.client.on_time();
            self.turn(now, place, got);
        }
    }

    /// Why clients are over, each once.
    pub(super) fn take_failures(&mut self) -> Vec<String> {
        let members = self.members.iter_mut().flatten();
        members.filter_map(|member| member.client.take_failure()).collect()
    }

    /// All say good-bye.
    pub(super) fn close(&mut self, now: Instant) {
        for member in self.members.iter_mut().flatten() {
            member.client.close(now);
            member.client.turn(now, |_| ());
        }
    }

    /// Waits until there is somebody to serve, or until then. The sockets are looked at in any
    /// case.
    pub(super) async fn wait(&mut self, until: Instant) {
        let now = clock::now();
        let next = self.timers.peek().map_or(now + LONG, |Reverse((at, _))| *at);
        let until = until.min(next);
        if until <= now || self.ready.is_some() {
            return yield_now().await;
        }
        let Self { ready, timer, .. } = self;
        tokio::select! {
            biased;
            () = ready.notify.notified() => {}
            () = timer.sleep_until(now, until) => {}
        }
    }
}

const LONG: Duration = Duration::from_secs(60);
