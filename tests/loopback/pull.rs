//! Peers and hubs for programs with a loop of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::Poll;
use std::time::{Duration, Instant};

use rover_rtc::pull::{Channel, Event, Peer, Received, Server};
use rover_rtc::{ChannelConfig, Message, OutboxConfig, PeerConfig, ServerConfig};

const PATIENCE: Duration = Duration::from_secs(20);

fn hub() -> Server {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Server::start(ServerConfig { listen: any, udp: vec![any], ..ServerConfig::default() }).unwrap()
}

fn config(hub: &Server, name: &str) -> PeerConfig {
    PeerConfig {
        name: Some(name.to_owned()),
        bind: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        channels: vec![ChannelConfig::new("data")],
        ..PeerConfig::new(format!("http://{}", hub.http_address()))
    }
}

/// Pulls until something that is wanted has happened.
fn until<T>(peer: &Peer, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        assert!(peer.wait(Some(end.saturating_duration_since(Instant::now()))), "nothing happens");
        while let Some(event) = peer.next() {
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }
}

fn opened(event: Event) -> Option<Channel> {
    match event {
        Event::Link(_, channel, rover_rtc::Event::ChannelOpen(_, label)) if label == "data" => {
            channel
        }
        _ => None,
    }
}

/// Two peers, each with its end of the channel between them.
fn pair(hub: &Server, limits: OutboxConfig) -> [(Peer, Channel); 2] {
    let make = |name| {
        let mut config = config(hub, name);
        config.channels[0].outbox = limits;
        Peer::connect(config).unwrap()
    };
    let (one, two) = (make("one"), make("two"));
    let link = one.call("two").unwrap();
    let there = until(&two, |event| match event {
        Event::Called(link) => Some(link),
        _ => None,
    });
    assert_eq!((link.name(), there.name()), ("two", "one"));
    let end = |peer: &Peer| {
        until(peer, |event| opened(event).filter(|c| !c.link().unwrap().name().is_empty()))
    };
    let ends = [end(&one), end(&two)];
    let [first, second] = ends;
    [(one, first), (two, second)]
}

#[test]
fn all_is_pulled_in_order() {
    let hub = hub();
    let limits = OutboxConfig { max_messages: 64, ..OutboxConfig::default() };
    let [(one, here), (two, there)] = pair(&hub, limits);
    let (mut sent, mut received) = (0u32, 0u32);
    let mut waits = false;
    let end = Instant::now() + PATIENCE;
    while received < 1000 {
        assert!(Instant::now() < end, "{sent} sent, {received} received");
        while sent < 1000 && !waits {
            waits = here.send(Message::binary(sent.to_le_bytes().to_vec())).is_pending();
            sent += u32::from(!waits);
        }
        if waits {
            // 64 are all that it holds: the next is told of.
            until(&one, |event| matches!(event, Event::Room(_)).then_some(()));
            waits = false;
        }
        while let Some(event) = two.next() {
            if let Event::Readable(channel) = event {
                // One of many is enough: what is left is told again.
                if let Some(message) = channel.try_recv() {
                    assert_eq!(message.data[..], received.to_le_bytes());
                    received += 1;
                }
            }
        }
        if sent == 1000 {
            two.wait(Some(Duration::from_millis(20)));
        }
    }
    assert!(there.try_recv().is_none());
    assert_eq!(hub.count(), Some((2, 2)));
    hub.stop();
    assert_eq!(hub.count(), None);
}

#[test]
fn a_message_that_is_too_large_stays() {
    let hub = hub();
    let [(_one, here), (two, there)] = pair(&hub, OutboxConfig::default());
    here.try_send(Message::binary(vec![1; 100])).unwrap();
    until(&two, |event| matches!(event, Event::Readable(_)).then_some(()));
    assert!(matches!(there.recv(99), Poll::Ready(Received::TooLarge(100))));
    until(&two, |event| matches!(event, Event::Readable(_)).then_some(()));
    let Poll::Ready(Received::Message { message, more: false }) = there.recv(100) else { panic!() };
    assert_eq!(message.data.len(), 100);
    assert!(there.recv(100).is_pending());
    assert_eq!(here.acknowledged(PATIENCE), Some(true));
}

#[test]
fn who_waits_is_told_when_it_stops() {
    let hub = hub();
    let [(one, here), (two, there)] = pair(&hub, OutboxConfig::default());
    here.try_send(Message::text("last")).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            while one.wait(None) {
                while one.next().is_some() {}
            }
        });
        std::thread::sleep(Duration::from_millis(50));
        one.stop();
        waiting.join().unwrap();
    });
    assert!(one.is_stopped() && one.next().is_none());
    assert!(here.try_send(Message::text("too late")).is_err());
    assert!(here.link().unwrap().stats().is_err());
    assert!(one.call("two").is_err());
    // What was sent before has arrived, and the other side knows.
    let mut got = false;
    until(&two, |event| {
        got |= there.try_recv().is_some_and(|m| &m.data[..] == b"last");
        let over = |e: &rover_rtc::Event| matches!(e, rover_rtc::Event::Disconnected(_));
        matches!(&event, Event::Link(link, _, e) if link.name() == "one" && over(e)).then_some(())
    });
    assert!(got);
}

#[test]
fn a_link_that_was_let_go_of_says_nothing() {
    let hub = hub();
    let [(one, here), (two, _there)] = pair(&hub, OutboxConfig::default());
    let link = here.link().unwrap();
    one.let_go(&link);
    until(&two, |event| {
        let over = |e: &rover_rtc::Event| matches!(e, rover_rtc::Event::Disconnected(_));
        matches!(&event, Event::Link(link, _, e) if link.name() == "one" && over(e)).then_some(())
    });
    while let Some(event) = one.next() {
        let named = matches!(&event, Event::Link(link, ..) if link.name() == "two");
        assert!(!named, "{event:?}");
    }
    assert!(one.links().is_empty());
}

#[test]
fn who_lets_go_and_calls_again_gets_another_link() {
    let hub = hub();
    let [(one, here), (two, _there)] = pair(&hub, OutboxConfig::default());
    let link = here.link().unwrap();
    one.let_go(&link);
    let again = one.call("two").unwrap();
    assert!(!again.inner().is_same(link.inner()));
    let data = again.channel("data").unwrap();
    data.try_send(Message::text("again")).unwrap();
    let end = Instant::now() + PATIENCE;
    let mut got = false;
    while !got {
        assert!(Instant::now() < end && two.wait(Some(PATIENCE)));
        while let Some(event) = two.next() {
            if let Event::Readable(channel) = event {
                got |= channel.try_recv().is_some_and(|message| &message.data[..] == b"again");
            }
        }
    }
}

/// A message that comes just when there was none any more is told, too.
#[test]
fn no_message_is_overlooked() {
    let hub = hub();
    let [(_one, here), (two, there)] = pair(&hub, OutboxConfig::default());
    let fd_too = two.fd().unwrap();
    assert!(fd_too >= 0);
    let all = 50_000u32;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0u32;
            while number < all {
                match here.send(Message::binary(number.to_le_bytes().to_vec())) {
                    Poll::Ready(sent) => {
                        sent.unwrap();
                        number += 1;
                    }
                    Poll::Pending => std::thread::yield_now(),
                }
                // Now one, now some, so that it is found empty at all moments.
                if number.is_multiple_of(3) {
                    std::thread::sleep(Duration::from_micros(20));
                }
            }
        });
        let mut received = 0u32;
        while received < all {
            assert!(two.wait(Some(PATIENCE)), "not told of message {received}");
            while two.next().is_some() {}
            while let Some(message) = there.try_recv() {
                assert_eq!(message.data[..], received.to_le_bytes());
                received += 1;
            }
        }
    });
}

/// Whether there is something within this time, without waiting in the library.
fn soon<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "nothing happens");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The library works on the thread that waits, and goes on by itself when nobody does.
#[test]
fn who_waits_does_the_work() {
    let hub = hub();
    let [(one, here), (two, there)] = pair(&hub, OutboxConfig::default());
    let this = std::thread::current().id();
    let (tell, told) = std::sync::mpsc::channel();
    two.set_hook(Some(move || tell.send(std::thread::current().id()).unwrap()));
    while two.next().is_some() {}
    let nothing = std::task::Context::from_waker(std::task::Waker::noop());
    let mut here_at_least_once = false;
    for number in 0..200u32 {
        here.try_send(Message::binary(number.to_le_bytes().to_vec())).unwrap();
        let waits = number < 100;
        while waits
            && two.wait(Some(PATIENCE))
            && there.inner().poll_readable(&nothing).is_pending()
        {
            while two.next().is_some() {}
        }
        let message = soon(|| there.try_recv());
        assert_eq!(message.data[..], number.to_le_bytes());
        while two.next().is_some() {}
        if number == 99 {
            // From here on nobody waits, so it is another thread that calls.
            std::thread::sleep(Duration::from_millis(50));
            here_at_least_once = told.try_iter().filter(|thread| *thread == this).count() > 0;
        }
    }
    assert!(here_at_least_once);
    assert!(told.try_iter().all(|thread| thread != this));
    drop(one);
}

/// What is sent between two waits goes out, whoever is there to do it.
#[test]
fn what_is_sent_does_not_wait_for_the_next_wait() {
    let hub = hub();
    let [(one, here), (_two, there)] = pair(&hub, OutboxConfig::default());
    for round in 0..50u32 {
        one.wait(Some(Duration::from_micros(100)));
        while one.next().is_some() {}
        for number in 0..round % 5 + 1 {
            here.try_send(Message::binary(number.to_le_bytes().to_vec())).unwrap();
        }
        for number in 0..round % 5 + 1 {
            assert_eq!(soon(|| there.try_recv()).data[..], number.to_le_bytes());
        }
    }
}

/// On threads that belong to a runtime, and on several at once.
#[test]
fn all_kinds_of_threads_may_wait() {
    let hub = hub();
    let [(one, here), (two, there)] = pair(&hub, OutboxConfig::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        here.try_send(Message::text("to a runtime")).unwrap();
        until(&two, |_| there.try_recv());
    });
    let received = std::sync::atomic::AtomicU32::new(0);
    let all = 2000;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while two.wait(None) {
                    while two.next().is_some() {}
                    while there.try_recv().is_some() {
                        received.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
            scope.spawn(|| {
                for _ in 0..all / 4 {
                    while here.send(Message::text("x")).is_pending() {
                        one.wait(Some(Duration::from_millis(1)));
                    }
                }
            });
        }
        soon(|| (received.load(std::sync::atomic::Ordering::Relaxed) == all).then_some(()));
        two.stop();
    });
}

/// Who never waits, for there is always something or no time, does not keep the library from its
/// work.
#[test]
fn who_only_looks_keeps_nobody_waiting() {
    let hub = hub();
    let peer = Peer::connect(config(&hub, "looks")).unwrap();
    let end = Instant::now() + Duration::from_millis(600);
    let mut connected = false;
    // Something is in the queue all the time: events that are not taken; and the time is over.
    while !connected && Instant::now() < end {
        peer.wait(Some(Duration::ZERO));
        peer.wait(None);
        connected = hub.count() == Some((1, 1));
        std::thread::sleep(Duration::from_micros(300));
    }
    assert!(connected);
}

/// A task of the library's own may end it.
#[test]
fn a_hook_may_drop_its_peer() {
    let hub = hub();
    let peer = std::sync::Arc::new(Peer::connect(config(&hub, "hooked")).unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    let held = std::sync::Mutex::new(Some(peer.clone()));
    let ends = peer.clone();
    peer.set_hook(Some(move || {
        if let Some(peer) = held.lock().unwrap().take() {
            peer.stop();
            tell.send(()).unwrap();
        }
    }));
    drop(peer);
    told.recv_timeout(PATIENCE).unwrap();
    assert!(ends.is_stopped());
}
