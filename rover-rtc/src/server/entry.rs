//! The hub as a program: what the seed calls `server::main`.

use std::net::{IpAddr, SocketAddr};

use super::{Server, run};
use crate::config::ServerConfig;
use crate::error::WebrtcError;
use crate::util::{select_host_address, stop_requested};

/// Starts a hub, prints its addresses, and serves until SIGINT or SIGTERM. `rover-rtc server` is
/// this with options.
///
/// # Errors
///
/// If an address cannot be used.
#[allow(clippy::print_stdout, reason = "the lines of the program")]
pub async fn main(config: ServerConfig) -> Result<(), WebrtcError> {
    // Before anything is shown: whoever waits for the lines below may stop this right after.
    let stop = stop_requested();
    let server = Server::bind(config).await?;
    for address in server.udp_addresses() {
        println!("Bound UDP port: {address}");
    }
    println!("Connect a browser to http://{}", shown(server.http_address()));
    run(server, stop).await;
    Ok(())
}

/// The address to type into a browser: not the unspecified one.
fn shown(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if ip.is_unspecified() => select_host_address().unwrap_or(IpAddr::from([127, 0, 0, 1])),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
