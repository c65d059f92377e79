//! What the two ends do in each mode.

use std::cell::RefCell;
use std::error::Error;
use std::future::pending;
use std::pin::pin;
use std::time::{Duration, Instant};

use rover_rtc::util::clock;
use rover_rtc::{Channel, Message, SendError};
use serde_json::{Value, json};
use tokio::time::{sleep_until, timeout_at};

use super::connect::Wire;
use super::files::{Log, write_atomic};
use super::measure::{cpu_seconds, message, parse};
use super::{Mode, RunOptions};

type Done = Result<(), Box<dyn Error>>;

/// Runs the offerer.
pub(super) async fn offer(options: &RunOptions) -> Done {
    let mut log = begin(options, "offer")?;
    if options.mode == Mode::Hold {
        return hold(options, &mut log, true).await;
    }
    let started = clock::now();
    let wire = Wire::connect(options, &options.dir, true, &mut log).await?;
    let setup_ms = started.elapsed().as_secs_f64() * 1e3;
    let dial_ms = wire.since_dialed();
    let bench = wire.channel("bench").ok_or("no channel")?;
    log.line("open")?;
    let mut result = match options.mode {
        Mode::Setup | Mode::Hold => json!({}),
        Mode::Throughput => bulk(options, &wire, &bench).await?,
        Mode::Latency => latency(options, &bench, &mut log).await?,
        Mode::Stream => stream(options, &bench, &mut log).await?,
    };
    result["setup_ms"] = json!(setup_ms);
    result["channel"] = json!(options.channel.name());
    result["net"] = options.net.shown();
    if let Some(dial_ms) = dial_ms {
        result["dial_ms"] = json!(dial_ms);
    }
    result["stats"] = wire.stats().await;
    // Where the other side acknowledges.
    for key in ["ack_p50_ms", "ack_p99_ms"] {
        let bench = result["stats"]["channels"].as_array().and_then(|all| all.first());
        if let Some(latency) = bench.map(|bench| bench[key].clone()).filter(|l| !l.is_null()) {
            result[key] = latency;
        }
    }
    write_result(options, "offer", &result)?;
    stay(&wire, &mut log).await
}

/// Runs the answerer.
pub(super) async fn answer(options: &RunOptions) -> Done {
    let mut log = begin(options, "answer")?;
    if options.mode == Mode::Hold {
        return hold(options, &mut log, false).await;
    }
    let wire = Wire::connect(options, &options.dir, false, &mut log).await?;
    let bench = wire.channel("bench").ok_or("no channel")?;
    log.line("open")?;
    let serve = async {
        match options.mode {
            Mode::Throughput => sink(options, &bench).await,
            Mode::Latency => echo(bench).await,
            Mode::Stream => record(options, &bench).await,
            Mode::Setup | Mode::Hold => pending().await,
        }
    };
    let pings = async {
        match wire.channel("ping").filter(|_| options.pings) {
            Some(ping) => echo(ping).await,
            None => pending().await,
        }
    };
    tokio::select! {
        done = serve => done?,
        done = pings => done?,
        done = stay(&wire, &mut log) => done?,
    }
    stay(&wire, &mut log).await
}

fn begin(options: &RunOptions, role: &str) -> Result<Log, Box<dyn Error>> {
    let mut log = Log::create(options.dir.join(format!("state_{role}.log")))?;
    log.line(format_args!("start pid {}", std::process::id()))?;
    Ok(log)
}

/// Logs what happens to the connection, for good.
async fn stay(wire: &Wire, log: &mut Log) -> Done {
    wire.follow(log).await?;
    pending().await
}

async fn bulk(options: &RunOptions, wire: &Wire, bench: &Channel) -> Result<Value, Box<dyn Error>> {
    let data = bytes::Bytes::from(vec![0; options.size.max(1)]);
    let window = Duration::from_secs_f64(options.seconds);
    let begin = clock::now();
    let pinging = async {
        match wire.channel("ping").filter(|_| options.pings) {
            Some(ping) => Some(pings(options, &ping).await),
            None => None,
        }
    };
    let sending = async {
        let mut sent = 0u64;
        let mut send_until = async |end: Instant| -> Result<u64, SendError> {
            while clock::now() < end {
                // The clock is looked at now and then only: it would cost as much as a message.
                for _ in 0..16 {
                    match bench.try_send(Message::binary(data.clone())) {
                        // This waits for the disk, too, on a durable channel: only when it must.
                        Err(SendError::Full) => bench.send(data.clone()).await?,
                        done => done?,
                    }
                    sent += 1;
                }
                tokio::task::yield_now().await;
            }
            Ok(sent)
        };
        let warm = begin + WARM_UP;
        send_until(warm).await?;
        let (start, cpu) = (clock::now(), cpu_seconds());
        let sent = send_until(warm + window).await?;
        let result = json!({
            "cpu_s": cpu_seconds() - cpu,
            "window_s": start.elapsed().as_secs_f64(),
            "sent": sent,
        });
        send_until(warm + window + AFTER).await?;
        Ok::<_, SendError>(result)
    };
    let (mut result, pinged) = {
        let (result, pinged) = tokio::join!(sending, pinging);
        (result?, pinged)
    };
    if let Some(pinged) = pinged {
        let (sent, rtts) = pinged?;
        result["pings_sent"] = json!(sent);
        result["pings_echoed"] = json!(rtts.len());
        write_rtts(options, &rtts)?;
    }
    Ok(result)
}

/// Sends pings every 50 ms; returns how many count and the round trips of those, in microseconds.
async fn pings(options: &RunOptions, ping: &Channel) -> Result<(u64, Vec<f64>), Box<dyn Error>> {
    let counted = (20.0 * options.seconds) as u64;
    let all = WARM_UP_PINGS + counted;
    let begin = clock::now();
    let mut rtts = Vec::new();
    let mut echoes = 0;
    for number in 0..all {
        let due = begin + PING_INTERVAL * u32::try_from(number).unwrap_or(u32::MAX);
        while let Ok(Some(echo)) = timeout_at(due.into(), ping.recv()).await {
            echoes += take_ping(&echo, &mut rtts);
        }
        ping.try_send(Message::binary(message(number, 100)))?;
    }
    let end = clock::now() + PING_PATIENCE + AFTER;
    while echoes < all {
        let Ok(Some(echo)) = timeout_at(end.into(), ping.recv()).await else { break };
        echoes += take_ping(&echo, &mut rtts);
    }
    Ok((counted, rtts))
}

fn take_ping(echo: &Message, rtts: &mut Vec<f64>) -> u64 {
    let Some((number, time)) = parse(&echo.data) else { return 0 };
    if number >= WARM_UP_PINGS {
        rtts.push((clock::unix_nanos() - time) as f64 / 1e3);
    }
    1
}

async fn latency(
    options: &RunOptions,
    bench: &Channel,
    log: &mut Log,
) -> Result<Value, Box<dyn Error>> {
    let total = (options.seconds * options.rate) as usize;
    let rtts = RefCell::new(Vec::new());
    let mut collecting = pin!(async {
        while rtts.borrow().len() < total {
            let Some(echo) = bench.recv().await else { break };
            if let Some((_, time)) = parse(&echo.data) {
                rtts.borrow_mut().push((clock::unix_nanos() - time) as f64 / 1e3);
            }
        }
    });
    let mut sending = pin!(paced(options, bench, log));
    let mut complete = false;
    let mut result = loop {
        tokio::select! {
            sent = &mut sending => break sent?,
            () = &mut collecting, if !complete => complete = true,
        }
    };
    if !complete {
        let _ = timeout_at((clock::now() + ECHO_PATIENCE).into(), collecting).await;
    }
    let rtts = rtts.borrow();
    write_rtts(options, &rtts)?;
    result["echoed"] = json!(rtts.len());
    Ok(result)
}

async fn stream(
    options: &RunOptions,
    bench: &Channel,
    log: &mut Log,
) -> Result<Value, Box<dyn Error>> {
    let mut result = paced(options, bench, log).await?;
    log.line("senddone")?;
    result["echoed"] = json!(0);
    Ok(result)
}

/// Sends message `i` at `i / rate` seconds after the first.
async fn paced(
    options: &RunOptions,
    bench: &Channel,
    log: &mut Log,
) -> Result<Value, Box<dyn Error>> {
    let total = (options.seconds * options.rate) as u64;
    sleep_until((clock::now() + BEFORE_SENDING).into()).await;
    log.line("sending")?;
    let begin = clock::now();
    let (mut errors, mut first_error) = (0, String::new());
    for number in 0..total {
        let due = begin + Duration::from_secs_f64(number as f64 / options.rate);
        if due > clock::now() {
            sleep_until(due.into()).await;
        }
        if let Err(error) = bench.try_send(Message::binary(message(number, options.size))) {
            errors += 1;
            if first_error.is_empty() {
                first_error = error.to_string();
                log.line(format_args!("senderr seq {number} {error}"))?;
            }
        }
    }
    Ok(json!({
        "sent": total,
        "errors": errors,
        "first_error": first_error,
        "cpu_s": cpu_seconds(),
    }))
}

async fn sink(options: &RunOptions, bench: &Channel) -> Done {
    bench.recv().await;
    let start = clock::now() + WARM_UP;
    while clock::now() < start {
        bench.recv().await;
    }
    let (start, cpu) = (clock::now(), cpu_seconds());
    let end = start + Duration::from_secs_f64(options.seconds);
    let (mut bytes, mut messages) = (0, 0u64);
    while clock::now() < end {
        let Ok(Some(message)) = timeout_at(end.into(), bench.recv()).await else { break };
        bytes += message.data.len();
        messages += 1;
        while let Some(message) = bench.try_recv() {
            bytes += message.data.len();
            messages += 1;
        }
    }
    // Where not all that is sent arrives, these are what has.
    let result = json!({
        "bytes": bytes,
        "msgs": messages,
        "cpu_s": cpu_seconds() - cpu,
        "window_s": start.elapsed().as_secs_f64(),
        "channel": options.channel.name(),
        "net": options.net.shown(),
        "counted": if options.channel.is_whole() { "all" } else { "arrived" },
    });
    write_result(options, "answer", &result)?;
    while bench.recv().await.is_some() {}
    Ok(())
}

async fn echo(channel: Channel) -> Done {
    while let Some(message) = channel.recv().await {
        channel.try_send(message)?;
    }
    Ok(())
}

async fn record(options: &RunOptions, bench: &Channel) -> Done {
    let mut log = Log::create(options.dir.join("recv.log"))?;
    while let Some(message) = bench.recv().await {
        if let Some((number, _)) = parse(&message.data) {
            log.line(number)?;
        }
    }
    Ok(())
}

async fn hold(options: &RunOptions, log: &mut Log, offers: bool) -> Done {
    let mut wires = Vec::new();
    for i in 0..options.num {
        let dir = options.dir.join(i.to_string());
        std::fs::create_dir_all(&dir)?;
        let started = clock::now();
        wires.push(Wire::connect(options, &dir, offers, log).await?);
        log.line(format_args!("c{i} open {:.1} ms", started.elapsed().as_secs_f64() * 1e3))?;
    }
    log.line("allopen")?;
    pending().await
}

fn write_result(options: &RunOptions, role: &str, result: &Value) -> std::io::Result<()> {
    write_atomic(&options.dir.join(format!("result_{role}.json")), &result.to_string())
}

fn write_rtts(options: &RunOptions, rtts: &[f64]) -> std::io::Result<()> {
    let lines: String = rtts.iter().map(|rtt| format!("{rtt:.3}\n")).collect();
    write_atomic(&options.dir.join("rtt.txt"), &lines)
}

const WARM_UP: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_millis(700);
const BEFORE_SENDING: Duration = Duration::from_millis(300);
const ECHO_PATIENCE: Duration = Duration::from_secs(12);
const PING_INTERVAL: Duration = Duration::from_millis(50);
const PING_PATIENCE: Duration = Duration::from_secs(5);
const WARM_UP_PINGS: u64 = 20;
