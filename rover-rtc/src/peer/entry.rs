//! The peer as a program: what the seed calls `peer::main`.

use std::io::{self, Write as _};
use std::pin::pin;
use std::time::Duration;

use super::lines::{event_line, message_line};
use super::{Channel, Peer};
use crate::config::PeerConfig;
use crate::error::WebrtcError;
use crate::link::Message;
use crate::model::payload::Payload;
use crate::util::stop_requested;

/// What a peer prints first.
pub(crate) const STARTING: &str = "Starting modern str0m peer...";

/// Connects to a hub, sends it a payload a second on "test", and prints events and messages, until
/// SIGINT or SIGTERM, or until nobody reads the output any more. `rover-rtc peer` is this with
/// options.
///
/// # Errors
///
/// If the settings cannot be used; a hub that is down is waited for.
pub async fn main(config: PeerConfig) -> Result<(), WebrtcError> {
    // Before anything is shown: whoever waits for a line may stop this right after.
    let stop = stop_requested();
    let print = |line: &str| writeln!(io::stdout(), "{line}").is_ok();
    let mut read = print(STARTING);
    let peer = Peer::connect(config)?;
    let channel = peer.channel("test").ok_or(WebrtcError::Closed)?;
    let mut events = peer.events();
    let mut sender = pin!(send_payloads(channel.clone(), PAYLOAD_INTERVAL));
    let mut stop = pin!(stop);
    while read {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => read = print(&event_line(&event)),
                None => break,
            },
            Some(message) = channel.recv() => read = print(&message_line(&message)),
            () = &mut sender => {}
            () = &mut stop => break,
        }
    }
    peer.close().await;
    Ok(())
}

/// Sends a payload in each interval, for good.
pub(crate) async fn send_payloads(channel: Channel, every: Duration) {
    let mut interval = tokio::time::interval(every);
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

const PAYLOAD_INTERVAL: Duration = Duration::from_secs(1);
