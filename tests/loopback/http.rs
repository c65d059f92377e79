//! The HTTP front over 127.0.0.1: what it answers, and what attacks do to it.
//!
//! Attacks go to a hub in a process of its own (this test program, started again), so that its
//! memory and its descriptors can be measured and limited apart from the attacker's.
#![allow(clippy::unwrap_used)]

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rover_rtc::http::server::{Exchange, HttpError, HttpLimits, HttpServer, Reply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const SOON: Duration = Duration::from_secs(5);

async fn serve(handler: impl Fn(Exchange) + Send + Sync + 'static) -> HttpServer {
    HttpServer::bind(ANY_PORT, HttpLimits::default(), handler).await.unwrap()
}

/// A response, as far as it came.
#[derive(Debug)]
struct Response {
    head: String,
    body: Vec<u8>,
}

impl Response {
    fn status(&self) -> u16 {
        self.head.get(9..12).and_then(|it| it.parse().ok()).unwrap_or(0)
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

/// Reads until the server closes.
async fn read_response(stream: &mut TcpStream) -> Response {
    let mut bytes = Vec::new();
    timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("the server closes").unwrap();
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let body = bytes.split_off(end);
    Response { head: String::from_utf8(bytes).unwrap(), body }
}

async fn send(to: SocketAddr, request: impl AsRef<[u8]>) -> Response {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request.as_ref()).await.unwrap();
    read_response(&mut stream).await
}

async fn get(to: SocketAddr, target: &str) -> Response {
    send(to, format!("GET {target} HTTP/1.1\r\nHost: hub\r\n\r\n")).await
}

mod behaviour {
    use super::*;

    #[tokio::test]
    async fn get_and_post() {
        let server = serve(|exchange| {
            let seen = format!(
                "{} {} {:?} {:?} {}",
                exchange.method(),
                exchange.path(),
                exchange.query(),
                exchange.header("Content-TYPE"),
                String::from_utf8_lossy(exchange.body()),
            );
            exchange.respond(Reply::text(201, seen).header("Location", "/v1/sessions/7"));
        })
        .await;
        let got = get(server.local_addr(), "/a%20b?c=d?e").await;
        assert_eq!(got.status(), 201);
        assert_eq!(got.text(), "GET /a%20b Some(\"c=d?e\") None ");
        assert!(got.head.contains("\r\nLocation: /v1/sessions/7\r\n"), "{}", got.head);
        assert!(got.head.contains("\r\nConnection: close\r\n"), "{}", got.head);
        assert!(!got.head.contains("tiny"), "{}", got.head);

        let post = b"POST / HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n\
            Content-Length: 2\r\n\r\n{}";
        let got = send(server.local_addr(), post).await;
        assert_eq!(got.text(), "POST / None Some(\"application/json\") {}");
        server.shutdown().await;
    }

    #[tokio::test]
    async fn bodies_of_every_size() {
        let server = serve(|exchange| {
            let body = exchange.body().to_vec();
            exchange.respond(Reply::typed(200, "application/octet-stream", body));
        })
        .await;
        for len in [0, 1, 1023, 1024, 1025, 40_000, 65_536] {
            let body: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let head = format!("POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: {len}\r\n\r\n");
            let got = send(server.local_addr(), [head.as_bytes(), &body].concat()).await;
            assert_eq!(got.status(), 200);
            assert!(got.body == body, "{len}");
        }
        server.shutdown().await;
    }

    #[tokio::test]
    async fn a_long_poll_is_answered_from_another_thread() {
        let (held, polls) = mpsc::channel::<Exchange>();
        let answering = thread::spawn(move || {
            for poll in polls {
                thread::sleep(Duration::from_millis(200));
                assert!(!poll.is_abandoned());
                poll.respond(Reply::json(200, &vec![1, 2, 3]));
            }
        });
        let server = serve(move |exchange| match exchange.path() {
            "/poll" => held.send(exchange).unwrap(),
            _ => exchange.respond(Reply::empty(204)),
        })
        .await;
        let started = Instant::now();
        let (poll, other) =
            tokio::join!(get(server.local_addr(), "/poll"), get(server.local_addr(), "/"));
        assert_eq!((poll.status(), poll.text()), (200, "[1,2,3]"));
        assert!(poll.head.contains("\r\nContent-Type: application/json\r\n"));
        assert!(started.elapsed() >= Duration::from_millis(200));
        assert_eq!((other.status(), other.body.len()), (204, 0));
        assert!(!other.head.contains("Content-Length"));
        server.shutdown().await;
        answering.join().unwrap();
    }

    /// On a runtime of one thread, which is also the guard's.
    #[tokio::test(flavor = "current_thread")]
    async fn a_large_answer_does_not_block_the_task_that_gives_it() {
        let (held, mut polls) = tokio::sync::mpsc::unbounded_channel::<Exchange>();
        let server = serve(move |exchange| held.send(exchange).unwrap()).await;
        let answering = async {
            let poll = polls.recv().await.unwrap();
            poll.respond(Reply::html(200, "x".repeat(8 << 20)));
        };
        let (got, ()) = tokio::join!(get(server.local_addr(), "/"), answering);
        assert_eq!((got.status(), got.body.len()), (200, 8 << 20));
        server.shutdown().await;
    }

    #[tokio::test]
    async fn a_handler_that_drops_or_panics_costs_one_request() {
        let server = serve(|exchange| match exchange.path() {
            "/drop" => {}
            "/panic" => panic!("this panic is part of a test"),
            _ => exchange.respond(Reply::text(200, "fine")),
        })
        .await;
        for path in ["/drop", "/panic"] {
            let got = get(server.local_addr(), path).await;
            assert_eq!(got.status(), 500);
            assert!(got.text().starts_with("{\"error\":\""));
        }
        assert_eq!(get(server.local_addr(), "/").await.text(), "fine");
        server.shutdown().await;
    }

    #[tokio::test]
    async fn only_known_headers_arrive_and_the_peer_is_real() {
        let server = serve(|exchange| {
            let names = ["authorization", "cookie", "x-rover-name", "x-rover-internal-ticket"];
            let seen: Vec<_> = names.iter().map(|it| exchange.header(it)).collect();
            let seen = format!("{seen:?} {}", exchange.remote());
            exchange.respond(Reply::text(200, seen));
        })
        .await;
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        let request = "GET / HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer a\r\nCookie: b\r\n\
            X-Rover-Name: c\r\nX-Rover-Internal-Ticket: d\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let local = stream.local_addr().unwrap();
        let expected = format!("[Some(\"Bearer a\"), None, Some(\"c\"), None] {local}");
        assert_eq!(read_response(&mut stream).await.text(), expected);
        server.shutdown().await;
    }

    #[tokio::test]
    async fn head_gets_a_length_and_no_body() {
        let server = serve(|exchange| exchange.respond(Reply::text(200, "hello"))).await;
        let got = send(server.local_addr(), "HEAD / HTTP/1.0\r\n\r\n").await;
        assert_eq!((got.status(), got.body.len()), (200, 0));
        assert!(got.head.contains("\r\nContent-Length: 5\r\n"));
        server.shutdown().await;
    }

    #[tokio::test]
    async fn expect_continue() {
        let server = serve(|exchange| {
            let body = exchange.body().to_vec();
            exchange.respond(Reply::typed(200, "text/plain", body));
        })
        .await;
        let head = |len: u64| {
            format!(
                "POST / HTTP/1.1\r\nHost: hub\r\nExpect: 100-continue\r\n\
                 Content-Length: {len}\r\n\r\n"
            )
        };
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        stream.write_all(head(5).as_bytes()).await.unwrap();
        let mut interim = [0; 25];
        timeout(SOON, stream.read_exact(&mut interim)).await.unwrap().unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"hello").await.unwrap();
        assert_eq!(read_response(&mut stream).await.text(), "hello");

        let refused = send(server.local_addr(), head(100_000_000_000)).await;
        assert_eq!(refused.status(), 413);
        server.shutdown().await;
    }

    #[tokio::test]
    async fn bad_requests_are_refused_and_read() {
        let server = serve(|exchange| exchange.respond(Reply::empty(200))).await;
        let with = |lines: &str| format!("POST / HTTP/1.1\r\nHost: hub\r\n{lines}\r\n\r\nhello");
        let long = "a".repeat(20_000);
        let cases = [
            (400, with("Content-Length: +5")),
            (400, with("Content-Length: -5")),
            (400, with("Content-Length: 5\r\nContent-Length: 5")),
            (400, with("Content-Length: 5\r\nTransfer-Encoding: chunked")),
            (400, "GET / HTTP/2.0\r\nHost: hub\r\n\r\n".to_owned()),
            (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
            (400, "\x16\x03\x01\x02\x00\x01".to_owned()),
            (411, with("Transfer-Encoding: chunked")),
            (413, with("Content-Length: 65537")),
            (413, with("Content-Length: 100000000000")),
            (413, with("Content-Length: 18446744073709551616")),
            (414, format!("GET /{long} HTTP/1.1\r\nHost: hub\r\n\r\n")),
            (417, with("Expect: miracles\r\nContent-Length: 5")),
            (431, with(&format!("X-Long: {long}"))),
            (501, with("Transfer-Encoding: gzip, chunked")),
        ];
        for (status, request) in cases {
            let got = send(server.local_addr(), &request).await;
            assert_eq!(got.status(), status, "{}", &request[..request.len().min(80)]);
            assert!(got.text().starts_with("{\"error\":\""), "{got:?}");
        }
        // A body that is under way anyway does not cost the client its answer.
        let body = vec![b'x'; 60_000];
        let head = "POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: 70000\r\n\r\n";
        let got = send(server.local_addr(), [head.as_bytes(), &body].concat()).await;
        assert_eq!(got.status(), 413);
        server.shutdown().await;
    }

    #[tokio::test]
    async fn a_pipelined_request_is_ignored() {
        let calls = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&calls);
        let server = serve(move |exchange| {
            *counted.lock().unwrap() += 1;
            exchange.respond(Reply::text(200, "one"));
        })
        .await;
        let got = send(server.local_addr(), "GET / HTTP/1.1\r\nHost: hub\r\n\r\n".repeat(9)).await;
        assert_eq!((got.status(), got.text()), (200, "one"));
        assert_eq!(*calls.lock().unwrap(), 1);
        server.shutdown().await;
    }

    #[tokio::test]
    async fn a_client_that_half_closes_gets_its_answer() {
        let server = serve(|exchange| {
            thread::sleep(Duration::from_millis(100));
            exchange.respond(Reply::text(200, "still here"));
        })
        .await;
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(read_response(&mut stream).await.text(), "still here");
        server.shutdown().await;
    }

    #[tokio::test]
    async fn an_answer_that_takes_too_long_is_given_up() {
        let mut limits = HttpLimits::default();
        limits.response_timeout = Duration::from_millis(200);
        let (held, polls) = mpsc::channel::<Exchange>();
        let handler = move |exchange| held.send(exchange).unwrap();
        let server = HttpServer::bind(ANY_PORT, limits, handler).await.unwrap();
        assert_eq!(get(server.local_addr(), "/").await.status(), 504);
        let late = polls.recv().unwrap();
        assert!(late.is_abandoned());
        late.respond(Reply::empty(200));
        server.shutdown().await;
    }

    #[tokio::test]
    async fn a_full_hub_says_so() {
        let mut limits = HttpLimits::default();
        limits.max_connections = 2;
        let (held, polls) = mpsc::channel::<Exchange>();
        let handler = move |exchange| held.send(exchange).unwrap();
        let server = HttpServer::bind(ANY_PORT, limits, handler).await.unwrap();
        let addr = server.local_addr();
        let first = tokio::spawn(async move { get(addr, "/").await });
        let second = tokio::spawn(async move { get(addr, "/").await });
        let held = loop {
            sleep(Duration::from_millis(5)).await;
            if let (Ok(one), Ok(two)) = (polls.try_recv(), polls.recv()) {
                break [one, two];
            }
        };
        let third = get(addr, "/").await;
        assert_eq!(third.status(), 503);
        assert!(third.head.contains("\r\nRetry-After: 1\r\n"));
        held.into_iter().for_each(|poll| poll.respond(Reply::empty(200)));
        assert_eq!(first.await.unwrap().status(), 200);
        assert_eq!(second.await.unwrap().status(), 200);
        server.shutdown().await;
    }

    #[tokio::test]
    async fn a_taken_port_is_explained() {
        let server = serve(drop).await;
        let addr = server.local_addr();
        let error = HttpServer::bind(addr, HttpLimits::default(), drop).await.unwrap_err();
        assert!(matches!(error, HttpError::Listen { .. }));
        let text = error.to_string();
        assert!(text.contains(&addr.to_string()) && text.contains("choose another port"), "{text}");
        server.shutdown().await;
        // And free again afterwards.
        HttpServer::bind(addr, HttpLimits::default(), drop).await.unwrap().shutdown().await;
    }

    #[tokio::test]
    async fn shutdown_ends_everybody_within_a_second() {
        let (held, polls) = mpsc::channel::<Exchange>();
        let server = serve(move |exchange| held.send(exchange).unwrap()).await;
        let addr = server.local_addr();
        let mut idle = TcpStream::connect(addr).await.unwrap();
        let poll = tokio::spawn(async move { get(addr, "/").await });
        while polls.try_recv().map(std::mem::forget).is_err() {
            sleep(Duration::from_millis(5)).await;
        }
        let started = Instant::now();
        server.shutdown().await;
        assert!(started.elapsed() < Duration::from_millis(1200), "{:?}", started.elapsed());
        assert_eq!(poll.await.unwrap().status(), 503);
        let _ = timeout(SOON, idle.read_to_end(&mut Vec::new())).await.unwrap();
        assert!(TcpStream::connect(addr).await.is_err());
    }
}

/// Needs a shell with `ulimit`, and /proc for the memory.
#[cfg(target_os = "linux")]
mod attacks {
    use std::fs;
    use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

    use tokio::sync::{Mutex, MutexGuard};
    use tokio::task::JoinSet;

    use super::*;

    const MARK: &str = "ROVER_TEST_HTTP_HUB";
    const READY: &str = "hub listens on ";
    /// What a well-behaved client must not wait for longer.
    const PROMPT: Duration = Duration::from_millis(500);
    const MAX_GROWTH: usize = 64 << 20;
    /// Attacks measure times, so they come one after another.
    static TURN: Mutex<()> = Mutex::const_new(());

    /// Not a test but the hub's process, when it is started with the mark.
    #[tokio::test]
    async fn hub_process() {
        if std::env::var_os(MARK).is_none() {
            return;
        }
        let mut limits = HttpLimits::default();
        limits.head_timeout = Duration::from_millis(800);
        limits.request_timeout = Duration::from_millis(1200);
        limits.write_timeout = Duration::from_millis(800);
        let held = std::sync::Mutex::new(Vec::new());
        let handler = move |exchange: Exchange| match exchange.path() {
            "/poll" => held.lock().unwrap().push(exchange),
            "/release" => {
                held.lock().unwrap().clear();
                exchange.respond(Reply::empty(204));
            }
            "/big" => exchange.respond(Reply::html(200, "x".repeat(1 << 20))),
            _ => exchange.respond(Reply::text(200, "fine")),
        };
        let server = HttpServer::bind(ANY_PORT, limits, handler).await.unwrap();
        writeln!(io::stdout(), "\n{READY}{}", server.local_addr()).unwrap();
        // Until the parent closes our input, or ends.
        tokio::task::spawn_blocking(|| io::stdin().read(&mut [0])).await.unwrap().unwrap();
        server.shutdown().await;
    }

    struct Hub {
        addr: SocketAddr,
        child: Child,
        stdin: Option<ChildStdin>,
        /// Kept open for what the test harness of the child has to say.
        _stdout: Lines<BufReader<ChildStdout>>,
        temp: std::path::PathBuf,
        rss: usize,
        _turn: MutexGuard<'static, ()>,
    }

    impl Hub {
        /// A hub that may open this many files.
        async fn start(files: u32) -> Self {
            let turn = TURN.lock().await;
            let temp = std::env::temp_dir().join(format!("rover-test-http-{}", std::process::id()));
            let _ = fs::remove_dir_all(&temp);
            fs::create_dir(&temp).unwrap();
            let module = module_path!().split_once("::").map_or("", |(_, module)| module);
            let mut child = Command::new("sh")
                .args(["-c", "ulimit -S -n \"$0\"; exec \"$@\"", &files.to_string()])
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", &format!("{module}::hub_process"), "--nocapture"])
                .env(MARK, "1")
                .env("TMPDIR", &temp)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
            let addr = stdout
                .by_ref()
                .map_while(Result::ok)
                .find_map(|line| line.strip_prefix(READY)?.parse().ok())
                .expect("the hub tells its address");
            let stdin = child.stdin.take();
            let mut hub = Self { addr, child, stdin, _stdout: stdout, temp, rss: 0, _turn: turn };
            hub.check().await;
            hub.rss = hub.memory();
            hub
        }

        fn memory(&self) -> usize {
            let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
        }

        /// A well-behaved client gets its answer in time, and the hub has kept its measure.
        async fn check(&self) {
            let started = Instant::now();
            let got = timeout(PROMPT, get(self.addr, "/")).await.expect("a prompt answer");
            assert_eq!(got.text(), "fine", "{got:?} after {:?}", started.elapsed());
            let growth = self.memory().saturating_sub(self.rss);
            assert!(self.rss == 0 || growth < MAX_GROWTH, "{} MiB more", growth >> 20);
        }

        /// Checks again and again.
        async fn check_for(&self, time: Duration) {
            let started = Instant::now();
            while started.elapsed() < time {
                self.check().await;
                sleep(Duration::from_millis(50)).await;
            }
        }

        async fn connect(&self, count: usize) -> Vec<TcpStream> {
            let mut streams = Vec::new();
            for _ in 0..count {
                // The attacker may run out of descriptors itself.
                let Ok(stream) = TcpStream::connect(self.addr).await else { break };
                streams.push(stream);
            }
            streams
        }

        /// After the attack: all is well, and the end is clean.
        async fn end(mut self) {
            self.check().await;
            drop(self.stdin.take());
            let status = self.child.wait().unwrap();

            assert!(status.success(), "{status}");
            let left: Vec<_> = fs::read_dir(&self.temp).unwrap().collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }

    impl Drop for Hub {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
            let _ = fs::remove_dir_all(&self.temp);
        }
    }

    /// Sends the first piece at once, then the second again and again; returns what came back.
    async fn trickle(mut stream: TcpStream, first: Vec<u8>, then: &'static [u8]) -> Vec<u8> {
        let (mut reader, mut writer) = stream.split();
        let writing = async {
            let _ = writer.write_all(&first).await;
            while writer.write_all(then).await.is_ok() {
                sleep(Duration::from_millis(50)).await;
            }
            std::future::pending::<()>().await;
        };
        let mut answer = Vec::new();
        let reading = async {
            let _ = timeout(SOON, reader.read_to_end(&mut answer)).await.expect("an end");
        };
        tokio::select! {
            () = writing => {}
            () = reading => {}
        }
        answer
    }

    async fn trickle_all(hub: &Hub, first: &[u8], then: &'static [u8], answer: &[u8]) {
        let streams = hub.connect(200).await;
        let mut clients: JoinSet<_> =
            streams.into_iter().map(|stream| trickle(stream, first.to_vec(), then)).collect();
        hub.check_for(Duration::from_millis(1000)).await;
        while let Some(got) = clients.join_next().await {
            let got = got.unwrap();
            assert!(got.starts_with(answer), "{}", String::from_utf8_lossy(&got));
        }
    }

    #[tokio::test]
    async fn slow_heads_and_slow_bodies() {
        let hub = Hub::start(1024).await;
        trickle_all(&hub, b"GET / HTTP/1.1\r\nHost: hub\r\nA: ", b"a", b"HTTP/1.1 408").await;
        let head = b"POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000\r\n\r\n";
        trickle_all(&hub, head, b"a", b"HTTP/1.1 408").await;
        hub.end().await;
    }

    #[tokio::test]
    async fn idle_sockets() {
        let hub = Hub::start(1024).await;
        let idle = hub.connect(500).await;
        hub.check_for(Duration::from_millis(1000)).await;
        for mut stream in idle {
            let ended = timeout(SOON, stream.read(&mut [0])).await.expect("the hub hangs up");
            assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
        }
        hub.end().await;
    }

    #[tokio::test]
    async fn endless_heads() {
        let hub = Hub::start(1024).await;
        let mut clients = JoinSet::new();
        for mut stream in hub.connect(8).await {
            clients.spawn(async move {
                let line = format!("X-Padding: {}\r\n", "a".repeat(65_000)).into_bytes();
                let mut sent = stream.write(b"GET / HTTP/1.1\r\nHost: hub\r\n").await.unwrap();
                while sent < 100_000_000 && stream.write_all(&line).await.is_ok() {
                    sent += line.len();
                }
                sent
            });
        }
        hub.check_for(Duration::from_millis(300)).await;
        while let Some(sent) = timeout(SOON, clients.join_next()).await.expect("an early end") {
            assert!(sent.unwrap() < 20_000_000);
        }
        hub.end().await;
    }

    #[tokio::test]
    async fn announced_bodies_cost_nothing() {
        let hub = Hub::start(1024).await;
        for length in ["65536", "100000000000", "18446744073709551615"] {
            let head = format!("POST / HTTP/1.1\r\nHost: hub\r\nContent-Length: {length}\r\n\r\n");
            let mut streams = hub.connect(200).await;
            for stream in &mut streams {
                stream.write_all(head.as_bytes()).await.unwrap();
            }
            hub.check().await;
        }
        hub.end().await;
    }

    #[tokio::test]
    async fn a_flood_of_connections() {
        let hub = Hub::start(4096).await;
        let mut flood = hub.connect(2000).await;
        // For the well-behaved client, who shares our own limit.
        flood.truncate(flood.len().saturating_sub(20));
        hub.check_for(Duration::from_millis(200)).await;
        drop(flood);
        hub.end().await;
    }

    #[tokio::test]
    async fn readers_that_never_read() {
        let hub = Hub::start(1024).await;
        let mut streams = hub.connect(200).await;
        for stream in &mut streams {
            stream.write_all(b"GET /big HTTP/1.1\r\nHost: hub\r\n\r\n").await.unwrap();
        }
        hub.check_for(Duration::from_millis(1200)).await;
        hub.end().await;
    }

    #[tokio::test]
    async fn endless_pipelines() {
        let hub = Hub::start(1024).await;
        let mut clients = JoinSet::new();
        for mut stream in hub.connect(50).await {
            clients.spawn(async move {
                let requests = "GET / HTTP/1.1\r\nHost: hub\r\n\r\n".repeat(1000);
                while stream.write_all(requests.as_bytes()).await.is_ok() {}
            });
        }
        hub.check_for(Duration::from_millis(300)).await;
        while timeout(SOON, clients.join_next()).await.expect("an early end").is_some() {}
        hub.end().await;
    }

    #[tokio::test]
    async fn idle_sockets_beyond_the_descriptors() {
        let hub = Hub::start(128).await;
        for _ in 0..3 {
            let idle = hub.connect(400).await;
            // The first answers may come late, while the hub learns how many it can bear.
            sleep(Duration::from_millis(300)).await;
            hub.check_for(Duration::from_millis(200)).await;
            drop(idle);
        }
        hub.end().await;
    }

    /// Held requests take all descriptors there are, which ends `tiny_http` sooner or later.
    #[tokio::test]
    async fn long_polls_beyond_the_descriptors() {
        let hub = Hub::start(96).await;
        for _ in 0..3 {
            let mut polls = hub.connect(100).await;
            for poll in &mut polls {
                let _ = poll.write_all(b"GET /poll HTTP/1.1\r\nHost: hub\r\n\r\n").await;
            }
            sleep(Duration::from_millis(500)).await;
            drop(polls);
            // Requests on their way may still be held, and a closed client counts as present for
            // two seconds, so good clients come back bit by bit.
            let (started, mut served) = (Instant::now(), 0);
            while served < 10 {
                assert!(started.elapsed() < SOON, "the hub does not come back");
                let released = get(hub.addr, "/release").await.status() == 204;
                served = if released && get(hub.addr, "/").await.status() == 200 {
                    served + 1
                } else {
                    0
                };
                sleep(Duration::from_millis(20)).await;
            }
        }
        hub.end().await;
    }
}
