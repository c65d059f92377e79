//! Files from rover to rover, with either process killed on the way.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::{Hub, PATIENCE, Program};
use crate::scratch::Scratch;

/// Two rovers of a hub, their state and their files.
struct Scene {
    hub: Hub,
    dir: Scratch,
}

impl Scene {
    fn new() -> Self {
        let dir = Scratch::new();
        std::fs::create_dir(dir.path("out")).unwrap();
        Self { hub: Hub::start(), dir }
    }

    fn file(&self, name: &str, size: usize, seed: u64) -> String {
        let path = self.dir.path(&format!("out/{name}"));
        std::fs::write(&path, content(size, seed)).unwrap();
        path
    }

    fn receive(&self, args: &str) -> Program {
        self.start(&format!("receive {} --name station {args}", self.dir.path("in")), "station")
    }

    fn send(&self, path: &str, args: &str) -> Program {
        self.start(&format!("send {path} --to station --name rover {args}"), "rover")
    }

    fn start(&self, args: &str, name: &str) -> Program {
        let (state, hub) = (self.dir.path(name), self.hub.http);
        Program::start(&format!("{args} --state {state} --server {hub} --bind 127.0.0.1"))
    }

    fn received(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.dir.path(&format!("in/{name}"))).ok()
    }

    /// Its process is killed when a quarter is there.
    fn kill_a_sender(&self, big: &str) {
        let mut rover = self.send(big, "");
        self.wait_for_part("big.bin", SIZE as u64 / 4);
        rover.kill();
        assert!(self.received("big.bin").is_none(), "it was too late");
    }

    /// Waits until so much of a file is there, and not all.
    fn wait_for_part(&self, name: &str, bytes: u64) {
        let part = self.dir.path(&format!("in/{name}.part"));
        let until = Instant::now() + PATIENCE;
        while std::fs::metadata(&part).map_or(0, |metadata| metadata.len()) < bytes {
            assert!(Instant::now() < until, "{part} does not grow");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(Path::new(&part).exists());
    }

    fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.dir.path("in")).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Bytes that no part of the file shares with another (xorshift64, Marsaglia 2003).
fn content(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1 << 40;
    let numbers = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    numbers.flatten().take(size).collect()
}

fn ends(mut program: Program, code: i32) -> Vec<String> {
    assert_eq!(program.wait().0, Some(code), "{:#?}", program.lines());
    program.lines().into_iter().map(|line| line.text).collect()
}

#[test]
fn files_arrive_one_after_the_other() {
    let scene = Scene::new();
    let (big, small) = (scene.file("big.bin", SIZE, 1), scene.file("small.txt", 10, 2));
    let empty = scene.file("empty", 0, 3);
    let station = scene.receive("--count 3");
    ends(scene.send(&format!("{big} {small} {empty}"), ""), 0);
    ends(station, 0);
    assert!(scene.received("big.bin") == Some(content(SIZE, 1)));
    assert!(scene.received("small.txt") == Some(content(10, 2)));
    assert_eq!(scene.received("empty"), Some(Vec::new()));
    assert_eq!(scene.names(), ["big.bin", "empty", "small.txt"]);
}

#[test]
fn a_killed_receiver_goes_on() {
    let scene = Scene::new();
    let big = scene.file("big.bin", SIZE, 1);
    let mut station = scene.receive("");
    let rover = scene.send(&big, "--json");
    scene.wait_for_part("big.bin", SIZE as u64 / 4);
    station.kill();
    let left = std::fs::metadata(scene.dir.path("in/big.bin.part")).unwrap().len();
    assert!(left < SIZE as u64, "it was too late");
    let station = scene.receive("--count 1");
    let lines = ends(rover, 0);
    ends(station, 0);
    assert!(scene.received("big.bin") == Some(content(SIZE, 1)));
    assert_eq!(scene.names(), ["big.bin"]);
    assert!(goes_on_at(&lines) >= SIZE as u64 / 4, "{lines:#?}");
}

#[test]
fn a_killed_sender_goes_on() {
    let scene = Scene::new();
    let big = scene.file("big.bin", SIZE, 1);
    let station = scene.receive("--count 1");
    scene.kill_a_sender(&big);
    let lines = ends(scene.send(&big, "--json"), 0);
    ends(station, 0);
    assert!(scene.received("big.bin") == Some(content(SIZE, 1)));
    assert_eq!(scene.names(), ["big.bin"]);
    assert!(goes_on_at(&lines) >= SIZE as u64 / 4, "{lines:#?}");
}

/// Where the last attempt began.
fn goes_on_at(lines: &[String]) -> u64 {
    let events = lines.iter().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
    let begun = events.rev().find(|event| event["event"] == "begin").unwrap();
    begun["bytes"].as_u64().unwrap()
}

#[test]
fn a_changed_file_is_noticed() {
    let scene = Scene::new();
    let big = scene.file("big.bin", SIZE, 1);
    let station = scene.receive("--count 1");
    scene.kill_a_sender(&big);
    scene.file("big.bin", SIZE, 2);
    let lines = ends(scene.send(&big, "--json"), 0);
    ends(station, 0);
    assert_eq!(goes_on_at(&lines), 0, "{lines:#?}");
    assert!(scene.received("big.bin") == Some(content(SIZE, 2)));
    assert_eq!(scene.names(), ["big.bin"]);
}

/// What is on disk may be damaged while nobody looks, with size and time as they were.
#[test]
fn a_damaged_part_is_noticed() {
    let scene = Scene::new();
    let big = scene.file("big.bin", SIZE, 1);
    let mut station = scene.receive("");
    let rover = scene.send(&big, "--json");
    scene.wait_for_part("big.bin", SIZE as u64 / 4);
    station.kill();
    let part = scene.dir.path("in/big.bin.part");
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let station = scene.receive("--count 1");
    let lines = ends(rover, 0);
    ends(station, 0);
    assert_eq!(goes_on_at(&lines), 0, "{lines:#?}");
    assert!(scene.received("big.bin") == Some(content(SIZE, 1)));
}

#[test]
fn what_is_there_is_never_overwritten() {
    let scene = Scene::new();
    let station = scene.receive("");
    let file = scene.file("a.txt", 100, 1);
    ends(scene.send(&file, ""), 0);
    // Once more is no second file.
    ends(scene.send(&file, ""), 0);
    assert_eq!(scene.names(), ["a.txt"]);
    // Of the same size, and of another.
    for (size, kept_as) in [(100, "a (2).txt"), (200, "a (3).txt")] {
        scene.file("a.txt", size, 2);
        let lines = ends(scene.send(&file, "--json"), 0);
        assert!(
            lines.iter().any(|l| l.contains(&format!("\"kept_as\":\"{kept_as}\""))),
            "{lines:#?}"
        );
        assert!(scene.received(kept_as) == Some(content(size, 2)));
    }
    assert!(scene.received("a.txt") == Some(content(100, 1)));
    assert_eq!(scene.names(), ["a (2).txt", "a (3).txt", "a.txt"]);
    drop(station);
}

#[test]
fn both_end_when_they_are_told_and_say_how_to_go_on() {
    let scene = Scene::new();
    let big = scene.file("big.bin", 0, 1);
    // Large, and made in no time: it has no content.
    let file = std::fs::OpenOptions::new().write(true).open(&big).unwrap();
    file.set_len(20 * SIZE as u64).unwrap();
    // Nobody is there yet.
    let rover = scene.send(&big, "");
    rover.after("Calling station");
    rover.signal("INT");
    assert!(ends(rover, 130).iter().any(|l| l.starts_with("Stopped: the same command goes on")));
    let (rover, station) = (scene.send(&big, ""), scene.receive(""));
    scene.wait_for_part("big.bin", 1);
    station.signal("TERM");
    let said = ends(station, 0);
    assert!(said.iter().any(|l| l.starts_with("Stopped: the same command goes on")), "{said:#?}");
    // It is waited for.
    rover.after("The link with station has ended: calling again");
    rover.signal("INT");
    ends(rover, 130);
}

#[test]
fn files_that_cannot_be_sent_are_named() {
    let scene = Scene::new();
    for path in [scene.dir.path("nothing"), scene.dir.path("out")] {
        let lines = ends(scene.send(&path, ""), 1);
        assert!(
            lines.iter().any(|l| l.starts_with("rover-rtc: ") && l.contains(&path)),
            "{lines:?}"
        );
    }
}

#[test]
fn who_may_not_send_does_not() {
    let scene = Scene::new();
    let station = scene.receive("--from another");
    let file = scene.file("a.txt", 100, 1);
    let rover = scene.send(&file, "");
    let lines = ends(rover, 1);
    assert!(lines.iter().any(|l| l.contains("station refuses: ")), "{lines:?}");
    station.after("\"a.txt\": rover may not send files");
    assert!(scene.names().is_empty());
}

/// Bytes of a large file: a second or so.
const SIZE: usize = 20_000_000;
