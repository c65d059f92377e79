//! The shards of a hub: a thread for each, with a tokio runtime of its own.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::error::WebrtcError;
use crate::net::NetworkError;
use crate::server::shard::setup::ShardSetup;
use crate::server::shard::{Shard, ShardQueues};
use crate::server::web::HubCommand;

/// Threads of shards. Dropping it ends them, too, but waits only until none of them tells a client
/// anything any more.
#[derive(Debug)]
pub(in crate::server) struct ShardThreads {
    barrier: Arc<ShutdownBarrier>,
    threads: Vec<ShardThread>,
}

#[derive(Debug)]
struct ShardThread {
    begin: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Who still works, and whether all are to stop.
#[derive(Debug)]
struct ShutdownBarrier {
    stop: watch::Sender<bool>,
    working: Mutex<usize>,
    left: Condvar,
}

impl ShardThreads {
    pub(in crate::server) fn new() -> Self {
        let barrier = ShutdownBarrier {
            stop: watch::Sender::new(false),
            working: Mutex::new(0),
            left: Condvar::new(),
        };
        Self { barrier: Arc::new(barrier), threads: Vec::new() }
    }

    /// Starts a shard's thread, which opens its sockets and waits; returns their addresses.
    pub(in crate::server) async fn add(
        &mut self,
        setup: Arc<ShardSetup>,
        shard: usize,
        commands: mpsc::Receiver<HubCommand>,
        queues: ShardQueues,
    ) -> Result<Vec<SocketAddr>, WebrtcError> {
        let (begin, begun) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let barrier = self.barrier.clone();
        let name = format!("rover-hub-{shard}");
        let work = move || work(&setup, shard, commands, queues, &barrier, tell, begun);
        let thread = std::thread::Builder::new().name(name).spawn(work);
        let thread = Some(thread.map_err(NetworkError::from)?);
        self.threads.push(ShardThread { begin: Some(begin), thread });
        let died = |_| WebrtcError::Server(format!("shard {shard} did not start"));
        Ok(told.await.map_err(died)??)
    }

    /// Lets all of them serve.
    pub(in crate::server) fn begin(&mut self) {
        for thread in &mut self.threads {
            let begin = thread.begin.take();
            *self.barrier.working() += 1;
            if begin.is_none_or(|begin| begin.send(()).is_err()) {
                self.barrier.leave();
            }
        }
    }

    /// Resolves when all have to stop, because one of them has ended.
    pub(in crate::server) async fn stopped(&self) {
        let mut stop = self.barrier.stop.subscribe();
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Stops all, and waits for them.
    pub(in crate::server) async fn join(&mut self) {
        self.barrier.stop.send_replace(true);
        let threads: Vec<_> = self.threads.drain(..).filter_map(|thread| thread.thread).collect();
        if threads.is_empty() {
            return;
        }
        let join = tokio::task::spawn_blocking(|| {
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        let _ = tokio::time::timeout(JOIN_TIME, join).await;
    }
}

impl Drop for ShardThreads {
    fn drop(&mut self) {
        // Those that never began end by themselves.
        self.barrier.stop.send_replace(true);
        self.barrier.wait();
    }
}

impl ShutdownBarrier {
    fn working(&self) -> MutexGuard<'_, usize> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self) {
        *self.working() -= 1;
        self.left.notify_all();
    }

    fn wait(&self) {
        let working = self.left.wait_timeout_while(self.working(), LEAVE_TIME, |n| *n > 0);
        if working.is_ok_and(|(_, over)| over.timed_out()) {
            tracing::error!("a shard does not stop");
        }
    }
}

fn work(
    setup: &ShardSetup,
    shard: usize,
    commands: mpsc::Receiver<HubCommand>,
    queues: ShardQueues,
    barrier: &ShutdownBarrier,
    tell: oneshot::Sender<Result<Vec<SocketAddr>, NetworkError>>,
    begun: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (runtime, (sockets, udp)) = match runtime.map_err(NetworkError::from).and_then(|runtime| {
        let entered = runtime.enter();
        let opened = setup.open(shard)?;
        drop(entered);
        Ok((runtime, opened))
    }) {
        Ok(ready) => ready,
        Err(error) => return drop(tell.send(Err(error))),
    };
    let hub = setup.hub(shard, udp.clone());
    let mut shard = Shard::new(hub, sockets, commands, queues);
    if tell.send(Ok(udp)).is_err() || runtime.block_on(begun).is_err() {
        return;
    }
    let mut stop = barrier.stop.subscribe();
    let served = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(shard.serve(async {
            let _ = stop.wait_for(|stop| *stop).await;
        }));
        shard.hasten_acks();
    }));
    if served.is_err() {
        tracing::error!("a shard of the hub has ended by a panic: the hub ends");
        barrier.stop.send_replace(true);
        return barrier.leave();
    }
    barrier.leave();
    shard.close();
}

/// How long a shard may take to notice that it is to stop: longer than any turn takes.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// And to say good-bye to its clients.
const JOIN_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::config::ServerConfig;
    use crate::server::shard::router::ShardMessage;
    use crate::server::{CommandRouter, Server, run};

    fn config() -> ServerConfig {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        ServerConfig { listen: any, udp: vec![any], shards: 3, ..ServerConfig::default() }
    }

    #[tokio::test]
    async fn a_shard_that_panics_ends_the_hub() {
        let setup = Arc::new(ShardSetup::new(config()).unwrap());
        let (_doors, commands) = CommandRouter::new(setup.shared.clone());
        let lines = ShardQueues::among(3);
        let tell = lines[0].to(1);
        let (mut threads, mut udp) = (ShardThreads::new(), Vec::new());
        for (shard, (commands, queues)) in commands.into_iter().zip(lines).enumerate() {
            udp.extend(threads.add(setup.clone(), shard, commands, queues).await.unwrap());
        }
        threads.begin();
        tell(ShardMessage::Panic);
        let ended = tokio::time::timeout(JOIN_TIME, threads.stopped()).await;
        ended.expect("it does not go on with a part of its clients");
        threads.join().await;
        for address in udp {
            std::net::UdpSocket::bind(address).expect("its sockets are closed");
        }
    }

    #[tokio::test]
    async fn a_hub_that_is_dropped_ends_its_shards() {
        let server = Server::bind(config()).await.unwrap();
        let udp = server.udp_addresses().to_vec();
        let running = tokio::spawn(run(server, std::future::pending()));
        tokio::task::yield_now().await;
        running.abort();
        let _ = running.await;
        let free = || udp.iter().all(|address| std::net::UdpSocket::bind(address).is_ok());
        let freed = async {
            while !free() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(JOIN_TIME, freed).await.expect("their sockets are closed");
    }
}
