//! Allocations, channels and public addresses on a real coturn.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rover_rtc::turn::{BindingEvent, IceServer, StunQuery, Transport, TurnAllocation, TurnEvent};

use super::coturn::{Auth, Coturn, Options, coturn};
use super::support;

/// An allocation over UDP with a socket, and a clock that may be put forward.
struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    allocation: TurnAllocation,
    ahead: Duration,
}

impl Client {
    fn new(coturn: &Coturn, ice_server: &str) -> Self {
        let server = coturn.address();
        let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
        let local = socket.local_addr().unwrap();
        let ice_server: IceServer = ice_server.parse().unwrap();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let now = Instant::now();
        let allocation = TurnAllocation::new(now, &ice_server, Transport::Udp, local, server, unix);
        Self { socket, server, allocation, ahead: Duration::ZERO }
    }

    fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    /// Runs for a time, and returns what happened until the first event that is wished for.
    fn run(&mut self, length: Duration, wish: impl Fn(&TurnEvent) -> bool) -> Vec<TurnEvent> {
        let until = Instant::now() + length;
        let mut events = Vec::new();
        while Instant::now() < until {
            while let Some(bytes) = self.allocation.poll_transmit() {
                self.socket.send_to(&bytes, self.server).unwrap();
            }
            while let Some(event) = self.allocation.poll_event() {
                let found = wish(&event);
                events.push(event);
                if found {
                    return events;
                }
            }
            let mut buffer = [0; 2000];
            self.socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            if let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
                assert_eq!(from, self.server);
                self.allocation.handle_input(self.now(), &buffer[..length]);
            }
            self.allocation.handle_timeout(self.now());
        }
        events
    }

    fn wait(&mut self, wish: impl Fn(&TurnEvent) -> bool) -> TurnEvent {
        let mut events = self.run(SOON, &wish);
        let last = events.pop().filter(wish);
        last.unwrap_or_else(|| panic!("it does not happen, only {events:?}"))
    }

    fn allocate(&mut self) -> SocketAddr {
        match self.wait(|_| true) {
            TurnEvent::Allocated { relayed, mapped } => {
                assert_eq!(mapped, Some(self.socket.local_addr().unwrap()));
                assert_eq!(self.allocation.relayed(), Some(relayed));
                relayed
            }
            other => panic!("{other:?}"),
        }
    }

    /// A datagram each way; the first ones may be lost.
    fn echo(&mut self, relayed: SocketAddr, peer: &UdpSocket, size: usize) {
        let (address, sent) = (peer.local_addr().unwrap(), vec![size as u8; size]);
        peer.set_nonblocking(true).unwrap();
        let mut buffer = [0; 2000];
        for _ in 0..100 {
            self.allocation.send(self.now(), address, &sent);
            self.run(Duration::from_millis(20), |_| true);
            let Ok((length, from)) = peer.recv_from(&mut buffer) else { continue };
            assert_eq!((from, &buffer[..length]), (relayed, &sent[..]));
            peer.send_to(&sent, relayed).unwrap();
            let data = TurnEvent::Data { peer: address, data: sent };
            self.wait(|event| *event == data);
            while peer.recv_from(&mut buffer).is_ok() {}
            return;
        }
        panic!("nothing comes through the relay");
    }
}

fn user(coturn: &Coturn, user: &str) -> String {
    format!("turn:{user}@{}", coturn.address())
}

#[test]
fn an_allocation_over_udp_relays_both_ways() {
    let coturn = coturn!(Options::default());
    let mut client = Client::new(&coturn, &user(&coturn, "rover:secret"));
    let begin = Instant::now();
    let relayed = client.allocate();
    eprintln!("allocated after {:?}", begin.elapsed());
    let [peer, other] = [0; 2].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    // Enough for a channel, of all lengths modulo 4.
    for size in 1..60 {
        client.echo(relayed, &peer, size);
    }
    client.echo(relayed, &other, 1200);
    assert_eq!(coturn.log().matches("CHANNEL_BIND processed").count(), 1, "{}", coturn.log());

    client.allocation.close(client.now());
    client.run(Duration::from_millis(300), |_| false);
    assert!(coturn.log().contains("lifetime=0"), "{}", coturn.log());
}

#[test]
fn an_allocation_over_ipv6_relays_ipv6() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return support::missing("IPv6 on loopback");
    }
    let coturn = coturn!(Options { ip: IpAddr::V6(Ipv6Addr::LOCALHOST), ..Options::default() });
    let mut client = Client::new(&coturn, &user(&coturn, "rover:secret"));
    let relayed = client.allocate();
    assert!(relayed.is_ipv6());
    client.echo(relayed, &UdpSocket::bind("[::1]:0").unwrap(), 100);
}

#[test]
fn a_wrong_password_fails_at_once_and_says_so() {
    let coturn = coturn!(Options::default());
    for wrong in ["rover:wrong", "nobody:secret"] {
        let mut client = Client::new(&coturn, &user(&coturn, wrong));
        let begin = Instant::now();
        let TurnEvent::Failed(reason) = client.wait(|_| true) else { panic!("it fails") };
        assert!(reason.contains("password") && reason.contains("401"), "{reason}");
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        assert_eq!(client.run(Duration::from_millis(200), |_| true), []);
        assert_eq!(client.allocation.poll_timeout(), None);
    }
}

#[test]
fn a_shared_secret_makes_credentials() {
    let coturn = coturn!(Options { auth: Auth::Secret("north".into()), ..Options::default() });
    let address = coturn.address();
    Client::new(&coturn, &format!("turn:{address}?secret=north")).allocate();
    let mut wrong = Client::new(&coturn, &format!("turn:rover7@{address}?secret=south"));
    assert!(matches!(wrong.wait(|_| true), TurnEvent::Failed(_)));
}

#[test]
fn refreshes_survive_a_stale_nonce() {
    let more = vec!["--stale-nonce=1".to_owned()];
    let coturn = coturn!(Options { more, ..Options::default() });
    let mut client = Client::new(&coturn, &user(&coturn, "rover:secret"));
    let relayed = client.allocate();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    for size in 1..40 {
        client.echo(relayed, &peer, size);
    }
    // Beyond the lifetimes of permission, channel and allocation, in steps that are short enough
    // for each to be refreshed.
    for _ in 0..40 {
        client.ahead += Duration::from_secs(50);
        let events = client.run(Duration::from_millis(150), |_| false);
        assert_eq!(events, []);
    }
    client.echo(relayed, &peer, 100);
    assert_eq!(client.allocation.relayed(), Some(relayed));
    assert!(coturn.log().contains("error 438"), "no nonce was stale: {}", coturn.log());
}

#[test]
fn a_restarted_server_is_noticed_with_the_next_permission() {
    let options = Options::default();
    let coturn = coturn!(options);
    let mut client = Client::new(&coturn, &user(&coturn, "rover:secret"));
    let relayed = client.allocate();
    client.echo(relayed, &UdpSocket::bind("127.0.0.1:0").unwrap(), 100);
    let port = coturn.address().port();
    drop(coturn);
    let _coturn = Coturn::start(&Options { port, ..options });
    client.allocation.send(client.now(), "127.0.0.2:9".parse().unwrap(), b"anybody?");
    assert_eq!(client.wait(|_| true), TurnEvent::Expired);
}

#[test]
fn a_forbidden_peer_is_left_alone() {
    let more = vec!["--denied-peer-ip=127.0.0.7".to_owned()];
    let coturn = coturn!(Options { more, ..Options::default() });
    let mut client = Client::new(&coturn, &user(&coturn, "rover:secret"));
    client.allocate();
    for _ in 0..50 {
        client.allocation.send(client.now(), "127.0.0.7:9".parse().unwrap(), b"anybody?");
        assert_eq!(client.run(Duration::from_millis(10), |_| true), []);
    }
    let asked = coturn.log().matches("CREATE_PERMISSION processed, error 403").count();
    assert_eq!(asked, 1, "{}", coturn.log());
}

#[test]
fn an_unreachable_server_fails_after_ten_seconds() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let mut now = Instant::now();
    let begin = now;
    let server: IceServer = "turn:u:p@relay".parse().unwrap();
    let mut allocation = TurnAllocation::new(now, &server, Transport::Udp, local, silent, 0);
    let mut sent = 0;
    let reason = loop {
        sent += std::iter::from_fn(|| allocation.poll_transmit()).count();
        match allocation.poll_event() {
            Some(TurnEvent::Failed(reason)) => break reason,
            Some(other) => panic!("{other:?}"),
            None => {}
        }
        now = allocation.poll_timeout().unwrap();
        allocation.handle_timeout(now);
    };
    assert!(reason.contains("does not answer"), "{reason}");
    assert_eq!((sent, (now - begin).as_millis()), (7, 9750));
}

#[test]
fn a_binding_query_tells_the_address() {
    let coturn = coturn!(Options::default());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut query = StunQuery::new(Instant::now(), Duration::from_secs(20));
    socket.send_to(&query.poll_transmit().unwrap(), coturn.address()).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut buffer = [0; 2000];
    let (length, _) = socket.recv_from(&mut buffer).unwrap();
    assert!(query.handle_input(Instant::now(), &buffer[..length]));
    let local = socket.local_addr().unwrap();
    assert_eq!(query.poll_event(), Some(BindingEvent::Mapped(local)));
}

const SOON: Duration = Duration::from_secs(15);
