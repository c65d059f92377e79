//! A hub and two peers in a lab, between which messages flow.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::count::{Count, Log};
use super::lab::{Lab, Side, address};
use super::namespace::Namespace;
use super::programs::{start_hub, start_peer};
use super::role;
use super::support;

/// A hub, which is the real binary, and two peers of it, on a stage: in a [`Lab`] a rover and an
/// observer on the hub's machine, in a [`World`](super::nat::World) two rovers with a link.
pub struct Scene<S = Lab> {
    pub lab: S,
    name: &'static str,
    directory: PathBuf,
    hub: Child,
    peers: [(&'static str, Child); 2],
}

/// Where a hub can be.
pub trait Stage {
    fn hub(&self) -> &Namespace;
    fn hub_addresses(&self) -> Vec<String>;
}

/// One of the two directions of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// From the first peer to the second: from the rover to the observer.
    Up,
    /// From the second to the first.
    Down,
}

impl Flow {
    pub const BOTH: [Self; 2] = [Self::Up, Self::Down];
}

impl Scene {
    /// Messages flow both ways, 100 a second; all paths have been tried. `None` if this machine
    /// cannot have a lab.
    pub fn begin(name: &'static str) -> Option<Self> {
        if let Some(what) = Lab::lacks() {
            support::missing(&what);
            return None;
        }
        let lab = Lab::new(2);
        let mut scene = Self::set(name, lab, |lab, directory| {
            let hub = &lab.hub_addresses()[0];
            [(Side::Rover, "rover"), (Side::Hub, "observer")]
                .map(|(side, name)| (name, start_peer(lab.at(side), hub, name, &[], directory)))
        });
        scene.wait("channels", Duration::from_secs(10), |s| {
            let open = |l: Log| l.events.iter().any(|(_, e)| e.starts_with("ChannelOpen"));
            Flow::BOTH.into_iter().all(|flow| open(s.received(flow)))
        });
        scene.command("go");
        scene.wait("messages", Duration::from_secs(5), |s| {
            Flow::BOTH.into_iter().all(|flow| s.received(flow).received.len() > 50)
        });
        pause(1000);
        Some(scene)
    }
}

impl<S: Stage> Scene<S> {
    /// Starts a hub, then the peers, by this closure: see [`start_peer`].
    pub fn set(
        name: &'static str,
        lab: S,
        start: impl FnOnce(&S, &Path) -> [(&'static str, Child); 2],
    ) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("netns-{name}"));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let hub = start_hub(lab.hub(), &lab.hub_addresses(), &directory);
        let peers = start(&lab, &directory);
        Self { lab, name, directory, hub, peers }
    }

    /// The log of the peer at the end of a flow.
    pub fn received(&self, flow: Flow) -> Log {
        let (name, _) = self.peers[usize::from(flow == Flow::Up)];
        Log::read(&self.directory.join(format!("{name}.log")))
    }

    /// Kills the hub, with a signal or outright.
    pub fn stop_hub(&mut self, clean: bool) {
        if clean {
            let pid = self.hub.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
            assert!(self.hub.wait().unwrap().success(), "the hub's exit status");
        } else {
            self.hub.kill().unwrap();
            self.hub.wait().unwrap();
        }
    }

    /// Starts the hub again, on the same ports; returns when it serves.
    pub fn start_hub(&mut self) {
        self.hub = start_hub(self.lab.hub(), &self.lab.hub_addresses(), &self.directory);
    }

    /// Stops sending, waits for what is under way, and counts. Checks that all programs live and
    /// none has panicked.
    pub fn end(mut self) -> [Count; 2] {
        self.command("stop");
        let count = |s: &Self| {
            let [up, down] = Flow::BOTH.map(|flow| s.received(flow));
            [Count::of(&down, &up), Count::of(&up, &down)]
        };
        let stopped = |l: Log| l.events.iter().any(|(_, e)| e.starts_with("LinkStats"));
        self.wait("end of sending", Duration::from_secs(10), |s| {
            Flow::BOTH.into_iter().all(|flow| stopped(s.received(flow)))
        });
        let limit = Instant::now() + Duration::from_secs(3);
        while count(&self).iter().any(|c| c.lost > 0) && Instant::now() < limit {
            pause(50);
        }
        let counts = count(&self);
        self.say(&format!("up {}, down {}", counts[0], counts[1]));
        for (_, peer) in &mut self.peers {
            drop(peer.stdin.take());
            assert!(peer.wait().unwrap().success(), "a peer failed: see {:?}", self.directory);
        }
        self.stop_hub(true);
        for name in [self.peers[0].0, self.peers[1].0, "hub"] {
            let output = self.directory.join(format!("{name}.out"));
            let output = std::fs::read_to_string(output).unwrap();
            assert!(!output.contains("panicked"), "{name} panicked: see {:?}", self.directory);
        }
        counts
    }

    /// Prints a line of figures.
    pub fn say(&self, text: &str) {
        say(self.name, text);
    }

    /// Waits until something holds, which it must within the limit.
    pub fn wait(&self, what: &str, limit: Duration, holds: impl Fn(&Self) -> bool) {
        let limit = Instant::now() + limit;
        while !holds(self) {
            assert!(Instant::now() < limit, "no {what} in time: see {:?}", self.directory);
            pause(20);
        }
    }

    /// Gives both peers a command.
    pub fn command(&mut self, command: &str) {
        for (_, peer) in &mut self.peers {
            writeln!(peer.stdin.as_mut().unwrap(), "{command}").unwrap();
        }
    }

    /// Where the logs and outputs are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Stage for Lab {
    fn hub(&self) -> &Namespace {
        self.at(Side::Hub)
    }

    fn hub_addresses(&self) -> Vec<String> {
        vec![address(1, Side::Hub), address(2, Side::Hub)]
    }
}

impl<S> Drop for Scene<S> {
    fn drop(&mut self) {
        let peers = self.peers.iter_mut().map(|(_, peer)| peer);
        for child in peers.chain([&mut self.hub]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Prints a line of figures, which the test harness does not swallow as it does `println!`.
pub fn say(name: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "netns {name}: {text}");
}

pub fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// So that what comes next meets probes and retransmissions at any phase.
pub fn random_pause() {
    pause(role::time() / 7 % 100);
}
