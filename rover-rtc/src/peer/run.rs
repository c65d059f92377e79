//! `rover-rtc peer`.

use std::time::Duration;

use clap::Args;

use super::{Channel, Peer};
use crate::config::PeerConfig;
use crate::error::WebrtcError;
use crate::event::Event;
use crate::link::Message;
use crate::model::payload::Payload;
use crate::net::FaultRule;
use crate::path::Redundancy;
use crate::signal::client::is_reachable;
use crate::util::{clock, stop_requested};

/// Runs a peer: connects to a hub, opens "test", sends payloads and prints what it gets.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  rover-rtc peer
  rover-rtc peer --server hub.example:3000 --name rover-1
  rover-rtc peer --every 100 --redundancy always
  rover-rtc peer --interface 'wlan*' --interface wwan0
  rover-rtc peer --loss 2      (plays a network that loses 2 % each way)")]
pub struct PeerOptions {
    /// The hub. Default: the first of 127.0.0.1:3000 and 172.17.0.1:3000 that answers
    #[arg(long, value_name = "URL", env = "ROVER_RTC_SERVER")]
    pub server: Option<String>,
    /// Name under which the hub shows this peer
    #[arg(long)]
    pub name: Option<String>,
    /// Milliseconds between the payloads sent; 0 sends none
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub every: u64,
    /// Local address to use; repeat it for several. Default: those of all usable interfaces
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Vec<std::net::IpAddr>,
    /// Interface to use, * for any characters; repeat it for several. Default: all but bridges
    #[arg(long, value_name = "PATTERN", conflicts_with = "bind")]
    pub interface: Vec<String>,
    /// Interface not to use, even if --interface matches it; repeat it for several
    #[arg(long, value_name = "PATTERN", conflicts_with = "bind")]
    pub no_interface: Vec<String>,
    /// Whether messages are sent twice: off, auto or always
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub redundancy: Redundancy,
    /// Fault to play: percent of packets lost each way
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub loss: f64,
    /// Prints no message, only events
    #[arg(long)]
    pub quiet: bool,
}

/// Connects to a hub and exchanges payloads until SIGINT or SIGTERM.
///
/// # Errors
///
/// If the settings cannot be used; a hub that is down is waited for.
#[allow(clippy::print_stdout, reason = "the command line")]
pub async fn main(options: PeerOptions) -> Result<(), WebrtcError> {
    println!("Starting modern str0m peer...");
    let mut config = PeerConfig::new(server(&options).await);
    config.name = options.name.clone();
    config.bind = options.bind.clone();
    config.interfaces = options.interface.clone();
    config.no_interfaces = options.no_interface.clone();
    config.path.redundancy = options.redundancy;
    if options.loss > 0.0 {
        for ip in crate::net::scan().map_err(crate::error::NetworkError::from)? {
            config.faults.set(ip.addr, FaultRule::loss(options.loss / 100.0));
        }
    }
    let peer = Peer::connect(config)?;
    let (mut events, stop) = (peer.events(), stop_requested());
    let channel = peer.channel("test").ok_or(WebrtcError::Closed)?;
    let mut stop = std::pin::pin!(stop);
    let mut sender = std::pin::pin!(send_payloads(channel.clone(), options.every));
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => print_event(&event),
                None => break,
            },
            Some(message) = channel.recv() => if !options.quiet {
                print_message(&message);
            },
            () = &mut sender => {}
            () = &mut stop => break,
        }
    }
    peer.close().await;
    Ok(())
}

/// The hub that was named, or the first of the usual places where one answers.
async fn server(options: &PeerOptions) -> String {
    if let Some(server) = &options.server {
        return server.clone();
    }
    for server in USUAL_SERVERS {
        if is_reachable(server).await {
            return server.to_owned();
        }
    }
    USUAL_SERVERS[0].to_owned()
}

/// Sends one payload per interval for good.
async fn send_payloads(channel: Channel, every: u64) {
    if every == 0 {
        return std::future::pending().await;
    }
    let mut interval = tokio::time::interval(Duration::from_millis(every));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for number in 0u64.. {
        interval.tick().await;
        let payload = Payload::now(format!("message {number}"));
        // While the hub is away the outbox fills up; what is too much is not worth waiting for.
        if channel.try_send(Message::binary(payload.encode())).is_err() {
            tracing::debug!(number, "the outbox is full");
        }
    }
}

#[allow(clippy::print_stdout, reason = "the command line")]
fn print_event(event: &Event) {
    match event {
        Event::Offer(sdp) => println!("Offer SDP: {sdp}"),
        Event::Answer(sdp) => println!("Answer SDP: {sdp}"),
        event => println!("Event: {event:?}"),
    }
}

#[allow(clippy::print_stdout, reason = "the command line")]
fn print_message(message: &Message) {
    if !message.binary {
        let kind = if is_status(&message.data) { "Status" } else { "Text" };
        return println!("{kind}: {}", String::from_utf8_lossy(&message.data));
    }
    match Payload::decode(&message.data) {
        Ok(payload) => {
            let age = clock::unix_nanos().saturating_sub(payload.timestamp);
            let text = String::from_utf8_lossy(&payload.data);
            println!("Payload: {text} ({:.3} ms old)", age as f64 / 1e6);
        }
        Err(_) => println!("Message: {} bytes", message.data.len()),
    }
}

/// Whether a text is the hub's status message.
fn is_status(text: &[u8]) -> bool {
    let value = serde_json::from_slice::<serde_json::Value>(text);
    value.is_ok_and(|v| v["type"] == "status")
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("a number from 0 to 100 is needed".to_owned()),
    }
}

/// A hub on this machine, and the one of the seed: the host of a Docker container.
const USUAL_SERVERS: [&str; 2] = ["http://127.0.0.1:3000", "http://172.17.0.1:3000"];
