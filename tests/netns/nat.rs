//! Two rovers behind NATs of several kinds, a hub and a TURN server, all on one "internet".
//!
//! ```text
//! rover A -up0- [router] -a0-+              +-b0- [router] -up0- rover B
//! rover A -up1- [router] -a1-+- [internet] -+-b1- [router] -up1- rover B
//!                                |      |
//!                               hub    turn
//! ```
//!
//! Each uplink has a router of its own, network `n`: 198.18.n.2 outside; inside the rover is
//! 192.168.n.2 or, without NAT, 198.19.n.2. The public addresses are those of RFC 2544, so that
//! nothing takes them for private ones. The internet drops what goes to private addresses.
//!
//! Everything is dropped on its way in or through, never at the sender, whose `sendto` would fail
//! with EPERM. A router ignores what comes in and belongs to nothing it knows: an early packet of
//! the other side would otherwise become a connection of the router's own, and push the mapping
//! that is about to be made to another port.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use super::namespace::{self, Namespace, Turn};

/// What the router of an uplink does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nat {
    /// It forwards: the rover has a public address.
    None,
    /// Maps an inner address and port to one outer port, the same number if it is free; lets in
    /// what comes from an address and port that was sent to.
    Cone,
    /// Maps to a random port for each address and port that is sent to.
    Symmetric,
    /// As `Cone`, but UDP passes to and from the hub and the TURN server only.
    Blocked,
}

/// Where a program can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    A,
    B,
    Hub,
    Turn,
}

/// Namespaces and devices; gone when this is dropped. Uplinks count from 0.
pub struct World {
    internet: Namespace,
    hosts: [Namespace; 4],
    routers: [Vec<(Namespace, Nat)>; 2],
    _turn: Turn,
}

impl World {
    /// What a world needs and this machine has not.
    pub fn lacks() -> Option<String> {
        namespace::lacks(&[("conntrack", "-V")])
    }

    /// A world with one uplink for each of these; waits while too many others are at work. A
    /// rover prefers its first uplink.
    pub fn new(nat_a: &[Nat], nat_b: &[Nat]) -> Self {
        let turn = Turn::take();
        // Loose, as robots are set up: with two uplinks, answers come in by either.
        let names = ["internet", "a", "b", "hub", "turn"];
        let [internet, a, b, hub, server] = Namespace::create(names, 2);
        internet.set("ipv4/ip_forward", 1);
        // A real one sends no errors for addresses that nobody has.
        internet.ip(&["route", "add", "blackhole", "default"]);
        let hosts = [a, b, hub, server];
        let mut world = Self { internet, hosts, routers: Default::default(), _turn: turn };
        for host in [Host::Hub, Host::Turn] {
            connect(&world.internet, label(host), world.at(host), public_network(host));
        }
        for (host, nats) in [(Host::A, nat_a), (Host::B, nat_b)] {
            for nat in nats {
                let uplink = world.attach(host, *nat);
                world.link_up(host, uplink);
            }
            world.at(host).await_carrier(nats.len());
        }
        [Host::Hub, Host::Turn].into_iter().for_each(|host| world.at(host).await_carrier(1));
        world
    }

    /// The public address of the hub or the TURN server.
    pub fn address(&self, host: Host) -> Ipv4Addr {
        outer(public_network(host))
    }

    /// How many uplinks a rover has had so far.
    pub fn uplinks(&self, host: Host) -> usize {
        self.routers[host as usize].len()
    }

    /// The rover's address on an uplink.
    pub fn inside(&self, host: Host, uplink: usize) -> Ipv4Addr {
        inner(network(host, uplink), self.router(host, uplink).1)
    }

    /// The address that others see of an uplink.
    pub fn outside(&self, host: Host, uplink: usize) -> Ipv4Addr {
        match self.router(host, uplink).1 {
            Nat::None => self.inside(host, uplink),
            Nat::Cone | Nat::Symmetric | Nat::Blocked => outer(network(host, uplink)),
        }
    }

    /// Where programs start: see [`Namespace::spawn`].
    pub fn at(&self, host: Host) -> &Namespace {
        &self.hosts[host as usize]
    }

    /// A UDP socket of this process that is on a host; port 0 means any.
    pub fn socket(&self, host: Host, address: Ipv4Addr, port: u16) -> UdpSocket {
        self.at(host).socket((address, port).into())
    }

    /// Silently drops everything on an uplink, both ways; the link stays up.
    pub fn cut(&self, host: Host, uplink: usize) {
        self.spoil(host, uplink, "drop");
    }

    /// Drops a random share of what passes an uplink, each way.
    pub fn lose(&self, host: Host, uplink: usize, percent: u32) {
        self.spoil(host, uplink, &format!("numgen random mod 100 < {percent} drop"));
    }

    /// As [`World::cut`], but only what comes in, or only what goes out.
    pub fn cut_one_way(&self, host: Host, uplink: usize, inbound: bool) {
        let device = if inbound { "wan" } else { "lan" };
        self.spoil(host, uplink, &format!("iifname \"{device}\" drop"));
    }

    /// Ends [`World::cut`], [`World::cut_one_way`] and [`World::lose`].
    pub fn restore(&self, host: Host, uplink: usize) {
        self.router(host, uplink).0.uninstall("losses");
    }

    /// Silently drops UDP between the two rovers; the servers can still be reached.
    pub fn cut_direct(&self) {
        let rule = "iifname { \"a*\", \"b*\" } oifname { \"a*\", \"b*\" } meta l4proto udp drop;";
        self.internet.install("direct", &forward_chain(rule));
    }

    pub fn restore_direct(&self) {
        self.internet.uninstall("direct");
    }

    /// Silently drops everything to and from a host, in the internet.
    pub fn isolate(&self, host: Host) {
        let label = label(host);
        let rules = format!("iifname \"{label}*\" drop; oifname \"{label}*\" drop;");
        self.internet.install(&format!("isolate_{label}"), &forward_chain(&rules));
    }

    pub fn rejoin(&self, host: Host) {
        self.internet.uninstall(&format!("isolate_{}", label(host)));
    }

    /// Makes a router forget its mappings, as one does that restarts or is short of memory.
    pub fn flush_nat(&self, host: Host, uplink: usize) {
        self.router(host, uplink).0.output(&["conntrack", "-F"]);
    }

    /// Sets a rover's interface down: its routes vanish, its address stays.
    pub fn link_down(&self, host: Host, uplink: usize) {
        self.at(host).ip(&["link", "set", &device(uplink), "down"]);
    }

    /// Sets a rover's interface up, with its address and default route.
    pub fn link_up(&self, host: Host, uplink: usize) {
        let device = device(uplink);
        let address = self.inside(host, uplink);
        let (gateway, metric) = (beside(address), 100 + uplink);
        // In the order in which a DHCP client does it.
        self.at(host).ip_batch(&format!(
            "link set {device} up\naddr replace {address}/24 dev {device}\n\
             route add default via {gateway} dev {device} metric {metric}\n"
        ));
    }

    /// Gives a rover one more uplink, with an interface, a router and addresses that are all new,
    /// as a modem that attaches anew does. Returns its number, and how long it took from setting
    /// the interface up until a datagram reached the hub.
    pub fn new_uplink(&mut self, host: Host, nat: Nat) -> (usize, Duration) {
        let hub = self.socket(Host::Hub, self.address(Host::Hub), 0);
        hub.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let uplink = self.attach(host, nat);
        let start = Instant::now();
        self.link_up(host, uplink);
        let rover = self.socket(host, self.inside(host, uplink), 0);
        let arrives = || hub.recv(&mut [0]).is_ok();
        // The old uplink may still have the better route: it must be this one that carries.
        let device = device(uplink);
        socket2::SockRef::from(&rover).bind_device(Some(device.as_bytes())).unwrap();
        while rover.send_to(b"?", hub.local_addr().unwrap()).is_err() || !arrives() {
            assert!(start.elapsed() < Duration::from_secs(5), "{device} does not come up");
        }
        (uplink, start.elapsed())
    }

    /// Builds an uplink, complete but for the rover's interface, which is down and bare.
    fn attach(&mut self, host: Host, nat: Nat) -> usize {
        let uplink = self.routers[host as usize].len();
        let network = network(host, uplink);
        let name = format!("{}{uplink}", label(host));
        let router = self.internet.beside(&name, 2);
        router.set("ipv4/ip_forward", 1);
        connect(&self.internet, &name, &router, network);
        self.at(host).join(&device(uplink), &router, "lan");
        let inner = inner(network, nat);
        let gateway = beside(inner);
        router.ip_batch(&format!("addr add {gateway}/24 dev lan\nlink set lan up\n"));
        if nat == Nat::None {
            let router = outer(network).to_string();
            self.internet.ip(&["route", "add", &inner.to_string(), "via", &router]);
        } else {
            router.install("nat", &self.rules(nat));
        }
        self.routers[host as usize].push((router, nat));
        uplink
    }

    fn spoil(&self, host: Host, uplink: usize, rule: &str) {
        // Before connections are tracked, so that nothing keeps a mapping alive meanwhile.
        let chain = format!("chain all_in {{ type filter hook prerouting priority raw; {rule}; }}");
        self.router(host, uplink).0.install("losses", &chain);
    }

    fn rules(&self, nat: Nat) -> String {
        let mut unwanted = "iifname \"wan\" ct state new,invalid drop;".to_owned();
        let input = format!("chain in {{ type filter hook input priority filter; {unwanted} }}");
        if nat == Nat::Blocked {
            let servers = [Host::Hub, Host::Turn].map(|host| self.address(host).to_string());
            let servers = servers.join(", ");
            let others = format!("ip saddr != {{ {servers} }} ip daddr != {{ {servers} }}");
            unwanted = format!("{unwanted} {others} meta l4proto udp drop;");
        }
        let forward = forward_chain(&unwanted);
        let ports = if nat == Nat::Symmetric { "fully-random" } else { "" };
        let out = "chain out { type nat hook postrouting priority srcnat; oifname \"wan\"";
        format!("{input}\n{forward}\n{out} masquerade {ports}; }}")
    }

    fn router(&self, host: Host, uplink: usize) -> &(Namespace, Nat) {
        &self.routers[host as usize][uplink]
    }
}

/// Joins a device of the internet to one with a default route, in that network, both up.
fn connect(internet: &Namespace, device: &str, other: &Namespace, network: u8) {
    internet.join(device, other, "wan");
    let far = outer(network);
    let near = beside(far);
    internet.ip_batch(&format!("addr add {near}/24 dev {device}\nlink set {device} up\n"));
    other.ip_batch(&format!(
        "addr add {far}/24 dev wan\nlink set wan up\nroute add default via {near}\n"
    ));
}

fn forward_chain(rules: &str) -> String {
    format!("chain through {{ type filter hook forward priority filter; {rules} }}")
}

/// What the names of its devices in the internet begin with.
fn label(host: Host) -> &'static str {
    ["a", "b", "hub", "turn"][host as usize]
}

fn public_network(host: Host) -> u8 {
    match host {
        Host::Hub => 1,
        Host::Turn => 2,
        Host::A | Host::B => panic!("a rover has uplinks"),
    }
}

fn network(host: Host, uplink: usize) -> u8 {
    assert!(matches!(host, Host::A | Host::B) && uplink < 16, "no uplink {uplink} of {host:?}");
    (16 * (host as usize + 1) + uplink) as u8
}

fn outer(network: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, network, 2)
}

fn inner(network: u8, nat: Nat) -> Ipv4Addr {
    let [a, b] = if nat == Nat::None { [198, 19] } else { [192, 168] };
    Ipv4Addr::new(a, b, network, 2)
}

/// The router's address in the network of that address.
fn beside(address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = address.octets();
    Ipv4Addr::new(a, b, c, 1)
}

fn device(uplink: usize) -> String {
    format!("up{uplink}")
}
