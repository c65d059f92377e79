//! Two peers with two networks each, one of which dies: `cargo run --example failover`.
//!
//! No hub: this program carries offer and answer from one peer to the other itself. The networks
//! are 127.0.0.1 and 127.0.1.1, so nothing leaves the machine (Linux; elsewhere 127.0.1.1 has to
//! be added to the loopback interface first). The fault layer cuts them on real sockets.

#![allow(clippy::print_stdout, reason = "an example")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use rover_rtc::net::{FaultRule, Faults};
use rover_rtc::util::clock;
use rover_rtc::{Channel, Event, Message, Peer, PeerConfig, WebrtcError};
use tokio::time::{interval, sleep_until};

const NETWORKS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1))];

#[tokio::main]
async fn main() -> Result<(), WebrtcError> {
    let faults = Faults::default();
    let ours = PeerConfig { bind: NETWORKS.to_vec(), faults: faults.clone(), ..Default::default() };
    let theirs = PeerConfig { bind: NETWORKS.to_vec(), ..Default::default() };

    // Signaling by hand: offer and answer are texts, to be carried by whatever you have.
    let (rover, offer) = Peer::offer(ours)?;
    let (station, answer) = Peer::answer(theirs, &offer)?;
    rover.accept_answer(&answer).await?;
    wait_for_channel(&rover).await;
    let begin = clock::now();
    tokio::spawn(print_events(rover.events(), begin));

    let sender = rover.channel("test").expect("a default channel");
    let receiver = station.channel("test").expect("a default channel");
    tokio::spawn(send(sender));
    let count = tokio::spawn(receive(receiver, begin));

    wait(1).await;
    let selected = selected(&rover).await?;
    say(begin, format!("{selected} carries the messages, and is cut now"));
    faults.set(selected, FaultRule::cut());
    wait(2).await;
    say(begin, "it is healed; then both are cut for 2 s");
    faults.clear_all();
    wait(1).await;
    NETWORKS.iter().for_each(|network| faults.set(*network, FaultRule::cut()));
    wait(2).await;
    say(begin, "both are healed");
    faults.clear_all();
    wait(1).await;

    rover.close().await;
    station.close().await;
    let (received, missing) = count.await.expect("the task does not panic");
    println!("received {received} messages, {missing} missing or out of order");
    Ok(())
}

/// One message every 10 ms, numbered.
async fn send(channel: Channel) {
    let mut interval = interval(Duration::from_millis(10));
    for number in 0u64.. {
        interval.tick().await;
        if channel.send(number.to_le_bytes().to_vec()).await.is_err() {
            break; // closed
        }
    }
}

/// Counts messages until the peer is closed, and prints each pause of note.
async fn receive(channel: Channel, begin: Instant) -> (u64, u64) {
    let (mut received, mut missing, mut last) = (0, 0, begin);
    while let Some(Message { data, .. }) = channel.recv().await {
        let number = data.as_ref().try_into().map_or(u64::MAX, u64::from_le_bytes);
        missing += u64::from(number != received + missing);
        received += 1;
        let gap = last.elapsed();
        if gap > Duration::from_millis(50) {
            say(begin, format!("no message for {} ms", gap.as_millis()));
        }
        last = clock::now();
    }
    (received, missing)
}

async fn print_events(mut events: rover_rtc::peer::Events, begin: Instant) {
    while let Some(event) = events.recv().await {
        say(begin, format!("event: {event:?}"));
    }
}

async fn wait_for_channel(peer: &Peer) {
    let mut events = peer.events();
    while let Some(event) = events.recv().await {
        if matches!(event, Event::ChannelOpen(..)) {
            break;
        }
    }
}

async fn selected(peer: &Peer) -> Result<IpAddr, WebrtcError> {
    let stats = peer.stats().await?;
    Ok(stats.paths.iter().find(|path| path.selected).map_or(NETWORKS[0], |path| path.local.ip()))
}

async fn wait(seconds: u64) {
    sleep_until((clock::now() + Duration::from_secs(seconds)).into()).await;
}

fn say(begin: Instant, what: impl std::fmt::Display) {
    println!("[{:5.2} s] {what}", begin.elapsed().as_secs_f64());
}
