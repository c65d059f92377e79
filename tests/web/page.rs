//! What the page does.

use std::time::Duration;

use rover_rtc::{Channel, Message, Peer, PeerConfig};
use serde_json::Value;
use tokio::time::timeout;

use crate::browser::{Browser, http};
use crate::process::{Hub, PATIENCE};

const CONNECTED: &str = "return document.getElementById('state').dataset.state === 'connected'";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_takes_part() {
    let Some(browser) = Browser::start() else { return };
    let hub = Hub::start();
    let (_peer, test) = join(&hub).await;
    browser.open(&format!("http://{}/", hub.http));
    browser.wait(CONNECTED);
    assert_eq!(clients(&hub), 2);

    // The hub's status, as a table.
    browser.wait("return document.querySelectorAll('#status th').length >= 4");
    let rows = browser.run("return document.getElementById('status').innerText");
    let rows = rows.as_str().unwrap();
    assert!(rows.contains("connected") && rows.contains("uptime s"), "{rows}");

    // To the page: text as it is, never as HTML; payloads; other bytes by their number.
    let nasty = "<img src=x onerror=alert(1)> \u{1f916}";
    test.send_text(nasty).await.unwrap();
    browser.wait(&shows(nasty));
    let payload = rover_rtc::model::payload::Payload::now("from a payload");
    test.send(payload.encode()).await.unwrap();
    browser.wait(&shows("from a payload"));
    let age = "return Date.now() - new Date(document.querySelector('#messages li:last-child time')\
               .dateTime).getTime()";
    let age = browser.run(age).as_i64().unwrap();
    assert!((0..60_000).contains(&age), "its own time is shown: {age} ms ago");
    let long = rover_rtc::model::payload::Payload::now("x".repeat(70_000));
    test.send(long.encode()).await.unwrap();
    browser.wait(&shows(&"x".repeat(70_000)));
    test.send(vec![250u8; 9]).await.unwrap();
    browser.wait(&shows("9 bytes"));

    // From the page, as a person types it.
    browser.type_into("#text", "hello, rovers");
    browser.click("#send");
    let got = timeout(PATIENCE, text_from(&test)).await.expect("the page's message");
    assert_eq!(got.data, "hello, rovers");
    assert_eq!(browser.run("return document.getElementById('text').value"), "");

    // A rover of another process.
    let rover = hub.peer("--every 50");
    browser.wait(&shows("message 3"));
    browser.type_into("#text", "to all");
    browser.click("#send");
    rover.wait_for(1, |l| !l.error && l.text.ends_with("to all"), "to all");
    drop(rover);

    // All within the policy: a violation is written to the console.
    assert_eq!(browser.log(), Vec::<String>::new());

    // Leaving the page ends its session, at once.
    let before = clients(&hub);
    browser.open("about:blank");
    let since = std::time::Instant::now();
    while clients(&hub) >= before {
        assert!(since.elapsed() < PATIENCE, "the session stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_comes_back() {
    let Some(browser) = Browser::start() else { return };
    let mut hub = Hub::start();
    browser.open(&format!("http://{}/", hub.http));
    browser.wait(CONNECTED);
    // A hub that says good-bye, and one that does not.
    for signal in ["TERM", "KILL"] {
        hub.program.signal(signal);
        hub.program.wait();
        browser.wait("return document.getElementById('state').dataset.state !== 'connected'");
        assert_eq!(browser.run("return document.getElementById('send').disabled"), true);
        hub = Hub::start_on(hub.http, &[]);
        browser.wait(CONNECTED);
        let (peer, test) = join(&hub).await;
        let hello = format!("after {signal}");
        test.send_text(&*hello).await.unwrap();
        browser.wait(&shows(&hello));
        peer.close().await;
    }
}

/// A peer of this process, connected.
async fn join(hub: &Hub) -> (Peer, Channel) {
    let mut config = PeerConfig::new(format!("http://{}", hub.http));
    config.bind = vec![[127, 0, 0, 1].into()];
    let peer = Peer::connect(config).unwrap();
    let test = peer.channel("test").unwrap();
    let mut events = peer.events();
    let open = async {
        while !matches!(events.recv().await.unwrap(), rover_rtc::Event::ChannelOpen(..)) {}
    };
    timeout(PATIENCE, open).await.expect("the peer connects");
    (peer, test)
}

/// The next text that is no status.
async fn text_from(channel: &Channel) -> Message {
    loop {
        let message = channel.recv().await.expect("an open channel");
        if !message.binary && !message.data.starts_with(b"{") {
            return message;
        }
    }
}

/// Whether a message is shown, without its time.
fn shows(text: &str) -> String {
    let text = Value::from(text);
    format!(
        "return [...document.querySelectorAll('#messages li')]\
         .some((line) => line.lastChild.textContent === {text})"
    )
}

fn clients(hub: &Hub) -> u64 {
    let status = http(hub.http, "GET", "/v1/status", "").unwrap();
    serde_json::from_str::<Value>(&status).unwrap()["clients"].as_u64().unwrap()
}
