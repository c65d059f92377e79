//! Who takes a message and closes at once has acknowledged it, however it closes.

use std::time::Duration;

use rover_rtc::{Channel, ChannelConfig, Peer, PeerConfig, PeerLink};
use tokio::time::timeout;

use crate::recovery::{HERE, hub};

const SOON: Duration = Duration::from_secs(20);

/// How somebody closes a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    CloseLink,
    DropLink,
    ClosePeer,
    DropPeer,
}

const ALL: [How; 4] = [How::CloseLink, How::DropLink, How::ClosePeer, How::DropPeer];

fn config(url: &str) -> PeerConfig {
    let mut config = PeerConfig::new(url);
    config.bind = vec![HERE];
    let manual = ChannelConfig { manual_ack: true, ..ChannelConfig::new("manual") };
    config.channels = vec![ChannelConfig::new("test"), manual];
    config
}

fn named(url: &str, name: &str) -> Peer {
    Peer::connect(PeerConfig { name: Some(name.to_owned()), ..config(url) }).unwrap()
}

async fn take(channel: &Channel) -> rover_rtc::Message {
    timeout(SOON, channel.recv()).await.expect("in time").expect("a message")
}

async fn acknowledged(channel: &Channel) -> bool {
    timeout(SOON, channel.acknowledged()).await.expect("in time")
}

async fn close(peer: Peer, link: Option<PeerLink>, how: How) -> Option<Peer> {
    match (how, link) {
        (How::CloseLink, Some(link)) => link.close().await,
        (How::CloseLink | How::ClosePeer, _) => peer.close().await,
        (How::DropLink, _) => return Some(peer),
        (How::DropPeer, _) => return None,
    }
    Some(peer)
}

/// Two peers, and both ends of their link.
async fn linked(url: &str) -> ((Peer, PeerLink), (Peer, PeerLink)) {
    let (one, two) = (named(url, "one"), named(url, "two"));
    let both = async { tokio::join!(one.dial("two"), two.accept()) };
    let (there, back) = timeout(SOON, both).await.expect("in time");
    // Nothing else is under way that would take acknowledgements along.
    tokio::time::sleep(Duration::from_millis(300)).await;
    ((one, there.unwrap()), (two, back.unwrap()))
}

#[tokio::test]
async fn between_named_peers() {
    let hub = hub(Default::default()).await;
    for how in ALL {
        let ((_one, there), (two, back)) = linked(&hub.url).await;
        let [from, to] = [&there, &back].map(|link| link.channel("test").unwrap());
        from.send("hello").await.unwrap();
        take(&to).await;
        let _two = close(two, Some(back), how).await;
        assert!(acknowledged(&from).await, "{how:?}");
    }
}

#[tokio::test]
async fn what_waits_for_the_programs_word_does_so_for_ever() {
    let hub = hub(Default::default()).await;
    for how in ALL {
        let ((_one, there), (two, back)) = linked(&hub.url).await;
        let [from, to] = [&there, &back].map(|link| link.channel("manual").unwrap());
        from.send("one").await.unwrap();
        from.send("two").await.unwrap();
        let (first, _second) = (take(&to).await, take(&to).await);
        first.ack();
        let _two = close(two, Some(back), how).await;
        assert!(!acknowledged(&from).await, "{how:?}");
        assert_eq!(from.held(), 1, "{how:?}");
    }
}

#[tokio::test]
async fn without_a_hub() {
    for how in [How::ClosePeer, How::DropPeer] {
        let (one, offer) = Peer::offer(config("")).unwrap();
        let (two, answer) = Peer::answer(config(""), &offer).unwrap();
        one.accept_answer(&answer).await.unwrap();
        let [from, to] = [&one, &two].map(|peer| peer.channel("test").unwrap());
        from.send("hello").await.unwrap();
        take(&to).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        for _ in 0..3 {
            from.send("hello").await.unwrap();
        }
        for _ in 0..3 {
            take(&to).await;
        }
        let _two = close(two, None, how).await;
        assert!(acknowledged(&from).await, "{how:?}");
    }
}

#[tokio::test]
async fn through_a_hub() {
    let hub = hub(Default::default()).await;
    for how in [How::ClosePeer, How::DropPeer] {
        let [one, two] = [(); 2].map(|()| Peer::connect(config(&hub.url)).unwrap());
        let [from, to] = [&one, &two].map(|peer| peer.channel("test").unwrap());
        from.send("hello").await.unwrap();
        take(&to).await;
        let _two = close(two, None, how).await;
        assert!(acknowledged(&from).await, "{how:?}");
    }
}
