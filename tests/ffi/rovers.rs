//! A rover in C, another one in Rust, and a hub, through outages: nothing is lost, repeated or out
//! of order. The C side is the example as it is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rover_rtc::Message;
use rover_rtc::net::FaultRule;
use rover_rtc::pull::{Event, Server};

use crate::peers::{self, LOOPBACK, Lines, rust_rover};
use crate::rig::{compile, finish, scratch, text};

const PATIENCE: Duration = Duration::from_secs(40);

fn hub(listen: SocketAddr) -> Server {
    peers::hub(listen, PATIENCE)
}

fn c_rover(hub: &Server, arguments: &[&str]) -> Child {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program: &Path = PROGRAM.get_or_init(|| {
        let program = scratch("telemetry").join("telemetry");
        compile("cc", &["-std=gnu11", "-O2"], "examples/c/telemetry.c", &program);
        program
    });
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--server"]).arg(hub.http_address().to_string());
    command.args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn from_c_to_rust_through_an_outage() {
    let hub = hub(SocketAddr::new(LOOPBACK, 0));
    let (station, faults) = rust_rover(&hub, "station");
    let arguments = ["--name", "rover-1", "--peer", "station", "--rate", "200", "--seconds", "7"];
    let rover = c_rover(&hub, &arguments);
    let mut lines = Lines::default();
    let begin = Instant::now();
    let (mut cut, mut healed, mut outages, mut gone) = (false, false, 0, false);
    while !gone {
        let age = begin.elapsed();
        assert!(age < PATIENCE, "{} lines", lines.0);
        if age > Duration::from_secs(2) && !cut {
            faults.set(LOOPBACK, FaultRule::cut());
            cut = true;
        }
        if age > Duration::from_secs(4) && !healed {
            faults.clear_all();
            healed = true;
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
    let text = text(&finish(rover, PATIENCE));
    println!("{text}{} lines received here", lines.0);
    assert!(outages >= 1);
    assert!(
        text.contains("station: no path lives") && text.contains("station: back after"),
        "{text}"
    );
    assert!(text.contains(&format!("{} lines sent, all arrived, 0 held back", lines.0)), "{text}");
    assert!(lines.0 > 1000, "{text}");
}

#[test]
fn from_rust_to_c_through_an_outage_and_a_restart_of_the_hub() {
    let first = hub(SocketAddr::new(LOOPBACK, 0));
    let address = first.http_address();
    let station = c_rover(&first, &["--name", "station", "--seconds", "9"]);
    let (rover, faults) = rust_rover(&first, "rover-1");
    let link = rover.call("station").unwrap();
    let log = link.channel("log").unwrap();
    let begin = Instant::now();
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
            300 => drop(hubs.take()),
            400 => faults.set(LOOPBACK, FaultRule::cut()),
            600 => faults.clear_all(),
            700 => second = Some(hub(address)),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(log.acknowledged(PATIENCE), Some(true));
    println!("all arrived after {:?}", begin.elapsed());
    let text = text(&finish(station, PATIENCE));
    println!("{text}");
    assert!(text.contains("1000 lines received, 0 missing"), "{text}");
    assert!(text.contains("rover-1: back after"), "{text}");
    drop(second);
}
