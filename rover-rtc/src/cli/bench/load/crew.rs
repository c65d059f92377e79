//! A thread with its share of the clients: it connects them, sends and receives for them, and says
//! what came of it. Both clients of a pair are in the same one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rover_rtc::util::clock;
use rover_rtc::{Channel, Message};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::super::measure::message;
use super::book::Book;
use super::join::{Joined, join};
use super::options::LoadOptions;
use super::pace::Pace;
use super::tally::Tally;

/// What all threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: LoadOptions,
    pub(super) pace: Pace,
    /// Tells the channels of this run from those of others on the same hub.
    pub(super) run: u64,
    /// One for each client that may connect at the same time.
    pub(super) permits: Semaphore,
    pub(super) joined: AtomicUsize,
    /// Messages so far.
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
}

/// What the threads are to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    /// Connect, and wait.
    Join,
    /// Send, from this time on; with it the same in nanoseconds of the Unix time.
    Begin(Instant, i64),
    /// Say good-bye.
    Leave,
}

/// What a thread tells.
#[derive(Debug)]
pub(super) enum News {
    Joined,
    Measured(Tally),
    Failed(String),
}

/// One of the threads.
#[derive(Debug)]
pub(super) struct Crew {
    pub(super) shared: Arc<Shared>,
    /// Its number.
    pub(super) thread: usize,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) news: mpsc::UnboundedSender<News>,
}

/// A client that sends and receives.
#[derive(Debug)]
struct Client {
    /// Among all.
    index: usize,
    joined: Joined,
}

impl Crew {
    /// Starts the thread.
    pub(super) fn start(self) -> io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(format!("load-{}", self.thread));
        thread.spawn(move || runtime.block_on(self.run()))
    }

    async fn run(self) {
        let (clients, unread) = match self.join_all().await {
            Ok(clients) => clients,
            Err(why) => return self.tell(News::Failed(why)),
        };
        self.tell(News::Joined);
        let mut orders = self.orders.clone();
        let order = orders.wait_for(|o| !matches!(o, Order::Join)).await.map(|o| *o);
        if let Ok(Order::Begin(at, unix)) = order {
            let tally = self.measure(&clients, at, unix).await;
            self.tell(News::Measured(tally));
        }
        // Who gave the orders may have given up.
        let _ = orders.wait_for(|o| matches!(o, Order::Leave)).await;
        let mut leaving = JoinSet::new();
        for Joined { peer, .. } in clients.into_iter().map(|c| c.joined).chain(unread) {
            leaving.spawn(async move { peer.close().await });
        }
        let _ = timeout(LEAVE_PATIENCE, leaving.join_all()).await;
    }

    fn tell(&self, news: News) {
        let _ = self.news.send(news);
    }

    /// Connects this thread's clients, and those that will not read.
    async fn join_all(&self) -> Result<(Vec<Client>, Vec<Joined>), String> {
        let LoadOptions { clients, threads, unread, idle, .. } = self.shared.options;
        let pairs = self.shared.options.pairs();
        // The hub's status comes to the clients of this channel; pairs are better off without.
        let label = |pair: usize| match idle {
            true => "test".to_owned(),
            false => format!("load-{:x}-{pair}", self.shared.run),
        };
        let own = |group: usize| group % threads == self.thread;
        let mut joining = JoinSet::new();
        for index in (0..clients).filter(|i| own(if idle { *i } else { i / 2 })) {
            joining.spawn(joined(self.shared.clone(), label(index / 2), Some(index)));
        }
        for number in (0..unread).filter(|u| own(u % pairs)) {
            joining.spawn(joined(self.shared.clone(), label(number % pairs), None));
        }
        let (mut clients, mut unread) = (Vec::new(), Vec::new());
        while let Some(result) = joining.join_next().await {
            let (index, joined) = result.map_err(|e| e.to_string())??;
            if idle {
                tokio::spawn(discard(joined.channel.clone()));
            }
            match index {
                Some(index) => clients.push(Client { index, joined }),
                None => unread.push(joined),
            }
        }
        clients.sort_unstable_by_key(|c| c.index);
        Ok((clients, unread))
    }

    async fn measure(&self, clients: &[Client], at: Instant, unix: i64) -> Tally {
        let pace = self.shared.pace;
        let share = clients.len() as f64 / self.shared.options.clients as f64;
        let tally = Tally::with_capacity((pace.counted() as f64 * share) as u64 + 1);
        let book = Arc::new(Book::new(self.shared.clone(), unix, tally, clients.len()));
        let mut receivers = JoinSet::new();
        for (slot, client) in clients.iter().enumerate() {
            let channel = client.joined.channel.clone();
            receivers.spawn(book.clone().receive(channel, slot, client.index ^ 1));
        }
        let sent = self.drive(clients, at).await;
        let until = clock::now() + STRAGGLERS;
        while book.lacks(&sent) > 0 && clock::now() < until {
            sleep_until((clock::now() + LOOK_INTERVAL).into()).await;
        }
        // What comes twice may be on its way.
        sleep_until((clock::now() + AFTER).into()).await;
        let lost = book.lacks(&sent);
        receivers.shutdown().await;
        let mut tally = book.take_tally();
        tally.faults.lost = lost;
        for (client, sent) in clients.iter().zip(sent) {
            tally.faults.unsent += pace.total(client.index) - sent;
            tally.sent += (0..sent).filter(|n| pace.counts(client.index, *n)).count() as u64;
        }
        tally
    }

    /// Sends what is due, each message as soon as it can; returns how many of each client.
    async fn drive(&self, clients: &[Client], at: Instant) -> Vec<u64> {
        let (pace, size) = (self.shared.pace, self.shared.options.size);
        let mut sent = vec![0; clients.len()];
        let (mut now, mut busy) = (clock::now(), 0);
        // The order of time: one message of each, again and again. The first has the most.
        for number in 0..clients.first().map_or(0, |c| pace.total(c.index)) {
            for (slot, client) in clients.iter().enumerate() {
                if number >= pace.total(client.index) {
                    continue;
                }
                let due = at + Duration::from_nanos(pace.due(client.index, number));
                if due > now {
                    now = clock::now();
                }
                if due > now {
                    sleep_until(due.into()).await;
                    (now, busy) = (clock::now(), 0);
                } else if now > due + TOO_LATE {
                    return sent;
                }
                // One that is refused is lost, and will be missed.
                let _ = client.joined.channel.try_send(Message::binary(message(number, size)));
                sent[slot] = number + 1;
                self.shared.sent.fetch_add(1, Ordering::Relaxed);
                busy += 1;
                if busy == BURST {
                    // The clients' own tasks must have their turn, however late it is.
                    tokio::task::yield_now().await;
                    (now, busy) = (clock::now(), 0);
                }
            }
        }
        sent
    }
}

async fn joined(
    shared: Arc<Shared>,
    label: String,
    index: Option<usize>,
) -> Result<(Option<usize>, Joined), String> {
    let _permit = shared.permits.acquire().await.map_err(|e| e.to_string())?;
    let joined = join(&shared.options, &label, index.is_some()).await?;
    shared.joined.fetch_add(1, Ordering::Relaxed);
    Ok((index, joined))
}

/// The hub's status, while nothing else comes.
async fn discard(channel: Channel) {
    while channel.recv().await.is_some() {}
}

/// Messages that are sent at most before the clients' own tasks run.
const BURST: usize = 64;

/// Whoever is so late will not catch up.
const TOO_LATE: Duration = Duration::from_secs(10);

const STRAGGLERS: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
const AFTER: Duration = Duration::from_millis(100);
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);
