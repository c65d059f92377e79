//! A hub with several shards: clients of two of them do not notice.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use reqwest::Method;
use rover_rtc::net::{FaultRule, Faults};
use rover_rtc::signal::hub_messages::{FromHub, ToHub};
use rover_rtc::{Channel, ChannelConfig, Peer, PeerConfig, Server, ServerConfig};
use tokio::time::{sleep, timeout};

use crate::named::{Heard, Hub, Linked, Named, answer, delivered, send};
use crate::passing::number;
use crate::relayed::{V4, V6, is_relayed, no_ipv6, rover, whisper};
use crate::relaying::frame;

const PATIENCE: Duration = Duration::from_secs(30);

async fn hub() -> Hub {
    Hub::start(|config| config.shards = 2).await
}

/// Two names that belong to different shards, and another one of the first.
async fn names(hub: &Hub) -> [String; 3] {
    let mut names: [Vec<String>; 2] = Default::default();
    for number in 0.. {
        let name = format!("rover-{number}");
        let session = Named::new(&name).join(hub).await;
        let (_, driver) = session.id.rsplit_once('-').unwrap();
        names[driver.parse::<usize>().unwrap()].push(name);
        session.end().await;
        if names[0].len() > 1 && !names[1].is_empty() {
            break;
        }
    }
    let [here, there] = names;
    [here[0].clone(), there[0].clone(), here[1].clone()]
}

fn unnamed(hub: SocketAddr, channel: &ChannelConfig, faults: Faults) -> (Peer, Channel) {
    let mut config = PeerConfig::new(format!("http://{hub}"));
    config.bind = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    config.channels = vec![channel.clone()];
    config.faults = faults;
    config.recovery.restart_after = Duration::from_millis(200);
    config.recovery.max_restarts = 0;
    let peer = Peer::connect(config).unwrap();
    let channel = peer.channel(&channel.label).unwrap();
    (peer, channel)
}

async fn connected(hub: &Hub, count: usize) {
    let all = async {
        while hub.status().await["connected"] != count {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, all).await.expect("all are connected");
}

#[tokio::test]
async fn each_shard_has_its_sockets_and_sessions() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = ServerConfig { listen: any, udp: vec![any], shards: 3, ..ServerConfig::default() };
    let server = Server::bind(config.clone()).await.unwrap();
    let udp: HashSet<_> = server.udp_addresses().iter().copied().collect();
    assert_eq!(udp.len(), 3);
    drop(server); // never ran: its threads end, and its ports are free again
    let freed = async {
        while udp.iter().any(|address| UdpSocket::bind(address).is_err()) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, freed).await.expect("all are closed");

    let hub = Hub::start(|config| config.shards = 3).await;
    let mut sessions = Vec::new();
    for number in 0..20 {
        sessions.push(Named::new(&format!("rover-{number}")).register(&hub).await);
    }
    let status = hub.status().await;
    assert_eq!((&status["drivers"], &status["clients"]), (&3.into(), &20.into()), "{status}");
    assert_eq!(status["names"].as_array().unwrap().len(), 20);
    let marks: HashSet<_> = sessions.iter().map(|s| s.id.rsplit_once('-').unwrap().1).collect();
    assert_eq!(marks.len(), 3, "all of them have some");
    for session in
        ["nonsense", "0123456789abcdef0123456789abcdef-1", "x-7", "-", "x-18446744073709551616"]
    {
        let path = format!("/v1/sessions/{session}");
        answer(hub.ask(Method::DELETE, &path)).await.refuses(404, "no such session");
    }
    for session in sessions {
        session.end().await;
    }
    assert_eq!(hub.status().await["clients"], 0);
    hub.stop().await;
}

#[tokio::test]
async fn a_port_in_a_row_that_is_taken_is_named() {
    // Two ports in a row, of which the second one is taken.
    let (first, taken) = loop {
        let first = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let Some(next) = first.port().checked_add(1) else { continue };
        if let Ok(taken) = UdpSocket::bind(SocketAddr::new(first.ip(), next)) {
            break (first, taken);
        }
    };
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let config =
        |udp, shards| ServerConfig { listen, udp: vec![udp], shards, ..ServerConfig::default() };
    let error = Server::bind(config(first, 2)).await.unwrap_err().to_string();
    let taken = taken.local_addr().unwrap().to_string();
    for part in ["2 ports in a row", &first.to_string(), &taken, "in use"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(Server::bind(config(first, 0)).await.is_ok(), "one port, one driver");
    let last = SocketAddr::from(([127, 0, 0, 1], 65_535));
    let error = Server::bind(config(last, 2)).await.unwrap_err().to_string();
    assert!(error.contains("in a row") || error.contains("in use"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rovers_of_two_shards_call_each_other() {
    let hub = hub().await;
    let [one, two, _] = names(&hub).await;
    let url = format!("http://{}", hub.http);
    let (a, b) = (rover(&url, &one, V4), rover(&url, &two, V4));
    let call = async { tokio::join!(a.dial(&two), b.accept()) };
    let (called, answered) = timeout(PATIENCE, call).await.expect("they find each other");
    whisper(&called.unwrap(), &answered.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rovers_of_two_shards_reach_each_other_through_the_hub_only() {
    if no_ipv6() {
        return;
    }
    let any = |ip| SocketAddr::new(ip, 0);
    let hub = Hub::start(|config| (config.udp, config.shards) = (vec![any(V4), any(V6)], 2)).await;
    let [one, two, _] = names(&hub).await;
    let url = format!("http://{}", hub.http);
    let (a, b) = (rover(&url, &one, V4), rover(&url, &two, V6));
    let call = async { tokio::join!(a.dial(&two), b.accept()) };
    let (called, answered) = timeout(PATIENCE, call).await.expect("they find each other");
    let (called, answered) = (called.unwrap(), answered.unwrap());
    whisper(&called, &answered).await;
    is_relayed(&called).await;
    is_relayed(&answered).await;
    let status = hub.status().await;
    assert_eq!(status["relay_calls"], 1, "{status}");
    assert!(status["relay_datagrams"].as_u64().unwrap() > 100, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_and_signals_cross() {
    let hub = hub().await;
    let [one, two, third] = names(&hub).await;
    let (one, two) = (Named::new(&one), Named::new(&two));
    let mut a = Linked::connect(&hub, &one, None).await;
    assert_eq!(a.text().await, FromHub::Registered { name: one.name.clone() });
    a.say(&send(&two.name, "early", true));
    let absent = FromHub::Absent { name: two.name.clone(), call: "early".into() };
    assert_eq!(a.text().await, absent);
    let mut b = Linked::connect(&hub, &two, None).await;
    assert_eq!(b.text().await, FromHub::Registered { name: two.name.clone() });
    assert_eq!(a.text().await, FromHub::Present { name: two.name.clone() });
    let mut third = Linked::connect(&hub, &Named::new(&third), None).await;
    third.text().await;
    a.say(&send(&two.name, "call", true));
    let (ours, theirs) = (a.channel().await, b.channel().await);
    assert_eq!(b.text().await, delivered("call"));
    for n in 0..200u8 {
        let data = vec![n; usize::from(n) * 6];
        a.frame(frame(ours, &data));
        assert_eq!(b.hear().await, Heard::Frame(frame(theirs, &data)));
        b.frame(frame(theirs, &data));
        assert_eq!(a.hear().await, Heard::Frame(frame(ours, &data)));
    }
    let status = hub.status().await;
    assert_eq!((&status["relay_datagrams"], &status["relay_calls"]), (&400.into(), &1.into()));
    // Signal messages and frames follow a peer that dials again.
    let mut again = Linked::connect(&hub, &two, Some(&b.session)).await;
    assert_eq!(again.text().await, FromHub::Registered { name: two.name.clone() });
    a.frame(frame(ours, b"data"));
    assert_eq!(again.hear().await, Heard::Frame(frame(theirs, b"data")));
    a.say(&send(&two.name, "other", false));
    assert_eq!(again.text().await, delivered("other"));
    // A number in foreign hands, and one of a call that is over.
    third.frame(frame(ours, b"data"));
    again.say(&ToHub::End { call: "call".into() });
    sleep(Duration::from_millis(200)).await;
    a.frame(frame(ours, b"data"));
    again.frame(frame(theirs, b"data"));
    assert!(a.hears_nothing().await && again.hears_nothing().await && third.hears_nothing().await);
    let status = hub.status().await;
    assert_eq!((&status["relay_refused"], &status["relay_calls"]), (&3.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_messages_cross_in_order() {
    let hub = hub().await;
    let test = ChannelConfig::plain("test");
    let (_one, one) = unnamed(hub.http, &test, Faults::default());
    let (_two, two) = unnamed(hub.http, &test, Faults::default());
    connected(&hub, 2).await;
    // The channels open a moment later; each gets the status on it, too.
    let next = async |channel: &Channel| loop {
        let message = timeout(PATIENCE, channel.recv()).await.unwrap().unwrap();
        if message.binary {
            return u64::from_le_bytes(message.data[..8].try_into().unwrap());
        }
    };
    for channel in [&one, &two] {
        while channel.recv().await.unwrap().binary {}
    }
    for (from, to) in [(&one, &two), (&two, &one)] {
        for number in 0..1000u64 {
            from.send(number.to_le_bytes().to_vec()).await.unwrap();
        }
        for expected in 0..1000 {
            assert_eq!(next(to).await, expected);
        }
    }
    assert_eq!(hub.status().await["between_dropped"], 0);
}

/// The hub is restarted, and both change their transports, while messages flow both ways.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_repeated() {
    let mut hub = hub().await;
    let http = hub.http;
    let commands = ChannelConfig::new("commands");
    let faults = [Faults::new(1), Faults::new(2)];
    let (_one, one) = unnamed(http, &commands, faults[0].clone());
    let (_two, two) = unnamed(http, &commands, faults[1].clone());
    let streams = [(one.clone(), two.clone()), (two, one)].map(|(from, to)| {
        let sending = tokio::spawn(async move {
            for number in 0..1500u64 {
                from.send(number.to_le_bytes().to_vec()).await.unwrap();
                sleep(Duration::from_millis(5)).await;
            }
        });
        let receiving = tokio::spawn(async move {
            for expected in 0..1500 {
                assert_eq!(number(&to).await, expected);
            }
            assert!(timeout(Duration::from_millis(300), to.recv()).await.is_err());
        });
        [sending, receiving]
    });
    for turn in 0..4 {
        sleep(Duration::from_millis(800)).await;
        let faults = &faults[turn % 2];
        faults.set(IpAddr::V4(Ipv4Addr::LOCALHOST), FaultRule::cut());
        sleep(Duration::from_millis(700)).await;
        faults.clear_all();
        sleep(Duration::from_millis(700)).await;
        hub.stop().await;
        hub = Hub::start(|config| (config.listen, config.shards) = (http, 2)).await;
    }
    for task in streams.into_iter().flatten() {
        task.await.unwrap();
    }
}
