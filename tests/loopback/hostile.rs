//! What a hub and strangers can throw at a peer: no link is lost, nothing grows without a limit,
//! and messages flow on meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rover_rtc::identity::Identity;
use rover_rtc::signal::hub_messages::FromHub;
use rover_rtc::signal::signed::{Content, SignalMessage, SignedMessage};
use rover_rtc::{Event, Peer, PeerLink};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::liar::hub::Act;
use super::liar::scene::{SOON, Scene, Trust, refuses, talk, until};

/// Two rovers with a link.
struct Linked {
    scene: Scene,
    _one: Peer,
    two: Peer,
    called: PeerLink,
    answered: PeerLink,
}

impl Linked {
    async fn new() -> Self {
        let scene = Scene::new(Trust::Met).await;
        let (one, two) = (scene.rover("rover-1"), scene.rover("rover-2"));
        let call = async { tokio::join!(one.dial("rover-2"), two.accept()) };
        let (called, answered) = timeout(SOON, call).await.unwrap();
        let (called, answered) = (called.unwrap(), answered.unwrap());
        talk(&called, &answered).await;
        Self { scene, _one: one, two, called, answered }
    }

    /// The link is the one that it was, and messages flow; how long they take.
    async fn still_talk(&self) -> Duration {
        let begin = Instant::now();
        talk(&self.called, &self.answered).await;
        for link in [&self.called, &self.answered] {
            assert_eq!(link.stats().await.unwrap().transports, 1, "it is still the same");
        }
        begin.elapsed()
    }
}

/// Records of DTLS 1.2 as they are before there is a key (RFC 6347 section 4.1), with numbers that
/// no replay window has seen: alerts, a change of ciphers, a hello.
fn records() -> impl Iterator<Item = Vec<u8>> {
    let alerts = (0..=2u8).flat_map(|level| [0, 10, 20, 40, 90, 255].map(|what| vec![level, what]));
    let alerts = alerts.map(|body| (21, body));
    let hello = [&[1u8, 0, 0, 38, 0, 0, 0, 0, 0, 0, 0, 38, 0xfe, 0xfd][..], &[7; 36]].concat();
    let all = alerts.chain([(20, vec![1]), (22, hello), (23, vec![0; 40])]);
    all.enumerate().flat_map(|(number, (kind, body))| {
        [0u8, 1, 2].map(|epoch| {
            let number = (1000 + number as u16).to_be_bytes();
            let length = (body.len() as u16).to_be_bytes();
            let head = [kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, number[0], number[1]];
            [&head[..], &length, &body].concat()
        })
    })
}

/// Every first byte with every length up to 64; the rest is zeros or ones.
fn datagrams() -> impl Iterator<Item = Vec<u8>> {
    (0..=255u8).flat_map(|first| {
        (0..=64usize).map(move |length| {
            let mut datagram = vec![if length % 2 == 0 { 0 } else { 0xff }; length];
            datagram.iter_mut().take(1).for_each(|byte| *byte = first);
            datagram
        })
    })
}

#[tokio::test]
async fn datagrams_of_strangers() {
    let linked = Linked::new().await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let stats = linked.answered.stats().await.unwrap();
    let locals: Vec<SocketAddr> = stats.paths.iter().map(|p| p.local).collect();
    let locals: Vec<_> = locals.into_iter().filter(SocketAddr::is_ipv4).collect();
    assert!(!locals.is_empty());
    for (sent, datagram) in datagrams().chain(records()).enumerate() {
        for local in &locals {
            stranger.send_to(&datagram, local).await.unwrap();
        }
        // No faster than they are read, so that each of them is.
        if sent % 64 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    linked.still_talk().await;
    let mut answer = [0; 2000];
    let answered = timeout(Duration::from_millis(50), stranger.recv_from(&mut answer)).await;
    assert!(answered.is_err(), "strangers get no answer");
}

#[tokio::test]
async fn datagrams_of_the_hub() {
    let linked = Linked::new().await;
    for (sent, datagram) in datagrams().chain(records()).enumerate() {
        // As the hub's own, and as what it relays, of a number in use and of others.
        linked.scene.hub.datagram("rover-2", datagram.clone());
        let length = (datagram.len() as u16).to_be_bytes();
        for number in [0x4001, 0x4002, 0x4003, 0x4fff_u16] {
            let frame = [&number.to_be_bytes()[..], &length, &datagram].concat();
            linked.scene.hub.datagram("rover-2", frame);
        }
        if sent % 64 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    linked.still_talk().await;
    let home = linked.two.stats().await.unwrap();
    assert_eq!(home.transports, 1, "neither is the hub's own link lost");
}

#[tokio::test]
async fn texts_of_the_hub() {
    let linked = Linked::new().await;
    let hub = &linked.scene.hub;
    let json = |text: &FromHub| serde_json::to_string(text).unwrap();
    let long = "x".repeat(100_000);
    let name = || "rover-1".to_owned();
    for text in [
        "{".to_owned(),
        "null".to_owned(),
        "[".repeat(60_000),
        "{\"a\":".repeat(10_000),
        "{\"type\":\"deliver\"}".to_owned(),
        "{\"type\":\"deliver\",\"signal message\":null}".to_owned(),
        "{\"type\":\"channel\",\"call\":\"a\",\"number\":70000}".to_owned(),
        "{\"type\":\"channel\",\"call\":\"a\",\"number\":-1}".to_owned(),
        "\u{0}\u{ffff}".to_owned(),
        long.clone(),
        json(&FromHub::Rejected { call: "a".into(), reason: long.clone() }),
        json(&FromHub::Absent { name: long.clone(), call: long.clone() }),
        json(&FromHub::Present { name: name() }),
        json(&FromHub::Registered { name: "another".into() }),
        json(&FromHub::Channel { call: String::new(), number: 0x4000 }),
        json(&FromHub::Channel { call: "a".into(), number: 0 }),
        json(&FromHub::Channel { call: "a".into(), number: 0xffff }),
    ] {
        hub.say("rover-1", text.clone());
        hub.say("rover-2", text);
    }
    // The same number for call after call, and all numbers for one call.
    for number in 0x4000..0x5000 {
        let call = format!("{number:032x}");
        hub.say("rover-2", json(&FromHub::Channel { call, number: 0x4002 }));
        hub.say("rover-2", json(&FromHub::Channel { call: "one".into(), number }));
        if number % 256 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    // Reasons are told, but cut: a thousand of them are kept for who listens.
    let mut events = linked.two.events();
    let reason = format!("\u{1b}[31m{}", "x".repeat(50_000));
    hub.say("rover-2", json(&FromHub::NotRegistered { name: name(), reason }));
    let told = |e: &Event| matches!(e, Event::Trouble(why) if why.starts_with("not registered"));
    let Event::Trouble(why) = until(&mut events, told).await else { unreachable!() };
    assert!(why.len() < 1000 && !why.contains('\u{1b}'), "{} bytes", why.len());
    // All that was said before has been read by now.
    linked.still_talk().await;
}

/// A signal message as of somebody else, with a description that is good but for its certificate.
fn forged(key: &Identity, sdp: &str, from: &str, call: usize) -> SignedMessage {
    let content = Content::Offer { sdp: sdp.to_owned(), redundancy: Default::default() };
    let (from, to) = (from.to_owned(), "rover-2".to_owned());
    SignalMessage { from, to, call: format!("{call:032x}"), number: 1, content }.sign(key)
}

#[tokio::test]
async fn a_thousand_calls_of_nobody() {
    let linked = Linked::new().await;
    let hub = &linked.scene.hub;
    let real = hub.signals(|c| matches!(c, Content::Offer { .. })).remove(0).signal;
    let (SignalMessage { content, .. }, real_key) = real.verify().unwrap();
    let Content::Offer { sdp, .. } = content else { unreachable!() };
    let key = Identity::fresh().unwrap();
    let sdp = sdp.replace(&real_key.to_string(), &key.fingerprint().to_string());
    let mut slowest = Duration::ZERO;
    for number in 0..1000 {
        hub.deliver("rover-2", &forged(&key, &sdp, &format!("nobody-{number}"), number));
        let broken = SignedMessage { text: format!("{} ", real.text), ..real.clone() };
        hub.deliver("rover-2", &broken);
        if number % 50 == 0 {
            slowest = slowest.max(linked.still_talk().await);
        }
    }
    slowest = slowest.max(linked.still_talk().await);
    eprintln!("slowest exchange meanwhile: {slowest:?}");
    let links = linked.two.links().await.unwrap();
    assert!(links.len() > 10, "their calls were taken");
    assert!(links.len() <= 64, "{} links", links.len());
    let known = std::fs::read_to_string(linked.scene.state("rover-2").join("known_peers")).unwrap();
    let known: Vec<_> = known.lines().filter(|l| !l.starts_with('#')).collect();
    assert!(matches!(known[..], [one] if one.starts_with("rover-1 ")), "{} names", known.len());
    // Nobody is kept out by them.
    let three = linked.scene.rover("rover-3");
    let both = async { tokio::join!(linked.two.dial("rover-3"), three.accept()) };
    let (called, answered) = timeout(SOON, both).await.expect("there is room");
    talk(&called.unwrap(), &answered.unwrap()).await;
}

#[tokio::test]
async fn signals_in_ones_own_name() {
    let linked = Linked::new().await;
    let mut events = linked.two.events();
    let key = Identity::fresh().unwrap();
    linked.scene.hub.deliver("rover-2", &forged(&key, "", "rover-2", 1));
    refuses(&mut events, "a signal message came in this peer's own name, rover-2").await;
    linked.still_talk().await;
    assert_eq!(linked.two.links().await.unwrap().len(), 1);
}

/// Who has a link cannot use it to write in the names of others.
#[tokio::test]
async fn signals_of_others_on_a_link() {
    let scene = Scene::new(Trust::Met).await;
    let (one, _two) = (scene.rover("rover-1"), scene.rover("rover-2"));
    let mut events = one.events();
    let key = Arc::new(Identity::fresh().unwrap());
    let answering = Arc::clone(&key);
    scene.hub.rule(move |_| vec![Act::Answer(Arc::clone(&answering))]);
    // Its link is with an impostor, who answered first.
    let link = timeout(SOON, one.dial("rover-2")).await.unwrap().unwrap();
    assert_eq!(link.fingerprint(), Some(key.fingerprint()));
    let bye = |from: &str, call: &str| SignalMessage {
        from: from.to_owned(),
        to: "rover-1".to_owned(),
        call: call.to_owned(),
        number: u64::MAX,
        content: Content::Bye { acks: Vec::new() },
    };
    for signal in [bye("rover-3", "call"), bye("rover-2", "another")] {
        scene.hub.say_as_impostor(serde_json::to_string(&signal.sign(&key)).unwrap());
        refuses(&mut events, "rover-2 sent a signal message that is not its own").await;
    }
    // So rover 3 can still be met, with its own key.
    scene.hub.repent();
    let three = scene.rover("rover-3");
    let both = async { tokio::join!(one.dial("rover-3"), three.accept()) };
    let (called, answered) = timeout(SOON, both).await.unwrap();
    let called = called.unwrap();
    assert_eq!(called.fingerprint(), three.fingerprint());
    talk(&called, &answered.unwrap()).await;
}
