//! The NATs of the lab do what their names say. Plain UDP, without the library.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::nat::{Host, Nat, World};
use super::scene::say;
use super::support;

/// A datagram takes microseconds; only what does not come takes this long.
const PATIENCE: Duration = Duration::from_millis(200);

#[test]
fn mappings() {
    let Some(world) = world(&[Nat::Cone, Nat::None], &[Nat::Symmetric]) else { return };
    let [hub, turn] = servers(&world);
    let cone = rover(&world, Host::A, 0);
    assert_eq!(mapping(&cone, &hub), mapping(&cone, &turn));
    assert_eq!(mapping(&cone, &hub).unwrap(), at(&world, Host::A, 0, port(&cone)), "port kept");
    let open = rover(&world, Host::A, 1);
    assert_eq!(mapping(&open, &hub), Some(open.local_addr().unwrap()));

    let symmetric = rover(&world, Host::B, 0);
    let [first, other] = [&hub, &turn].map(|server| mapping(&symmetric, server).unwrap());
    assert_ne!(first, other);
    assert_eq!(mapping(&symmetric, &hub), Some(first), "one port for one destination");
    world.flush_nat(Host::B, 0);
    assert_ne!(mapping(&symmetric, &hub), Some(first));
    let before = mapping(&cone, &hub);
    world.flush_nat(Host::A, 0);
    assert!(!passes(&hub, &cone, before.unwrap()), "a mapping that is forgotten lets nothing in");
    assert_eq!(mapping(&cone, &hub), before);
}

#[test]
fn unsolicited() {
    let Some(world) = world(&[Nat::Cone, Nat::None], &[Nat::Symmetric]) else { return };
    let [hub, turn] = servers(&world);
    for (host, uplink, open) in [(Host::A, 0, false), (Host::A, 1, true), (Host::B, 0, false)] {
        let rover = rover(&world, host, uplink);
        // Both before and after the mapping for another server is there.
        let address = at(&world, host, uplink, port(&rover));
        assert_eq!(passes(&turn, &rover, address), open, "{host:?} {uplink} early");
        let address = mapping(&rover, &hub).unwrap();
        assert!(passes(&hub, &rover, address));
        assert_eq!(passes(&turn, &rover, address), open, "{host:?} {uplink}");
    }
}

#[test]
fn early_packets() {
    let Some(world) = world(&[Nat::Cone], &[Nat::None]) else { return };
    let [a, b] = [Host::A, Host::B].map(|host| rover(&world, host, 0));
    let address = at(&world, Host::A, 0, port(&a));
    assert!(!passes(&b, &a, address));
    assert_eq!(mapping(&a, &b), Some(address), "the port is not taken");
    assert!(passes(&b, &a, address));
}

#[test]
fn hole_punching() {
    let kinds = [
        (Nat::Cone, Nat::Cone, true),
        (Nat::Symmetric, Nat::None, true),
        (Nat::Cone, Nat::Symmetric, false),
        (Nat::Symmetric, Nat::Symmetric, false),
        (Nat::Blocked, Nat::Cone, false),
        (Nat::Blocked, Nat::None, false),
    ];
    for (nat_a, nat_b, works) in kinds {
        let Some(world) = world(&[nat_a], &[nat_b]) else { return };
        let [hub, turn] = servers(&world);
        let [a, b] = [Host::A, Host::B].map(|host| rover(&world, host, 0));
        assert!(mapping(&a, &turn).is_some(), "both servers can be reached");
        let [to_a, to_b] = [&a, &b].map(|rover| mapping(rover, &hub).unwrap());
        // Two rounds, since the first one opens; each answers what it sees, as ICE does.
        let (mut at_a, mut at_b) = (None, None);
        for _ in 0..2 {
            a.send_to(b"a", at_a.unwrap_or(to_b)).unwrap();
            b.send_to(b"b", at_b.unwrap_or(to_a)).unwrap();
            at_a = at_a.or(receive(&a));
            at_b = at_b.or(receive(&b));
        }
        assert_eq!((at_a.is_some(), at_b.is_some()), (works, works), "{nat_a:?} {nat_b:?}");
    }
}

#[test]
fn cuts() {
    let Some(world) = world(&[Nat::Cone], &[Nat::None]) else { return };
    let [hub, turn] = servers(&world);
    let [a, b] = [Host::A, Host::B].map(|host| rover(&world, host, 0));
    // From A, which the router knows then, and back.
    let works = |far: &UdpSocket| match mapping(&a, far) {
        Some(address) => passes(far, &a, address),
        None => passes(far, &a, at(&world, Host::A, 0, port(&a))),
    };
    let reach = || [works(&hub), works(&turn), works(&b)];
    assert_eq!(reach(), [true; 3]);
    world.cut(Host::A, 0);
    assert_eq!(reach(), [false; 3]);
    world.restore(Host::A, 0);
    assert_eq!(reach(), [true; 3]);
    world.cut_direct();
    assert_eq!(reach(), [true, true, false]);
    world.restore_direct();
    for (host, reached) in [(Host::Hub, [false, true, true]), (Host::B, [true, true, false])] {
        world.isolate(host);
        assert_eq!(reach(), reached);
        world.rejoin(host);
    }
    assert_eq!(reach(), [true; 3]);
    world.lose(Host::A, 0, 50);
    (0..100).for_each(|_| drop(a.send_to(b"?", hub.local_addr().unwrap())));
    let arrived = std::iter::from_fn(|| receive(&hub)).count();
    assert!((20..=80).contains(&arrived), "{arrived} of 100");
}

#[test]
fn uplinks() {
    let Some(mut world) = world(&[Nat::Cone, Nat::Symmetric], &[]) else { return };
    let [hub, _] = servers(&world);
    let any = world.socket(Host::A, "0.0.0.0".parse().unwrap(), 0);
    let seen = |uplink| mapping(&any, &hub).unwrap().ip() == world.outside(Host::A, uplink);
    assert!(seen(0), "the first is preferred");
    world.link_down(Host::A, 0);
    assert!(seen(1));
    let start = Instant::now();
    world.link_up(Host::A, 0);
    let took = start.elapsed();
    assert!(seen(0));
    world.link_down(Host::A, 0);
    world.link_down(Host::A, 1);
    let (uplink, new) = world.new_uplink(Host::A, Nat::Cone);
    say("uplinks", &format!("an interface goes up in {took:?}, a new one carries after {new:?}"));
    assert_eq!(uplink, 2);
    let expected = at(&world, Host::A, uplink, port(&any));
    assert_eq!(mapping(&any, &hub), Some(expected));
    let routes = world.at(Host::A).output(&["ip", "route", "show", "default"]);
    assert!(routes.contains("dev up2 metric 102"), "{routes}");
}

/// `None` if this machine cannot have one.
pub fn world(nat_a: &[Nat], nat_b: &[Nat]) -> Option<World> {
    if let Some(what) = World::lacks() {
        support::missing(&what);
        return None;
    }
    let start = Instant::now();
    let world = World::new(nat_a, nat_b);
    say("nat", &format!("{nat_a:?} {nat_b:?} made in {:?}", start.elapsed()));
    Some(world)
}

fn servers(world: &World) -> [UdpSocket; 2] {
    [Host::Hub, Host::Turn].map(|host| patient(world.socket(host, world.address(host), 4000)))
}

/// A socket that sends by that uplink.
fn rover(world: &World, host: Host, uplink: usize) -> UdpSocket {
    let socket = world.socket(host, world.inside(host, uplink), 0);
    let device = format!("up{uplink}");
    socket2::SockRef::from(&socket).bind_device(Some(device.as_bytes())).unwrap();
    patient(socket)
}

fn patient(socket: UdpSocket) -> UdpSocket {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().unwrap().port()
}

fn at(world: &World, host: Host, uplink: usize, port: u16) -> SocketAddr {
    (world.outside(host, uplink), port).into()
}

/// The address that a server sees.
fn mapping(socket: &UdpSocket, server: &UdpSocket) -> Option<SocketAddr> {
    socket.send_to(b"?", server.local_addr().unwrap()).unwrap();
    receive(server)
}

fn passes(from: &UdpSocket, to: &UdpSocket, address: SocketAddr) -> bool {
    from.send_to(b"!", address).unwrap();
    receive(to).is_some_and(|source| source == from.local_addr().unwrap())
}

/// Whom the next datagram comes from.
fn receive(socket: &UdpSocket) -> Option<SocketAddr> {
    socket.recv_from(&mut [0]).ok().map(|(_, source)| source)
}
