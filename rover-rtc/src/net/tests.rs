//! Sockets, batches and faults together, over loopback.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::*;

#[tokio::test]
async fn a_gso_batch_arrives_whole_and_in_order() {
    let mut pair = Pair::new();
    // 40 equal ones, then sizes that break the run, then equal ones again
    let mut sizes = vec![1_200; 40];
    sizes.extend([700, 1_200, 1_200, 1, 300, 300, 299]);
    let sent: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(n, size)| pattern(n, *size)).collect();
    for datagram in &sent {
        pair.send(datagram);
    }
    assert!(pair.flush().is_empty());
    assert_eq!(pair.received(sent.len()).await, sent);

    let stats = pair.sender_stats();
    assert_eq!(stats.datagrams_sent, sent.len() as u64);
    assert_eq!(stats.bytes_sent, sizes.iter().sum::<usize>() as u64);
    if pair.has_gso() {
        assert_eq!(stats.send_calls, 3);
    }
}

#[tokio::test]
async fn gro_buffers_are_split() {
    let mut pair = Pair::new();
    if !pair.has_gso() {
        return;
    }
    // More than one call brings, so that several buffers are in use
    let sent: Vec<Vec<u8>> = (0..600).map(|n| pattern(n, 500)).collect();
    for datagram in &sent {
        pair.send(datagram);
    }
    pair.flush();
    assert_eq!(pair.received(sent.len()).await, sent);
    let stats = pair.receiver_stats();
    assert_eq!(stats.datagrams_received, 600);
    assert_eq!(stats.bytes_received, 300_000);
    assert!(stats.recv_calls <= 20, "{} calls", stats.recv_calls);
}

#[tokio::test]
async fn segments_beyond_the_limit_go_one_by_one() {
    let sender = bind([127, 0, 0, 1]);
    let mut pair = Pair::new();
    let contents: Vec<u8> = (0..100).flat_map(|n| [n; 10]).collect();
    sender.try_send(pair.there, &contents, Some(10)).unwrap();
    let expected: Vec<Vec<u8>> = contents.chunks(10).map(<[u8]>::to_vec).collect();
    assert_eq!(pair.received(100).await, expected);
}

#[tokio::test]
async fn empty_and_largest_datagrams_pass() {
    let mut pair = Pair::new();
    let largest = pattern(1, 65_507);
    for datagram in [&[][..], b"a", &[], &largest] {
        pair.send(datagram);
    }
    assert!(pair.flush().is_empty());
    // Empty ones are sent, but not handed on.
    assert_eq!(pair.received(2).await, [b"a".to_vec(), largest]);
    assert_eq!(pair.sender_stats().datagrams_sent, 4);
}

#[tokio::test]
async fn a_closed_port_is_no_receive_error() {
    let mut pair = Pair::new();
    let closed = bind([127, 0, 0, 1]).local_addr();
    for _ in 0..3 {
        pair.set.send(pair.here, closed, b"anybody there?");
        pair.flush();
    }
    pair.send(b"after");
    pair.flush();
    assert_eq!(pair.received(1).await, [b"after"]);
    assert_eq!(pair.sender_stats().recv_errors, 0);
}

#[tokio::test]
async fn what_the_kernel_refuses_is_reported() {
    let mut pair = Pair::new();
    let too_large = vec![0; 65_508];
    pair.send(&too_large);
    pair.send(b"good");
    let failures: Vec<_> = pair.flush().iter().map(|f| (f.dst, f.size)).collect();
    assert_eq!(failures, [(pair.there, 65_508)]);
    assert_eq!(pair.received(1).await, [b"good"]);
    assert_eq!((pair.sender_stats().send_errors, pair.sender_stats().send_drops), (1, 0));
    assert!(pair.flush().is_empty());
}

#[tokio::test]
async fn a_busy_socket_does_not_starve_another() {
    let mut receivers = SocketSet::default();
    let (busy, quiet) = (bind([127, 0, 0, 1]), bind([127, 0, 1, 1]));
    let (busy_addr, quiet_addr) = (busy.local_addr(), quiet.local_addr());
    let sender = bind([127, 0, 0, 1]);
    receivers.insert(busy, None);
    receivers.insert(quiet, None);
    for _ in 0..200 {
        sender.try_send(busy_addr, &[0; 100], None).unwrap();
    }
    for _ in 0..3 {
        sender.try_send(quiet_addr, &[0; 100], None).unwrap();
    }
    // Let both become readable, so that the order is the set's alone.
    tokio::task::yield_now().await;

    let mut batch = RecvBatch::new();
    let mut served = Vec::new();
    let mut left = 203;
    while left > 0 {
        let (local, count) = timeout(PATIENCE, receivers.recv(&mut batch)).await.unwrap();
        left -= count.unwrap();
        served.push(local);
        if served.len() <= 4 {
            sender.try_send(busy_addr, &[0; 100], None).unwrap();
            left += 1;
        }
    }
    assert!(served[..2].contains(&quiet_addr), "{served:?}");
    assert!(served.iter().filter(|addr| **addr == busy_addr).count() > 4);
}

#[tokio::test]
async fn a_cut_network_is_silent_both_ways() {
    let mut pair = Pair::new();
    let rules = [
        FaultRule { drop_out: true, ..FaultRule::default() },
        FaultRule { drop_in: true, ..FaultRule::default() },
    ];
    for (ip, rule) in [HERE, THERE].into_iter().zip(rules) {
        pair.faults.set(ip, rule);
        pair.send(b"lost");
        assert!(pair.flush().is_empty());
        pair.receives_nothing().await;
        pair.faults.clear(ip);
        pair.send(b"found");
        pair.flush();
        assert_eq!(pair.received(1).await, [b"found"]);
    }
    assert_eq!((pair.sender_stats().faulted, pair.receiver_stats().faulted), (1, 1));
    assert_eq!(pair.sender_stats().datagrams_sent, 3);
}

#[tokio::test]
async fn loss_is_seen_by_the_receiver() {
    let mut pair = Pair::new();
    pair.faults.set(HERE, FaultRule { loss_out: 0.5, ..FaultRule::default() });
    pair.faults.set(THERE, FaultRule { loss_in: 0.5, ..FaultRule::default() });
    for n in 0..400 {
        pair.send(&pattern(n, 100));
    }
    pair.flush();
    let passed = 400 - pair.sender_stats().faulted;
    assert!((150..250).contains(&passed), "{passed}");

    // Some receive calls may bring nothing but losses, and so never show.
    let mut arrived = 0;
    for _ in 0..100 {
        if pair.receiver_stats().datagrams_received == passed {
            break;
        }
        let received = pair.recv_within(Duration::from_millis(20)).await;
        arrived += received.map_or(0, |(_, count)| count.unwrap() as u64);
    }
    let lost = pair.receiver_stats().faulted;
    assert_eq!(lost + arrived, passed);
    assert!((60..140).contains(&lost), "{lost}");
}

#[tokio::test]
async fn delayed_datagrams_leave_when_due_and_in_order() {
    let mut pair = Pair::new();
    let (start, ms) = (pair.now, Duration::from_millis);
    pair.faults.set(HERE, FaultRule::delay(ms(50)));
    pair.send(b"1");
    pair.send(b"2");
    pair.flush();
    assert_eq!(pair.set.next_deadline(), Some(start + ms(50)));

    pair.now = start + ms(49);
    pair.send(b"3");
    pair.flush();
    assert_eq!(pair.sender_stats().send_calls, 0);

    // Healed: new datagrams go at once, but after those that are due in the same turn.
    pair.faults.clear_all();
    pair.now = start + ms(50);
    pair.send(b"4");
    pair.flush();
    assert_eq!(pair.received(3).await, [b"1", b"2", b"4"]);
    assert_eq!(pair.set.next_deadline(), Some(start + ms(99)));
    pair.now = start + ms(99);
    pair.flush();
    assert_eq!(pair.received(1).await, [b"3"]);
    assert_eq!(pair.set.next_deadline(), None);
    assert_eq!(pair.sender_stats().faulted, 0);
}

#[tokio::test]
async fn a_rate_limit_is_met() {
    let mut pair = Pair::new();
    let start = pair.now;
    // 1,000 bytes take 1 ms; 100 fit into the queue.
    let rule = FaultRule { queue_bytes: 100_000, ..FaultRule::rate(8_000_000) };
    pair.faults.set(HERE, rule);
    for n in 0..150 {
        pair.send(&pattern(n, 1_000));
    }
    pair.flush();
    assert_eq!(pair.sender_stats().faulted, 50);
    for turn in 1..=10 {
        pair.now = start + Duration::from_millis(10 * turn);
        pair.flush();
        assert_eq!(pair.sender_stats().datagrams_sent, 10 * turn);
    }
    let expected: Vec<_> = (0..100).map(|n| pattern(n, 1_000)).collect();
    assert_eq!(pair.received(100).await, expected);
    assert_eq!(pair.set.next_deadline(), None);
}

#[tokio::test]
async fn delayed_datagrams_are_bounded_and_counted() {
    let mut pair = Pair::new();
    pair.faults.set(HERE, FaultRule::delay(Duration::from_secs(60)));
    let datagram = vec![0; 60_000];
    for _ in 0..300 {
        pair.send(&datagram);
    }
    pair.flush();
    let dropped = pair.sender_stats().faulted;
    assert!((20..30).contains(&dropped), "{dropped}");
}

#[tokio::test]
async fn a_removed_socket_takes_its_datagrams_with_it() {
    let mut pair = Pair::new();
    pair.faults.set(HERE, FaultRule::delay(Duration::from_millis(1)));
    pair.send(b"delayed");
    pair.flush();
    pair.faults.clear_all();
    pair.send(b"queued");
    let removed = pair.set.remove(pair.here).unwrap();
    assert_eq!(removed.local_addr(), pair.here);
    pair.send(b"too late");
    pair.now += Duration::from_millis(1);
    assert!(pair.flush().is_empty());
    assert_eq!(pair.set.unroutable(), 3);
    assert_eq!(pair.set.local_addrs().collect::<Vec<_>>(), [pair.there]);
    assert!(pair.set.remove(pair.here).is_none());
    pair.receives_nothing().await;
}

#[tokio::test]
async fn a_socket_is_known_by_its_advertised_address() {
    let mut pair = Pair::new();
    let public: SocketAddr = "203.0.113.5:4000".parse().unwrap();
    let inner = bind([127, 0, 0, 1]);
    let inner_addr = inner.local_addr();
    assert!(pair.set.insert(inner, Some(public)).is_none());
    pair.set.send(public, pair.there, b"hello");
    // The rule is for the network of that address as well.
    pair.faults.set(public.ip(), FaultRule::default());
    pair.flush();
    let source = pair.received_from().await;
    assert_eq!(source, inner_addr);

    pair.set.send(pair.here, inner_addr, b"hello");
    pair.flush();
    let mut batch = RecvBatch::new();
    let (local, count) = timeout(PATIENCE, pair.set.recv(&mut batch)).await.unwrap();
    assert_eq!((local, count.unwrap()), (public, 1));

    let replaced = pair.set.insert(bind([127, 0, 0, 1]), Some(public)).unwrap();
    assert_eq!(replaced.local_addr(), inner_addr);
}

#[tokio::test]
async fn bind_errors_say_what_to_do() {
    let taken = bind([127, 0, 0, 1]).local_addr();
    let holder = UdpSocket::bind(taken, None).unwrap();
    let error = UdpSocket::bind(holder.local_addr(), None).unwrap_err();
    assert!(matches!(error, BindError::InUse { addr } if addr == taken), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("udp address {taken} is in use: choose another port, or 0 for any")
    );
    let foreign = "198.51.100.1:0".parse().unwrap();
    let error = UdpSocket::bind(foreign, None).unwrap_err();
    assert!(matches!(error, BindError::NotLocal { addr } if addr == foreign), "{error:?}");
    let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let error = UdpSocket::bind(anywhere, Some("no-such-dev")).unwrap_err();
    assert!(matches!(error, BindError::Device { .. }), "{error:?}");
    // Loopback has no device to bind to, so none is looked for.
    UdpSocket::bind(([127, 0, 0, 1], 0).into(), Some("no-such-dev")).unwrap();
}

/// A driver reads the batch without a look at the result.
#[test]
fn what_came_before_an_error_does_not_come_again() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ends = runtime();
    let mut batch = RecvBatch::new();
    let mut set = ends.block_on(async {
        let socket = bind([127, 0, 0, 1]);
        bind([127, 0, 0, 1]).try_send(socket.local_addr(), b"once", None).unwrap();
        let mut set = SocketSet::new(Faults::default());
        set.insert(socket, None);
        let received = timeout(PATIENCE, set.recv(&mut batch)).await.unwrap();
        assert_eq!((received.1.unwrap(), batch.arrivals().count()), (1, 1));
        set
    });
    // A socket of a runtime that is gone cannot even say whether it is readable.
    drop(ends);
    let (_, error) = runtime().block_on(async { set.recv(&mut batch).await });
    assert!(error.is_err(), "{error:?}");
    assert_eq!((batch.datagrams().count(), batch.arrivals().count()), (0, 0));
}

/// Two sockets in one set, on two networks
struct Pair {
    set: SocketSet,
    faults: Faults,
    batch: RecvBatch,
    here: SocketAddr,
    there: SocketAddr,
    now: Instant,
}

impl Pair {
    fn new() -> Self {
        let faults = Faults::default();
        let mut set = SocketSet::new(faults.clone());
        let (here, there) = (bind([127, 0, 0, 1]), bind([127, 0, 1, 1]));
        let (here_addr, there_addr) = (here.local_addr(), there.local_addr());
        set.insert(here, None);
        set.insert(there, None);
        let batch = RecvBatch::new();
        Self { set, faults, batch, here: here_addr, there: there_addr, now: now() }
    }

    fn send(&mut self, datagram: &[u8]) {
        self.set.send(self.here, self.there, datagram);
    }

    fn flush(&mut self) -> &[SendFailure] {
        self.set.flush(self.now)
    }

    /// The next `count` datagrams that arrive there, and no more
    async fn received(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut received = Vec::new();
        while received.len() < count {
            self.received_some().await;
            received.extend(self.batch.datagrams().map(|(_, datagram)| datagram.to_vec()));
        }
        received
    }

    async fn received_some(&mut self) -> usize {
        let (local, count) = self.recv_within(PATIENCE).await.expect("something arrives");
        assert_eq!(local, self.there);
        let count = count.unwrap();
        assert_eq!(count, self.batch.datagrams().count());
        count
    }

    async fn received_from(&mut self) -> SocketAddr {
        self.received_some().await;
        self.batch.datagrams().next().unwrap().0
    }

    async fn receives_nothing(&mut self) {
        let received = self.recv_within(Duration::from_millis(30)).await;
        assert!(received.is_none(), "{received:?}");
    }

    async fn recv_within(&mut self, time: Duration) -> Option<(SocketAddr, io::Result<usize>)> {
        timeout(time, self.set.recv(&mut self.batch)).await.ok()
    }

    fn has_gso(&self) -> bool {
        bind([127, 0, 0, 1]).max_gso_segments() > 1
    }

    fn sender_stats(&self) -> SocketStats {
        self.stats(self.here)
    }

    fn receiver_stats(&self) -> SocketStats {
        self.stats(self.there)
    }

    fn stats(&self, local: SocketAddr) -> SocketStats {
        self.set.stats().find(|(addr, _)| *addr == local).unwrap().1
    }
}

fn bind(ip: [u8; 4]) -> UdpSocket {
    UdpSocket::bind((ip, 0).into(), None).unwrap()
}

/// Some instant, from which tests count on
#[allow(clippy::disallowed_methods, reason = "an instant has no other beginning")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Contents that tell their number and any shift
fn pattern(number: usize, size: usize) -> Vec<u8> {
    (0..size).map(|offset| (number * 31 + offset) as u8).collect()
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1));

/// How long to wait for what has to happen
const PATIENCE: Duration = Duration::from_secs(10);
