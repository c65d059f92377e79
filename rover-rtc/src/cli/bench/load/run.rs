//! From the first client to the report.

use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rover_rtc::cli::ExitCode;
use rover_rtc::util::{clock, random, stop_requested};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use super::super::measure::cpu_seconds;
use super::hub::Process;
use super::options::LoadOptions;
use super::pace::Pace;
use super::progress::Progress;
use super::report::{Cost, Report};
use super::shared::Shared;
use super::tally::Tally;
use super::worker::{Command, Worker, WorkerEvent};

type Failure = Box<dyn Error>;

/// What has been used up so far: CPU seconds of this process and the hub's, messages got.
#[derive(Debug, Clone, Copy)]
struct Meter(f64, Option<f64>, u64);

/// Connects all, measures, reports, and leaves.
pub(in crate::cli::bench) async fn main(options: &LoadOptions) -> Result<ExitCode, Failure> {
    let hub = match options.hub_pid {
        Some(pid) => Some(Process::of(pid).ok_or_else(|| {
            format!("process {pid} shows no memory in /proc (Linux): is it the hub's id?")
        })?),
        None => None,
    };
    check_open_files(options.clients + options.unread)?;
    let memory = || hub.and_then(Process::memory);
    let memory_before = memory();
    let pace = Pace::new(options.clients, options.rate, options.lead(), options.window());
    let shared = Arc::new(Shared {
        options: options.clone(),
        pace,
        run: random::number(),
        joined: AtomicUsize::new(0),
        sent: AtomicU64::new(0),
        received: AtomicU64::new(0),
    });
    let (commands, heard) = watch::channel(Command::Join);
    let (told, mut events) = mpsc::unbounded_channel();
    let mut workers = Vec::new();
    for thread in 0..options.threads {
        let (commands, events) = (heard.clone(), told.clone());
        workers.push(Worker { shared: shared.clone(), thread, commands, events }.start()?);
    }
    let mut progress = Progress::new();
    let connect_seconds = connect(&shared, &mut events, &mut progress).await?;
    let memory_connected = memory();

    let begin = clock::now() + HEAD_START;
    let warm = begin + options.lead();
    let end = warm + options.window();
    let head_start = i64::try_from(HEAD_START.as_nanos()).unwrap_or_default();
    if !options.idle {
        commands.send_replace(Command::Begin(begin, clock::unix_nanos() + head_start));
    }
    let meter = || {
        let received = shared.received.load(Ordering::Relaxed);
        Meter(cpu_seconds(), hub.map(Process::cpu_seconds), received)
    };
    follow(&shared, &mut progress, warm).await;
    let (start, from) = (clock::now(), meter());
    // Messages have their times; who is idle has the whole window, however late it began.
    let end = if options.idle { start + options.window() } else { end };
    follow(&shared, &mut progress, end).await;
    let (window, to) = (start.elapsed().as_secs_f64(), meter());
    let memory_after = memory();

    let mut tally = Tally::default();
    let mut measured = if options.idle { options.threads } else { 0 };
    while measured < options.threads {
        match events.recv().await.ok_or("a thread has ended")? {
            WorkerEvent::Measured(more) => tally.add(more),
            WorkerEvent::Failed(why) => return Err(why.into()),
            WorkerEvent::Trouble(why) => {
                progress.note(&why);
                continue;
            }
            WorkerEvent::Joined => continue,
        }
        measured += 1;
    }
    progress.clear();
    let cost = Cost {
        window,
        own_cpu: to.0 - from.0,
        hub_cpu: to.1.zip(from.1).map(|(to, from)| to - from),
        passed: to.2 - from.2,
        memory: [memory_before, memory_connected, memory_after],
    };
    let report = Report::new(options, connect_seconds, tally, cost);
    report.show(options.json);
    if options.hold {
        // Before it is said: who waits for the line may stop us right after.
        let stop = stop_requested();
        eprintln!("holding {} clients until Ctrl-C", options.clients + options.unread);
        stop.await;
    }
    commands.send_replace(Command::Leave);
    for worker in workers {
        worker.join().map_err(|_| "a thread has failed")?;
    }
    Ok(report.code())
}

/// Waits until all clients are connected; returns how many seconds it took.
async fn connect(
    shared: &Shared,
    events: &mut mpsc::UnboundedReceiver<WorkerEvent>,
    progress: &mut Progress,
) -> Result<f64, Failure> {
    let LoadOptions { clients, unread, threads, .. } = shared.options;
    let (begin, all) = (clock::now(), clients + unread);
    let mut waiting = threads;
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    while waiting > 0 {
        tokio::select! {
            told = events.recv() => match told.ok_or("a thread has ended")? {
                WorkerEvent::Failed(why) => {
                    progress.clear();
                    return Err(why.into());
                }
                WorkerEvent::Trouble(why) => progress.note(&why),
                WorkerEvent::Joined | WorkerEvent::Measured(_) => waiting -= 1,
            },
            _ = look.tick() => progress.at(|| {
                format!("{} of {all} clients connected", shared.joined.load(Ordering::Relaxed))
            }),
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    progress.note(&format!("all {all} clients connected after {seconds:.1} s"));
    Ok(seconds)
}

/// Shows how far it is until then.
async fn follow(shared: &Shared, progress: &mut Progress, until: Instant) {
    loop {
        let now = clock::now();
        if now >= until {
            return;
        }
        progress.at(|| {
            let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
            let left = until.saturating_duration_since(now).as_secs_f64();
            let (sent, received) = (count(&shared.sent), count(&shared.received));
            match shared.options.idle {
                true => format!("idle, {left:.0} s to go"),
                false => format!("{sent} messages sent, {received} received, {left:.0} s to go"),
            }
        });
        sleep_until(until.min(now + LOOK_INTERVAL).into()).await;
    }
}

/// Each client has a socket.
fn check_open_files(clients: usize) -> Result<(), String> {
    let needed = clients + OTHER_FILES;
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let allowed = line.and_then(|l| l.split_ascii_whitespace().next()?.parse::<usize>().ok());
    match allowed {
        Some(allowed) if allowed < needed => Err(format!(
            "{clients} clients need {needed} open files, and this process may have {allowed}; \
             raise that (ulimit -n {needed}) and try again"
        )),
        _ => Ok(()),
    }
}

/// Until all threads are ready to send.
const HEAD_START: Duration = Duration::from_millis(100);

const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// HTTP connections of the clients that connect, and what a process has anyhow.
const OTHER_FILES: usize = 100;
