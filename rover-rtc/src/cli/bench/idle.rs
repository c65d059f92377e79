//! Many idle peers of a hub in one process, to see what each costs the hub.

use std::error::Error;
use std::net::IpAddr;

use clap::Args;
use rover_rtc::util::{clock, stop_requested};
use rover_rtc::{Channel, ChannelConfig, Event, Peer, PeerConfig};

use super::ChannelMode;

/// Options of `bench idle`.
#[derive(Debug, Clone, Args)]
pub(crate) struct IdleOptions {
    /// The hub
    #[arg(long, value_name = "URL")]
    server: String,
    /// How many peers
    #[arg(long, default_value_t = 1000)]
    num: usize,
    /// What the channel of each promises
    #[arg(long, value_name = "MODE", value_enum, default_value_t)]
    channel: ChannelMode,
    /// Local address of all of them
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,
}

/// Connects the peers, some at a time, and keeps them until it is told to stop.
#[allow(clippy::print_stdout, reason = "the command line")]
pub(super) async fn main(options: &IdleOptions) -> Result<(), Box<dyn Error>> {
    let begin = clock::now();
    let mut peers = Vec::new();
    while peers.len() < options.num {
        let missing = (options.num - peers.len()).min(AT_ONCE);
        let batch: Vec<_> = (0..missing).map(|_| connect(options.clone())).collect();
        for joining in batch.into_iter().map(tokio::spawn).collect::<Vec<_>>() {
            peers.push(joining.await??);
        }
        if peers.len().is_multiple_of(100) {
            println!("{} connected after {:.1} s", peers.len(), begin.elapsed().as_secs_f64());
        }
    }
    println!("all {} connected after {:.1} s", peers.len(), begin.elapsed().as_secs_f64());
    stop_requested().await;
    Ok(())
}

async fn connect(options: IdleOptions) -> Result<Peer, rover_rtc::WebrtcError> {
    let mut config = PeerConfig::new(&options.server);
    config.bind = vec![options.bind];
    config.channels = vec![ChannelConfig::of_mode("test", options.channel.promise())];
    let peer = Peer::connect(config)?;
    let mut events = peer.events();
    while !matches!(events.recv().await, Some(Event::ChannelOpen(..)) | None) {}
    if let Some(channel) = peer.channel("test") {
        tokio::spawn(discard(channel));
    }
    Ok(peer)
}

/// The hub's status comes to all.
async fn discard(channel: Channel) {
    while channel.recv().await.is_some() {}
}

/// Below the hub's limit of half-open clients.
const AT_ONCE: usize = 25;
