//! Messages between clients through the hub: acknowledged when they have arrived, not when the hub
//! has them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rover_rtc::net::{FaultRule, Faults};
use rover_rtc::{Channel, ChannelConfig, Event, Message, Mode, Peer, PeerConfig};
use tokio::time::{sleep, timeout};

use crate::named::Hub;

const PATIENCE: Duration = Duration::from_secs(30);

fn client(hub: SocketAddr, name: &str, channel: &ChannelConfig) -> (Peer, Channel) {
    client_with(hub, name, channel, Faults::default())
}

fn client_with(
    hub: SocketAddr,
    name: &str,
    channel: &ChannelConfig,
    faults: Faults,
) -> (Peer, Channel) {
    let mut config = PeerConfig::new(format!("http://{hub}"));
    config.name = Some(name.to_owned());
    config.bind = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    config.channels = vec![channel.clone()];
    config.faults = faults;
    let peer = Peer::connect(config).unwrap();
    let channel = peer.channel(&channel.label).unwrap();
    (peer, channel)
}

pub async fn number(channel: &Channel) -> u64 {
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

/// One of three is cut off: the other two go on, and it gets the newest when it is back.
#[tokio::test]
async fn who_is_away_holds_up_nobody() {
    let hub = Hub::start(|_| ()).await;
    let commands = ChannelConfig::new("commands");
    let faults = Faults::new(1);
    let (one_away, away) = client_with(hub.http, "away", &commands, faults.clone());
    let (one, from) = client(hub.http, "one", &commands);
    let (two, to) = client(hub.http, "two", &commands);
    // What is sent before goes to those who have the channel by then.
    for peer in [&one_away, &one, &two] {
        let mut events = peer.events();
        let open = async { while !matches!(events.recv().await, Some(Event::ChannelOpen(..))) {} };
        timeout(PATIENCE, open).await.unwrap();
    }
    let send = async |number: u64| {
        let mut data = number.to_le_bytes().to_vec();
        data.resize(1000, 0);
        timeout(PATIENCE, from.send(data)).await.unwrap().unwrap();
    };
    send(0).await;
    assert_eq!((number(&away).await, number(&to).await), (0, 0));
    faults.set(IpAddr::V4(Ipv4Addr::LOCALHOST), FaultRule::cut());
    for number in 1..10_000 {
        send(number).await;
    }
    for expected in 1..10_000 {
        assert_eq!(number(&to).await, expected);
    }
    assert!(timeout(PATIENCE, from.acknowledged()).await.unwrap());
    faults.clear_all();
    // What its outbox at the hub had no room for is gone, and the rest comes in order.
    let mut last = 0;
    while last < 9_999 {
        let next = number(&away).await;
        assert!(next > last);
        last = next;
    }
}

#[tokio::test]
async fn the_newest_of_each_key_goes_through() {
    let hub = Hub::start(|_| ()).await;
    let pose = ChannelConfig::of_mode("pose", Mode::Latest);
    let (_one, from) = client(hub.http, "one", &pose);
    let (_two, to) = client(hub.http, "two", &pose);
    let value = |number: u64, key: &str| {
        Message::binary(number.to_le_bytes().to_vec()).with_key(key.to_owned())
    };
    // Until it is there.
    while timeout(Duration::from_millis(100), to.recv()).await.is_err() {
        from.send_message(value(0, "ready")).await.unwrap();
    }
    for number in 1..=500 {
        for key in ["a", "b", "c"] {
            // Some keys stand still while others change.
            if key == "a" || number % 7 == 0 || number == 500 {
                from.send_message(value(number, key)).await.unwrap();
            }
        }
        if number % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut newest = [0; 3];
    while newest != [500; 3] {
        let message = timeout(PATIENCE, to.recv()).await.unwrap().unwrap();
        let number = u64::from_le_bytes(message.data[..8].try_into().unwrap());
        if let Some(key) = ["a", "b", "c"].iter().position(|k| message.key == *k) {
            assert!(number > newest[key]);
            newest[key] = number;
        }
    }
}
