//! The hub as a path between two peers, over real sockets.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use rover_rtc::Message;
use rover_rtc::signal::hub_messages::{FromHub, ToHub};
use tokio::net::UdpSocket;

use crate::named::{Heard, Hub, Linked, Named, delivered, send};

pub fn frame(number: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    [&number.to_be_bytes()[..], &length.to_be_bytes(), data].concat()
}

/// Two that are registered.
async fn two(hub: &Hub) -> (Linked, Linked, Named) {
    let (one, two) = (Named::new("one"), Named::new("two"));
    let mut a = Linked::connect(hub, &one, None).await;
    let mut b = Linked::connect(hub, &two, None).await;
    assert_eq!(a.text().await, FromHub::Registered { name: "one".into() });
    assert_eq!(b.text().await, FromHub::Registered { name: "two".into() });
    (a, b, two)
}

/// A call between them; their numbers.
async fn call(a: &mut Linked, b: &mut Linked) -> (u16, u16) {
    a.say(&send("two", "call", true));
    let numbers = (a.channel().await, b.channel().await);
    assert_eq!(b.text().await, delivered("call"));
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_cross() {
    let hub = Hub::start(|_| {}).await;
    let (mut a, mut b, _) = two(&hub).await;
    let mut third = Linked::connect(&hub, &Named::new("third"), None).await;
    third.text().await;
    let (ours, theirs) = call(&mut a, &mut b).await;
    for n in 0..200u8 {
        let data = vec![n; usize::from(n) * 6];
        a.frame([frame(ours, &data), vec![0; 3]].concat());
        assert_eq!(b.hear().await, Heard::Frame(frame(theirs, &data)));
        b.frame(frame(theirs, &data));
        assert_eq!(a.hear().await, Heard::Frame(frame(ours, &data)));
    }
    let status = hub.status().await;
    assert_eq!((&status["relay_datagrams"], &status["relay_calls"]), (&400.into(), &1.into()));
    assert_eq!(status["relay_bytes"], 199 * 200 / 2 * 6 * 2);

    // A number in foreign hands, and no number.
    third.frame(frame(ours, b"data"));
    a.frame(frame(0x4fff, b"data"));
    b.say(&ToHub::End { call: "call".into() });
    tokio::time::sleep(Duration::from_millis(200)).await;
    a.frame(frame(ours, b"data"));
    assert!(a.hears_nothing().await && b.hears_nothing().await && third.hears_nothing().await);
    let status = hub.status().await;
    assert_eq!((&status["relay_refused"], &status["relay_calls"]), (&3.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_and_signals_follow_a_peer_that_dials_again() {
    let hub = Hub::start(|_| {}).await;
    let (mut a, mut b, named) = two(&hub).await;
    let (ours, theirs) = call(&mut a, &mut b).await;
    let mut again = Linked::connect(&hub, &named, Some(&b.session)).await;
    assert_eq!(again.text().await, FromHub::Registered { name: "two".into() });
    a.frame(frame(ours, b"data"));
    assert_eq!(again.hear().await, Heard::Frame(frame(theirs, b"data")));
    again.frame(frame(theirs, b"back"));
    assert_eq!(a.hear().await, Heard::Frame(frame(ours, b"back")));
    a.say(&send("two", "other", false));
    assert_eq!(again.text().await, delivered("other"));
    assert!(b.hears_nothing().await);
    assert_eq!(hub.status().await["clients"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_finds_out_that_its_way_is_dead() {
    let hub = Hub::start(|_| {}).await;
    let (mut a, mut b, named) = two(&hub).await;
    let (ours, _) = call(&mut a, &mut b).await;
    for _ in 0..50 {
        a.frame(frame(ours, b"data"));
        b.hear().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    b.frame(frame(0x4fff, b"a sign of life"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(b);
    // Its name is free as soon as the hub knows; without the flow it would not ask for a second.
    let since = Instant::now();
    let rival = named.rival().offer();
    loop {
        a.frame(frame(ours, b"data"));
        tokio::time::sleep(Duration::from_millis(10)).await;
        match hub.post(&rival).await.status {
            201 => break,
            status => assert_eq!(status, 409),
        }
    }
    assert!(since.elapsed() < Duration::from_millis(900), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_from_a_path_that_was_validated() {
    let hub = Hub::start(|_| {}).await;
    let (mut a, mut b, _) = two(&hub).await;
    let (ours, _) = call(&mut a, &mut b).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..100 {
        stranger.send_to(&frame(ours, b"data"), hub.udp).await.unwrap();
    }
    assert!(b.hears_nothing().await);
    let status = hub.status().await;
    assert_eq!(status["relay_datagrams"], 0);
    assert!(status["refused_datagrams"].as_u64().unwrap() >= 100, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_and_no_relay() {
    let hub = Hub::start(|config| config.relay_rate = 1000).await;
    let (mut a, mut b, _) = two(&hub).await;
    let (ours, theirs) = call(&mut a, &mut b).await;
    // The burst of 64 KiB, then next to nothing.
    for _ in 0..70 {
        a.frame(frame(ours, &[7; 1000]));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut passed = 0;
    while !b.hears_nothing().await {
        passed += 1;
    }
    let dropped = hub.status().await["relay_dropped_rate"].as_u64().unwrap();
    assert!((3..=5).contains(&dropped), "{dropped}");
    assert!(passed < 66);
    b.frame(frame(theirs, &[7; 1000]));
    assert_eq!(a.hear().await, Heard::Frame(frame(ours, &[7; 1000])), "the other way is free");

    let hub = Hub::start(|config| config.relay = false).await;
    let (mut a, mut b, _) = two(&hub).await;
    a.say(&send("two", "call", true));
    assert_eq!(b.text().await, delivered("call"));
    a.frame(frame(0x4000, b"data"));
    assert!(a.hears_nothing().await && b.hears_nothing().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_frames_and_texts_do_no_harm() {
    let hub = Hub::start(|_| {}).await;
    let (mut a, mut b, _) = two(&hub).await;
    let (ours, theirs) = call(&mut a, &mut b).await;
    for first in 0..=255u8 {
        for length in 0..=64 {
            let mut bytes = vec![0x5a; length];
            bytes.iter_mut().take(1).for_each(|b| *b = first);
            a.frame(bytes);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for text in ["{", "[]", r#"{"type":"fly"}"#, r#"{"type":"end","call":""}"#] {
        a.say_raw(Message::text(text));
    }
    a.say_raw(Message::binary(serde_json::to_vec(&send("two", "call", false)).unwrap()));
    a.say_raw(Message::text(" ".repeat(70_000)));
    a.say(&send("two", "last", false));
    assert_eq!(b.text().await, delivered("last"));
    a.frame(frame(ours, b"data"));
    assert_eq!(b.hear().await, Heard::Frame(frame(theirs, b"data")));
    let status = hub.status().await;
    assert_eq!((&status["malformed"], &status["connected"]), (&6.into(), &2.into()));
    assert!(status["relay_refused"].as_u64().unwrap() >= 16 * 64 / 2, "{status}");
}
