//! A thread with its share of the clients: it connects them, sends and receives for them, and says
//! what came of it. Both clients of a pair are in the same one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rover_rtc::Message;
use rover_rtc::util::clock;
use tokio::sync::{mpsc, watch};

use super::super::measure::message;
use super::fleet::Fleet;
use super::join::{Slot, join_all};
use super::options::LoadOptions;
use super::recorder::Recorder;
use super::shared::Shared;
use super::tally::Tally;

/// What the threads are to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Command {
    /// Connect, and wait.
    Join,
    /// Send, from this time on; with it the same in nanoseconds of the Unix time.
    Begin(Instant, i64),
    /// Say good-bye.
    Leave,
}

/// What a thread tells.
#[derive(Debug)]
pub(super) enum WorkerEvent {
    Joined,
    Measured(Tally),
    /// A client has lost its connection.
    Trouble(String),
    Failed(String),
}

/// One of the threads.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    /// Its number.
    pub(super) thread: usize,
    pub(super) commands: watch::Receiver<Command>,
    pub(super) events: mpsc::UnboundedSender<WorkerEvent>,
}

impl Worker {
    /// Starts the thread.
    pub(super) fn start(self) -> io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(format!("load-{}", self.thread));
        thread.spawn(move || runtime.block_on(self.run()))
    }

    async fn run(self) {
        let slots = self.slots();
        let mut fleet = Fleet::new(slots.len());
        if let Err(why) = join_all(&self.shared, &slots, &mut fleet).await {
            return self.tell(WorkerEvent::Failed(why));
        }
        self.tell(WorkerEvent::Joined);
        let command = self.hold(&mut fleet, |command| !matches!(command, Command::Join)).await;
        if let Some(Command::Begin(at, unix)) = command {
            let indices: Vec<_> = slots.iter().filter_map(|seat| seat.index).collect();
            let tally = self.measure(&mut fleet, &indices, at, unix).await;
            self.tell(WorkerEvent::Measured(tally));
        }
        // Who gave the commands may have given up.
        self.hold(&mut fleet, |command| matches!(command, Command::Leave)).await;
        fleet.close(clock::now());
    }

    fn tell(&self, event: WorkerEvent) {
        let _ = self.events.send(event);
    }

    /// This thread's clients: those that are measured, then those that will not read.
    fn slots(&self) -> Vec<Slot> {
        let LoadOptions { clients, threads, unread, idle, .. } = self.shared.options;
        let pairs = self.shared.options.pairs();
        // The hub's status comes to the clients of this channel; pairs are better off without.
        let label = |pair: usize| match idle {
            true => "test".to_owned(),
            false => format!("load-{:x}-{pair}", self.shared.run),
        };
        let own = |group: usize| group % threads == self.thread;
        let measured = (0..clients).filter(|i| own(if idle { *i } else { i / 2 }));
        let measured = measured.map(|i| Slot { index: Some(i), label: label(i / 2) });
        let unread = (0..unread).filter(|u| own(u % pairs));
        measured.chain(unread.map(|u| Slot { index: None, label: label(u % pairs) })).collect()
    }

    /// Keeps the clients alive until there is such an order; `None` if there will be none.
    async fn hold(&self, fleet: &mut Fleet, is: impl Fn(&Command) -> bool) -> Option<Command> {
        let mut commands = self.commands.clone();
        loop {
            let command = *commands.borrow_and_update();
            if is(&command) {
                return Some(command);
            }
            fleet.serve(&mut |_, _| ());
            self.tell_failures(fleet);
            tokio::select! {
                changed = commands.changed() => changed.ok()?,
                () = fleet.wait(clock::now() + LOOK_INTERVAL) => {}
            }
        }
    }

    fn tell_failures(&self, fleet: &mut Fleet) {
        for why in fleet.take_failures() {
            self.tell(WorkerEvent::Trouble(format!("a client has lost its connection: {why}")));
        }
    }

    async fn measure(&self, fleet: &mut Fleet, indices: &[usize], at: Instant, unix: i64) -> Tally {
        let Shared { pace, options, .. } = &*self.shared;
        let share = indices.len() as f64 / options.clients as f64;
        let tally = Tally::with_capacity((pace.counted() as f64 * share) as u64 + 1);
        let mut recorder = Recorder::new(self.shared.clone(), unix, tally, indices.len());
        let sent = self.drive(fleet, indices, at, &mut recorder.taker(indices)).await;
        let stragglers = clock::now() + STRAGGLERS;
        let mut until = stragglers;
        loop {
            let now = clock::now();
            fleet.serve(&mut recorder.taker(indices));
            if until == stragglers && recorder.lacks(&sent) == 0 {
                // What comes twice may be on its way.
                until = now + AFTER;
            }
            if now >= until {
                break;
            }
            fleet.wait(until.min(now + LOOK_INTERVAL)).await;
        }
        self.tell_failures(fleet);
        let lost = recorder.lacks(&sent);
        let mut tally = recorder.into_tally();
        tally.faults.lost = lost;
        for (index, sent) in indices.iter().zip(sent) {
            tally.faults.unsent += pace.total(*index) - sent;
            tally.sent += (0..sent).filter(|n| pace.counts(*index, *n)).count() as u64;
        }
        tally
    }

    /// Sends what is due, each message as soon as it can; returns how many of each client.
    async fn drive(
        &self,
        fleet: &mut Fleet,
        indices: &[usize],
        at: Instant,
        got: &mut impl FnMut(usize, &Message),
    ) -> Vec<u64> {
        let Shared { pace, options, .. } = &*self.shared;
        let mut sent = vec![0; indices.len()];
        // The order of time: one message of each, again and again. The first has the most.
        let rounds = 0..indices.first().map_or(0, |index| pace.total(*index));
        let all = rounds.flat_map(|number| (0..indices.len()).map(move |place| (number, place)));
        let mut all =
            all.filter(|(number, place)| *number < pace.total(indices[*place])).peekable();
        while let Some((number, place)) = all.peek().copied() {
            let mut due = at + Duration::from_nanos(pace.due(indices[place], number));
            fleet.serve(got);
            let mut now = clock::now();
            if now > due + TOO_LATE {
                break;
            }
            // Whoever waits for an answer must have a turn, however late it is.
            for _ in 0..BURST {
                let Some((number, place)) = all.peek().copied() else { break };
                due = at + Duration::from_nanos(pace.due(indices[place], number));
                if due > now {
                    break;
                }
                all.next();
                let message = Message::binary(message(number, options.size));
                // One that is refused is lost, and will be missed.
                let _ = fleet.get(place).is_some_and(|client| client.send(now, message));
                fleet.turn(now, place, got);
                sent[place] = number + 1;
                self.shared.sent.fetch_add(1, Ordering::Relaxed);
                now = clock::now();
            }
            fleet.wait(due).await;
        }
        sent
    }
}

/// Messages that are sent at most before what has come has its turn.
const BURST: usize = 16;

/// Whoever is so late will not catch up.
const TOO_LATE: Duration = Duration::from_secs(10);

const STRAGGLERS: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const AFTER: Duration = Duration::from_millis(100);
