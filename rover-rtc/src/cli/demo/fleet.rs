//! The hub and the rovers of the demonstration.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rover_rtc::link::LinkStats;
use rover_rtc::net::{FaultRule, Faults};
use rover_rtc::util::random;
use rover_rtc::{
    Channel, ChannelConfig, Event, PathKind, Peer, PeerConfig, PeerLink, Redundancy, Server,
    ServerConfig, WebrtcError,
};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The name of the rover that calls.
pub(super) const FIRST: &str = "rover-1";

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

/// How a rover is started.
#[derive(Debug, Clone)]
pub(super) struct RoverConfig {
    pub(super) name: &'static str,
    pub(super) hub: SocketAddr,
    pub(super) redundancy: Redundancy,
    /// The first is for the numbered messages.
    pub(super) channels: Vec<ChannelConfig>,
    /// Where its journal is.
    pub(super) state: Option<PathBuf>,
    /// Whether it is to be killed, so that it has threads of its own.
    pub(super) mortal: bool,
}

impl RoverConfig {
    /// One that promises its numbered messages as links do unless told otherwise.
    pub(super) fn new(name: &'static str, hub: SocketAddr) -> Self {
        Self {
            name,
            hub,
            redundancy: Redundancy::Auto,
            channels: vec![ChannelConfig::new(STREAM)],
            state: None,
            mortal: false,
        }
    }
}

/// A rover with two networks that can be cut.
#[derive(Debug)]
pub(super) struct Rover {
    peer: Peer,
    /// Stands for its process, if it is mortal.
    process: Option<Runtime>,
    /// With the other rover; without, messages go by the hub.
    link: Option<PeerLink>,
    faults: Faults,
    pub(super) channel: Channel,
}

impl Rover {
    /// Starts a rover and waits until it is connected.
    pub(super) async fn start(rover: RoverConfig) -> Result<Self, WebrtcError> {
        let faults = Faults::new(random::number());
        let mut config = PeerConfig::new(format!("http://{}", rover.hub));
        config.name = Some(rover.name.to_owned());
        config.bind = NETWORKS.to_vec();
        config.path.redundancy = rover.redundancy;
        config.faults = faults.clone();
        config.channels = rover.channels;
        config.state = rover.state;
        let process = rover.mortal.then(Runtime::new).transpose();
        let process = process.map_err(rover_rtc::NetworkError::from)?;
        let peer = {
            let _inside = process.as_ref().map(Runtime::enter);
            Peer::connect(config)?
        };
        let mut events = peer.events();
        loop {
            match events.recv().await {
                Some(Event::ChannelOpen(..)) => break,
                Some(_) => {}
                None => return Err(WebrtcError::Closed),
            }
        }
        let channel = peer.channel(STREAM).ok_or(WebrtcError::Closed)?;
        Ok(Self { peer, process, link: None, faults, channel })
    }

    /// Links the two rovers: the first calls the second.
    pub(super) async fn link(one: &mut Self, two: &mut Self) -> Result<(), WebrtcError> {
        let (called, answered) = tokio::join!(one.peer.dial(SECOND), two.peer.accept());
        for (rover, link) in [(one, called?), (two, answered.ok_or(WebrtcError::Closed)?)] {
            rover.keep(link)?;
        }
        Ok(())
    }

    /// Calls the other rover, which has a link with this one already.
    pub(super) async fn call_again(&mut self, name: &str) -> Result<(), WebrtcError> {
        let link = self.peer.dial(name).await?;
        self.keep(link)
    }

    fn keep(&mut self, link: PeerLink) -> Result<(), WebrtcError> {
        self.channel = link.channel(STREAM).ok_or(WebrtcError::Closed)?;
        self.link = Some(link);
        Ok(())
    }

    /// A channel of its link with the other rover.
    pub(super) fn channel(&self, label: &str) -> Result<Channel, WebrtcError> {
        let channel = self.link.as_ref().and_then(|link| link.channel(label));
        channel.ok_or(WebrtcError::Closed)
    }

    /// Ends its process, which has no time to say good-bye.
    pub(super) async fn kill(self) {
        let Self { peer, process, link, .. } = self;
        if let Some(process) = process {
            let ended = tokio::task::spawn_blocking(|| process.shutdown_timeout(LAST_BREATH));
            let _ = ended.await;
        }
        // Only now: who lets go of a link says good-bye on it.
        drop((link, peer));
    }

    /// The network that carries its messages now.
    pub(super) async fn selected(&self) -> Result<IpAddr, WebrtcError> {
        let stats = self.stats().await?;
        let selected = stats.paths.iter().find(|p| p.selected);
        Ok(selected.map_or(NETWORKS[0], |p| p.local.ip()))
    }

    /// What its messages go through now.
    pub(super) async fn kind(&self) -> Result<PathKind, WebrtcError> {
        let stats = self.stats().await?;
        let selected = stats.paths.iter().find(|p| p.selected);
        Ok(selected.map_or(PathKind::Hub, |p| p.kind))
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
        if let Some(process) = self.process {
            process.shutdown_background();
        }
    }
}

/// The channel of the numbered messages.
pub(super) const STREAM: &str = "test";

/// Longer than any thread of a rover is busy.
const LAST_BREATH: Duration = Duration::from_secs(5);
