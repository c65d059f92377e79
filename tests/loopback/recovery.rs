//! The hub's health rule and the peer's escalation on real sockets.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rover_rtc::event::Recovery;
use rover_rtc::net::{FaultRule, Faults};
use rover_rtc::{Event, HealthConfig, Peer, PeerConfig, Server, ServerConfig};
use tokio::sync::oneshot;
use tokio::time::timeout;

pub const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SOON: Duration = Duration::from_secs(20);

pub struct Hub {
    pub url: String,
    stop: Option<oneshot::Sender<()>>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }
}

pub async fn hub(config: ServerConfig) -> Hub {
    let place = SocketAddr::new(HERE, 0);
    let config = ServerConfig { listen: place, udp: vec![place], ..config };
    let server = Server::bind(config).await.unwrap();
    let url = format!("http://{}", server.http_address());
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(rover_rtc::server::run(server, async {
        let _ = stopped.await;
    }));
    Hub { url, stop: Some(stop) }
}

fn peer(hub: &Hub, change: impl FnOnce(&mut PeerConfig)) -> Peer {
    let mut config = PeerConfig::new(&hub.url);
    config.bind = vec![HERE];
    change(&mut config);
    Peer::connect(config).unwrap()
}

pub async fn until(events: &mut rover_rtc::peer::Events, wanted: impl Fn(&Event) -> bool) -> Event {
    let found = async {
        loop {
            let event = events.recv().await.expect("the peer lives");
            if wanted(&event) {
                return event;
            }
        }
    };
    timeout(SOON, found).await.expect("the event comes")
}

#[tokio::test]
async fn the_hub_helps_a_client_that_its_rule_finds_degraded() {
    let health = HealthConfig {
        check_interval: Duration::from_millis(200),
        inactivity: Duration::from_millis(500),
        failures: 1,
        ..HealthConfig::default()
    };
    let status_interval = Duration::from_millis(200);
    let hub = hub(ServerConfig { health, status_interval, ..ServerConfig::default() }).await;
    let faults = Faults::new(7);
    let rover = peer(&hub, |config| {
        config.faults = faults.clone();
        // Its own escalation keeps still, so that what happens is the hub's doing.
        config.recovery.restart_after = Duration::from_secs(3600);
    });
    let mut events = rover.events();
    until(&mut events, |e| matches!(e, Event::ChannelOpen(..))).await;
    // A steady flow: an idle client would look at its path only every 15 s.
    for _ in 0..5 {
        rover.channel("test").unwrap().recv().await.unwrap();
    }

    faults.set(HERE, FaultRule::cut());
    until(&mut events, |e| matches!(e, Event::Outage)).await;
    until(&mut events, |e| matches!(e, Event::Restarting)).await;
    faults.clear_all();
    let recovered = until(&mut events, |e| matches!(e, Event::Recovered { .. })).await;
    assert!(matches!(recovered, Event::Recovered { by: Recovery::Path, .. }), "{recovered:?}");
    rover.close().await;
}

#[tokio::test]
async fn the_peer_restarts_ice_without_a_path_and_goes_on() {
    let hub = hub(ServerConfig::default()).await;
    let faults = Faults::new(8);
    let rover = peer(&hub, |config| {
        config.faults = faults.clone();
        config.recovery.restart_after = Duration::from_millis(200);
    });
    let other = peer(&hub, |_| ());
    let (mut events, mut others) = (rover.events(), other.events());
    until(&mut events, |e| matches!(e, Event::ChannelOpen(..))).await;
    until(&mut others, |e| matches!(e, Event::ChannelOpen(..))).await;
    let (sending, receiving) = (rover.channel("test").unwrap(), other.channel("test").unwrap());

    faults.set(HERE, FaultRule::cut());
    for number in 0..200u8 {
        sending.send(vec![number]).await.unwrap();
    }
    until(&mut events, |e| matches!(e, Event::Restarting)).await;
    faults.clear_all();
    for number in 0..200u8 {
        let message = loop {
            let message = timeout(SOON, receiving.recv()).await.unwrap().unwrap();
            if message.binary {
                break message; // the rest is the hub's status
            }
        };
        assert_eq!(message.data[..], [number]);
    }
    rover.close().await;
    other.close().await;
}

#[tokio::test]
async fn a_dropped_peer_says_good_bye() {
    let hub = hub(ServerConfig::default()).await;
    let rover = peer(&hub, |_| ());
    let mut events = rover.events();
    until(&mut events, |e| matches!(e, Event::ChannelOpen(..))).await;
    drop(rover);
    until(&mut events, |e| matches!(e, Event::Closed)).await;
    let status = async {
        loop {
            let status = reqwest::get(format!("{}/v1/status", hub.url)).await.unwrap();
            let status: serde_json::Value = status.json().await.unwrap();
            if status["clients"] == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, status).await.expect("the hub forgets the client");
}

#[tokio::test]
async fn a_full_inbox_stops_the_sender_and_loses_nothing() {
    let hub = hub(ServerConfig::default()).await;
    let (slow, fast) = (peer(&hub, |c| c.inbox_bytes = 20_000), peer(&hub, |_| ()));
    for rover in [&slow, &fast] {
        until(&mut rover.events(), |e| matches!(e, Event::ChannelOpen(..))).await;
    }
    let (sending, receiving) = (fast.channel("test").unwrap(), slow.channel("test").unwrap());
    for number in 0..300u32 {
        let mut data = vec![0; 1000];
        data[..4].copy_from_slice(&number.to_le_bytes());
        sending.send(data).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for number in 0..300u32 {
        let message = loop {
            let message = timeout(SOON, receiving.recv()).await.unwrap().unwrap();
            if message.binary {
                break message;
            }
        };
        assert_eq!(message.data[..4], number.to_le_bytes());
    }
}
