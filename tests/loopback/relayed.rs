//! The hub relays what it cannot read: two peers without any other way, one with IPv4 and one with
//! IPv6 only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use rover_rtc::event::PathKind;
use rover_rtc::{Peer, PeerConfig, PeerLink, Server, ServerConfig};
use tokio::time::timeout;

use super::liar::hub::{FalseHub, Seen};

const SOON: Duration = Duration::from_secs(10);
pub const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Nothing else holds these bytes by chance, in whatever encoding a text has.
const MARKER: &str = "SeenByNobodyButTheOneItIsFor";

pub fn rover(url: &str, name: &str, ip: IpAddr) -> Peer {
    let mut config = PeerConfig::new(url);
    config.bind = vec![ip];
    config.name = Some(name.to_owned());
    Peer::connect(config).unwrap()
}

async fn pair(url: &str) -> Option<((Peer, PeerLink), (Peer, PeerLink))> {
    rover_rtc::util::init_log("off");
    let (one, two) = (rover(url, "rover-1", V4), rover(url, "rover-2", V6));
    let call = async { tokio::join!(one.dial("rover-2"), two.accept()) };
    let (called, answered) = timeout(SOON, call).await.expect("they find each other");
    let (called, answered) = (called.unwrap(), answered.unwrap());
    Some(((one, called), (two, answered)))
}

/// Sends messages with the marker each way; all arrive.
pub async fn whisper(one: &PeerLink, two: &PeerLink) {
    for (from, to) in [(one, two), (two, one)] {
        let (from, to) = (from.channel("test").unwrap(), to.channel("test").unwrap());
        for number in 0..100 {
            from.send(format!("{MARKER} {number} {MARKER}")).await.unwrap();
        }
        for number in 0..100 {
            let message = timeout(SOON, to.recv()).await.expect("in time").unwrap();
            assert_eq!(message.data, format!("{MARKER} {number} {MARKER}").as_bytes());
        }
    }
}

pub async fn is_relayed(link: &PeerLink) {
    let stats = link.stats().await.unwrap();
    let selected = stats.paths.iter().find(|p| p.selected).expect("a path carries");
    assert_eq!(selected.kind, PathKind::Hub);
}

pub fn no_ipv6() -> bool {
    let none = UdpSocket::bind((V6, 0)).is_err();
    if none {
        super::support::missing("this machine has no IPv6 loopback");
    }
    none
}

#[tokio::test]
async fn messages_go_through_the_hub() {
    if no_ipv6() {
        return;
    }
    let listen = SocketAddr::new(V4, 0);
    let udp = vec![SocketAddr::new(V4, 0), SocketAddr::new(V6, 0)];
    let config = ServerConfig { listen, udp, ..ServerConfig::default() };
    let server = Server::bind(config).await.unwrap();
    let url = format!("http://{}", server.http_address());
    let hub = tokio::spawn(rover_rtc::server::run(server, std::future::pending()));
    let Some(((_one, called), (_two, answered))) = pair(&url).await else { return };
    whisper(&called, &answered).await;
    is_relayed(&called).await;
    is_relayed(&answered).await;
    hub.abort();
}

#[tokio::test]
async fn the_hub_reads_nothing_of_it() {
    if no_ipv6() {
        return;
    }
    let hub = FalseHub::new().await;
    let Some(((one, called), (_two, answered))) = pair(&hub.url).await else { return };
    whisper(&called, &answered).await;
    is_relayed(&called).await;
    is_relayed(&answered).await;
    // What the hub itself is told it does read: the search finds what is there.
    one.channel("test").unwrap().send(MARKER).await.unwrap();
    let told = async {
        while !hub.seen.lock().unwrap().texts.iter().any(|t| t == MARKER.as_bytes()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, told).await.expect("the hub hears its own");

    let mut seen = hub.seen.lock().unwrap();
    let Seen { signals, texts, frames, datagrams, overheard } = &mut *seen;
    texts.retain(|t| t != MARKER.as_bytes());
    assert!(signals.len() >= 2 && frames.len() > 100, "{} frames", frames.len());
    let signals: Vec<_> = signals.iter().map(|l| l.signal.text.clone().into_bytes()).collect();
    for handled in [&signals, texts, frames, datagrams, overheard].into_iter().flatten() {
        let marked = handled.windows(MARKER.len()).any(|w| w == MARKER.as_bytes());
        assert!(!marked, "{}", String::from_utf8_lossy(handled));
    }
    for frame in frames {
        let kind = *frame.first().expect("no frame is empty");
        assert!(matches!(kind, 0..=3 | 20..=63), "neither STUN nor DTLS: {frame:?}");
        // RFC 9147: the content types of DTLS 1.2 records, and the unified header of 1.3 ones.
        assert!(kind <= 3 || matches!(kind, 20..=26 | 32..=63), "no DTLS record: {kind}");
    }
}
