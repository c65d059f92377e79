//! Signal messages between named peers, with a hub in this process.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use rover_rtc::signal::hub_messages::{FromHub, MAX_TEXT, ToHub};
use rover_rtc::signal::signed::{Content, SignalMessage};

use crate::named::{Hub, Linked, Named, Session, delivered, send};

#[tokio::test]
async fn both_ways() {
    let hub = Hub::start(|config| config.relay = false).await;
    let (one, two) = (Named::new("one"), Named::new("two"));
    let (one, two) = (one.register(&hub).await, two.register(&hub).await);
    assert_eq!(one.tell(&send("two", "call", true)).await.status, 204);
    assert_eq!(two.mail(0).await.texts(), [delivered("call")]);
    // A call that waits is answered when something comes.
    let (mail, told) = tokio::join!(one.mail(10), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        two.tell(&send("one", "call", false)).await
    });
    assert_eq!((told.status, mail.texts()), (204, vec![delivered("call")]));
    assert_eq!(hub.status().await["letters"], 2);
}

#[tokio::test]
async fn channels_come_before_the_offer() {
    let hub = Hub::start(|_| {}).await;
    let (one, two) = (Named::new("one"), Named::new("two"));
    let (one, two) = (one.register(&hub).await, two.register(&hub).await);
    for _ in 0..2 {
        one.tell(&send("two", "call", true)).await;
        let number = |texts: &[FromHub]| match texts.first() {
            Some(FromHub::Channel { call, number }) if call == "call" => *number,
            _ => panic!("{texts:?}"),
        };
        let (ours, theirs) = (one.mail(0).await.texts(), two.mail(0).await.texts());
        assert_eq!((number(&ours), number(&theirs)), (0x4000, 0x4000));
        assert_eq!((ours.len(), &theirs[1..]), (1, &[delivered("call")][..]));
    }
    two.tell(&ToHub::Relay { to: "one".into(), call: "call".into() }).await;
    assert_eq!(two.mail(0).await.texts(), one.mail(0).await.texts());
    assert_eq!(hub.status().await["relay_calls"], 1);
    two.tell(&ToHub::End { call: "call".into() }).await;
    assert_eq!(hub.status().await["relay_calls"], 0);
}

#[tokio::test]
async fn absent_then_present() {
    let hub = Hub::start(|_| {}).await;
    let one = Named::new("one").register(&hub).await;
    one.tell(&send("two", "call", true)).await;
    let absent = FromHub::Absent { name: "two".into(), call: "call".into() };
    assert_eq!(one.mail(0).await.texts(), [absent]);
    let two = Named::new("two").join(&hub).await;
    assert_eq!(one.mail(0).await.status, 204, "it has not shown its key");
    let (mail, _) = tokio::join!(one.mail(10), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        two.mail(0).await
    });
    assert_eq!(mail.texts(), [FromHub::Present { name: "two".into() }]);
}

#[tokio::test]
async fn new_calls_are_limited() {
    let hub = Hub::start(|config| config.relay = false).await;
    let one = Named::new("one").register(&hub).await;
    let two = Named::new("two").register(&hub).await;
    for call in ["1", "2", "3", "3", "4", "5", "1"] {
        one.tell(&send("two", call, true)).await;
        assert_eq!(two.mail(0).await.texts(), [delivered(call)]);
    }
    for refused in [send("two", "6", true), ToHub::Relay { to: "two".into(), call: "6".into() }] {
        assert_eq!(one.tell(&refused).await.status, 204);
        let told = one.mail(0).await.texts();
        let [FromHub::Rejected { call, reason }] = &told[..] else { panic!("{told:?}") };
        assert!(call == "6" && reason.contains("wait 1"), "{reason}");
    }
    one.tell(&send("two", "6", false)).await;
    assert_eq!(two.mail(0).await.texts(), [delivered("6")], "what is no offer passes");
    let many = 200;
    for _ in 0..many {
        one.tell(&send("two", "7", false)).await;
    }
    assert!(one.mail(0).await.body.contains("too many signal messages"));
}

#[tokio::test]
async fn nonsense_is_refused_and_counted() {
    let hub = Hub::start(|_| {}).await;
    let one = Named::new("one").register(&hub).await;
    let long = "x".repeat(65);
    let bad = [
        String::new(),
        "{".into(),
        "[]".into(),
        "null".into(),
        r#"{"type":"unknown"}"#.into(),
        r#"{"type":"end"}"#.into(),
        r#"{"type":"end","call":""}"#.into(),
        r#"{"type":"relay","to":1,"call":"x"}"#.into(),
        format!(r#"{{"type":"end","call":"{long}"}}"#),
        "[".repeat(60_000),
    ];
    for text in &bad {
        one.tell_raw(text.clone()).await.refuses(400, "nothing that a hub");
    }
    one.tell_raw(vec![0xff; 100]).await.refuses(400, "nothing that a hub");
    assert_eq!(hub.status().await["malformed"], bad.len() + 1);
    assert_eq!(one.tell_raw(" ".repeat(MAX_TEXT + 1)).await.status, 413);
    for to in ["", "a b", &long] {
        one.tell(&send(to, "call", true)).await;
        let told = one.mail(0).await.texts();
        assert!(matches!(&told[..], [FromHub::Rejected { .. }]), "{told:?}");
    }
}

#[tokio::test]
async fn a_mailbox_holds_the_newest() {
    let hub = Hub::start(|_| {}).await;
    let one = Named::new("one").register(&hub).await;
    let two = Named::new("two").register(&hub).await;
    for n in 0..70 {
        one.tell(&send("two", &n.to_string(), false)).await;
    }
    let newest: Vec<_> = (6..70).map(|n| delivered(&n.to_string())).collect();
    assert_eq!(two.mail(0).await.texts(), newest);
    assert_eq!(hub.status().await["letters_dropped"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_link_or_over_http_as_the_peer_prefers() {
    let hub = Hub::start(|_| {}).await;
    let one = Named::new("one").register(&hub).await;
    let named = Named::new("two");
    let mut two = Linked::connect(&hub, &named, None).await;
    two.text().await;
    one.tell(&send("two", "1", false)).await;
    assert_eq!(two.text().await, delivered("1"));
    let over_http = Session { hub: &hub, named: named.clone(), id: two.session.clone() };
    assert_eq!(over_http.mail(0).await.status, 204, "the link was told of the name");
    one.tell(&send("two", "2", false)).await;
    assert!(two.hears_nothing().await);
    assert_eq!(over_http.mail(0).await.texts(), [delivered("2")]);
    // Its link works again, it seems.
    one.tell(&send("two", "3", false)).await;
    two.say(&send("one", "4", false));
    assert_eq!(two.text().await, delivered("3"));
    assert_eq!(one.mail(10).await.texts(), [delivered("4")]);
}

#[tokio::test]
async fn a_mailbox_waits_for_the_next_session() {
    let hub = Hub::start(|_| {}).await;
    let one = Named::new("one").register(&hub).await;
    let named = Named::new("two");
    let two = named.register(&hub).await;
    for call in ["1", "2"] {
        one.tell(&send("two", call, false)).await;
    }
    two.end().await;
    one.tell(&send("two", "3", false)).await;
    let two = named.register(&hub).await;
    assert_eq!(two.mail(0).await.texts(), ["1", "2", "3"].map(delivered));
}

/// A registered peer cannot be met for the first time under the name of another.
#[tokio::test]
async fn only_signals_of_their_sender() {
    let hub = Hub::start(|config| config.relay = false).await;
    let (named, other) = (Named::new("one"), Named::new("other"));
    let one = named.register(&hub).await;
    let two = Named::new("two").register(&hub).await;
    let signal = |from: &str, to: &str, call: &str| SignalMessage {
        from: from.into(),
        to: to.into(),
        call: call.into(),
        number: 1,
        content: Content::Bye { acks: Vec::new() },
    };
    let send = |signal: SignalMessage, by: &Named| ToHub::Send {
        to: "two".into(),
        call: "call".into(),
        offer: false,
        signal: Box::new(signal.sign(&by.identity)),
    };
    one.tell(&send(signal("one", "two", "call"), &named)).await;
    assert!(matches!(two.mail(0).await.texts()[..], [FromHub::Deliver { .. }]));
    let offer = Content::Offer { sdp: String::new(), redundancy: Default::default() };
    for (signal, by) in [
        (signal("other", "two", "call"), &named),
        (signal("one", "two", "call"), &other),
        (signal("one", "three", "call"), &named),
        (signal("one", "two", "another"), &named),
        (SignalMessage { content: offer, ..signal("one", "two", "call") }, &named),
    ] {
        one.tell(&send(signal, by)).await;
        let told = one.mail(0).await.texts();
        let [FromHub::Rejected { call, reason }] = &told[..] else { panic!("{told:?}") };
        assert!(call == "call" && reason.starts_with("the signal message "), "{reason}");
        assert_eq!(two.mail(0).await.status, 204, "nothing was passed on");
    }
}
