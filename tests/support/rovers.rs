//! A hub and a rover in Rust, for rovers in other languages to talk to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rover_rtc::net::Faults;
use rover_rtc::pull::{Channel, Peer, Server};
use rover_rtc::{ChannelConfig, Mode, PeerConfig, ServerConfig};

pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A hub that listens there.
pub fn hub(listen: SocketAddr, patience: Duration) -> Server {
    let udp = vec![SocketAddr::new(LOOPBACK, 0)];
    let config = ServerConfig { listen, udp, ..ServerConfig::default() };
    let end = Instant::now() + patience;
    loop {
        match Server::start(config.clone()) {
            Ok(hub) => return hub,
            // The port may not be free yet after a restart.
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A rover with the channels of `examples/c/telemetry.c`.
pub fn rust_rover(hub: &Server, name: &str) -> (Peer, Faults) {
    let faults = Faults::new(1);
    let config = PeerConfig {
        name: Some(name.to_owned()),
        bind: vec![LOOPBACK],
        channels: vec![ChannelConfig::of_mode("pose", Mode::Latest), ChannelConfig::new("log")],
        faults: faults.clone(),
        ..PeerConfig::new(format!("http://{}", hub.http_address()))
    };
    (Peer::connect(config).unwrap(), faults)
}

/// The numbers at the beginning of lines, each one more than the one before.
#[derive(Default)]
pub struct Lines(pub u64);

impl Lines {
    pub fn take(&mut self, channel: &Channel) {
        while let Some(message) = channel.try_recv() {
            let line = std::str::from_utf8(&message.data).unwrap();
            let number: u64 = line.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(number, self.0, "lost, repeated or out of order");
            self.0 += 1;
        }
    }
}
