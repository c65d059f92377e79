//! Rovers in Python, Rust and C through outages: nothing is lost, repeated or out of order. The
//! Python side is `rover.py`, with the arguments and the last line of `examples/c/telemetry.c`.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use rover_rtc::Message;
use rover_rtc::net::FaultRule;
use rover_rtc::pull::{Event, Server};

use crate::environment::{Python, c_rover, environment};
use crate::peers::{self, LOOPBACK, Lines, rust_rover};
use crate::process::{Line, Program};

const PATIENCE: Duration = Duration::from_secs(60);

fn hub(listen: SocketAddr) -> Server {
    peers::hub(listen, PATIENCE)
}

fn python_rover(python: &Python, hub: &Server, arguments: &str) -> Program {
    start(python.strict(["tests/python/rover.py"]), hub, arguments)
}

fn c_rover_of(hub: &Server, arguments: &str) -> Program {
    start(Command::new(c_rover()), hub, arguments)
}

fn start(mut command: Command, hub: &Server, arguments: &str) -> Program {
    command.args(["--bind", "127.0.0.1", "--server"]).arg(hub.http_address().to_string());
    command.args(arguments.split_whitespace());
    Program::spawn(command)
}

/// Waits for the end of a rover, which has to be a good one; what it has printed.
fn finish(mut rover: Program) -> String {
    let (code, _) = rover.wait();
    let lines: Vec<_> = rover.lines().into_iter().map(|Line { text, .. }| text).collect();
    let text = lines.join("\n");
    assert_eq!(code, Some(0), "{text}");
    text
}

/// How many lines a rover says it has sent, all of which arrived.
fn sent_of(text: &str) -> &str {
    let (before, _) = text.split_once(" lines sent, all arrived, 0 held back").expect(text);
    before.split_whitespace().last().unwrap()
}

#[test]
fn from_python_to_rust_through_an_outage() {
    let Some(python) = environment() else { return };
    let hub = hub(SocketAddr::new(LOOPBACK, 0));
    let (station, faults) = rust_rover(&hub, "station");
    let rover = python_rover(python, &hub, "--name rover-1 --peer station --rate 200 --seconds 7");
    let mut lines = Lines::default();
    let begin = Instant::now();
    let (mut cut, mut outages, mut gone) = (None::<Instant>, 0, false);
    while !gone {
        assert!(begin.elapsed() < PATIENCE, "{} lines", lines.0);
        if lines.0 > 200 && cut.is_none() {
            faults.set(LOOPBACK, FaultRule::cut());
            cut = Some(Instant::now());
        }
        if cut.is_some_and(|cut| cut.elapsed() > Duration::from_secs(2)) {
            faults.clear_all();
        }
        station.wait(Some(Duration::from_millis(50)));
        while let Some(event) = station.next() {
            match event {
                Event::Readable(channel) if channel.label() == "log" => lines.take(&channel),
                Event::Link(link, _, rover_rtc::Event::Outage) if link.name() == "rover-1" => {
                    outages += 1;
                }
                Event::Link(link, _, rover_rtc::Event::Disconnected(_)) => {
                    gone |= link.name() == "rover-1";
                }
                _ => {}
            }
        }
    }
    let text = finish(rover);
    assert!(outages >= 1, "{text}");
    assert!(
        text.contains("station: no path lives") && text.contains("station: back after"),
        "{text}"
    );
    assert!(text.contains(&format!("{} lines sent, all arrived, 0 held back", lines.0)), "{text}");
    assert!(lines.0 > 1000, "{text}");
}

#[test]
fn from_rust_to_python_through_an_outage_and_a_restart_of_the_hub() {
    let Some(python) = environment() else { return };
    let first = hub(SocketAddr::new(LOOPBACK, 0));
    let address = first.http_address();
    let station = python_rover(python, &first, "--name station");
    let (rover, faults) = rust_rover(&first, "rover-1");
    let link = rover.call("station").unwrap();
    let log = link.channel("log").unwrap();
    let mut hubs = Some(first);
    let mut second = None;
    for number in 0..1000u64 {
        let line = format!("{number} from Rust");
        let end = Instant::now() + PATIENCE;
        while log.send(Message::text(line.clone())).is_pending() {
            assert!(Instant::now() < end);
            rover.wait(Some(Duration::from_millis(10)));
            while rover.next().is_some() {}
        }
        match number {
            // Python takes its time to start.
            100 => assert_eq!(log.acknowledged(PATIENCE), Some(true)),
            300 => drop(hubs.take()),
            400 => faults.set(LOOPBACK, FaultRule::cut()),
            600 => faults.clear_all(),
            700 => second = Some(hub(address)),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(log.acknowledged(PATIENCE), Some(true));
    link.close();
    let text = finish(station);
    assert!(text.contains("rover-1: 1000 lines received, 0 missing"), "{text}");
    assert!(text.contains("rover-1: back after"), "{text}");
    drop(second);
}

/// One Python station for a rover in C and one in Rust, while the hub is gone and back.
#[test]
fn from_c_and_rust_to_python_through_a_restart_of_the_hub() {
    let Some(python) = environment() else { return };
    let first = hub(SocketAddr::new(LOOPBACK, 0));
    let address = first.http_address();
    let station = python_rover(python, &first, "--name station --relay-only --rovers 2");
    let (rover, _) = rust_rover(&first, "rust");
    let link = rover.call("station").unwrap();
    let log = link.channel("log").unwrap();
    let c_rover = c_rover_of(&first, "--name c --peer station --rate 200 --seconds 8");
    let mut hubs = Some(first);
    let mut second = None;
    for number in 0..1000u64 {
        let _ = log.send(Message::text(format!("{number} from Rust")));
        match number {
            100 => assert_eq!(log.acknowledged(PATIENCE), Some(true)),
            // All of the station's paths go through it.
            400 => drop(hubs.take()),
            600 => second = Some(hub(address)),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(log.acknowledged(PATIENCE), Some(true));
    link.close();
    let c_text = finish(c_rover);
    assert!(c_text.contains("all arrived, 0 held back"), "{c_text}");
    assert!(c_text.contains("station: back after"), "{c_text}");
    let text = finish(station);
    let sent = sent_of(&c_text);
    assert!(text.contains(&format!("c: {sent} lines received, 0 missing")), "{text}{c_text}");
    assert!(text.contains("rust: 1000 lines received, 0 missing"), "{text}");
    drop(second);
}

/// Python sends to C, through a hub that is killed.
#[test]
fn from_python_to_c_through_a_restart_of_the_hub() {
    let Some(python) = environment() else { return };
    let first = hub(SocketAddr::new(LOOPBACK, 0));
    let address = first.http_address();
    let station = c_rover_of(&first, "--name station --seconds 14");
    let arguments = "--name rover-1 --peer station --relay-only --rate 200 --seconds 7";
    let rover = python_rover(python, &first, arguments);
    rover.after("200 lines so far");
    drop(first);
    rover.after("station: no path lives");
    let second = hub(address);
    let sent = finish(rover);
    let received = finish(station);
    let count = sent_of(&sent);
    assert!(received.contains(&format!("{count} lines received, 0 missing")), "{sent}{received}");
    assert!(count.parse::<u64>().is_ok_and(|count| count > 1000), "{sent}");
    assert!(received.contains("rover-1: back after"), "{received}");
    drop(second);
}
