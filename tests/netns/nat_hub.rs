//! Peers behind NATs exchange messages by the hub, whatever the NATs are and do.

use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use super::count::{Count, Log};
use super::nat::{Host, Nat};
use super::nat_kinds::world;
use super::programs::{start_hub, start_peer};
use super::role::time;
use super::scene::{pause, say};

#[test]
fn forgotten_mappings() {
    let Some(world) = world(&[Nat::Symmetric], &[Nat::Blocked]) else { return };
    let directory = &Path::new(env!("CARGO_TARGET_TMPDIR")).join("netns-forgotten_mappings");
    let _ = std::fs::remove_dir_all(directory);
    std::fs::create_dir_all(directory).unwrap();
    let address = world.address(Host::Hub).to_string();
    let hub = start_hub(world.at(Host::Hub), std::slice::from_ref(&address), directory);
    let start = |host, name| start_peer(world.at(host), &address, name, None, directory);
    let mut programs = Programs([start(Host::A, "a"), start(Host::B, "b"), hub]);
    let logs = || ["a", "b"].map(|name| Log::read(&directory.join(format!("{name}.log"))));
    let wait = |what: &str, holds: &dyn Fn(&Log) -> bool| {
        let limit = Instant::now() + Duration::from_secs(10);
        while !logs().iter().all(holds) {
            assert!(Instant::now() < limit, "no {what} in time: see {directory:?}");
            pause(20);
        }
    };
    wait("channels", &|log| log.events.iter().any(|(_, e)| e.starts_with("ChannelOpen")));
    programs.command("go");
    wait("messages", &|log| log.received.len() > 50);
    let flushed = time();
    world.flush_nat(Host::A, 0);
    world.flush_nat(Host::B, 0);
    pause(1000);
    let gaps = logs().map(|log| log.longest_gap(flushed, time()));
    programs.command("stop");
    wait("end of sending", &|log| log.events.iter().any(|(_, e)| e.starts_with("LinkStats")));
    pause(500);
    let [a, b] = logs();
    let counts = [Count::of(&a, &b), Count::of(&b, &a)];
    say("forgotten_mappings", &format!("gaps {gaps:?}; up {}, down {}", counts[0], counts[1]));
    assert!(counts.iter().all(Count::is_perfect), "{counts:?}");
    assert!(gaps.iter().all(|gap| *gap <= Duration::from_millis(400)), "{gaps:?}");
}

/// Killed when this is dropped: two peers and the hub.
struct Programs([Child; 3]);

impl Programs {
    fn command(&mut self, command: &str) {
        for peer in &mut self.0[..2] {
            writeln!(peer.stdin.as_mut().unwrap(), "{command}").unwrap();
        }
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
