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
///
/// What a datagram tells a client here should not be known to it before other drivers can know it:
/// it may lead to a datagram to one of them. So notes leave before datagrams do, and are read
/// before datagrams are.
///
/// Only while a queue is full do datagrams overtake notes, and answers over HTTP always may: a
/// driver that hangs must not silence the clients of the others, nor their probes. That is safe:
///
/// - An acknowledgement cannot be among them, for the guard of its message is in the note.
/// - Notes to one driver stay in order. What a client does there by way of this one comes after
///   what it was told: its messages after its interest, frames after the number of their channel.
/// - Who has opened a channel, and tells another driver's client so by some other way, may miss what
///   that one sends before the note is read: as if it had come that much later. What nobody else
///   gets either waits for it, if its writer keeps it.
/// - Who asks for a name asks the driver to which it belongs, whom nobody needs to tell.
#[derive(Debug)]
pub struct Line {
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

    /// For a test that has something to tell a driver.
    #[cfg(test)]
    pub(super) fn to(&self, driver: usize) -> impl FnOnce(Note) + use<> {
        let (me, to) = (self.me, self.to[driver].clone());
        move |note| to.try_send((me, vec![note])).unwrap()
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
        if self.is_alone() {
            return;
        }
        for _ in 0..BATCHES {
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
            let room = line.carry(hub);
            flush(now, hub, sockets);
            let mut deadline = hub.poll_timeout();
            deadline = sockets.next_deadline().map_or(deadline, |d| deadline.min(d));
            if !room {
                deadline = deadline.min(now + ROOM_AGAIN);
            }
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = read_socket_input(hub, sockets, line, &mut batch, deadline) => {
                    // A flood must not keep signaling out.
                    for _ in 0..COMMAND_TURNS {
                        let Ok(command) = commands.try_recv() else { break };
                        hub.handle_command(clock::now(), command);
                    }
                }
                Some(command) = commands.recv() => hub.handle_command(clock::now(), command),
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
/// clients it is for; or what other drivers have to tell, if that comes first. Bounded: the clock
/// has its turn after some batches.
pub async fn read_socket_input(
    hub: &mut Hub,
    sockets: &mut SocketSet,
    line: &mut Line,
    batch: &mut RecvBatch,
    deadline: Instant,
) {
    let mut local = tokio::select! {
        biased;
        got = tokio::time::timeout_at(deadline.into(), sockets.recv(batch)) => match got {
            Ok((local, _)) => local,
            Err(_) => return,
        },
        notes = line.recv() => {
            return match notes {
                Some((from, notes)) => hub.handle_notes(clock::now(), from, notes),
                None => hub.relay(clock::now()),
            };
        }
    };
    for turn in 1.. {
        line.take(hub);
        let now = clock::now();
        for (remote, datagram) in batch.arrivals() {
            hub.handle_datagram(now, local, remote, datagram);
        }
        if turn == RECV_TURNS {
            break;
        }
        line.carry(hub);
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

/// Batches of notes that wait for one driver; it takes as many in one go.
const BATCHES: usize = 64;

/// When it is looked again whether another driver has room.
const ROOM_AGAIN: Duration = Duration::from_millis(1);
