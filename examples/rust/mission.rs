//! Mission data that outlives the process that sends it: `cargo run --example mission`.
//!
//! The rover queues three samples while the station is not there, and ends. Its next process finds
//! them in the journal and delivers them. The station acknowledges a sample when it has used it.
//! Needs a hub: `cargo run server`.

#![allow(clippy::print_stdout, reason = "an example")]

use std::path::Path;

use rover_rtc::{ChannelConfig, Mode, Peer, PeerConfig, WebrtcError};

#[tokio::main]
async fn main() -> Result<(), WebrtcError> {
    let dir = std::env::temp_dir().join(format!("rover-rtc-mission-{}", std::process::id()));
    let result = play(&dir).await;
    let _ = std::fs::remove_dir_all(&dir);
    result
}

async fn play(dir: &Path) -> Result<(), WebrtcError> {
    let rover = peer("rover", dir)?;
    // Waits for nothing, while `dial` waits until the link is up.
    let link = rover.call("station").await?;
    let mission = link.channel("mission").expect("it is in the settings");
    for sample in ["sample 1", "sample 2", "sample 3"] {
        // On disk when this returns, wherever the station is.
        mission.send(sample).await?;
    }
    println!("rover: {} samples queued, and the process ends", mission.held());
    rover.close().await;

    let (rover, station) = (peer("rover", dir)?, peer("station", dir)?);
    let link = rover.dial("station").await?;
    let arrived = station.accept().await.ok_or(WebrtcError::Closed)?;
    let inbox = arrived.channel("mission").expect("it is in the settings");
    for _ in 0..3 {
        let sample = inbox.recv().await.ok_or(WebrtcError::Closed)?;
        println!("station: {} (number {})", sample.data.escape_ascii(), sample.number);
        sample.ack(); // now the rover may forget it
    }
    let mission = link.channel("mission").expect("it is in the settings");
    println!("rover: all acknowledged: {}", mission.acknowledged().await);
    rover.close().await;
    station.close().await;
    Ok(())
}

fn peer(name: &str, dir: &Path) -> Result<Peer, WebrtcError> {
    let mut config = PeerConfig::new("http://127.0.0.1:3000");
    config.name = Some(name.to_owned());
    config.state = Some(dir.join(name));
    let mission = ChannelConfig::of_mode("mission", Mode::Durable);
    config.channels = vec![ChannelConfig { manual_ack: true, ..mission }];
    Peer::connect(config)
}
