//! The hub and the rovers of the demonstration.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rover_rtc::net::{FaultRule, Faults};
use rover_rtc::stats::LinkStats;
use rover_rtc::util::random;
use rover_rtc::{
    Channel, Event, PathKind, Peer, PeerConfig, PeerLink, Redundancy, Server, ServerConfig,
    WebrtcError,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The name of the rover that is called.
pub(super) const SECOND: &str = "rover-2";

/// The two networks.
pub(super) const NETWORKS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1))];

/// Where the hub is while the rovers talk to each other: what they lose is not the way to it.
pub(super) const APART: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 2, 1));

/// A hub that runs.
#[derive(Debug)]
pub(super) struct HubTask {
    pub(super) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl HubTask {
    /// Starts a hub on these addresses, whose signaling listens on `port` of the first; 0 picks
    /// one.
    pub(super) async fn start(addresses: &[IpAddr], port: u16) -> Result<Self, WebrtcError> {
        let config = ServerConfig {
            listen: SocketAddr::new(addresses[0], port),
            udp: addresses.iter().map(|ip| SocketAddr::new(*ip, 0)).collect(),
            ..ServerConfig::default()
        };
        let server = Server::bind(config).await?;
        let address = server.http_address();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(rover_rtc::server::run(server, async {
            let _ = stopped.await;
        }));
        Ok(Self { address, stop, task })
    }

    pub(super) async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// A rover with two networks that can be cut.
#[derive(Debug)]
pub(super) struct Rover {
    peer: Peer,
    /// With the other rover; without, messages go by the hub.
    link: Option<PeerLink>,
    faults: Faults,
    pub(super) channel: Channel,
}

impl Rover {
    /// Starts a rover and waits until it is connected.
    pub(super) async fn start(
        name: &str,
        hub: SocketAddr,
        redundancy: Redundancy,
    ) -> Result<Self, WebrtcError> {
        let faults = Faults::new(random::number());
        let mut config = PeerConfig::new(format!("http://{hub}"));
        config.name = Some(name.to_owned());
        config.bind = NETWORKS.to_vec();
        config.path.redundancy = redundancy;
        config.faults = faults.clone();
        let peer = Peer::connect(config)?;
        let mut events = peer.events();
        loop {
            match events.recv().await {
                Some(Event::ChannelOpen(..)) => break,
                Some(_) => {}
                None => return Err(WebrtcError::Closed),
            }
        }
        let channel = peer.channel("test").ok_or(WebrtcError::Closed)?;
        Ok(Self { peer, link: None, faults, channel })
    }

    /// Links the two rovers: the first calls the second.
    pub(super) async fn link(one: &mut Self, two: &mut Self) -> Result<(), WebrtcError> {
        let (called, answered) = tokio::join!(one.peer.dial(SECOND), two.peer.accept());
        for (rover, link) in [(one, called?), (two, answered.ok_or(WebrtcError::Closed)?)] {
            rover.channel = link.channel("test").ok_or(WebrtcError::Closed)?;
            rover.link = Some(link);
        }
        Ok(())
    }

    /// The network that carries its messages now.
    pub(super) async fn carrying(&self) -> Result<IpAddr, WebrtcError> {
        let stats = self.stats().await?;
        let carrying = stats.paths.iter().find(|p| p.carrying);
        Ok(carrying.map_or(NETWORKS[0], |p| p.local.ip()))
    }

    /// What its messages go through now.
    pub(super) async fn kind(&self) -> Result<PathKind, WebrtcError> {
        let stats = self.stats().await?;
        let carrying = stats.paths.iter().find(|p| p.carrying);
        Ok(carrying.map_or(PathKind::Hub, |p| p.kind))
    }

    async fn stats(&self) -> Result<LinkStats, WebrtcError> {
        match &self.link {
            Some(link) => link.stats().await,
            None => self.peer.stats().await,
        }
    }

    /// Nothing passes any more between it and others, but for the hub.
    pub(super) fn cut_direct(&self) {
        for network in NETWORKS {
            self.faults.set(network, FaultRule { spares: Some(APART), ..FaultRule::cut() });
        }
    }

    /// Nothing comes in or goes out there any more, and nobody is told.
    pub(super) fn cut(&self, network: IpAddr) {
        self.faults.set(network, FaultRule::cut());
    }

    pub(super) fn heal(&self) {
        self.faults.clear_all();
    }

    pub(super) async fn stop(self) {
        self.peer.close().await;
    }
}
