//! How names are given, with a hub in this process.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use rover_rtc::signal::hub_messages::{FromHub, PROOF_CONTEXT, PROOF_HEADER};
use serde_json::json;

use crate::named::{Hub, Linked, Named, answer, send};

#[tokio::test]
async fn a_signature_registers() {
    let hub = Hub::start(|_| {}).await;
    let rover = Named::new("rover");
    let session = rover.join(&hub).await;
    assert_eq!(hub.status().await["names"], json!([]), "not before it has shown its key");
    assert_eq!(session.mail(0).await.texts(), [FromHub::Registered { name: "rover".into() }]);
    let status = hub.status().await;
    assert_eq!((&status["names"], &status["registered"]), (&json!(["rover"]), &json!(1)));
    assert_eq!(session.mail(0).await.status, 204, "it has been told");
}

#[tokio::test]
async fn a_handshake_registers() {
    let hub = Hub::start(|_| {}).await;
    let mut rover = Linked::connect(&hub, &Named::new("rover"), None).await;
    assert_eq!(rover.text().await, FromHub::Registered { name: "rover".into() });
    assert_eq!(hub.status().await["names"], json!(["rover"]));
}

#[tokio::test]
async fn without_the_key_nothing() {
    let hub = Hub::start(|_| {}).await;
    let rover = Named::new("rover");
    let session = rover.join(&hub).await;
    let identity = &rover.identity;
    let bad = [
        rover.rival().proof(&session.id),
        rover.proof("another session"),
        BASE64.encode(identity.sign("another context", session.id.as_bytes())),
        BASE64.encode(identity.sign(PROOF_CONTEXT, b"")),
        "%".to_owned(),
        String::new(),
        "A".repeat(8000),
    ];
    for method in [Method::GET, Method::POST] {
        for proof in &bad {
            let request = hub.ask(method.clone(), &session.path()).header(PROOF_HEADER, proof);
            answer(request.body("{}")).await.refuses(401, "Rover-Proof is due");
        }
        let without = hub.ask(method, &session.path()).body("{}");
        answer(without).await.refuses(401, "Rover-Proof is due");
    }
    assert_eq!(hub.status().await["registered"], 0);
}

#[tokio::test]
async fn a_claim_must_be_in_order() {
    let hub = Hub::start(|_| {}).await;
    let (rover, other) = (Named::new("rover"), Named::new("other"));
    let mut offer = rover.offer();
    offer["rover"]["certificate"] = other.offer()["rover"]["certificate"].clone();
    hub.post(&offer).await.refuses(400, "a=fingerprint");
    // The handshake would be checked against the other one.
    let mut two_faced = rover.offer();
    let sdp = two_faced["sdp"].as_str().unwrap();
    let other_hash =
        "a=fingerprint:sha-1 00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:13";
    let sdp = sdp.replacen("m=application", &format!("{other_hash}\r\nm=application"), 1);
    two_faced["sdp"] = json!(sdp);
    hub.post(&two_faced).await.refuses(400, "a=fingerprint");
    offer["rover"]["certificate"] = json!("no base64");
    hub.post(&offer).await.refuses(400, "base64");
    for name in ["", "a b", "../x", "#"] {
        let mut offer = rover.offer();
        offer["rover"]["name"] = json!(name);
        hub.post(&offer).await.refuses(400, "a name has");
    }
    // A session that asks for no name has no mail, and there is none without a session.
    let mut offer = rover.offer();
    offer["rover"].as_object_mut().unwrap().remove("certificate");
    let made = hub.post(&offer).await;
    let id = made.json()["rover"]["session"].as_str().unwrap().to_owned();
    for (id, status, why) in [(&*id, 409, "asked for no name"), ("0123", 404, "no such")] {
        let path = format!("/v1/sessions/{id}/mail");
        let proof = rover.proof(id);
        let request = hub.ask(Method::GET, &path).header(PROOF_HEADER, proof);
        answer(request).await.refuses(status, why);
    }
    let path = format!("/v1/sessions/{id}/mail");
    assert_eq!(answer(hub.ask(Method::DELETE, &path)).await.status, 405);
    assert_eq!(answer(hub.ask(Method::GET, &format!("{path}/more"))).await.status, 404);
}

#[tokio::test]
async fn a_token_where_one_is_wanted() {
    let tokens = || vec!["first".to_owned(), "open sesame".to_owned()];
    let hub =
        Hub::start(|config| config.tokens = tokens().iter().map(|t| t.parse().unwrap()).collect())
            .await;
    let offer = Named::new("rover").offer();
    let post = |authorization: Option<&'static str>| {
        let request = hub.ask(Method::POST, "/v1/sessions").json(&offer);
        answer(match authorization {
            Some(value) => request.header("Authorization", value),
            None => request,
        })
    };
    for bad in [
        None,
        Some("Bearer"),
        Some("Bearer open"),
        Some("Bearer open sesame!"),
        Some("Basic first"),
        Some("first"),
    ] {
        post(bad).await.refuses(401, "Bearer TOKEN");
    }
    assert_eq!(post(Some("Bearer first")).await.status, 201);
    assert_eq!(post(Some("bearer open sesame")).await.status, 201);
    // Who wants no name needs none.
    let mut nameless = offer.clone();
    nameless.as_object_mut().unwrap().remove("rover");
    assert_eq!(hub.post(&nameless).await.status, 201);
}

#[tokio::test]
async fn a_kept_key_keeps_its_name() {
    let dir = std::env::temp_dir().join(format!("rover-rtc-names-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let rover = Named::kept("rover");
    let hub = Hub::start(|config| config.state = Some(dir.clone())).await;
    let session = rover.register(&hub).await;
    let refused = hub.post(&rover.rival().offer()).await;
    assert_eq!(refused.refuses(409, "belongs to another key").retry_after, None);
    session.end().await;
    hub.post(&rover.rival().offer()).await.refuses(409, "belongs to another key");
    hub.stop().await;

    let hub = Hub::start(|config| config.state = Some(dir.clone())).await;
    hub.post(&rover.rival().offer()).await.refuses(409, "belongs to another key");
    rover.register(&hub).await;
    let _ = std::fs::remove_dir_all(&dir);
}

#[tokio::test]
async fn a_roster_decides() {
    let file = std::env::temp_dir().join(format!("rover-rtc-roster-{}", std::process::id()));
    let rover = Named::new("rover");
    std::fs::write(&file, format!("rover {}\n", rover.identity.fingerprint())).unwrap();
    let hub = Hub::start(|config| config.roster = Some(file.clone())).await;
    hub.post(&rover.rival().offer()).await.refuses(409, "belongs to another key");
    hub.post(&Named::new("other").offer()).await.refuses(409, "roster");
    rover.register(&hub).await;
    let _ = std::fs::remove_file(&file);
}

#[tokio::test]
async fn a_key_that_is_not_kept_has_its_name_while_it_is_there() {
    let hub = Hub::start(|_| {}).await;
    let rover = Named::new("rover");
    let session = rover.register(&hub).await;
    let refused = hub.post(&rover.rival().offer()).await;
    assert_eq!(refused.refuses(409, "in use by another key").retry_after, Some(1));
    session.end().await;
    rover.rival().register(&hub).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_holder_has_to_prove_that_it_is_there() {
    let hub = Hub::start(|_| {}).await;
    let rover = Named::new("rover");
    let mut first = Linked::connect(&hub, &rover, None).await;
    first.text().await;
    drop(first); // without a word
    let since = Instant::now();
    while hub.post(&rover.rival().offer()).await.status != 201 {
        assert!(since.elapsed() < Duration::from_secs(5), "it is gone");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(since.elapsed() > Duration::from_secs(1), "it was there a moment ago");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_is_told_and_has_its_turn() {
    let hub = Hub::start(|_| {}).await;
    let rover = Named::new("rover");
    let (first, second) = (rover.join(&hub).await, rover.rival().join(&hub).await);
    assert!(matches!(first.mail(0).await.texts()[..], [FromHub::Registered { .. }]));
    let told = second.mail(0).await.texts();
    let [FromHub::NotRegistered { name, reason }] = &told[..] else { panic!("{told:?}") };
    assert!(name == "rover" && reason.contains("in use by another key"), "{reason}");
    second.tell(&send("rover", "call", true)).await.refuses(409, "in use by another key");
    first.end().await;
    let told = second.mail(10).await.texts();
    assert_eq!(told, [FromHub::Registered { name: "rover".into() }]);
}

#[tokio::test]
async fn who_calls_is_not_half_open() {
    let hub = Hub::start(|config| {
        config.max_half_open = 1;
        config.half_open_time = Duration::from_secs(1);
    })
    .await;
    let rover = Named::new("rover");
    let session = rover.join(&hub).await;
    assert_eq!(hub.post(&Named::new("other").offer()).await.status, 503);
    session.mail(0).await;
    let other = Named::new("other").join(&hub).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(session.mail(0).await.status, 204, "still there");
    other.mail(0).await.refuses(404, "no such session");
}

/// As many offers as there may be half-open clients, all of one address, and nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_shut_the_hub() {
    let hub = Hub::start(|_| {}).await;
    let attacker =
        reqwest::Client::builder().no_proxy().local_address(IpAddr::from([127, 0, 0, 2]));
    let attacker = attacker.build().unwrap();
    let offer = async |number: usize| {
        let offer = Named::new(&format!("stranger-{number}")).offer();
        answer(attacker.post(format!("http://{}/v1/sessions", hub.http)).json(&offer)).await
    };
    for number in 0..64 {
        assert_eq!(offer(number).await.status, 201);
    }
    let refused = offer(64).await;
    assert_eq!(refused.refuses(429, "too many sessions of 127.0.0.2").retry_after, Some(1));
    let began = Instant::now();
    let mut rover = Linked::connect(&hub, &Named::new("rover"), None).await;
    assert!(matches!(rover.text().await, FromHub::Registered { .. }));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn sessions_of_a_name_are_limited() {
    let hub = Hub::start(|_| {}).await;
    let rover = Named::new("rover");
    for _ in 0..5 {
        rover.join(&hub).await;
    }
    let refused = hub.post(&rover.offer()).await;
    let wait = refused.refuses(429, "too many sessions").retry_after.unwrap();
    assert!((10..=13).contains(&wait), "{wait}");
    Named::new("other").join(&hub).await;
}
