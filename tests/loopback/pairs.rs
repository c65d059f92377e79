//! Two named peers and a hub on loopback: calls, links, and what becomes of them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rover_rtc::event::{DisconnectReason, PathKind};
use rover_rtc::net::{FaultRule, Faults};
use rover_rtc::{ChannelConfig, DialError, Event, Peer, PeerConfig, PeerLink, WebrtcError};
use tokio::time::timeout;

use super::recovery::{HERE, hub, until};

const SOON: Duration = Duration::from_secs(10);

fn rover_with(url: &str, name: &str, change: impl FnOnce(&mut PeerConfig)) -> Peer {
    let mut config = PeerConfig::new(url);
    config.bind = vec![HERE];
    config.name = Some(name.to_owned());
    change(&mut config);
    Peer::connect(config).unwrap()
}

fn rover(url: &str, name: &str) -> Peer {
    rover_with(url, name, |_| ())
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

async fn meet(one: &Peer, two: &Peer, name: &str) -> (PeerLink, PeerLink) {
    let both = async { tokio::join!(one.dial(name), two.accept()) };
    let (called, answered) = timeout(SOON, both).await.expect("in time");
    (called.unwrap(), answered.unwrap())
}

fn dial_error(result: Result<PeerLink, WebrtcError>) -> DialError {
    match result {
        Err(WebrtcError::Dial(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn two_rovers_talk() {
    let hub = hub(Default::default()).await;
    let (one, two) = (rover(&hub.url, "rover-1"), rover(&hub.url, "rover-2"));
    let (called, answered) = meet(&one, &two, "rover-2").await;
    assert_eq!((called.name(), answered.name()), ("rover-2", "rover-1"));
    assert_eq!(called.fingerprint(), two.fingerprint());
    assert_eq!(answered.fingerprint(), one.fingerprint());
    talk(&called, &answered).await;
    let stats = called.stats().await.unwrap();
    let selected = stats.paths.iter().find(|p| p.selected).unwrap();
    assert_eq!(selected.kind, PathKind::Direct);
    assert!(stats.paths.iter().any(|p| p.kind == PathKind::Hub), "the hub stands by");
    assert_eq!(one.links().await.unwrap().len(), 1);
    // A second call finds the same link.
    let again = timeout(SOON, one.dial("rover-2")).await.expect("at once").unwrap();
    drop(called);
    talk(&again, &answered).await;
}

#[tokio::test]
async fn both_call_at_once_and_get_one_link() {
    let hub = hub(Default::default()).await;
    for _ in 0..5 {
        let (one, two) = (rover(&hub.url, "rover-1"), rover(&hub.url, "rover-2"));
        let both = async { tokio::join!(one.dial("rover-2"), two.dial("rover-1")) };
        let (from_one, from_two) = timeout(SOON, both).await.expect("in time");
        let (from_one, from_two) = (from_one.unwrap(), from_two.unwrap());
        talk(&from_one, &from_two).await;
        for link in [&from_one, &from_two] {
            assert_eq!(link.stats().await.unwrap().transports, 1);
        }
        let called = timeout(Duration::from_millis(100), one.accept()).await;
        assert!(called.is_err(), "who has called is not called as well");
        tokio::join!(one.close(), two.close());
    }
}

#[tokio::test]
async fn a_call_waits_for_who_is_not_there_yet() {
    let hub = hub(Default::default()).await;
    let one = rover(&hub.url, "rover-1");
    let late = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let two = rover(&hub.url, "rover-2");
        let link = two.accept().await.unwrap();
        (two, link)
    };
    let both = async { tokio::join!(one.dial("rover-2"), late) };
    let (called, (_two, answered)) = timeout(SOON, both).await.expect("in time");
    talk(&called.unwrap(), &answered).await;
}

#[tokio::test]
async fn a_call_that_nobody_answers_says_so() {
    let hub = hub(Default::default()).await;
    let one = rover(&hub.url, "rover-1");
    let error = dial_error(one.dial_within("rover-9", Duration::from_secs(1)).await);
    assert_eq!(error.to_string(), "rover-9 was not reached in time: rover-9 is not at the hub");
    assert_eq!(dial_error(one.dial("rover-1").await), DialError::Oneself("rover-1".into()));
    assert_eq!(dial_error(one.dial("a b").await), DialError::BadName("a b".into()));
    let nobody = rover_with(&hub.url, "x", |config| config.name = None);
    assert_eq!(dial_error(nobody.dial("rover-1").await), DialError::Nameless);
    // A call that its caller has given up leaves nothing behind.
    assert!(timeout(Duration::from_millis(100), one.dial("rover-9")).await.is_err());
    let gone = async { while !one.links().await.unwrap().is_empty() {} };
    timeout(SOON, gone).await.expect("it is given up");
}

#[tokio::test]
async fn a_hub_that_is_not_there_is_named() {
    let one = rover("http://127.0.0.1:9", "rover-1");
    let error = dial_error(one.dial_within("rover-2", Duration::from_secs(1)).await).to_string();
    assert!(error.contains("no answer from http://127.0.0.1:9"), "{error}");
}

#[tokio::test]
async fn signals_go_over_http_where_udp_to_the_hub_is_blocked() {
    let hub = hub(Default::default()).await;
    let here: [IpAddr; 2] = [[127, 0, 1, 1].into(), [127, 0, 2, 1].into()];
    let blocked = |at: usize| {
        let faults = Faults::new(1);
        faults.set(here[at], FaultRule { spares: Some(here[1 - at]), ..FaultRule::cut() });
        move |config: &mut PeerConfig| {
            config.bind = vec![here[at]];
            config.faults = faults;
        }
    };
    let one = rover_with(&hub.url, "rover-1", blocked(0));
    let two = rover_with(&hub.url, "rover-2", blocked(1));
    let (called, answered) = meet(&one, &two, "rover-2").await;
    talk(&called, &answered).await;
    assert!(!one.stats().await.unwrap().paths.iter().any(|p| p.selected), "no link to the hub");
}

#[tokio::test]
async fn messages_queued_before_the_end_arrive() {
    let hub = hub(Default::default()).await;
    let (one, two) = (rover(&hub.url, "rover-1"), rover(&hub.url, "rover-2"));
    let (called, answered) = meet(&one, &two, "rover-2").await;
    let (from, to) = (called.channel("test").unwrap(), answered.channel("test").unwrap());
    for i in 0..1000u32 {
        from.send(i.to_be_bytes().to_vec()).await.unwrap();
    }
    let mut events = answered.events();
    drop((from, called));
    for i in 0..1000u32 {
        let message = timeout(SOON, to.recv()).await.expect("in time").expect("a message");
        assert_eq!(&message.data[..], &i.to_be_bytes()[..]);
    }
    assert!(timeout(SOON, to.recv()).await.expect("in time").is_none(), "the link is over");
    let bye = until(&mut events, |e| matches!(e, Event::Disconnected(_))).await;
    let Event::Disconnected(bye) = bye else { panic!("{bye:?}") };
    assert_eq!(bye.reason, DisconnectReason::Bye);
    assert_eq!(bye.text, "rover-1 said good-bye");
    assert!(two.links().await.unwrap().is_empty());
    let gone = async { while !one.links().await.unwrap().is_empty() {} };
    timeout(SOON, gone).await.expect("who has closed it forgets it when that was heard");
    // And they can meet again.
    let (called, answered) = meet(&two, &one, "rover-1").await;
    talk(&called, &answered).await;
}

#[tokio::test]
async fn either_side_opens_channels() {
    let hub = hub(Default::default()).await;
    let only = |config: &mut PeerConfig| {
        config.channels = ["test", "telemetry"].map(ChannelConfig::new).to_vec();
    };
    let (one, two) = (rover(&hub.url, "rover-1"), rover_with(&hub.url, "rover-2", only));
    let (called, answered) = meet(&one, &two, "rover-2").await;
    let mut events = called.events();
    // The called side has a channel that the caller did not offer.
    answered.channel("telemetry").unwrap().send("42").await.unwrap();
    until(&mut events, |e| matches!(e, Event::ChannelOpen(_, l) if l == "telemetry")).await;
    let telemetry = called.channel("telemetry").unwrap();
    assert_eq!(&timeout(SOON, telemetry.recv()).await.unwrap().unwrap().data[..], b"42");
    called.open(ChannelConfig::new("video")).await.unwrap().send("frame").await.unwrap();
    let mut events = answered.events();
    until(&mut events, |e| matches!(e, Event::ChannelOpen(_, l) if l == "video")).await;
    let video = answered.channel("video").unwrap();
    assert_eq!(&timeout(SOON, video.recv()).await.unwrap().unwrap().data[..], b"frame");
    let own = called.open(ChannelConfig::new("rover-rtc/signal")).await;
    assert!(matches!(own, Err(WebrtcError::Reserved(_))));
}

#[tokio::test]
async fn one_of_many_is_restarted_and_its_links_come_back() {
    let hub = hub(Default::default()).await;
    let base = base_station(&hub.url);
    let state = Directory::new();
    let keep = |config: &mut PeerConfig| config.state = Some(state.0.clone());
    let mut links = Vec::new();
    let mut rovers = Vec::new();
    for name in ["rover-1", "rover-2", "rover-3"] {
        let rover = rover_with(&hub.url, name, |config| {
            if name == "rover-2" {
                keep(config);
            }
        });
        links.push(meet(&base, &rover, name).await);
        rovers.push(rover);
    }
    for (base_end, rover_end) in &links {
        talk(base_end, rover_end).await;
    }
    // It goes without a word: its task is dropped with its runtime in real life; here the base
    // only sees that its transport is gone and that it is there again.
    rovers.remove(1).close().await;
    let (_gone, _) = links.remove(1);
    let again = rover_with(&hub.url, "rover-2", keep);
    let (base_end, rover_end) = meet(&base, &again, "rover-2").await;
    talk(&base_end, &rover_end).await;
    for (base_end, rover_end) in &links {
        talk(base_end, rover_end).await;
    }
}

fn base_station(url: &str) -> Peer {
    rover(url, "base")
}

/// A directory of its own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("rover-rtc-{}", rover_rtc::util::random::id())))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whoever gives up waiting takes the turn of nobody else.
#[tokio::test]
async fn a_call_wakes_all_who_wait_for_one() {
    struct Told(tokio::sync::Notify);
    impl std::task::Wake for Told {
        fn wake(self: Arc<Self>) {
            self.0.notify_one();
        }
    }
    let hub = hub(Default::default()).await;
    let (one, two) = (rover(&hub.url, "rover-1"), rover(&hub.url, "rover-2"));
    let told = Arc::new(Told(Default::default()));
    let waker = told.clone().into();
    let mut cx = Context::from_waker(&waker);
    let mut accept = Box::pin(two.accept());
    let mut noop = Context::from_waker(std::task::Waker::noop());
    assert!(accept.as_mut().poll(&mut noop).is_pending());
    assert!(two.poll_accept(&mut cx).is_pending());
    drop(accept);
    let called = timeout(SOON, one.dial("rover-2")).await.expect("in time").unwrap();
    timeout(SOON, told.0.notified()).await.expect("it is told");
    let Poll::Ready(Some(answered)) = two.poll_accept(&mut cx) else { panic!("no link") };
    talk(&called, &answered).await;
    // And the end is told to all of them, also those of a peer that is never called.
    let unnamed = rover_with(&hub.url, "", |config| config.name = None);
    for peer in [&two, &unnamed] {
        assert!(peer.poll_accept(&mut cx).is_pending());
        peer.close().await;
        let end = std::future::poll_fn(|cx| peer.poll_accept(cx));
        assert!(timeout(SOON, end).await.expect("in time").is_none());
        timeout(SOON, told.0.notified()).await.expect("it is told");
    }
}
