//! The program that runs in the namespaces: this test binary, started again as a peer.
//!
//! It connects to the hub, or by the hub to another peer, and writes a log, one line at a time,
//! each with the microseconds since the epoch: `s <time> <number>` a message sent,
//! `r <time> <number>` one received, `e <time> ...` an event. Standard input commands it: `go`
//! begins to send, `stop` ends it, `paths` asks for an event that tells the paths, the end of the
//! input closes the peer.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rover_rtc::link::LinkStats;
use rover_rtc::path::PathStats;
use rover_rtc::{Channel, Event, Peer, PeerConfig, Redundancy};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// The name that the hub shows. Its presence makes a peer of this binary.
pub const NAME: &str = "ROVER_NETNS_ROLE";
/// The hub's URL.
pub const SERVER: &str = "ROVER_NETNS_SERVER";
/// The peer to exchange messages with: a name to dial, or nothing to accept who dials. Where it is
/// not set, messages go to the hub, which passes them on to all of its clients.
pub const TO: &str = "ROVER_NETNS_TO";
/// Its presence forbids that the hub relays datagrams.
pub const NO_RELAY: &str = "ROVER_NETNS_NO_RELAY";
/// Its presence forbids that records are sent twice.
pub const NO_COPIES: &str = "ROVER_NETNS_NO_COPIES";
/// A STUN or TURN server, as `rover_rtc::turn::IceServer` reads it.
pub const ICE: &str = "ROVER_NETNS_ICE";
/// Where the log goes.
pub const LOG: &str = "ROVER_NETNS_LOG";

/// The arguments that start [`role`].
pub const ARGUMENTS: [&str; 3] = ["--exact", "role::role", "--nocapture"];

/// Between two messages.
pub const INTERVAL: Duration = Duration::from_millis(10);

#[test]
fn role() {
    let Ok(name) = std::env::var(NAME) else { return };
    rover_rtc::util::init_log("info");
    let log = File::options().create(true).append(true).open(std::env::var(LOG).unwrap()).unwrap();
    let mut config = PeerConfig::new(std::env::var(SERVER).unwrap());
    config.name = Some(name);
    config.relay = std::env::var(NO_RELAY).is_err();
    if std::env::var(NO_COPIES).is_ok() {
        config.path.redundancy = Redundancy::Off;
    }
    config.ice_servers.extend(std::env::var(ICE).map(|server| server.parse().unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(config, std::env::var(TO).ok(), Log(log)));
}

/// Microseconds since the epoch: all processes of a test read the same clock.
pub fn time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

struct Log(File);

impl Log {
    fn line(&mut self, kind: char, what: impl std::fmt::Display) {
        // One write per line: the test reads while this goes on.
        self.0.write_all(format!("{kind} {} {what}\n", time()).as_bytes()).unwrap();
    }
}

async fn run(config: PeerConfig, to: Option<String>, mut log: Log) {
    let peer = Peer::connect(config).unwrap();
    log.line('e', "Started");
    if let Some(to) = to {
        let link = match to.as_str() {
            "" => peer.accept().await.unwrap(),
            name => peer.dial(name).await.unwrap(),
        };
        log.line('e', "Up");
        let mut events = link.events();
        let test = link.channel("test").unwrap();
        let event = async || events.recv().await;
        exchange(test, event, async || link.stats().await.unwrap(), &mut log).await;
    } else {
        let mut events = peer.events();
        let test = peer.channel("test").unwrap();
        let event = async || events.recv().await;
        exchange(test, event, async || peer.stats().await.unwrap(), &mut log).await;
    }
    peer.close().await;
}

/// Sends and records on one link, as standard input says. Waiting for an event must be safe to
/// cancel.
async fn exchange(
    test: Channel,
    mut event: impl AsyncFnMut() -> Option<Event>,
    stats: impl AsyncFn() -> LinkStats,
    log: &mut Log,
) {
    let mut commands = commands();
    let mut clock = tokio::time::interval(INTERVAL);
    // A late sender catches up, as a sensor's queue does.
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut sending, mut number) = (false, 0u64);
    loop {
        tokio::select! {
            command = commands.recv() => match command.as_deref() {
                Some("go") => {
                    sending = true;
                    clock.reset();
                }
                Some("stop") => {
                    sending = false;
                    log.line('e', format!("{:?}", stats().await));
                }
                Some("paths") => log.line('e', paths(&stats().await)),
                Some(other) => panic!("unknown command {other}"),
                None => break,
            },
            _ = clock.tick(), if sending => {
                number += 1;
                log.line('s', number);
                test.send(number.to_be_bytes().to_vec()).await.unwrap();
            }
            message = test.recv() => {
                // The other side may end first, but only when all is said.
                let Some(message) = message else { break assert!(!sending, "the link is over") };
                // What is text is the hub's status.
                if message.binary {
                    let bytes = message.data.as_ref().try_into().unwrap();
                    log.line('r', u64::from_be_bytes(bytes));
                }
            }
            Some(event) = event() => log.line('e', format!("{event:?}").replace('\n', " ")),
        }
    }
}

/// What [`Log::paths`](super::count::Log::paths) reads.
fn paths(stats: &LinkStats) -> String {
    let path = |p: &PathStats| {
        let selected = if p.selected { "carrying" } else { "standby" };
        format!(" {}/{:?}/{selected}/{}", p.kind, p.state, p.local.ip())
    };
    format!("Paths{}", stats.paths.iter().map(path).collect::<String>())
}

/// The lines of standard input.
pub fn commands() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}
