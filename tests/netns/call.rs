//! Two rovers with a link, in a world of NATs.

use std::time::Duration;

use super::count::Paths;
use super::namespace::Namespace;
use super::nat::{Host, Nat, World};
use super::programs::start_peer;
use super::role::{self, time};
use super::scene::{Flow, Scene, Stage, pause};

impl Stage for World {
    fn hub(&self) -> &Namespace {
        self.at(Host::Hub)
    }

    fn hub_addresses(&self) -> Vec<String> {
        vec![self.address(Host::Hub).to_string()]
    }
}

impl Scene<World> {
    /// A rover calls another one, and messages flow, 100 a second each way. `more` is for
    /// [`start_peer`].
    pub fn call(name: &'static str, world: World, more: &[(&'static str, &str)]) -> Self {
        let mut scene = Self::set(name, world, |world, directory| {
            let hub = &world.address(Host::Hub).to_string();
            // Who calls is up first: it has to wait for the other one.
            [(Host::A, "a", "b"), (Host::B, "b", "")].map(|(host, name, to)| {
                let more = [&[(role::TO, to)], more].concat();
                (name, start_peer(world.at(host), hub, name, &more, directory))
            })
        });
        scene.command("go");
        scene.wait("messages", Duration::from_secs(15), |s| {
            Flow::BOTH.into_iter().all(|flow| !s.received(flow).received.is_empty())
        });
        scene
    }

    /// As [`Scene::call`], and the best path has been found and shown to be clean, so that nothing
    /// is sent twice for its sake.
    pub fn calm(
        name: &'static str,
        world: World,
        direct: bool,
        more: &[(&'static str, &str)],
    ) -> Self {
        let mut scene = Self::call(name, world, more);
        scene.settle(direct, Duration::from_secs(3));
        pause(5000);
        scene
    }

    /// The uplink by which a rover sends now, if it sends by one itself.
    pub fn selected(&mut self, host: Host) -> Option<usize> {
        let local = self.paths()[host as usize].local.clone();
        let uplinks = 0..self.lab.uplinks(host);
        uplinks.into_iter().find(|n| self.lab.inside(host, *n).to_string() == local)
    }

    /// How long it took from the call to the first messages, of both directions.
    pub fn connect_time(&self) -> Duration {
        let start = self.received(Flow::Down).when("Started").unwrap();
        let first = |flow| self.received(flow).next_after(start).unwrap();
        Flow::BOTH.map(first).into_iter().max().unwrap()
    }

    /// Waits until both carry by a direct path, or both by the hub; how long that took.
    pub fn settle(&mut self, direct: bool, limit: Duration) -> Duration {
        let start = time();
        loop {
            let paths = self.paths();
            let took = Duration::from_micros(time() - start);
            if paths.iter().all(|p| p.is_direct() == direct) {
                return took;
            }
            assert!(took < limit, "{paths:?}, see {:?}", self.directory());
            pause(50);
        }
    }

    /// Waits until both have such a path that stands by.
    pub fn await_standby(&mut self, kind: &str, limit: Duration) -> Duration {
        let start = time();
        loop {
            let paths = self.paths();
            let took = Duration::from_micros(time() - start);
            if paths.iter().all(|p| p.standby.iter().any(|k| k == kind)) {
                return took;
            }
            assert!(took < limit, "{paths:?}, see {:?}", self.directory());
            pause(100);
        }
    }

    /// The paths of both rovers now.
    pub fn paths(&mut self) -> [Paths; 2] {
        let start = time();
        self.command("paths");
        let paths = |s: &Self| [Flow::Down, Flow::Up].map(|flow| s.received(flow).paths(start));
        self.wait("paths", Duration::from_secs(2), |s| paths(s).iter().all(Option::is_some));
        paths(self).map(Option::unwrap)
    }

    /// Does something, and returns the longest gap after it, of both directions.
    pub fn gap(&mut self, watch_ms: u64, act: impl FnOnce(&mut Self)) -> Duration {
        let start = time();
        act(self);
        let acted = Duration::from_micros(time() - start);
        pause(watch_ms);
        let gaps = self.gaps(start);
        self.say(&format!("gap up {:?}, down {:?} (act {acted:?})", gaps[0], gaps[1]));
        gaps[0].max(gaps[1])
    }

    /// The longest gap of each direction since that time.
    pub fn gaps(&self, start: u64) -> [Duration; 2] {
        let now = time();
        Flow::BOTH.map(|flow| self.received(flow).longest_gap(start, now))
    }

    /// Ends it; nothing may be lost, come twice or in another order.
    pub fn end_perfect(self) {
        let counts = self.end();
        assert!(counts.iter().all(|c| c.is_perfect()), "{counts:?}");
    }
}

impl Paths {
    /// Whether nobody passes on what the rovers send.
    pub fn is_direct(&self) -> bool {
        ["direct", "reflexive"].contains(&self.selected.as_str())
    }
}

/// Whether two rovers behind these find a direct path.
pub fn can_be_direct(a: Nat, b: Nat) -> bool {
    match (a, b) {
        (Nat::Blocked, _) | (_, Nat::Blocked) => false,
        (Nat::None, _) | (_, Nat::None) => true,
        _ => (a, b) == (Nat::Cone, Nat::Cone),
    }
}
