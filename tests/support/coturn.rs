//! A coturn server of a test's own; killed when dropped.
#![allow(dead_code, reason = "each suite uses a part")]

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How a server is to run; [`Default`] is on loopback, on a free port, with `rover:secret`.
#[derive(Debug, Clone)]
pub struct Options {
    /// In front of the command, for example `ip netns exec NAME`.
    pub prefix: Vec<String>,
    /// Where it listens, and what its relayed addresses are.
    pub ip: IpAddr,
    /// 0 takes a port that is free in this process's own network.
    pub port: u16,
    /// How clients prove who they are.
    pub auth: Auth,
    /// PEM files of a certificate chain and its key; with them, TLS is on the same port.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Further arguments.
    pub more: Vec<String>,
}

/// What a client needs.
#[derive(Debug, Clone)]
pub enum Auth {
    /// `user:password`.
    User(String),
    /// The secret of time-limited credentials.
    Secret(String),
}

/// A running server.
pub struct Coturn {
    child: Child,
    directory: PathBuf,
    address: SocketAddr,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: Vec::new(),
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            auth: Auth::User("rover:secret".to_owned()),
            tls: None,
            more: Vec::new(),
        }
    }
}

impl Coturn {
    /// What this machine has not.
    pub fn lacks() -> Option<String> {
        let found = Command::new("turnserver").arg("--version").output();
        // Some versions end with a failure after they have told theirs.
        found.is_err().then(|| "turnserver is not installed (Debian package coturn)".to_owned())
    }

    /// Starts a server and waits until it listens.
    ///
    /// # Panics
    ///
    /// If it does not within ten seconds.
    pub fn start(options: &Options) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("rover-rtc-coturn-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();

        let port = if options.port == 0 { free_port(options.ip) } else { options.port };
        let address = SocketAddr::new(options.ip, port);
        let argv = options.argv(port, &directory);
        let log = File::create(directory.join("log")).unwrap();
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().expect("turnserver starts");
        let server = Self { child, directory, address };
        server.await_listener();
        server
    }

    /// Where it listens, with UDP, TCP and, if asked for, TLS.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// The process, which may be in another network namespace, knows its own sockets best.
    fn await_listener(&self) {
        let port = format!(":{:04X}", self.address.port());
        let until = Instant::now() + Duration::from_secs(10);
        let id = self.child.id();
        let listens = |table: &str| {
            let lines = fs::read_to_string(format!("/proc/{id}/net/{table}")).unwrap_or_default();
            let local = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
            lines.lines().filter_map(local).any(|local| local.ends_with(&port))
        };
        let (tcp, udp) = if self.address.is_ipv6() { ("tcp6", "udp6") } else { ("tcp", "udp") };
        while !(listens(tcp) && listens(udp)) {
            assert!(Instant::now() < until, "coturn does not listen:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
        // The threads that answer are started a moment after the sockets are there.
        while !self.log().contains("auth thread") && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let _ = std::io::stderr().write_all(self.log().as_bytes());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Options {
    fn argv(&self, port: u16, directory: &Path) -> Vec<String> {
        let mut argv = self.prefix.clone();
        let file = |name: &str| directory.join(name).display().to_string();
        let (ip, port) = (self.ip.to_string(), port.to_string());
        let (pid, database) = (file("pid"), file("db"));
        argv.extend(
            [
                ["turnserver", "-n"],
                ["--listening-ip", &ip],
                ["--relay-ip", &ip],
                ["--listening-port", &port],
                ["--realm", "rover.test"],
                ["--pidfile", &pid],
                ["--userdb", &database],
                ["--log-file", "stdout"],
                ["--no-cli", "--simple-log"],
                ["--allow-loopback-peers", "--verbose"],
                ["--no-dtls", "--no-rfc5780"],
            ]
            .concat()
            .into_iter()
            .map(str::to_owned),
        );
        match &self.auth {
            Auth::User(user) => argv.extend(["--lt-cred-mech", "--user", user].map(str::to_owned)),
            Auth::Secret(secret) => argv
                .extend(["--use-auth-secret", "--static-auth-secret", secret].map(str::to_owned)),
        }
        match &self.tls {
            // coturn takes TLS on its plain port too.
            Some((chain, key)) => {
                argv.extend([format!("--cert={}", chain.display())]);
                argv.extend([format!("--pkey={}", key.display())]);
            }
            None => argv.push("--no-tls".to_owned()),
        }
        argv.extend(self.more.iter().cloned());
        argv
    }
}

/// A port that was free a moment ago, for UDP and TCP.
fn free_port(ip: IpAddr) -> u16 {
    for _ in 0..100 {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        if UdpSocket::bind((ip, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// Starts a server with these options, or returns from the test where there is no coturn.
macro_rules! coturn {
    ($options:expr) => {
        match $crate::coturn::Coturn::lacks() {
            Some(what) => return $crate::support::missing(&what),
            None => $crate::coturn::Coturn::start(&$options),
        }
    };
}
pub(crate) use coturn;
