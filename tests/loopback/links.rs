//! Links between rovers of a hub: what each mode promises, across restarts of either process.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rover_rtc::{ChannelConfig, Event, Message, Mode, Peer, PeerConfig, PeerLink, WebrtcError};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::named::Hub;
use crate::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(20);

fn config(hub: &Hub, name: &str, scratch: &Scratch, channels: &[ChannelConfig]) -> PeerConfig {
    let mut config = PeerConfig::new(format!("http://{}", hub.http));
    config.name = Some(name.to_owned());
    config.state = Some(scratch.path(name).into());
    config.bind = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    config.channels = channels.to_vec();
    config
}

async fn dial(peer: &Peer, name: &str) -> PeerLink {
    timeout(PATIENCE, peer.dial(name)).await.unwrap().unwrap()
}

async fn accept(peer: &Peer) -> PeerLink {
    timeout(PATIENCE, peer.accept()).await.unwrap().unwrap()
}

fn number(message: &Message) -> u64 {
    u64::from_le_bytes(message.data[..8].try_into().unwrap())
}

fn message(number: u64, size: usize) -> Message {
    let mut data = number.to_le_bytes().to_vec();
    data.resize(size.max(8), number as u8);
    Message::binary(data)
}

#[tokio::test]
async fn all_modes_carry_messages() {
    let scratch = Scratch::new();
    let hub = Hub::start(|_| ()).await;
    let modes = [Mode::Reliable, Mode::Durable, Mode::Latest, Mode::Datagram, Mode::Plain];
    let channels = modes.map(|m| ChannelConfig::of_mode(format!("{m:?}"), m));
    let one = Peer::connect(config(&hub, "one", &scratch, &channels)).unwrap();
    // The other side learns of them.
    let two = Peer::connect(config(&hub, "two", &scratch, &[])).unwrap();
    let (there, here) = tokio::join!(dial(&one, "two"), accept(&two));
    for mode in modes {
        let label = format!("{mode:?}");
        let from = there.channel(&label).unwrap();
        let mut events = here.events();
        from.send_message(message(7, 30_000)).await.unwrap();
        let to = loop {
            if let Some(to) = here.channel(&label) {
                break to;
            }
            timeout(PATIENCE, events.recv()).await.unwrap();
        };
        let got = timeout(PATIENCE, to.recv()).await.unwrap().unwrap();
        assert_eq!((number(&got), got.data.len()), (7, 30_000), "{label}");
        assert_eq!(to.mode(), mode);
        to.send_message(message(8, 10)).await.unwrap();
        let back = timeout(PATIENCE, from.recv()).await.unwrap().unwrap();
        assert_eq!(number(&back), 8, "{label}");
        assert!(timeout(PATIENCE, from.acknowledged()).await.unwrap());
    }
    let late = there.open(ChannelConfig::new("late")).await.unwrap();
    late.send("opened afterwards").await.unwrap();
    assert!(timeout(PATIENCE, late.acknowledged()).await.unwrap());
    let got = timeout(PATIENCE, here.channel("late").unwrap().recv()).await.unwrap().unwrap();
    assert_eq!(got.data, "opened afterwards");
    let stats = there.stats().await.unwrap();
    let reliable = stats.channels.iter().find(|c| c.label == "Reliable").unwrap();
    assert_eq!((reliable.counters.acked, reliable.counters.received), (1, 1));
    assert_eq!(reliable.counters.ack_latency.count(), 1);
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn durable_needs_a_journal() {
    let hub = Hub::start(|_| ()).await;
    let mut config = PeerConfig::new(format!("http://{}", hub.http));
    config.channels = vec![ChannelConfig::of_mode("mission", Mode::Durable)];
    let refused = Peer::connect(config).unwrap_err();
    assert!(matches!(refused, WebrtcError::NoJournal(_)), "{refused}");
}

/// Both processes are restarted, one after the other, with messages queued in between.
#[tokio::test]
async fn durable_messages_survive_both_processes() {
    let scratch = Scratch::new();
    let hub = Hub::start(|_| ()).await;
    let channels =
        [ChannelConfig { manual_ack: true, ..ChannelConfig::of_mode("mission", Mode::Durable) }];
    let mut next = 0;
    let mut received = Vec::new();
    for round in 0..3 {
        let one = Peer::connect(config(&hub, "one", &scratch, &channels)).unwrap();
        let two = Peer::connect(config(&hub, "two", &scratch, &channels)).unwrap();
        let (there, here) = tokio::join!(dial(&one, "two"), accept(&two));
        let (from, to) = (there.channel("mission").unwrap(), here.channel("mission").unwrap());
        for _ in 0..50 {
            from.send_message(message(next, 100)).await.unwrap();
            next += 1;
        }
        // Some are taken, some not even received; then both are gone.
        let most = if round == 2 { usize::MAX } else { 30 };
        while received.len() < next as usize && received.len() < most.saturating_add(round * 40) {
            let message = timeout(PATIENCE, to.recv()).await.unwrap().unwrap();
            received.push(number(&message));
            message.ack();
        }
        if round == 2 {
            assert!(timeout(PATIENCE, from.acknowledged()).await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        tokio::join!(one.close(), two.close());
    }
    assert_eq!(received, (0..150).collect::<Vec<_>>());
}

/// The receiver's process is restarted: what it had not acknowledged comes to the next one.
#[tokio::test]
async fn a_new_process_is_told_and_gets_what_waits() {
    let scratch = Scratch::new();
    let hub = Hub::start(|_| ()).await;
    let channels = [ChannelConfig::new("commands")];
    let one = Peer::connect(config(&hub, "one", &scratch, &channels)).unwrap();
    let process = Runtime::new().unwrap();
    let two = {
        let _inside = process.enter();
        Peer::connect(config(&hub, "two", &scratch, &channels)).unwrap()
    };
    let (there, here) = tokio::join!(dial(&one, "two"), accept(&two));
    let from = there.channel("commands").unwrap();
    from.send("first").await.unwrap();
    let to = here.channel("commands").unwrap();
    assert_eq!(timeout(PATIENCE, to.recv()).await.unwrap().unwrap().data, "first");
    assert!(timeout(PATIENCE, from.acknowledged()).await.unwrap());
    let mut events = there.events();
    // It says no good-bye: what the handles say when they are dropped, nobody hears.
    let ended = tokio::task::spawn_blocking(|| process.shutdown_timeout(PATIENCE));
    ended.await.unwrap();
    drop((here, to, two));
    for number in 0..100u64 {
        from.send_message(message(number, 5000)).await.unwrap();
    }
    let two = Peer::connect(config(&hub, "two", &scratch, &channels)).unwrap();
    let here = dial(&two, "one").await;
    let to = here.channel("commands").unwrap();
    for expected in 0..100 {
        let got = timeout(PATIENCE, to.recv()).await.unwrap().unwrap();
        assert_eq!(number(&got), expected);
    }
    loop {
        let event = timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
        if event == Event::PeerRestarted {
            break;
        }
    }
    one.close().await;
}

/// What is queued before the other side was ever there, by a process that has ended since.
#[tokio::test]
async fn a_call_does_not_wait() {
    let scratch = Scratch::new();
    let hub = Hub::start(|_| ()).await;
    let channels = [ChannelConfig::of_mode("mission", Mode::Durable)];
    let one = Peer::connect(config(&hub, "one", &scratch, &channels)).unwrap();
    let link = one.call("two").await.unwrap();
    let mission = link.channel("mission").unwrap();
    for number in 0..10 {
        mission.send_message(message(number, 100)).await.unwrap();
    }
    one.close().await;
    drop(link);
    let one = Peer::connect(config(&hub, "one", &scratch, &channels)).unwrap();
    let link = one.call("two").await.unwrap();
    let mission = link.channel("mission").unwrap();
    assert_eq!(mission.held(), 10);
    mission.send_message(message(10, 100)).await.unwrap();
    // Who waits as well, and gives up, does not take the link away.
    assert!(timeout(Duration::from_millis(50), one.dial("two")).await.is_err());
    let two = Peer::connect(config(&hub, "two", &scratch, &channels)).unwrap();
    let here = accept(&two).await;
    let inbox = here.channel("mission").unwrap();
    for expected in 0..=10 {
        let got = timeout(PATIENCE, inbox.recv()).await.unwrap().unwrap();
        assert_eq!(number(&got), expected);
    }
    assert!(timeout(PATIENCE, mission.acknowledged()).await.unwrap());
}
