//! What drives a [`Hub`]: its sockets, its clock, and its ends of the queues to other drivers.

use std::future::{Future, pending};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use super::Hub;
use super::between::Note;
use super::web::Command;
use crate::net::{RecvBatch, SocketSet};
use crate::util::clock;

/// One driver of a hub.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) hub: Hub,
    pub(super) sockets: SocketSet,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) line: Line,
}

/// The ends of the queues between this driver and the others.
#[derive(Debug)]
pub(super) struct Line {
    me: usize,
    to: Vec<mpsc::Sender<Batch>>,
    inbox: mpsc::Receiver<Batch>,
    alarm: Arc<Alarm>,
}

/// Who writes, and what.
type Batch = (usize, Vec<Note>);

/// Wakes a driver that sleeps: what its clients wait for has happened elsewhere.
#[derive(Debug, Default)]
struct Alarm {
    notify: Notify,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.notify.notify_one();
    }
}

impl Line {
    /// One for each of so many drivers.
    pub(super) fn among(drivers: usize) -> Vec<Self> {
        let queues = (0..drivers).map(|_| mpsc::channel(BATCHES));
        let (to, inboxes): (Vec<_>, Vec<_>) = queues.unzip();
        let line = |(me, inbox)| Self { me, to: to.clone(), inbox, alarm: Arc::default() };
        inboxes.into_iter().enumerate().map(line).collect()
    }

    fn is_alone(&self) -> bool {
        self.to.len() == 1
    }

    /// Tells the others what the hub has for them. False if there was not room for all of it.
    fn carry(&self, hub: &mut Hub) -> bool {
        if self.is_alone() {
            return true;
        }
        let mut room = true;
        for driver in hub.place.waiting().collect::<Vec<_>>() {
            loop {
                let batch = hub.place.poll(driver);
                if batch.is_empty() {
                    break;
                }
                if let Err(refused) = self.to[driver].try_send((self.me, batch)) {
                    hub.place.put_back(driver, refused.into_inner().1);
                    room = false;
                    break;
                }
            }
        }
        room
    }

    /// What another driver has to tell; or nothing, if it is only to be looked what has been
    /// acknowledged.
    async fn recv(&mut self) -> Option<Batch> {
        if self.is_alone() {
            return pending().await;
        }
        let Self { inbox, alarm, .. } = self;
        tokio::select! {
            () = alarm.notify.notified() => None,
            // There is a sender of our own, so that it never ends.
            batch = inbox.recv() => batch,
        }
    }

    /// Gives the hub what has come, but not without end.
    fn take(&mut self, hub: &mut Hub) {
        for _ in 0..BATCH_TURNS {
            let Ok((from, notes)) = self.inbox.try_recv() else { break };
            hub.handle_notes(clock::now(), from, notes);
        }
    }
}

impl Driver {
    pub(super) fn new(
        hub: Hub,
        sockets: SocketSet,
        commands: mpsc::Receiver<Command>,
        line: Line,
    ) -> Self {
        if !line.is_alone() {
            hub.passing.set_alarm(Waker::from(line.alarm.clone()));
        }
        Self { hub, sockets, commands, line }
    }

    /// Serves this driver's clients until `stop` resolves.
    pub(super) async fn serve(&mut self, stop: impl Future<Output = ()>) {
        let mut batch = RecvBatch::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let now = clock::now();
            let Self { hub, sockets, commands, line } = self;
            if hub.poll_timeout() <= now {
                hub.handle_timeout(now);
            }
            flush(now, hub, sockets);
            let mut deadline = hub.poll_timeout();
            deadline = sockets.next_deadline().map_or(deadline, |d| deadline.min(d));
            if !line.carry(hub) {
                deadline = deadline.min(now + ROOM_AGAIN);
            }
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = read_socket_input(hub, sockets, &mut batch, deadline) => {
                    // A flood must not keep signaling and other drivers out.
                    for _ in 0..COMMAND_TURNS {
                        let Ok(command) = commands.try_recv() else { break };
                        hub.handle_command(clock::now(), command);
                    }
                    line.take(hub);
                }
                Some(command) = commands.recv() => hub.handle_command(clock::now(), command),
                batch = line.recv() => match batch {
                    Some((from, notes)) => {
                        hub.handle_notes(clock::now(), from, notes);
                        line.take(hub);
                    }
                    None => hub.relay(clock::now()),
                },
            }
        }
    }

    /// Forgets all clients and notes without a word, in the state in which they are.
    pub(super) fn abandon(self) {
        std::mem::forget(self.hub);
        std::mem::forget(self.line.inbox);
    }

    /// Says good-bye to all clients.
    pub(super) fn close(&mut self) {
        let now = clock::now();
        self.hub.close(now);
        flush(now, &mut self.hub, &mut self.sockets);
    }
}

/// Reads what the UDP sockets have, waiting for it until `deadline` at most, and gives it to the
/// clients it is for. Bounded: the clock has its turn after some batches.
pub async fn read_socket_input(
    hub: &mut Hub,
    sockets: &mut SocketSet,
    batch: &mut RecvBatch,
    deadline: Instant,
) {
    let Ok((mut local, _)) = tokio::time::timeout_at(deadline.into(), sockets.recv(batch)).await
    else {
        return;
    };
    for turn in 1.. {
        let now = clock::now();
        for (remote, datagram) in batch.datagrams() {
            hub.handle_datagram(now, local, remote, datagram);
        }
        if turn == RECV_TURNS {
            break;
        }
        flush(now, hub, sockets);
        match sockets.poll_recv(&mut Context::from_waker(Waker::noop()), batch) {
            Poll::Ready((next, _)) => local = next,
            Poll::Pending => break,
        }
    }
    hub.relay(clock::now());
}

fn flush(now: Instant, hub: &mut Hub, sockets: &mut SocketSet) {
    while let Some(out) = hub.poll_transmit() {
        sockets.send(out.local, out.remote, &out.datagram);
    }
    let failed: Vec<_> = sockets.flush(now).iter().map(|f| (f.local, f.dst)).collect();
    failed.into_iter().for_each(|(local, remote)| hub.send_failed(now, local, remote));
}

/// Signaling requests taken after the sockets.
const COMMAND_TURNS: usize = 8;

/// Batches read in one go before the clock and signaling have their turn.
const RECV_TURNS: usize = 8;

/// Batches of notes that wait for one driver, and that it takes in one go.
const BATCHES: usize = 64;
const BATCH_TURNS: usize = 16;

/// When it is looked again whether another driver has room.
const ROOM_AGAIN: Duration = Duration::from_millis(1);
