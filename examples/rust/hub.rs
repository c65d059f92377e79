//! A hub inside a program of yours: `cargo run --example hub`. Ctrl-C ends it.
//!
//! The stop is clean: clients are told, sockets are closed, and `run` returns after that.

#![allow(clippy::print_stdout, reason = "an example")]

use std::net::SocketAddr;
use std::time::Duration;

use rover_rtc::{Server, ServerConfig, WebrtcError, server};
use tokio::sync::oneshot;

#[tokio::main]
async fn main() -> Result<(), WebrtcError> {
    let config = ServerConfig {
        // Only for peers on this machine; the default is port 3000 of all interfaces.
        listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
        udp: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        status_interval: Duration::from_secs(1),
        ..ServerConfig::default()
    };
    let hub = Server::bind(config).await?;
    println!("hub at http://{}, UDP at {:?}", hub.http_address(), hub.udp_addresses());

    // Anything that resolves can stop it: a signal, a channel, a timer.
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server::run(hub, async {
        let _ = stopped.await;
    }));
    rover_rtc::util::stop_requested().await;
    println!("stopping");
    let _ = stop.send(());
    let _ = running.await;
    println!("stopped");
    Ok(())
}
