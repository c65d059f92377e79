//! What drives a [`Hub`]: its sockets, its clock, and its ends of the queues to other shards.

pub(super) mod command_router;
pub(super) mod message;
pub(super) mod receive;
pub(super) mod router;
pub(super) mod setup;
pub(super) mod shared;
#[cfg(test)]
mod tests;
pub(super) mod threads;

use std::future::{Future, pending};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use crate::net::{RecvBatch, SocketSet};
use crate::server::Hub;
use crate::server::shard::router::ShardMessage;
use crate::server::web::HubCommand;
use crate::util::clock;

/// One shard of a hub.
#[derive(Debug)]
pub(in crate::server) struct Shard {
    pub(in crate::server) hub: Hub,
    pub(in crate::server) sockets: SocketSet,
    pub(in crate::server) commands: mpsc::Receiver<HubCommand>,
    pub(in crate::server) queues: ShardQueues,
}

/// The ends of the queues between this shard and the others.
///
/// What a datagram tells a client here should not be known to it before other shards can know it:
/// it may lead to a datagram to one of them. So messages leave before datagrams do, and are read
/// before datagrams are.
///
/// Only while a queue is full do datagrams overtake messages, and answers over HTTP always may: a
/// shard that hangs must not silence the clients of the others, nor their probes. That is safe:
///
/// - An acknowledgement cannot be among them: the copy of its message that is in the message is
///   open.
/// - Messages to one shard stay in order. What a client does there by way of this one comes after
///   what it was told: its messages after its interest, frames after the number of their channel.
/// - Who has opened a channel, and tells another shard's client so by some other way, may miss what
///   that one sends before the message is read: as if it had come that much later. What nobody else
///   gets either waits for it, if its writer keeps it.
/// - Who asks for a name asks the shard to which it belongs, whom nobody needs to tell.
#[derive(Debug)]
pub struct ShardQueues {
    me: usize,
    to: Vec<mpsc::Sender<Batch>>,
    inbox: mpsc::Receiver<Batch>,
    waker: Arc<ShardWaker>,
}

/// Who writes, and what.
type Batch = (usize, Vec<ShardMessage>);

/// Wakes a shard that sleeps: what its clients wait for has happened elsewhere.
#[derive(Debug, Default)]
struct ShardWaker {
    notify: Notify,
}

impl Wake for ShardWaker {
    fn wake(self: Arc<Self>) {
        self.notify.notify_one();
    }
}

impl ShardQueues {
    /// One for each of so many shards.
    pub(in crate::server) fn among(shards: usize) -> Vec<Self> {
        let queues = (0..shards).map(|_| mpsc::channel(BATCHES));
        let (to, inboxes): (Vec<_>, Vec<_>) = queues.unzip();
        let queues = |(me, inbox)| Self { me, to: to.clone(), inbox, waker: Arc::default() };
        inboxes.into_iter().enumerate().map(queues).collect()
    }

    /// For a test that has something to tell a shard.
    #[cfg(test)]
    pub(in crate::server) fn to(&self, shard: usize) -> impl FnOnce(ShardMessage) + use<> {
        let (me, to) = (self.me, self.to[shard].clone());
        move |message| to.try_send((me, vec![message])).unwrap()
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
        for shard in hub.router.waiting().collect::<Vec<_>>() {
            loop {
                let batch = hub.router.poll(shard);
                if batch.is_empty() {
                    break;
                }
                if let Err(refused) = self.to[shard].try_send((self.me, batch)) {
                    hub.router.put_back(shard, refused.into_inner().1);
                    room = false;
                    break;
                }
            }
        }
        room
    }

    /// What another shard has to tell; or nothing, if it is only to be looked what has been
    /// acknowledged.
    async fn recv(&mut self) -> Option<Batch> {
        if self.is_alone() {
            return pending().await;
        }
        let Self { inbox, waker, .. } = self;
        tokio::select! {
            () = waker.notify.notified() => None,
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
            let Ok((from, messages)) = self.inbox.try_recv() else { break };
            hub.handle_shard_messages(clock::now(), from, messages);
        }
    }
}

impl Shard {
    pub(in crate::server) fn new(
        hub: Hub,
        sockets: SocketSet,
        commands: mpsc::Receiver<HubCommand>,
        queues: ShardQueues,
    ) -> Self {
        if !queues.is_alone() {
            hub.broker.set_waker(Waker::from(queues.waker.clone()));
        }
        Self { hub, sockets, commands, queues }
    }

    /// Serves this shard's clients until `stop` resolves.
    pub(in crate::server) async fn serve(&mut self, stop: impl Future<Output = ()>) {
        let mut batch = RecvBatch::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let now = clock::now();
            let Self { hub, sockets, commands, queues } = self;
            if hub.poll_timeout() <= now {
                hub.handle_timeout(now);
            }
            let room = queues.carry(hub);
            flush(now, hub, sockets);
            let mut deadline = hub.poll_timeout();
            deadline = sockets.next_deadline().map_or(deadline, |d| deadline.min(d));
            if !room {
                deadline = deadline.min(now + ROOM_AGAIN);
            }
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = read_socket_input(hub, sockets, queues, &mut batch, deadline) => {
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

    /// Tells all clients what of theirs has arrived.
    pub(in crate::server) fn hasten_acks(&mut self) {
        let now = clock::now();
        self.hub.hasten_acks(now);
        flush(now, &mut self.hub, &mut self.sockets);
    }

    /// Says good-bye to all clients.
    pub(in crate::server) fn close(&mut self) {
        let now = clock::now();
        self.hub.close(now);
        flush(now, &mut self.hub, &mut self.sockets);
    }
}

/// Reads what the UDP sockets have, waiting for it until `deadline` at most, and gives it to the
/// clients it is for; or what other shards have to tell, if that comes first. Bounded: the clock
/// has its turn after some batches.
pub async fn read_socket_input(
    hub: &mut Hub,
    sockets: &mut SocketSet,
    queues: &mut ShardQueues,
    batch: &mut RecvBatch,
    deadline: Instant,
) {
    let mut local = tokio::select! {
        biased;
        got = tokio::time::timeout_at(deadline.into(), sockets.recv(batch)) => match got {
            Ok((local, _)) => local,
            Err(_) => return,
        },
        messages = queues.recv() => {
            return match messages {
                Some((from, messages)) => hub.handle_shard_messages(clock::now(), from, messages),
                None => hub.relay(clock::now()),
            };
        }
    };
    for turn in 1.. {
        queues.take(hub);
        let now = clock::now();
        for (remote, datagram) in batch.arrivals() {
            hub.handle_datagram(now, local, remote, datagram);
        }
        if turn == RECV_TURNS {
            break;
        }
        queues.carry(hub);
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

/// Batches of messages that wait for one shard; it takes as many in one go.
const BATCHES: usize = 64;

/// When it is looked again whether another shard has room.
const ROOM_AGAIN: Duration = Duration::from_millis(1);
