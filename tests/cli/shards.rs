//! `server --drivers`.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::output::OPEN;
use crate::process::{Program, free_port};

fn start(args: &str) -> Program {
    Program::start(&format!("server --listen 127.0.0.1:0 {args}"))
}

fn ports(program: &Program) -> Vec<u16> {
    program.after("Connect a browser to http://");
    let lines = program.lines();
    let ports = lines.iter().filter_map(|line| line.text.strip_prefix("Bound UDP port: "));
    ports.map(|address| address.parse::<SocketAddr>().unwrap().port()).collect()
}

#[test]
fn each_shard_has_its_port_and_clients_of_all_meet() {
    let mut hub = start("--udp 127.0.0.1:0 --drivers 3");
    let http = hub.after("Connect a browser to http://");
    let mut bound = ports(&hub);
    bound.sort_unstable();
    bound.dedup();
    assert_eq!(bound.len(), 3);
    #[cfg(target_os = "linux")]
    {
        let threads = std::fs::read_dir(format!("/proc/{}/task", hub.id())).unwrap();
        let names = threads.map(|t| std::fs::read_to_string(t.unwrap().path().join("comm")));
        let mut names: Vec<_> = names.map(|name| name.unwrap().trim().to_owned()).collect();
        names.retain(|name| name.starts_with("rover-hub-"));
        names.sort();
        assert_eq!(names, ["rover-hub-0", "rover-hub-1", "rover-hub-2"]);
    }
    let peer =
        || Program::start(&format!("peer --bind 127.0.0.1 --server http://{http} --every 50"));
    let mut peers = [peer(), peer(), peer()];
    for peer in &peers {
        peer.after(OPEN);
        // From both others.
        peer.nth_after(30, "Payload: message ");
    }
    hub.signal("TERM");
    let (code, after) = hub.wait();
    assert_eq!(code, Some(0));
    assert!(after < Duration::from_secs(3), "{after:?}");
    for peer in &mut peers {
        peer.signal("INT");
        assert_eq!(peer.wait().0, Some(0));
    }
}

#[test]
fn a_fixed_port_begins_a_row() {
    // Free a moment ago.
    let first = loop {
        let first = free_port();
        let port = |n| Some(SocketAddr::new(first.ip(), first.port().checked_add(n)?));
        let row = [port(0), port(1), port(2)];
        if row.iter().all(|a| a.is_some_and(|a| UdpSocket::bind(a).is_ok())) {
            break first;
        }
    };
    let row: Vec<_> = (0..3).map(|n| first.port() + n).collect();
    assert_eq!(ports(&start(&format!("--udp {first}"))), row[..1], "one, unless asked for more");
    assert_eq!(ports(&start(&format!("--udp {first} --drivers 3"))), row);
    // As others see them.
    let args = format!("--udp {first} --drivers 3 --advertise 127.0.0.1:50000");
    assert_eq!(ports(&start(&args)), [50_000, 50_001, 50_002]);
    let args = format!("--udp {first} --drivers 3 --advertise 127.0.0.1:0");
    assert_eq!(ports(&start(&args)), row);

    let _taken = UdpSocket::bind((first.ip(), row[2])).unwrap();
    let mut program = start(&format!("--udp {first} --drivers 3"));
    assert_eq!(program.wait().0, Some(1));
    let lines = program.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let taken = format!("127.0.0.1:{}", row[2]);
    for part in ["3 shards take 3 ports in a row", &first.to_string(), &taken, "is in use"] {
        assert!(lines[0].error && lines[0].text.contains(part), "{part}: {lines:?}");
    }
}
