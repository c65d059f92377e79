//! The drivers of a hub: a thread for each, with a tokio runtime of its own.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::driver::{Driver, Line};
use super::plan::Plan;
use super::web::Command;
use crate::error::{NetworkError, WebrtcError};

/// Threads of drivers. Dropping it ends them, too, but waits only until none of them tells a client
/// anything any more.
#[derive(Debug)]
pub(super) struct Crew {
    muster: Arc<Muster>,
    hands: Vec<Hand>,
}

#[derive(Debug)]
struct Hand {
    begin: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Who still works, and whether all are to stop.
#[derive(Debug)]
struct Muster {
    stop: watch::Sender<bool>,
    working: Mutex<usize>,
    left: Condvar,
}

impl Crew {
    pub(super) fn new() -> Self {
        let muster = Muster {
            stop: watch::Sender::new(false),
            working: Mutex::new(0),
            left: Condvar::new(),
        };
        Self { muster: Arc::new(muster), hands: Vec::new() }
    }

    /// Starts a driver's thread, which opens its sockets and waits; returns their addresses.
    pub(super) async fn add(
        &mut self,
        plan: Arc<Plan>,
        driver: usize,
        commands: mpsc::Receiver<Command>,
        line: Line,
    ) -> Result<Vec<SocketAddr>, WebrtcError> {
        let (begin, begun) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let muster = self.muster.clone();
        let name = format!("rover-hub-{driver}");
        let work = move || work(&plan, driver, commands, line, &muster, tell, begun);
        let thread = std::thread::Builder::new().name(name).spawn(work);
        let thread = Some(thread.map_err(NetworkError::from)?);
        self.hands.push(Hand { begin: Some(begin), thread });
        let died = |_| WebrtcError::Server(format!("driver {driver} did not start"));
        Ok(told.await.map_err(died)??)
    }

    /// Lets all of them serve.
    pub(super) fn begin(&mut self) {
        for hand in &mut self.hands {
            let begin = hand.begin.take();
            *self.muster.working() += 1;
            if begin.is_none_or(|begin| begin.send(()).is_err()) {
                self.muster.leave();
            }
        }
    }

    /// Resolves when all have to stop, because one of them has ended.
    pub(super) async fn stopped(&self) {
        let mut stop = self.muster.stop.subscribe();
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Stops all, and waits for them.
    pub(super) async fn join(&mut self) {
        self.muster.stop.send_replace(true);
        let threads: Vec<_> = self.hands.drain(..).filter_map(|hand| hand.thread).collect();
        if threads.is_empty() {
            return;
        }
        let join = tokio::task::spawn_blocking(|| {
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        let _ = tokio::time::timeout(JOIN_TIME, join).await;
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // Those that never began end by themselves.
        self.muster.stop.send_replace(true);
        self.muster.wait();
    }
}

impl Muster {
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
            tracing::error!("a driver does not stop");
        }
    }
}

fn work(
    plan: &Plan,
    driver: usize,
    commands: mpsc::Receiver<Command>,
    line: Line,
    muster: &Muster,
    tell: oneshot::Sender<Result<Vec<SocketAddr>, NetworkError>>,
    begun: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (runtime, (sockets, udp)) = match runtime.map_err(NetworkError::from).and_then(|runtime| {
        let entered = runtime.enter();
        let opened = plan.open(driver)?;
        drop(entered);
        Ok((runtime, opened))
    }) {
        Ok(ready) => ready,
        Err(error) => return drop(tell.send(Err(error))),
    };
    let hub = plan.hub(driver, udp.clone());
    let mut driver = Driver::new(hub, sockets, commands, line);
    if tell.send(Ok(udp)).is_err() || runtime.block_on(begun).is_err() {
        return;
    }
    let mut stop = muster.stop.subscribe();
    let served = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(driver.serve(async {
            let _ = stop.wait_for(|stop| *stop).await;
        }));
    }));
    if served.is_err() {
        tracing::error!("a driver of the hub has ended by a panic: the hub ends");
        // What it had of others' messages must not count as arrived.
        driver.abandon();
        muster.stop.send_replace(true);
        return muster.leave();
    }
    muster.leave();
    // A client's good-bye lets go of messages that it has not got: none that serves may take that
    // for an acknowledgement, and tell their writer so.
    muster.wait();
    driver.close();
}

/// How long a driver may take to notice that it is to stop: longer than any turn takes.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// And to say good-bye to its clients.
const JOIN_TIME: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::config::ServerConfig;
    use crate::server::between::Note;
    use crate::server::{Doors, Server, run};

    fn config() -> ServerConfig {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        ServerConfig { listen: any, udp: vec![any], drivers: 3, ..ServerConfig::default() }
    }

    #[tokio::test]
    async fn a_driver_that_panics_ends_the_hub() {
        let plan = Arc::new(Plan::new(config()).unwrap());
        let (_doors, commands) = Doors::new(plan.shared.clone());
        let lines = Line::among(3);
        let tell = lines[0].to(1);
        let (mut crew, mut udp) = (Crew::new(), Vec::new());
        for (driver, (commands, line)) in commands.into_iter().zip(lines).enumerate() {
            udp.extend(crew.add(plan.clone(), driver, commands, line).await.unwrap());
        }
        crew.begin();
        tell(Note::Panic);
        let ended = tokio::time::timeout(JOIN_TIME, crew.stopped()).await;
        ended.expect("it does not go on with a part of its clients");
        crew.join().await;
        for address in udp {
            std::net::UdpSocket::bind(address).expect("its sockets are closed");
        }
    }

    #[tokio::test]
    async fn a_hub_that_is_dropped_ends_its_drivers() {
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
