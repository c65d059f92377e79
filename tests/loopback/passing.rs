//! Messages between clients through the hub: acknowledged when they have arrived, not when the hub
//! has them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rover_rtc::{Channel, ChannelConfig, Mode, Peer, PeerConfig};
use tokio::time::{sleep, timeout};

use crate::named::Hub;

const PATIENCE: Duration = Duration::from_secs(30);

fn client(hub: SocketAddr, name: &str, channel: &ChannelConfig) -> (Peer, Channel) {
    let mut config = PeerConfig::new(format!("http://{hub}"));
    config.name = Some(name.to_owned());
    config.bind = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    config.channels = vec![channel.clone()];
    let peer = Peer::connect(config).unwrap();
    let channel = peer.channel(&channel.label).unwrap();
    (peer, channel)
}

async fn number(channel: &Channel) -> u64 {
    let message = timeout(PATIENCE, channel.recv()).await.unwrap().unwrap();
    u64::from_le_bytes(message.data[..8].try_into().unwrap())
}

#[tokio::test]
async fn what_nobody_gets_waits() {
    let hub = Hub::start(|_| ()).await;
    let commands = ChannelConfig::new("commands");
    let (_one, from) = client(hub.http, "one", &commands);
    for number in 0..200u64 {
        from.send(number.to_le_bytes().to_vec()).await.unwrap();
    }
    sleep(Duration::from_millis(500)).await;
    assert!(from.queued().0 == 0, "the hub takes them");
    assert!(timeout(Duration::from_millis(300), from.acknowledged()).await.is_err());
    let (_two, to) = client(hub.http, "two", &commands);
    for expected in 0..200 {
        assert_eq!(number(&to).await, expected);
    }
    assert!(timeout(PATIENCE, from.acknowledged()).await.unwrap());
}

/// The hub is restarted while messages flow both ways.
#[tokio::test]
async fn a_restart_of_the_hub_loses_and_repeats_nothing() {
    let mut hub = Hub::start(|_| ()).await;
    let (http, udp) = (hub.http, hub.udp);
    let commands = ChannelConfig::new("commands");
    let (_one, one) = client(http, "one", &commands);
    let (_two, two) = client(http, "two", &commands);
    let streams = [(one.clone(), two.clone()), (two, one)].map(|(from, to)| {
        let sending = tokio::spawn(async move {
            for number in 0..600u64 {
                from.send(number.to_le_bytes().to_vec()).await.unwrap();
                sleep(Duration::from_millis(5)).await;
            }
        });
        let receiving = tokio::spawn(async move {
            for expected in 0..600 {
                assert_eq!(number(&to).await, expected);
            }
            // Nothing comes twice.
            assert!(timeout(Duration::from_millis(300), to.recv()).await.is_err());
        });
        [sending, receiving]
    });
    for _ in 0..2 {
        sleep(Duration::from_millis(800)).await;
        hub.stop().await;
        hub = Hub::start(|config| (config.listen, config.udp) = (http, vec![udp])).await;
    }
    for task in streams.into_iter().flatten() {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn the_status_is_the_latest() {
    let hub = Hub::start(|config| config.status_interval = Duration::from_millis(100)).await;
    let (peer, _) = client(hub.http, "one", &ChannelConfig::new("commands"));
    let status = peer.status().unwrap();
    assert_eq!(status.mode(), Mode::Latest);
    timeout(PATIENCE, status.recv()).await.unwrap().unwrap();
    sleep(Duration::from_millis(600)).await;
    // However many have been sent, one is there.
    let latest = status.try_recv().unwrap();
    assert!(std::str::from_utf8(&latest.data).unwrap().contains("\"type\":\"status\""));
    assert!(status.try_recv().is_none());
}
