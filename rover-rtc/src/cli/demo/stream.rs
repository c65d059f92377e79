//! Numbered messages from one rover to the other, and a checker for what arrives.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rover_rtc::model::payload::Payload;
use rover_rtc::util::clock;
use rover_rtc::{Channel, Message, Mode};
use tokio::task::JoinHandle;

/// What was sent and received in the act of now, in one direction.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    act: u8,
    sending: bool,
    sent: u64,
    received: Vec<(Instant, u64)>,
    /// Messages that the application knew by their number, and did not take once more.
    known: u64,
    /// From the sender's call to the receiver's, of each that was received.
    delays: Vec<Duration>,
}

/// One direction: a task that sends, a task that receives.
#[derive(Debug)]
pub(super) struct Stream {
    record: Arc<Mutex<Record>>,
    interval: Duration,
    /// The number of the last message that was taken, which an application keeps with what it has
    /// made of the message: after a crash the last ones may come again.
    taken: Arc<AtomicU64>,
    tasks: [JoinHandle<()>; 2],
}

impl Stream {
    /// 100 messages a second.
    pub(super) fn start(from: Channel, to: Channel) -> Self {
        Self::every(INTERVAL, from, to)
    }

    /// A message in each interval.
    pub(super) fn every(interval: Duration, from: Channel, to: Channel) -> Self {
        let (record, taken): (Arc<Mutex<Record>>, Arc<AtomicU64>) = Default::default();
        let tasks = [
            tokio::spawn(send(from, interval, record.clone())),
            tokio::spawn(receive(to, record.clone(), taken.clone())),
        ];
        Self { record, interval, taken, tasks }
    }

    /// The process that sends is about to end: what it has sent is on disk.
    pub(super) async fn stop_sending(&self, from: &Channel) {
        self.tasks[0].abort();
        let _ = from.stored().await;
    }

    /// The process that receives is about to end.
    pub(super) fn stop_receiving(&self) {
        self.tasks[1].abort();
    }

    /// A new process sends.
    pub(super) fn send_on(&mut self, from: Channel) {
        self.tasks[0] = tokio::spawn(send(from, self.interval, self.record.clone()));
    }

    /// A new process receives.
    pub(super) fn receive_on(&mut self, to: Channel) {
        self.tasks[1] = tokio::spawn(receive(to, self.record.clone(), self.taken.clone()));
    }

    /// Begins an act with number 0.
    pub(super) fn begin(&self, act: u8) {
        *lock(&self.record) = Record { act, sending: true, ..Record::default() };
    }

    /// Sends no more.
    pub(super) fn pause(&self) {
        lock(&self.record).sending = false;
    }

    pub(super) fn record(&self) -> Record {
        lock(&self.record).clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Record {
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn delivered(&self) -> u64 {
        self.received.len() as u64
    }

    pub(super) fn is_whole(&self) -> bool {
        self.lost() == 0
    }

    pub(super) fn lost(&self) -> u64 {
        let mut numbers: Vec<_> = self.received.iter().map(|r| r.1).collect();
        numbers.sort_unstable();
        numbers.dedup();
        self.sent - numbers.len() as u64
    }

    pub(super) fn duplicated(&self) -> u64 {
        self.received.len() as u64 - (self.sent - self.lost())
    }

    pub(super) fn known(&self) -> u64 {
        self.known
    }

    /// First deliveries that came after a higher number.
    pub(super) fn reordered(&self) -> u64 {
        let highest_before = self.received.iter().scan(None, |highest, (_, number)| {
            let before = *highest;
            *highest = (*highest).max(Some(*number));
            Some((before, *number))
        });
        highest_before.filter(|(before, number)| before.is_some_and(|b| *number < b)).count() as u64
    }

    pub(super) fn longest_gap(&self) -> Duration {
        let gaps = self.received.windows(2).map(|w| w[1].0 - w[0].0);
        gaps.max().unwrap_or(Duration::MAX)
    }

    /// What 99 of 100 delays do not exceed.
    pub(super) fn p99(&self) -> Option<Duration> {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        delays.get((delays.len() * 99).div_ceil(100).checked_sub(1)?).copied()
    }

    /// When the first message after `since` came.
    pub(super) fn first_after(&self, since: Instant) -> Option<Instant> {
        self.received.iter().map(|r| r.0).find(|t| *t > since)
    }
}

async fn send(channel: Channel, interval: Duration, record: Arc<Mutex<Record>>) {
    let mut interval = tokio::time::interval(interval);
    loop {
        interval.tick().await;
        let (act, number) = {
            let mut record = lock(&record);
            if !record.sending {
                continue;
            }
            record.sent += 1;
            (record.act, record.sent - 1)
        };
        let mut data = vec![act];
        data.extend_from_slice(&number.to_le_bytes());
        data.resize(MESSAGE_SIZE, 0);
        // A full outbox refuses; the message then counts as lost.
        let _ = channel.try_send(Message::binary(Payload::now(data).encode()));
    }
}

async fn receive(channel: Channel, record: Arc<Mutex<Record>>, taken: Arc<AtomicU64>) {
    let durable = channel.mode() == Mode::Durable;
    while let Some(message) = channel.recv().await {
        if durable && taken.fetch_max(message.number, Ordering::Relaxed) >= message.number {
            lock(&record).known += 1;
            continue;
        }
        let Ok(payload) = Payload::decode(&message.data) else { continue }; // the hub's status
        let (Some(act), Some(number)) = (payload.data.first(), payload.data.get(1..9)) else {
            continue;
        };
        let mut record = lock(&record);
        if *act == record.act
            && let Ok(number) = number.try_into()
        {
            record.received.push((clock::now(), u64::from_le_bytes(number)));
            let delay = clock::unix_nanos().saturating_sub(payload.timestamp);
            record.delays.push(Duration::from_nanos(delay.try_into().unwrap_or_default()));
        }
    }
}

fn lock(record: &Mutex<Record>) -> std::sync::MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 100 messages a second.
const INTERVAL: Duration = Duration::from_millis(10);
const MESSAGE_SIZE: usize = 100;
