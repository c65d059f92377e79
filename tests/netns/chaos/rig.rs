//! The programs of the chaos run, and the world they are in.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::check::Log;
use super::role;
use crate::nat::{Host, Nat, World};
use crate::programs::start_hub;
use crate::role::time;
use crate::scene::{Stage, pause};

/// A hub and two rovers with two networks each. All are killed when this is dropped.
pub struct Rig {
    pub world: World,
    directory: PathBuf,
    hub: Option<Child>,
    rovers: [Option<Child>; 2],
    /// How often each was started, and when it was killed.
    starts: [usize; 2],
    kills: [Vec<u64>; 2],
}

/// A rover that dials and one that accepts.
pub const ROVERS: [Host; 2] = [Host::A, Host::B];
pub const NAMES: [&str; 2] = ["a", "b"];

impl Rig {
    pub fn start() -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("netns-chaos");
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let world = World::new(&[Nat::Cone, Nat::None], &[Nat::Cone, Nat::None]);
        let (hub, rovers) = (None, [None, None]);
        let mut rig =
            Self { world, directory, hub, rovers, starts: [0; 2], kills: Default::default() };
        rig.start_hub();
        (0..2).for_each(|rover| rig.start_rover(rover));
        let flows = |rig: &Self| {
            let logs = rig.logs();
            logs.iter().all(|log| !log.durable.is_empty() && !log.reliable.is_empty())
        };
        rig.wait("messages", Duration::from_secs(20), flows);
        rig
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// When each rover was killed.
    pub fn kills(&self) -> &[Vec<u64>; 2] {
        &self.kills
    }

    pub fn start_hub(&mut self) {
        let addresses = self.world.hub_addresses();
        self.hub = Some(start_hub(self.world.hub(), &addresses, &self.directory));
    }

    pub fn kill_hub(&mut self) {
        kill(&mut self.hub);
    }

    pub fn start_rover(&mut self, rover: usize) {
        self.starts[rover] += 1;
        let program = std::env::current_exe().unwrap();
        let argv = [&[program.to_str().unwrap()][..], &role::ARGUMENTS].concat();
        let server = format!("http://{}:3000", self.world.address(Host::Hub));
        let process = self.starts[rover].to_string();
        let level = std::env::var("RUST_LOG").unwrap_or_else(|_| "rover_rtc=info".to_owned());
        let env = [
            (role::NAME, NAMES[rover]),
            (role::SERVER, &server),
            (role::TO, ["b", ""][rover]),
            (role::PROCESS, &process),
            (role::DIRECTORY, self.directory.to_str().unwrap()),
            ("RUST_LOG", &level),
        ];
        let output = self.directory.join(format!("{}.out", NAMES[rover]));
        let child = self.world.at(ROVERS[rover]).spawn(&argv, &env, &output);
        self.rovers[rover] = Some(child);
    }

    /// Kills a rover outright.
    pub fn kill_rover(&mut self, rover: usize) {
        let child = self.rovers[rover].as_mut().unwrap();
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "{} ended by itself: see {:?}", NAMES[rover], self.directory);
        kill(&mut self.rovers[rover]);
        // Afterwards: nothing that was sent later can have reached it.
        self.kills[rover].push(time());
    }

    /// Stops sending and waits until all is acknowledged; how long that took.
    pub fn drain(&mut self, limit: Duration) -> Duration {
        let start = Instant::now();
        for rover in self.rovers.iter_mut().flatten() {
            // One that has ended by itself is found below.
            let _ = writeln!(rover.stdin.as_mut().unwrap(), "stop");
        }
        let last = self.starts;
        self.wait("end of the messages that wait", limit, |rig| {
            let drained = |log: &Log, process: usize| {
                let of_last = |(_, p, text): &&(u64, u64, String)| {
                    *p == process as u64 && text.starts_with("Drained")
                };
                log.events.iter().filter(of_last).count() == 2
            };
            rig.logs().iter().zip(last).all(|(log, process)| drained(log, process))
        });
        start.elapsed()
    }

    /// Ends all programs, which must have been well.
    pub fn end(&mut self) {
        for (rover, name) in self.rovers.iter_mut().zip(NAMES) {
            let rover = rover.as_mut().unwrap();
            drop(rover.stdin.take());
            let limit = Instant::now() + Duration::from_secs(10);
            let status = loop {
                if let Some(status) = rover.try_wait().unwrap() {
                    break status;
                }
                assert!(Instant::now() < limit, "{name} does not end: see {:?}", self.directory);
                pause(20);
            };
            assert!(status.success(), "{name}: {status}, see {:?}", self.directory);
        }
        let mut hub = self.hub.take().unwrap();
        let pid = hub.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(hub.wait().unwrap().success(), "the hub's exit status");
        for name in [NAMES[0], NAMES[1], "hub"] {
            let output = std::fs::read_to_string(self.directory.join(format!("{name}.out")));
            let panicked = output.unwrap().contains("panicked");
            assert!(!panicked, "{name} panicked: see {:?}", self.directory);
        }
    }

    fn logs(&self) -> [Log; 2] {
        NAMES.map(|name| Log::read(&self.directory.join(format!("{name}.log"))))
    }

    fn wait(&self, what: &str, limit: Duration, holds: impl Fn(&Self) -> bool) {
        let limit = Instant::now() + limit;
        while !holds(self) {
            assert!(Instant::now() < limit, "no {what} in time: see {:?}", self.directory);
            pause(250);
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.rovers.iter_mut().chain([&mut self.hub]).for_each(kill);
    }
}

fn kill(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}
