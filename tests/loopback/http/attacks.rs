//! Attacks on the HTTP front. They need a shell with `ulimit`, and /proc for the memory.

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
            served =
                if released && get(hub.addr, "/").await.status() == 200 { served + 1 } else { 0 };
            sleep(Duration::from_millis(20)).await;
        }
    }
    hub.end().await;
}
