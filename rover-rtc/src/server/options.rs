//! `rover-rtc server`.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use super::{Server, run};
use crate::config::ServerConfig;
use crate::error::WebrtcError;
use crate::util::{select_host_address, stop_requested};

/// Runs a hub: signaling over HTTP, relay and status over UDP.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  rover-rtc server
  rover-rtc server --listen 127.0.0.1:8080
  rover-rtc server --udp 10.0.0.5:40000 --udp 10.1.0.5:40000
  rover-rtc server --udp 10.0.0.5:40000 --advertise 203.0.113.7:40000")]
pub struct ServerOptions {
    /// Where HTTP listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:3000")]
    pub listen: SocketAddr,
    /// UDP address to use; repeat it for several. Default: a random port on this machine's
    /// address, and on loopback
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub udp: Vec<SocketAddr>,
    /// Address under which others see the UDP address in the same place, for a hub behind a
    /// static NAT; port 0 stands for the same port
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub advertise: Vec<SocketAddr>,
}

impl ServerOptions {
    fn config(&self) -> ServerConfig {
        ServerConfig {
            listen: self.listen,
            udp: self.udp.clone(),
            advertise: self.advertise.clone(),
            ..ServerConfig::default()
        }
    }
}

/// Starts a hub and serves until SIGINT or SIGTERM.
///
/// # Errors
///
/// If an address cannot be used.
#[allow(clippy::print_stdout, reason = "the command line")]
pub async fn main(options: ServerOptions) -> Result<(), WebrtcError> {
    // Before anything is shown: who waits for the lines below may stop us right after.
    let stop = stop_requested();
    let server = Server::bind(options.config()).await?;
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
