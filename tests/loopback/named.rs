//! A hub, and peers with names that speak to it in raw HTTP and over a link of their own.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Method, RequestBuilder};
use rover_rtc::identity::Identity;
use rover_rtc::link::{Link, LinkEvent, Outbox, Transport};
use rover_rtc::session::SessionConfig;
use rover_rtc::signal::hub_messages::{CHANNEL, FromHub, PROOF_CONTEXT, PROOF_HEADER, ToHub};
use rover_rtc::signal::signed::SignedMessage;
use rover_rtc::util::{clock, random};
use rover_rtc::{ChannelConfig, Message, OutboxConfig, PathConfig, Server, ServerConfig, server};
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A hub that ends when dropped.
pub struct Hub {
    pub http: SocketAddr,
    pub udp: SocketAddr,
    client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    running: tokio::task::JoinHandle<()>,
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<u64>,
    pub body: String,
}

impl Hub {
    pub async fn start(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = ServerConfig { listen: any, udp: vec![any], ..ServerConfig::default() };
        change(&mut config);
        let server = Server::bind(config).await.unwrap();
        let (http, udp) = (server.http_address(), server.udp_addresses()[0]);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server::run(server, async {
            let _ = stopped.await;
        }));
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { http, udp, client, stop: Some(stop), running }
    }

    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.running.await.unwrap();
    }

    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.http))
    }

    pub async fn status(&self) -> Value {
        answer(self.ask(Method::GET, "/v1/status")).await.json()
    }

    /// Asks for a session.
    pub async fn post(&self, offer: &Value) -> Answer {
        answer(self.ask(Method::POST, "/v1/sessions").json(offer)).await
    }
}

pub async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let retry_after = response.headers().get("Retry-After");
    let retry_after = retry_after.map(|v| v.to_str().unwrap().parse().unwrap());
    let status = response.status().as_u16();
    Answer { status, retry_after, body: response.text().await.unwrap() }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn texts(&self) -> Vec<FromHub> {
        serde_json::from_str(&self.body).unwrap()
    }

    /// A refusal says why, in JSON.
    #[track_caller]
    pub fn refuses(&self, status: u16, why: &str) -> &Self {
        assert_eq!(self.status, status, "{}", self.body);
        let reason = self.json()["error"].as_str().unwrap().to_owned();
        assert!(reason.contains(why), "{reason}");
        self
    }
}

/// A name and a key.
#[derive(Clone)]
pub struct Named {
    pub name: String,
    pub identity: Arc<Identity>,
    pub kept: bool,
}

/// A session of it.
pub struct Session<'h> {
    pub hub: &'h Hub,
    pub named: Named,
    pub id: String,
}

impl Named {
    pub fn new(name: &str) -> Self {
        let identity = Arc::new(Identity::fresh().unwrap());
        Self { name: name.to_owned(), identity, kept: false }
    }

    pub fn kept(name: &str) -> Self {
        Self { kept: true, ..Self::new(name) }
    }

    /// Somebody else who wants the same name.
    pub fn rival(&self) -> Self {
        Self { kept: self.kept, ..Self::new(&self.name) }
    }

    /// An offer that nobody stands behind.
    pub fn offer(&self) -> Value {
        let mut link = Link::new(OutboxConfig::default(), 16);
        self.dial(&mut link, SocketAddr::from(([127, 0, 0, 1], 9)), None).1
    }

    fn dial(&self, link: &mut Link, at: SocketAddr, replaces: Option<&str>) -> (Outbox, Value) {
        let now = Instant::now();
        let (_, outbox) = link.open(now, ChannelConfig::plain(CHANNEL));
        let mut session = SessionConfig::new(random::ice_credentials());
        session.certificate = Some(self.identity.dtls());
        let paths = PathConfig::default();
        let mut transport = Transport::new(now, session, paths, true, random::number());
        transport.add_local(now, rover_rtc::path::LocalAddress::host(at));
        let sdp = link.dial(now, transport).unwrap();
        let rover = json!({
            "version": 1,
            "name": self.name,
            "certificate": BASE64.encode(self.identity.certificate()),
            "kept": self.kept,
            "replaces": replaces,
        });
        (outbox, json!({ "type": "offer", "sdp": sdp, "rover": rover }))
    }

    /// Asks for a session, for mail only.
    pub async fn join<'h>(&self, hub: &'h Hub) -> Session<'h> {
        let answer = hub.post(&self.offer()).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let id = answer.json()["rover"]["session"].as_str().unwrap().to_owned();
        Session { hub, named: self.clone(), id }
    }

    /// As [`Named::join`], and shows its key.
    pub async fn register<'h>(&self, hub: &'h Hub) -> Session<'h> {
        let session = self.join(hub).await;
        let name = self.name.clone();
        assert_eq!(session.mail(0).await.texts(), [FromHub::Registered { name }]);
        session
    }

    pub fn proof(&self, session: &str) -> String {
        BASE64.encode(self.identity.sign(PROOF_CONTEXT, session.as_bytes()))
    }
}

impl Session<'_> {
    pub fn path(&self) -> String {
        format!("/v1/sessions/{}/mail", self.id)
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.hub.ask(method, path).header(PROOF_HEADER, self.named.proof(&self.id))
    }

    pub async fn mail(&self, wait: u64) -> Answer {
        answer(self.call(Method::GET, &format!("{}?wait={wait}", self.path()))).await
    }

    pub async fn tell(&self, text: &ToHub) -> Answer {
        self.tell_raw(serde_json::to_string(text).unwrap()).await
    }

    pub async fn tell_raw(&self, body: impl Into<reqwest::Body>) -> Answer {
        answer(self.call(Method::POST, &self.path()).body(body)).await
    }

    pub async fn end(self) {
        let path = format!("/v1/sessions/{}", self.id);
        assert_eq!(answer(self.hub.ask(Method::DELETE, &path)).await.status, 204);
    }
}

/// A signal message, which the hub does not read.
pub fn signal(text: &str) -> Box<SignedMessage> {
    let text = text.to_owned();
    Box::new(SignedMessage {
        certificate: "certificate".into(),
        text,
        signature: "signature".into(),
    })
}

pub fn send(to: &str, call: &str, offer: bool) -> ToHub {
    ToHub::Send { to: to.to_owned(), call: call.to_owned(), offer, signal: signal(call) }
}

pub fn delivered(call: &str) -> FromHub {
    FromHub::Deliver { signal: signal(call) }
}

/// What a peer hears over UDP.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Text(FromHub),
    Frame(Vec<u8>),
}

/// A peer with a link to the hub, which ends when dropped.
pub struct Linked {
    pub session: String,
    outbox: Outbox,
    frames: mpsc::UnboundedSender<Vec<u8>>,
    heard: mpsc::UnboundedReceiver<Heard>,
}

impl Linked {
    /// Connects and waits for the channel, but for no name.
    pub async fn connect(hub: &Hub, named: &Named, replaces: Option<&str>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut link = Link::new(OutboxConfig::default(), 16);
        let (outbox, offer) = named.dial(&mut link, address, replaces);
        let answer = hub.post(&offer).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let answer = answer.json();
        let session = answer["rover"]["session"].as_str().unwrap().to_owned();
        let sdp = answer["sdp"].as_str().unwrap();
        // The driver of the hub that has taken it.
        let udp = candidate(sdp);
        link.accept_answer(Instant::now(), sdp).unwrap();
        let (frames, to_send) = mpsc::unbounded_channel();
        let (tell, heard) = mpsc::unbounded_channel();
        let (opened, open) = oneshot::channel();
        tokio::spawn(drive(link, socket, udp, to_send, tell, opened));
        timeout(PATIENCE, open).await.expect("the channel opens").unwrap();
        Self { session, outbox, frames, heard }
    }

    pub fn say(&self, text: &ToHub) {
        self.say_raw(Message::text(serde_json::to_string(text).unwrap()));
    }

    pub fn say_raw(&self, message: Message) {
        self.outbox.try_push(clock::now(), message).unwrap();
    }

    /// Sends a datagram that is not the link's.
    pub fn frame(&self, datagram: Vec<u8>) {
        self.frames.send(datagram).unwrap();
    }

    pub async fn hear(&mut self) -> Heard {
        timeout(PATIENCE, self.heard.recv()).await.expect("something comes").unwrap()
    }

    pub async fn text(&mut self) -> FromHub {
        match self.hear().await {
            Heard::Text(text) => text,
            other => panic!("{other:?} where a text was expected"),
        }
    }

    pub async fn channel(&mut self) -> u16 {
        match self.text().await {
            FromHub::Channel { number, .. } => number,
            other => panic!("{other:?} where a channel was expected"),
        }
    }

    /// Whether nothing comes for a while.
    pub async fn hears_nothing(&mut self) -> bool {
        timeout(Duration::from_millis(300), self.heard.recv()).await.is_err()
    }
}

/// The first address in a description.
fn candidate(sdp: &str) -> SocketAddr {
    let line = sdp.lines().find(|line| line.starts_with("a=candidate:")).unwrap();
    let fields: Vec<_> = line.split(' ').collect();
    format!("{}:{}", fields[4], fields[5]).parse().unwrap()
}

async fn drive(
    mut link: Link,
    socket: UdpSocket,
    hub: SocketAddr,
    mut to_send: mpsc::UnboundedReceiver<Vec<u8>>,
    tell: mpsc::UnboundedSender<Heard>,
    opened: oneshot::Sender<()>,
) {
    let (local, mut opened) = (socket.local_addr().unwrap(), Some(opened));
    let mut bytes = vec![0; 65_536];
    loop {
        let now = Instant::now();
        link.pump(now);
        while let Some(event) = link.poll_event() {
            match event {
                LinkEvent::ChannelOpen { .. } => {
                    let _ = opened.take().map(|opened| opened.send(()));
                }
                LinkEvent::Message(_, message) => {
                    let _ = tell.send(Heard::Text(serde_json::from_slice(&message.data).unwrap()));
                }
                _ => {}
            }
        }
        while let Some(out) = link.poll_transmit() {
            let _ = socket.send_to(&out.datagram, out.remote).await;
        }
        let soon = Duration::from_millis(10);
        tokio::select! {
            got = socket.recv_from(&mut bytes) => {
                let (length, remote) = got.unwrap();
                let bytes = &bytes[..length];
                match bytes.first() {
                    Some(0x40..=0x4f) => drop(tell.send(Heard::Frame(bytes.to_vec()))),
                    _ => drop(link.handle_datagram(Instant::now(), local, remote, bytes)),
                }
            }
            frame = to_send.recv() => match frame {
                Some(frame) => drop(socket.send_to(&frame, hub).await),
                None => return, // its owner is gone, without a word
            },
            () = tokio::time::sleep(soon) => drop(link.handle_timeout(Instant::now())),
        }
    }
}
