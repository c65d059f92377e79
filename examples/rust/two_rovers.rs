//! Two rovers that find each other by name, and talk without the hub:
//! `cargo run --example two_rovers`.
//!
//! The hub (`cargo run server`) only brings them together; the messages go from peer to peer, or
//! by the hub's relay, encrypted, where there is no other way. Both rovers are in this process, but
//! would be no different on two machines.

#![allow(clippy::print_stdout, reason = "an example")]

use rover_rtc::{Peer, PeerConfig, WebrtcError};

#[tokio::main]
async fn main() -> Result<(), WebrtcError> {
    let listener = rover("rover-1")?;
    tokio::spawn(async move {
        while let Some(link) = listener.accept().await {
            println!("rover-1: {} calls", link.name());
            let test = link.channel("test").expect("a default channel");
            while let Some(message) = test.recv().await {
                let text = format!("{} to you, too", message.data.escape_ascii());
                let _ = test.send_text(text).await; // an error: the link is over
            }
        }
    });

    let caller = rover("rover-2")?;
    // Waits for rover-1 for 30 s. From then on the link mends itself until it is closed.
    let link = caller.dial("rover-1").await?;
    println!("rover-2: the key of {} is {:?}", link.name(), link.fingerprint());
    let test = link.channel("test").expect("a default channel");
    test.send_text("hello").await?;
    if let Some(answer) = test.recv().await {
        println!("rover-2: {}", answer.data.escape_ascii());
    }
    caller.close().await;
    Ok(())
}

fn rover(name: &str) -> Result<Peer, WebrtcError> {
    let mut config = PeerConfig::new("http://127.0.0.1:3000");
    config.name = Some(name.to_owned());
    // Without `config.state` the key is a new one each time, which is good enough for a try.
    Peer::connect(config)
}
