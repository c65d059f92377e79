//! Connects to a hub, sends one message, prints what comes back: `cargo run --example ten_lines`.
//!
//! Needs a hub (`cargo run server`), and another peer to see its messages (`cargo run peer`).

#![allow(clippy::print_stdout, reason = "an example")]

use rover_rtc::{Peer, PeerConfig, WebrtcError};

#[tokio::main]
async fn main() -> Result<(), WebrtcError> {
    let peer = Peer::connect(PeerConfig::new("http://127.0.0.1:3000"))?;
    let test = peer.channel("test").expect("a default channel");
    test.send_text("hello").await?;
    while let Some(message) = test.recv().await {
        println!("{}", message.data.escape_ascii());
    }
    Ok(())
}
