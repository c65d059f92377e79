//! Two named peers and a hub on loopback: calls, links, and what becomes of them.

use std::time::Duration;

use rover_rtc::{Peer, PeerConfig, PeerLink};
use tokio::time::timeout;

use super::recovery::{HERE, hub};

const SOON: Duration = Duration::from_secs(10);

fn rover(url: &str, name: &str) -> Peer {
    let mut config = PeerConfig::new(url);
    config.bind = vec![HERE];
    config.name = Some(name.to_owned());
    Peer::connect(config).unwrap()
}

/// Sends a message each way, and waits for both.
async fn talk(one: &PeerLink, two: &PeerLink) {
    for (from, to) in [(one, two), (two, one)] {
        let (from, to) = (from.channel("test").unwrap(), to.channel("test").unwrap());
        from.send("hello").await.unwrap();
        let message = timeout(SOON, to.recv()).await.expect("in time").expect("a message");
        assert_eq!(&message.data[..], b"hello");
    }
}

#[tokio::test]
async fn two_rovers_talk() {
    rover_rtc::util::init_log("off");
    let hub = hub(Default::default()).await;
    let (one, two) = (rover(&hub.url, "rover-1"), rover(&hub.url, "rover-2"));
    let (called, answered) =
        timeout(SOON, async { tokio::join!(one.dial("rover-2"), two.accept()) }).await.unwrap();
    let (called, answered) = (called.unwrap(), answered.unwrap());
    assert_eq!((called.name(), answered.name()), ("rover-2", "rover-1"));
    assert_eq!(called.fingerprint(), two.fingerprint());
    assert_eq!(answered.fingerprint(), one.fingerprint());
    talk(&called, &answered).await;
    let stats = called.stats().await.unwrap();
    println!("{stats:#?}");
}
