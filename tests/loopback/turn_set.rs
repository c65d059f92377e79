//! A driver's set of servers, on a real coturn: UDP, TCP, TLS, host names, losses and new tries.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, future, process};

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rover_rtc::turn::{IceServer, TurnSet, TurnSetEvent};
use tokio::net::UdpSocket;
use tokio::time::{sleep_until, timeout};

use super::coturn::{Auth, Coturn, Options, coturn};

/// What a driver does, with one socket.
struct Driver {
    socket: UdpSocket,
    local: SocketAddr,
    set: TurnSet,
}

impl Driver {
    async fn new(servers: &[String]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let local = socket.local_addr().unwrap();
        let servers: Vec<IceServer> = servers.iter().map(|s| s.parse().unwrap()).collect();
        let mut set = TurnSet::new(Instant::now(), servers);
        set.set_keep_alive(Duration::from_millis(200));
        set.set_locals(Instant::now(), &[local]);
        Self { socket, local, set }
    }

    /// Runs until the next event.
    async fn next(&mut self) -> TurnSetEvent {
        loop {
            while let Some((local, remote, datagram)) = self.set.poll_transmit() {
                assert_eq!(local, self.local);
                self.socket.send_to(&datagram, remote).await.unwrap();
            }
            if let Some(event) = self.set.poll_event() {
                return event;
            }
            let deadline = self.set.poll_timeout();
            let due = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline.into()).await,
                    None => future::pending().await,
                }
            };
            let mut buffer = [0; 2000];
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    let (length, from) = received.unwrap();
                    let (now, datagram) = (Instant::now(), &buffer[..length]);
                    assert!(self.set.handle_datagram(now, self.local, from, datagram));
                }
                () = self.set.ready() => {}
                () = due => {}
            }
            if self.set.poll_timeout().is_some_and(|time| time <= Instant::now()) {
                self.set.handle_timeout(Instant::now());
            }
        }
    }

    async fn until(&mut self, wish: impl Fn(&TurnSetEvent) -> bool) -> TurnSetEvent {
        let found = async {
            loop {
                let event = self.next().await;
                if wish(&event) {
                    return event;
                }
                eprintln!("{event:?}");
            }
        };
        timeout(SOON, found).await.expect("it happens")
    }

    async fn relayed(&mut self) -> SocketAddr {
        match self.until(|e| matches!(e, TurnSetEvent::Relayed { .. })).await {
            TurnSetEvent::Relayed { local, relayed } => {
                assert_eq!(local, self.local);
                assert!(self.set.is_relayed(relayed));
                relayed
            }
            other => panic!("{other:?}"),
        }
    }

    async fn failure(&mut self) -> String {
        match self.until(|e| matches!(e, TurnSetEvent::Failed { .. })).await {
            TurnSetEvent::Failed { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    /// Datagrams of many lengths each way, in order and whole.
    async fn echo(&mut self, relayed: SocketAddr) {
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = peer.local_addr().unwrap();
        let mut buffer = [0; 2000];
        // Until the permission is there.
        for _ in 0.. {
            self.set.send(Instant::now(), relayed, address, b"anybody?");
            let _ = timeout(Duration::from_millis(20), self.next()).await;
            if peer.try_recv_from(&mut buffer).is_ok() {
                break;
            }
        }
        for size in (1..60).chain([1200]) {
            let sent = vec![size as u8; size];
            self.set.send(Instant::now(), relayed, address, &sent);
            let came = async {
                loop {
                    let (length, from) = peer.recv_from(&mut buffer).await.unwrap();
                    assert_eq!(from, relayed);
                    if buffer[..length] == sent {
                        return;
                    }
                }
            };
            tokio::select! {
                came = timeout(SOON, came) => came.expect("it comes through"),
                event = self.next() => panic!("{event:?}"),
            }
            peer.send_to(&sent, relayed).await.unwrap();
            let back = TurnSetEvent::Data { relayed, peer: address, data: sent };
            assert_eq!(timeout(SOON, self.next()).await.unwrap(), back);
        }
    }
}

/// A certificate chain of a test's own; its files are gone when it is dropped.
struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    fn new(name: &str) -> Self {
        let directory = env::temp_dir().join(format!("rover-rtc-{name}-{}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let these = Self { directory };
        these.write("ca.pem", "CERTIFICATE", ca.der());
        these.write("cert.pem", "CERTIFICATE", leaf.der());
        these.write("key.pem", "PRIVATE KEY", &key.serialize_der());
        these
    }

    fn write(&self, name: &str, label: &str, der: &[u8]) {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
        fs::write(self.path(name), pem).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn with_tls(certificates: &Certificates) -> Options {
    let tls = Some((certificates.path("cert.pem"), certificates.path("key.pem")));
    Options { tls, ..Options::default() }
}

fn turns(coturn: &Coturn, host: &str, ca: &Path) -> String {
    format!("turns:rover:secret@{host}:{}?ca={}", coturn.address().port(), ca.display())
}

#[tokio::test]
async fn udp_by_name_tells_both_addresses() {
    let coturn = coturn!(Options::default());
    let port = coturn.address().port();
    // The same port serves both, and the second TURN server is the first again.
    let mut driver = Driver::new(&[
        format!("stun:localhost:{port}"),
        format!("turn:rover:secret@localhost:{port}"),
        format!("turn:rover:again@localhost:{port}"),
    ])
    .await;
    let local = driver.local;
    let mut mapped = 0;
    let relayed = loop {
        match timeout(SOON, driver.next()).await.unwrap() {
            TurnSetEvent::Mapped { local: socket, public } => {
                assert_eq!((socket, public), (local, local));
                mapped += 1;
            }
            TurnSetEvent::Relayed { relayed, .. } => break relayed,
            other => panic!("{other:?}"),
        }
    };
    if mapped < 2 {
        driver.until(|e| matches!(e, TurnSetEvent::Mapped { .. })).await;
    }
    driver.echo(relayed).await;

    // A new relayed address in place of the old one.
    driver.set.renew(Instant::now(), relayed);
    let lost = driver.until(|e| matches!(e, TurnSetEvent::Lost { .. })).await;
    assert!(matches!(lost, TurnSetEvent::Lost { relayed: gone, .. } if gone == relayed));
    let again = driver.relayed().await;
    assert!(again != relayed && !driver.set.is_relayed(relayed));

    driver.set.close(Instant::now());
    let lost = driver.until(|e| matches!(e, TurnSetEvent::Lost { .. })).await;
    assert!(matches!(lost, TurnSetEvent::Lost { relayed: gone, .. } if gone == again));
    assert_eq!(driver.set.poll_timeout(), None);
}

#[tokio::test]
async fn tcp_relays_both_ways() {
    let coturn = coturn!(Options { auth: Auth::Secret("north".into()), ..Options::default() });
    let server = format!("turn:{}?transport=tcp&secret=north", coturn.address());
    let mut driver = Driver::new(&[server]).await;
    let relayed = driver.relayed().await;
    driver.echo(relayed).await;
    // The last request still goes out when the stream is dropped.
    driver.set.close(Instant::now());
    let given_back = async {
        while !coturn.log().contains("lifetime=0") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, given_back).await.expect("the address is given back");
}

#[tokio::test]
async fn a_changed_mapping_brings_a_new_allocation() {
    let coturn = coturn!(Options::default());
    let mut driver = Driver::new(&[format!("turn:rover:secret@{}", coturn.address())]).await;
    let first = driver.relayed().await;
    // What a NAT does that has forgotten: the same socket gets another public port.
    driver.socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let public = driver.socket.local_addr().unwrap();
    let mapped = TurnSetEvent::Mapped { local: driver.local, public };
    driver.until(|event| *event == mapped).await;
    let lost = driver.until(|e| matches!(e, TurnSetEvent::Lost { .. })).await;
    assert!(matches!(lost, TurnSetEvent::Lost { relayed: gone, .. } if gone == first));
    let second = driver.relayed().await;
    driver.echo(second).await;
}

#[tokio::test]
async fn sockets_come_and_go() {
    let coturn = coturn!(Options::default());
    let mut driver = Driver::new(&[format!("turn:rover:secret@{}", coturn.address())]).await;
    let first = driver.relayed().await;
    driver.socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let gone = std::mem::replace(&mut driver.local, driver.socket.local_addr().unwrap());
    driver.set.set_locals(Instant::now(), &[driver.local]);
    // The old socket's last datagram: it may still be there, and it may not.
    let last = std::iter::from_fn(|| driver.set.poll_transmit());
    let (from_gone, others): (Vec<_>, Vec<_>) = last.partition(|(local, ..)| *local == gone);
    assert_eq!((from_gone.len(), others.len()), (1, 2));
    for (_, server, datagram) in others {
        driver.socket.send_to(&datagram, server).await.unwrap();
    }
    let lost = timeout(SOON, driver.next()).await.unwrap();
    assert!(matches!(lost, TurnSetEvent::Lost { relayed, .. } if relayed == first));
    assert_ne!(driver.relayed().await, first);
}

#[tokio::test]
async fn tls_relays_both_ways() {
    let certificates = Certificates::new("tls");
    let coturn = coturn!(with_tls(&certificates));
    for host in ["127.0.0.1", "localhost"] {
        let server = turns(&coturn, host, &certificates.path("ca.pem"));
        let mut driver = Driver::new(&[server]).await;
        let relayed = driver.relayed().await;
        driver.echo(relayed).await;
    }
}

#[tokio::test]
async fn tls_trusts_only_whom_it_should() {
    let certificates = Certificates::new("right");
    let others = Certificates::new("wrong");
    let coturn = coturn!(with_tls(&certificates));
    let reason = |server| async move { Driver::new(&[server]).await.failure().await };
    let wrong = reason(turns(&coturn, "localhost", &others.path("ca.pem"))).await;
    assert!(wrong.contains("certificate"), "{wrong}");
    let none = reason(turns(&coturn, "localhost", Path::new("/nowhere/ca.pem"))).await;
    assert!(none.contains("/nowhere/ca.pem"), "{none}");
    let plain = format!("turns:rover:secret@127.0.0.2:{}", coturn.address().port());
    let refused = reason(plain).await;
    assert!(refused.contains("cannot connect"), "{refused}");
}

#[tokio::test]
async fn failures_say_why() {
    let coturn = coturn!(Options::default());
    let address = coturn.address();
    for (server, word) in [
        (format!("turn:rover:wrong@{address}"), "password"),
        (format!("turn:rover:wrong@{address}?transport=tcp"), "password"),
        ("stun:does-not-exist.invalid".to_owned(), "look up"),
    ] {
        let reason = Driver::new(&[server]).await.failure().await;
        assert!(reason.contains(word), "{reason}");
    }
    // Something else listens.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("turn:u:p@{}?transport=tcp", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::Write as _;
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").unwrap();
        // An end with unread bytes would be a reset.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let reason = Driver::new(&[server]).await.failure().await;
    assert!(reason.contains("no TURN server"), "{reason}");
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let options = Options::default();
    let coturn = coturn!(options);
    let address = coturn.address();
    let mut driver = Driver::new(&[format!("turn:rover:secret@{address}?transport=tcp")]).await;
    let relayed = driver.relayed().await;
    drop(coturn);
    let lost = driver.until(|e| matches!(e, TurnSetEvent::Lost { .. })).await;
    assert!(matches!(lost, TurnSetEvent::Lost { relayed: gone, .. } if gone == relayed));
    let reason = driver.failure().await;
    assert!(reason.contains("cannot connect"), "{reason}");
    let _coturn = Coturn::start(&Options { port: address.port(), ..options });
    let begin = Instant::now();
    let relayed = driver.relayed().await;
    eprintln!("relayed again after {:?}", begin.elapsed());
    driver.echo(relayed).await;
}

const SOON: Duration = Duration::from_secs(15);
