//! Two network namespaces joined by veth pairs, and ways to break them.
//!
//! Pair `i` is the device `rv<i>` on both sides: 10.78.i.1/24 at the rover's, 10.78.i.2/24 at the
//! hub's. There is no default route, unless a test adds one, and no IPv6, and strict reverse path
//! filtering makes a pair work only within its own subnet, so that a cut pair cannot be reached
//! through the other one.
//!
//! The devices are created inside the namespaces: nothing outside of them is touched.
//!
//! Drop rules sit on the INPUT hook: a drop on OUTPUT would make the sender's `sendto` fail with
//! EPERM, which a program can notice. Real loss is silent.

use std::time::Duration;

use super::namespace::{self, Namespace, Turn};

/// An end of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Rover,
    Hub,
}

/// Namespaces and devices; gone when this is dropped.
pub struct Lab {
    namespaces: [Namespace; 2],
    pairs: u8,
    rules: [Vec<String>; 2],
    _turn: Turn,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Rover, Self::Hub];
}

impl Lab {
    /// What a lab needs and this machine has not.
    pub fn lacks() -> Option<String> {
        namespace::lacks(&[])
    }

    /// A lab with this many pairs; waits while too many others are at work.
    pub fn new(pairs: u8) -> Self {
        // Before the namespaces: they are what there may not be too many of.
        let turn = Turn::take();
        let namespaces = Namespace::create(["rover", "hub"], 1);
        let lab = Self { namespaces, pairs, rules: Default::default(), _turn: turn };
        for pair in 1..=pairs {
            let device = &device(pair);
            lab.at(Side::Rover).join(device, lab.at(Side::Hub), device);
            for side in Side::BOTH {
                lab.add_address(pair, side, &address(pair, side));
                lab.link_up(pair, side);
            }
        }
        Side::BOTH.into_iter().for_each(|side| lab.at(side).await_carrier(pairs.into()));
        lab
    }

    /// Drops all UDP that arrives on a pair at a side; `None` means all pairs, or both sides.
    /// Rules add up until [`Lab::heal`].
    pub fn drop_udp(&mut self, pair: Option<u8>, to: Option<Side>) {
        self.add_rule("drop", pair, to);
    }

    /// Drops all UDP and TCP, on all pairs, at both sides: as if nobody were there.
    pub fn drop_all(&mut self) {
        for side in Side::BOTH {
            self.rules[side as usize].push("iifname \"rv*\" drop".to_owned());
            self.install(side);
        }
    }

    /// Drops a random share of the UDP datagrams, as [`Lab::drop_udp`] does.
    pub fn lose_udp(&mut self, percent: u32, pair: Option<u8>, to: Option<Side>) {
        self.add_rule(&format!("numgen random mod 100 < {percent} drop"), pair, to);
    }

    /// Takes away all rules.
    pub fn heal(&mut self) {
        for side in Side::BOTH {
            self.rules[side as usize].clear();
            self.install(side);
        }
    }

    /// Sets one end of a pair down; the other end loses its carrier.
    pub fn link_down(&self, pair: u8, side: Side) {
        self.at(side).ip(&["link", "set", &device(pair), "down"]);
    }

    /// Sets one end of a pair up.
    pub fn link_up(&self, pair: u8, side: Side) {
        self.at(side).ip(&["link", "set", &device(pair), "up"]);
    }

    /// Gives an end of a pair one more IPv4 address, with a prefix of 24 bits.
    pub fn add_address(&self, pair: u8, side: Side, address: &str) {
        let address = format!("{address}/24");
        self.at(side).ip(&["addr", "add", &address, "dev", &device(pair)]);
    }

    /// Takes all addresses from an end of a pair.
    pub fn flush_addresses(&self, pair: u8, side: Side) {
        self.at(side).ip(&["addr", "flush", "dev", &device(pair)]);
    }

    /// Takes one address from an end of a pair.
    pub fn remove_address(&self, pair: u8, side: Side, address: &str) {
        let address = format!("{address}/24");
        self.at(side).ip(&["addr", "del", &address, "dev", &device(pair)]);
    }

    /// Makes the hub's end of a pair the rover's way to all that is in no network of its own; of
    /// several such ways the kernel prefers the least metric, of equal ones the last replaces all.
    pub fn set_default_route(&self, pair: u8, metric: u8) {
        let (via, metric) = (address(pair, Side::Hub), metric.to_string());
        let route = ["default", "via", &via, "dev", &device(pair), "metric", &metric];
        self.at(Side::Rover).ip(&[&["route", "replace"][..], &route].concat());
    }

    /// Lets the rover take what arrives by another pair than it would send by, as systems with
    /// two uplinks are set up.
    pub fn loosen_reverse_path(&self) {
        let script = "for f in /proc/sys/net/ipv4/conf/rv*/rp_filter; do echo 2 > $f; done";
        self.output(Side::Rover, &["sh", "-c", script]);
    }

    /// Watches for a moment by which pair a side sends most.
    pub fn selected(&self, side: Side) -> u8 {
        let before = self.bytes_sent(side);
        std::thread::sleep(Duration::from_millis(250));
        let after = self.bytes_sent(side);
        let grown = |pair: &u8| after[usize::from(pair - 1)] - before[usize::from(pair - 1)];
        (1..=self.pairs).max_by_key(grown).unwrap()
    }

    /// The bytes that a side has sent by each pair so far.
    pub fn bytes_sent(&self, side: Side) -> Vec<u64> {
        let table = self.output(side, &["cat", "/proc/net/dev"]);
        let sent = |pair| {
            let name = format!("{}:", device(pair));
            let mut lines = table.lines().map(str::trim);
            let line = lines.find_map(|l| l.strip_prefix(&name)).unwrap();
            // Eight columns of what was received come first.
            line.split_whitespace().nth(8).unwrap().parse().unwrap()
        };
        (1..=self.pairs).map(sent).collect()
    }

    /// What a command prints that runs at a side.
    pub fn output(&self, side: Side, argv: &[&str]) -> String {
        self.at(side).output(argv)
    }

    pub fn at(&self, side: Side) -> &Namespace {
        &self.namespaces[side as usize]
    }

    fn add_rule(&mut self, rule: &str, pair: Option<u8>, to: Option<Side>) {
        let device = pair.map_or("rv*".to_owned(), device);
        let rule = format!("iifname \"{device}\" meta l4proto udp {rule}");
        for side in Side::BOTH.into_iter().filter(|s| to.is_none_or(|to| to == *s)) {
            self.rules[side as usize].push(rule.clone());
            self.install(side);
        }
    }

    fn install(&self, side: Side) {
        let rules = self.rules[side as usize].join("\n");
        let chain = format!("chain lab {{ type filter hook input priority 0;\n{rules}\n}}");
        self.at(side).install("lab", &chain);
    }
}

/// A side's first IPv4 address on a pair.
pub fn address(pair: u8, side: Side) -> String {
    format!("10.78.{pair}.{}", side as u8 + 1)
}

/// The device of a pair, at both sides.
pub fn device(pair: u8) -> String {
    format!("rv{pair}")
}
