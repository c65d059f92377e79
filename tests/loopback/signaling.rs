//! Signaling over 127.0.0.1 with a hub in this process: the shapes of requests and answers, and
//! what strangers may send without harm.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use rover_rtc::{Channel, Event, Message, Peer, PeerConfig, Server, ServerConfig, server};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const JSON: &str = "application/json";
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// A hub that ends when dropped.
struct Hub {
    http: SocketAddr,
    udp: SocketAddr,
    client: reqwest::Client,
    _stop: oneshot::Sender<()>,
}

/// An answer, read.
struct Answer {
    status: u16,
    kind: String,
    location: String,
    etag: String,
    body: String,
}

impl Hub {
    async fn start() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        // Half-open clients that the tests leave behind are no reason to refuse the next.
        let config = ServerConfig {
            listen: any,
            udp: vec![any],
            max_half_open: 10_000,
            ..ServerConfig::default()
        };
        let server = Server::bind(config).await.unwrap();
        let (http, udp) = (server.http_address(), server.udp_addresses()[0]);
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server::run(server, async {
            let _ = stopped.await;
        }));
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { http, udp, client, _stop: stop }
    }

    async fn ask(&self, method: Method, path: &str, kind: &str, body: impl ToString) -> Answer {
        self.ask_with(method, path, kind, None, body).await
    }

    async fn ask_with(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        tag: Option<&str>,
        body: impl ToString,
    ) -> Answer {
        let url = format!("http://{}{path}", self.http);
        let mut request = self.client.request(method, url).header("Content-Type", kind);
        if let Some(tag) = tag {
            request = request.header("If-Match", tag);
        }
        let response = request.body(body.to_string()).send().await.unwrap();
        let header = |name: &str| {
            let value = response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
            value.unwrap_or_default()
        };
        let (kind, location, etag) = (header("Content-Type"), header("Location"), header("ETag"));
        let status = response.status().as_u16();
        let body = response.text().await.unwrap();
        Answer { status, kind, location, etag, body }
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, JSON, body).await
    }

    async fn status(&self) -> Value {
        self.ask(Method::GET, "/v1/status", JSON, "").await.json()
    }

    /// A peer whose signaling is done here; its session's path and ETag, and its offer.
    async fn join(&self, leave_out: &str) -> (Peer, Answer, String) {
        let (peer, offer) = Peer::offer(peer_config("")).unwrap();
        let kept = |l: &&str| leave_out.is_empty() || !l.starts_with(leave_out);
        let shown: String = offer.lines().filter(kept).map(|l| format!("{l}\r\n")).collect();
        let answer = self.post("/v1/sessions", &description(&shown)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        peer.accept_answer(&answer.sdp()).await.unwrap();
        opened(&peer).await;
        (peer, answer, offer)
    }
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.kind, JSON, "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }

    fn sdp(&self) -> String {
        self.json()["sdp"].as_str().unwrap().to_owned()
    }

    /// A refusal says why, in JSON.
    #[track_caller]
    fn refuses(&self, status: u16, why: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        let reason = self.json()["error"].as_str().unwrap().to_owned();
        assert!(reason.contains(why), "{reason}");
    }
}

fn peer_config(server: &str) -> PeerConfig {
    let mut config = PeerConfig::new(server);
    config.bind = vec![[127, 0, 0, 1].into()];
    config
}

fn description(sdp: &str) -> Value {
    json!({ "type": "offer", "sdp": sdp })
}

async fn opened(peer: &Peer) {
    let mut events = peer.events();
    let open = async { while !matches!(events.recv().await.unwrap(), Event::ChannelOpen(..)) {} };
    timeout(PATIENCE, open).await.expect("the channel opens");
}

/// An offer that nobody stands behind.
fn some_offer() -> String {
    Peer::offer(peer_config("")).unwrap().1
}

mod shapes {
    use super::*;

    #[tokio::test]
    async fn an_offer_is_answered() {
        let hub = Hub::start().await;
        for (path, status) in [("/", 200), ("/v1/sessions", 201)] {
            let mut offer = description(&some_offer());
            offer["from a browser"] = json!({ "unknown": [1] });
            let answer = hub.post(path, &offer).await;
            assert_eq!(answer.status, status);
            let read = answer.json();
            assert_eq!(read["type"], "answer");
            assert!(read.get("rover").is_none(), "told to a foreign stack: {read}");
            assert!(answer.sdp().contains(&format!(" {} typ host", spaced(hub.udp))));
            assert!(answer.location.len() > "/v1/sessions/".len() + 20, "{}", answer.location);
            assert!(answer.etag.starts_with('"') && answer.etag.len() > 2, "{}", answer.etag);
        }
        let mut offer = description(&some_offer());
        offer["rover"] = json!({ "version": 1, "name": "rover-1" });
        let answer = hub.post("/v1/sessions", &offer).await;
        let session = answer.json()["rover"]["session"].as_str().unwrap().to_owned();
        assert_eq!(answer.location, format!("/v1/sessions/{session}"));
    }

    #[tokio::test]
    async fn sdp_is_answered_with_sdp() {
        let hub = Hub::start().await;
        for kind in [SDP, "Application/SDP; charset=utf-8"] {
            let answer = hub.ask(Method::POST, "/v1/sessions", kind, some_offer()).await;
            assert_eq!((answer.status, &*answer.kind), (201, SDP));
            assert!(answer.body.starts_with("v=0\r\n") && !answer.etag.is_empty());
            let gone = hub.ask(Method::DELETE, &answer.location, SDP, "").await;
            assert_eq!(gone.status, 204);
        }
    }

    #[tokio::test]
    async fn the_page_and_its_policy() {
        let hub = Hub::start().await;
        for (path, kind) in
            [("/", "text/html"), ("/app.css", "text/css"), ("/app.js", "text/javascript")]
        {
            let url = format!("http://{}{path}", hub.http);
            let response = hub.client.get(url).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(header("Content-Type"), format!("{kind}; charset=utf-8"));
            let policy = header("Content-Security-Policy");
            assert!(
                policy.contains("default-src 'self'") && !policy.contains("unsafe"),
                "{policy}"
            );
            let text = response.text().await.unwrap();
            assert!(!text.contains("://"), "{path} names another place");
        }
        assert_eq!(hub.ask(Method::DELETE, "/app.js", JSON, "").await.status, 405);
    }

    fn spaced(address: SocketAddr) -> String {
        format!("{} {}", address.ip(), address.port())
    }
}

mod refusals {
    use super::*;

    #[tokio::test]
    async fn what_is_no_offer() {
        let hub = Hub::start().await;
        for path in ["/", "/v1/sessions"] {
            for text in ["", "{", "[]", "null", r#"{"type":"offer"}"#, r#"{"sdp":"v=0"}"#] {
                hub.ask(Method::POST, path, JSON, text).await.refuses(400, "bad JSON");
            }
            let answer = json!({ "type": "answer", "sdp": some_offer() });
            hub.post(path, &answer).await.refuses(400, "an offer is due");
            for sdp in ["", "v=0\r\n", "hello", "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789\r\n"] {
                assert_eq!(hub.post(path, &description(sdp)).await.status, 400, "{sdp:?}");
                assert_eq!(hub.ask(Method::POST, path, SDP, sdp).await.status, 400, "{sdp:?}");
            }
        }
        assert_eq!(hub.status().await["clients"], 0);
    }

    #[tokio::test]
    async fn what_is_not_there() {
        let hub = Hub::start().await;
        let offer = description(&some_offer()).to_string();
        for (method, body) in
            [(Method::GET, ""), (Method::DELETE, ""), (Method::PATCH, offer.as_str())]
        {
            hub.ask(method, "/v1/sessions/0123", JSON, body).await.refuses(404, "no such session");
        }
        for path in ["/nothing", "/v1", "/v1/sessions/", "/v1/sessions/a/b"] {
            assert_eq!(hub.ask(Method::GET, path, JSON, "").await.status, 404, "{path}");
        }
        for (method, path) in
            [(Method::PUT, "/"), (Method::GET, "/v1/sessions"), (Method::POST, "/v1/sessions/0")]
        {
            assert_eq!(hub.ask(method, path, JSON, "").await.status, 405, "{path}");
        }
    }

    #[tokio::test]
    async fn an_oversize_body_before_it_is_read() {
        let hub = Hub::start().await;
        for length in ["65537", "100000000000", "99999999999999999999999999"] {
            let mut stream = TcpStream::connect(hub.http).await.unwrap();
            let head = format!("POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            // Nothing of the body is ever sent.
            let mut answer = String::new();
            timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
            assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
            assert!(answer.contains("\"error\""), "{answer}");
        }
        let full = " ".repeat(64 * 1024);
        assert_eq!(hub.ask(Method::POST, "/", JSON, full).await.status, 400, "is read");
    }
}

mod sessions {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_without_candidates_is_found_by_its_checks() {
        // As a browser that hides its addresses.
        let hub = Hub::start().await;
        let (peer, ..) = hub.join("a=candidate:").await;
        peer.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_restart_is_answered_and_answered_again() {
        let hub = Hub::start().await;
        let (other, ..) = hub.join("").await;
        let (peer, made, offer) = hub.join("").await;
        let before = credentials(&made.sdp());
        let new = restart(&offer, "NewUfrag1");
        let first = hub.ask(Method::PATCH, &made.location, JSON, &new).await;
        assert_eq!(first.status, 200, "{}", first.body);
        let after = credentials(&first.sdp());
        assert!(after.0 != before.0 && after.1 != before.1, "{before:?} {after:?}");
        assert_ne!(first.etag, made.etag);
        // The answer was lost on its way, say.
        let again = hub.ask(Method::PATCH, &made.location, JSON, &new).await;
        assert_eq!((again.status, again.sdp(), &again.etag), (200, first.sdp(), &first.etag));
        let third = restart(&offer, "NewUfrag2");
        let third = hub.ask(Method::PATCH, &made.location, JSON, &third).await;
        assert!(third.status == 200 && third.sdp() != first.sdp());
        // The client has not taken part in any of it, and its path lives.
        for (from, to) in [(&peer, &other), (&other, &peer)] {
            exchange(from, to, 50).await;
        }
        for bad in [description("v=0\r\n"), json!({ "type": "answer", "sdp": offer })] {
            let status = hub.ask(Method::PATCH, &made.location, JSON, &bad).await.status;
            assert!(status == 400 || status == 409, "{status}");
        }
        exchange(&other, &peer, 50).await;
    }

    #[tokio::test]
    async fn candidates_follow() {
        let hub = Hub::start().await;
        let made = hub.post("/v1/sessions", &description(&some_offer())).await;
        let line = "candidate:1 1 udp 2130706431 127.0.0.1 40000 typ host";
        let patch = |tag: Option<&'static str>, kind, body: String| {
            let (hub, path) = (&hub, &made.location);
            async move { hub.ask_with(Method::PATCH, path, kind, tag, body).await }
        };
        let trickle = json!({ "candidates": [line, "nonsense", "candidate:1 1 tcp 1 x 0 typ y"] });
        assert_eq!(patch(None, JSON, trickle.to_string()).await.status, 204);
        patch(None, JSON, "{}".to_owned()).await.refuses(400, "bad JSON");

        let fragment = format!("a=mid:0\r\na={line}\r\na=end-of-candidates\r\n");
        patch(None, FRAGMENT, fragment.clone()).await.refuses(428, "If-Match");
        patch(Some("\"old\""), FRAGMENT, fragment.clone()).await.refuses(412, "restarted");
        let tag = Some(&*made.etag);
        let right = hub.ask_with(Method::PATCH, &made.location, FRAGMENT, tag, &fragment).await;
        assert_eq!(right.status, 204);
        let restart = format!("a=ice-ufrag:abcd\r\na=ice-pwd:{}\r\n{fragment}", "p".repeat(24));
        patch(Some("*"), FRAGMENT, restart).await.refuses(422, "restart");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_deleted_session_is_over() {
        let hub = Hub::start().await;
        let (peer, made, _) = hub.join("").await;
        let mut events = peer.events();
        assert_eq!(hub.ask(Method::DELETE, &made.location, JSON, "").await.status, 204);
        hub.ask(Method::DELETE, &made.location, JSON, "").await.refuses(404, "no such session");
        let told =
            async { while !matches!(events.recv().await.unwrap(), Event::Disconnected(_)) {} };
        timeout(PATIENCE, told).await.expect("the client is told");
        assert_eq!(hub.status().await["clients"], 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_poll_waits() {
        let hub = Hub::start().await;
        let made = hub.post("/v1/sessions", &description(&some_offer())).await;
        let poll = |wait: &str| {
            let path = format!("{}{wait}", made.location);
            let (client, url) = (hub.client.clone(), format!("http://{}{path}", hub.http));
            tokio::spawn(async move {
                let since = Instant::now();
                let response = client.get(url).send().await.unwrap();
                (response.status().as_u16(), since.elapsed())
            })
        };
        let (status, after) = poll("").await.unwrap();
        assert!(status == 204 && after < Duration::from_secs(5), "{status} {after:?}");
        let (status, after) = poll("?wait=2").await.unwrap();
        assert!(status == 204 && after >= Duration::from_secs(2), "{status} {after:?}");
        // A newer one takes the place of an older one; the end of the session ends both.
        let older = poll("?wait=25");
        tokio::time::sleep(Duration::from_millis(300)).await;
        let newer = poll("?wait=25");
        assert_eq!(older.await.unwrap().0, 204);
        assert_eq!(hub.ask(Method::DELETE, &made.location, JSON, "").await.status, 204);
        let (status, after) = newer.await.unwrap();
        assert!(status == 404 && after < Duration::from_secs(20), "{status} {after:?}");
    }

    /// The offer of an ICE restart, without a peer that wants one.
    fn restart(offer: &str, ufrag: &str) -> Value {
        let (old, pass) = credentials(offer);
        description(&offer.replace(&old, ufrag).replace(&pass, &ufrag.repeat(3)))
    }

    fn credentials(sdp: &str) -> (String, String) {
        let value = |name| sdp.lines().find_map(|l| l.strip_prefix(name)).unwrap().to_owned();
        (value("a=ice-ufrag:"), value("a=ice-pwd:"))
    }
}

mod strangers {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn garbage_on_the_udp_ports() {
        let hub = Hub::start().await;
        let server = format!("http://{}", hub.http);
        let peers = [(); 2].map(|()| Peer::connect(peer_config(&server)).unwrap());
        for peer in &peers {
            opened(peer).await;
        }
        let mut targets = vec![hub.udp];
        for peer in &peers {
            targets.extend(peer.stats().await.unwrap().paths.iter().map(|p| p.local));
        }
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let garbage = tokio::spawn(async move {
            let mut random = Random(7);
            for first in 0..=255u8 {
                for length in 0..=64usize {
                    let mut bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
                    bytes.iter_mut().take(1).for_each(|b| *b = first);
                    for target in &targets {
                        let _ = socket.send_to(&bytes, target).await;
                    }
                }
                // No more than the sockets' buffers take: this is about content, not floods.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let mut rounds = 0;
        while !garbage.is_finished() || rounds == 0 {
            exchange(&peers[0], &peers[1], 50).await;
            exchange(&peers[1], &peers[0], 50).await;
            rounds += 1;
        }
        garbage.await.unwrap();
        let status = hub.status().await;
        assert_eq!((&status["clients"], &status["connected"]), (&json!(2), &json!(2)));
        assert!(status["refused_datagrams"].as_u64().unwrap() > 1000, "{status}");
        for peer in &peers {
            assert_eq!(peer.stats().await.unwrap().transports, 1, "the first transport lives");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn broken_offers() {
        let hub = Hub::start().await;
        let offer = some_offer();
        let seed = 0x5eed;
        let mut random = Random(seed);
        let mut answers = [0, 0];
        for turn in 0..300 {
            let sdp = mutate(&offer, &mut random);
            let answer = hub.post("/v1/sessions", &description(&sdp)).await;
            let of_note = || format!("turn {turn} of seed {seed}: {} {sdp}", answer.body);
            match answer.status {
                201 => answers[0] += 1,
                400 => {
                    answers[1] += 1;
                    // What the hub says after it has caught a panic.
                    assert!(!answer.body.contains("cannot be used"), "{}", of_note());
                }
                _ => panic!("{} {}", answer.status, of_note()),
            }
        }
        assert!(answers.iter().all(|n| *n > 20), "{answers:?}");
        let (one, two) = (hub.join("").await.0, hub.join("").await.0);
        exchange(&one, &two, 20).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn thousands_of_candidates() {
        let hub = Hub::start().await;
        let offer = some_offer();
        // The first of them are places where somebody listens.
        let mut sockets = Vec::new();
        for _ in 0..40 {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            sockets.push(socket);
        }
        let ports = sockets.iter().map(|s| s.local_addr().unwrap().port());
        let candidate = |port| format!("a=candidate:1 1 udp 1 127.0.0.1 {port} typ host\r\n");
        let with = |count| {
            let ports = ports.clone().chain(std::iter::repeat(9)).take(count);
            description(&format!("{offer}{}", ports.map(candidate).collect::<String>()))
        };
        hub.post("/v1/sessions", &with(10_000)).await.refuses(413, "too large");
        let as_many_as_fit = with(1200);
        assert!(as_many_as_fit.to_string().len() <= 64 * 1024);
        assert_eq!(hub.post("/v1/sessions", &as_many_as_fit).await.status, 201);
        // Nobody can make the hub knock at more than a few doors with one offer.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut bytes = [0; 2048];
        let knocked = sockets.iter().filter(|s| s.recv(&mut bytes).is_ok()).count();
        assert!((1..=20).contains(&knocked), "{knocked} of 40");
        let (one, two) = (hub.join("").await.0, hub.join("").await.0);
        exchange(&one, &two, 20).await;
    }

    /// A few pieces cut, doubled, swapped or changed; sometimes the end is missing.
    fn mutate(sdp: &str, random: &mut Random) -> String {
        let mut lines: Vec<Vec<u8>> = sdp.lines().map(|l| l.as_bytes().to_vec()).collect();
        for _ in 0..=random.below(3) {
            let (a, b) = (random.below(lines.len()), random.below(lines.len()));
            match random.below(7) {
                0 if lines.len() > 1 => drop(lines.remove(a)),
                1 => lines.insert(a, lines[b].clone()),
                2 => lines.swap(a, b),
                3 => {
                    let kept = random.below(lines[a].len() + 1);
                    lines[a].truncate(kept);
                }
                4 => lines.truncate(a + 1),
                5 => lines[a].extend(std::iter::repeat_n(b'9', random.below(400))),
                _ => {
                    let at = random.below(lines[a].len().max(1));
                    if let Some(byte) = lines[a].get_mut(at) {
                        *byte = random.next() as u8;
                    }
                }
            }
        }
        String::from_utf8_lossy(&lines.join(&b"\r\n"[..])).into_owned() + "\r\n"
    }
}

/// Sends numbered messages one way; all arrive, once and in order.
async fn exchange(from: &Peer, to: &Peer, count: u32) {
    let channel = |peer: &Peer| peer.channel("test").unwrap();
    let (from, to): (Channel, Channel) = (channel(from), channel(to));
    for n in 0..count {
        from.send(n.to_be_bytes().to_vec()).await.unwrap();
    }
    for n in 0..count {
        let next = async {
            loop {
                // Text is the hub's status.
                match to.recv().await.expect("an open channel") {
                    Message { binary: true, data, .. } => return data,
                    _ => continue,
                }
            }
        };
        let got = timeout(PATIENCE, next).await.expect("nothing is lost");
        assert_eq!(got, n.to_be_bytes().to_vec());
    }
}

/// Xorshift: the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
