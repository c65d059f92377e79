//! The program of a rover in the chaos run: this test binary, started again, killed and started
//! again.
//!
//! It writes a log, one line with one write, each with the microseconds since the epoch and the
//! number of the process that writes it (the first one of a rover is 1):
//!
//! | line | what it says |
//! |---|---|
//! | `D <time> <process> <number>` | a durable message: `send` has returned |
//! | `C <time> <process> <number>` | the same of a reliable one; its time is from before `send` |
//! | `d <time> <process> <from> <number> <wire>` | a durable message received, and who sent it |
//! | `x ...` | the same once more, after a restart of this rover |
//! | `c <time> <process> <from> <number>` | a reliable message received |
//! | `e <time> <process> ...` | an event |
//!
//! Standard input commands it: `stop` ends sending, and all is waited for to be acknowledged; the
//! end of the input closes the peer.

use std::collections::HashSet;
use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rover_rtc::{Channel, ChannelConfig, Message, Mode, Peer, PeerConfig, PeerLink};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::role::{commands, time};

pub const NAME: &str = "ROVER_CHAOS_NAME";
pub const SERVER: &str = "ROVER_CHAOS_SERVER";
/// The peer to dial, or nothing to accept who dials.
pub const TO: &str = "ROVER_CHAOS_TO";
pub const PROCESS: &str = "ROVER_CHAOS_PROCESS";
/// Where the log and the state are.
pub const DIRECTORY: &str = "ROVER_CHAOS_DIRECTORY";

/// The arguments that start [`role`].
pub const ARGUMENTS: [&str; 3] = ["--exact", "chaos::role::role", "--nocapture"];

#[test]
fn role() {
    let Ok(name) = std::env::var(NAME) else { return };
    rover_rtc::util::init_log("info");
    let var = |name| std::env::var(name).unwrap();
    let directory = var(DIRECTORY);
    let path = Path::new(&directory).join(format!("{name}.log"));
    let past = Past::read(&path);
    let file = File::options().create(true).append(true).open(path).unwrap();
    let log = Log(Arc::new((file, var(PROCESS).parse().unwrap())));
    let mut config = PeerConfig::new(var(SERVER));
    config.state = Some(Path::new(&directory).join(format!("{name}.state")));
    config.name = Some(name);
    config.channels = vec![
        ChannelConfig { manual_ack: true, ..ChannelConfig::of_mode(MISSION, Mode::Durable) },
        ChannelConfig::new(COMMANDS),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(config, var(TO), log, past));
}

/// What the log says that earlier processes have done.
#[derive(Default)]
struct Past {
    /// The number of the last durable message.
    sent: u64,
    /// The wire numbers of those received.
    received: HashSet<u64>,
}

impl Past {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut past = Self::default();
        for line in text.lines() {
            let fields: Vec<_> = line.split(' ').collect();
            match fields[..] {
                ["D", _, _, number] => past.sent = number.parse().unwrap(),
                ["d", .., wire] => {
                    past.received.insert(wire.parse().unwrap());
                }
                _ => {}
            }
        }
        past
    }
}

/// The log, and the number of this process.
#[derive(Clone)]
struct Log(Arc<(File, u64)>);

impl Log {
    fn line(&self, kind: char, time: u64, what: impl Display) {
        let (mut file, process) = (&self.0.0, self.0.1);
        // One write per line: this process may be killed at any time.
        file.write_all(format!("{kind} {time} {process} {what}\n").as_bytes()).unwrap();
    }

    fn event(&self, what: impl Display) {
        self.line('e', time(), what.to_string().replace('\n', " "));
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Go,
    Stop,
    End,
}

async fn run(config: PeerConfig, to: String, log: Log, past: Past) {
    let (orders, mut order) = watch::channel(Order::Go);
    tokio::spawn(async move {
        let mut commands = commands();
        while let Some(command) = commands.recv().await {
            assert_eq!(command, "stop");
            orders.send_replace(Order::Stop);
        }
        orders.send_replace(Order::End);
        orders.closed().await;
    });
    log.event("Started");
    let peer = Peer::connect(config).unwrap();
    let orders = order.clone();
    tokio::select! {
        () = live(&peer, &to, &log, past, &orders) => {}
        _ = order.wait_for(|order| *order == Order::End) => {}
    }
    // If the other one ends first, this one's link is over before it is told.
    let _ = order.wait_for(|order| *order == Order::End).await;
    peer.close().await;
    log.event("Ended");
}

async fn live(peer: &Peer, to: &str, log: &Log, past: Past, order: &watch::Receiver<Order>) {
    let link = loop {
        match to {
            "" => break peer.accept().await.unwrap(),
            name => match peer.dial(name).await {
                Ok(link) => break link,
                Err(error) => log.event(format!("NoLink {error}")),
            },
        }
    };
    log.event("Up");
    let [mission, commands] = [MISSION, COMMANDS].map(|label| link.channel(label).unwrap());
    tokio::join!(
        send_durable(&mission, log, past.sent, order.clone()),
        send_reliable(&commands, log, order.clone()),
        receive_durable(&mission, log, past.received),
        receive_reliable(&commands, log),
        events(&link, log),
        other_links(peer, log),
    );
}

async fn send_durable(channel: &Channel, log: &Log, sent: u64, order: watch::Receiver<Order>) {
    let (mut clock, mut number) = (tokio::time::interval(INTERVAL), sent);
    while *order.borrow() == Order::Go {
        clock.tick().await;
        number += 1;
        channel.send(content(log.0.1, number)).await.unwrap();
        log.line('D', time(), number);
    }
    assert!(channel.acknowledged().await);
    log.event(format!("Drained {MISSION}"));
}

async fn send_reliable(channel: &Channel, log: &Log, order: watch::Receiver<Order>) {
    let (mut clock, mut number) = (tokio::time::interval(INTERVAL), 0);
    while *order.borrow() == Order::Go {
        clock.tick().await;
        number += 1;
        let before = time();
        channel.send(content(log.0.1, number)).await.unwrap();
        log.line('C', before, number);
    }
    assert!(channel.acknowledged().await);
    log.event(format!("Drained {COMMANDS}"));
}

async fn receive_durable(channel: &Channel, log: &Log, mut had: HashSet<u64>) {
    // Late and some at a time, so that a kill meets messages that are here and not logged, and
    // others that are logged and not acknowledged.
    let (mut fresh, mut logged) = (Vec::<Message>::new(), Vec::<Message>::new());
    loop {
        let idle = match timeout(PAUSE, channel.recv()).await {
            Ok(Some(message)) => {
                fresh.push(message);
                false
            }
            Ok(None) => break,
            Err(_) => true,
        };
        if !idle && fresh.len() < COUNT {
            continue;
        }
        logged.drain(..).for_each(|message| message.ack());
        for message in fresh.drain(..) {
            let (from, number) = sender(&message);
            let kind = if had.insert(message.number) { 'd' } else { 'x' };
            log.line(kind, time(), format!("{from} {number} {}", message.number));
            logged.push(message);
        }
    }
    log.event(format!("Over {MISSION}"));
}

async fn receive_reliable(channel: &Channel, log: &Log) {
    while let Some(message) = channel.recv().await {
        let (from, number) = sender(&message);
        log.line('c', time(), format!("{from} {number}"));
    }
    log.event(format!("Over {COMMANDS}"));
}

async fn events(link: &PeerLink, log: &Log) {
    let mut events = link.events();
    while let Some(event) = events.recv().await {
        log.event(format!("{event:?}"));
    }
}

/// There is one link, however often the other side is restarted.
async fn other_links(peer: &Peer, log: &Log) {
    while let Some(link) = peer.accept().await {
        log.event(format!("SecondLink {}", link.name()));
    }
}

/// Who sent it and its number, then filling: most messages are small, some take several pieces.
fn content(process: u64, number: u64) -> Vec<u8> {
    let size = if number.is_multiple_of(40) { 10_000 } else { 16 + number * 37 % 300 };
    let mut content = [process.to_be_bytes(), number.to_be_bytes()].concat();
    content.resize(size as usize, number as u8);
    content
}

fn sender(message: &Message) -> (u64, u64) {
    let field = |at: usize| u64::from_be_bytes(message.data[at..at + 8].try_into().unwrap());
    let (process, number) = (field(0), field(8));
    assert_eq!(message.data, content(process, number), "a message was changed");
    (process, number)
}

const MISSION: &str = "mission";
const COMMANDS: &str = "commands";

/// Between two messages of a channel.
const INTERVAL: Duration = Duration::from_millis(20);

/// Durable messages are logged when there are so many, or none has come for so long; and
/// acknowledged with the next ones.
const COUNT: usize = 10;
const PAUSE: Duration = Duration::from_millis(200);
