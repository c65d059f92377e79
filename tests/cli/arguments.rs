//! Arguments that cannot be used, and help for those who look for it.

use std::net::{TcpListener, UdpSocket};

use crate::process::{Line, Program};

fn run(args: &str) -> (Option<i32>, Vec<Line>) {
    let mut program = Program::start(args);
    let (code, _) = program.wait();
    (code, program.lines())
}

#[test]
fn bad_arguments_are_explained() {
    for args in [
        "",
        "fly",
        "server --listen nonsense",
        "server --listen 127.0.0.1",
        "server --udp 127.0.0.1:99999",
        "server --advertise there",
        "server now",
        "server --token=",
        "server --relay-rate fast",
        "server --drivers 0",
        "server --drivers 65",
        "server --drivers many",
        "peer --every often",
        "peer --every -1",
        "peer --bind nowhere",
        "peer --bind 127.0.0.1 --interface lo",
        "peer --bind 127.0.0.1 --no-interface lo",
        "peer --redundancy sometimes",
        "peer --unknown",
        "peer --to rover-1",
        "peer --name a/b",
        "peer --name a --to .",
        "peer --name a --wait 5",
        "peer --name a --to b --wait -1",
        "peer --name a --state /tmp --no-state",
        "peer --state /tmp",
        "peer --status=0",
        "peer --json",
        "bench offer --dir . --mode setup --hub 127.0.0.1:9",
        "bench answer --dir . --mode setup --hub 127.0.0.1:9",
        "bench answer --dir . --mode hold --hub 127.0.0.1:9 --name a",
        "bench offer --dir . --mode setup --to a",
        "bench offer --dir . --mode setup --channel certain",
        "bench offer --dir . --mode setup --channel latest --unordered",
        "bench offer --dir . --mode setup --net-delay -1",
        "bench offer --dir . --mode setup --net-rate 0",
        "bench offer --dir . --mode setup --net-queue 100",
        "bench answer --dir . --mode setup --net-loss 101",
        "bench load --server 127.0.0.1:9",
        "bench load --clients 2",
        "bench load --server 127.0.0.1:9 --clients 0",
        "bench load --server 127.0.0.1:9 --clients 3",
        "bench load --server 127.0.0.1:9 --clients 2 --rate 0",
        "bench load --server 127.0.0.1:9 --clients 2 --rate NaN",
        "bench load --server 127.0.0.1:9 --clients 2 --size 15",
        "bench load --server 127.0.0.1:9 --clients 2 --size 262145",
        "bench load --server 127.0.0.1:9 --clients 2 --seconds -1",
        "bench load --server 127.0.0.1:9 --clients 2 --warm-up NaN",
        "bench load --server 127.0.0.1:9 --clients 2 --threads 0",
        "bench load --server 127.0.0.1:9 --clients 2 --channel latest",
        "bench load --server 127.0.0.1:9 --clients 2 --idle --unread 1",
        "bench idle --server 127.0.0.1:9",
        "forget",
        "forget a",
        "send --to a --name b",
        "send file --name b",
        "send file --to a",
        "send file --to a/b --name b",
        "send file --to a --name b --wait 1",
        "receive --name a",
        "receive dir",
        "receive dir --name a --count many",
        "receive dir --name a --from a/b",
    ] {
        let (code, lines) = run(args);
        assert_eq!(code, Some(2), "{args}");
        assert!(lines.iter().all(|l| l.error) && !lines.is_empty(), "{args}: {lines:?}");
    }
}

#[test]
fn a_server_without_meaning_is_refused() {
    for server in ["http://", "http://hub:port"] {
        let (code, lines) = run(&format!("peer --bind 127.0.0.1 --server {server}"));
        assert_eq!(code, Some(1), "{server}");
        assert_eq!(lines.iter().filter(|l| l.error).count(), 1, "{lines:?}");
    }
}

#[test]
fn a_taken_port_is_named() {
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (http, udp) = (http.local_addr().map(|a| (http, a)), udp.local_addr().map(|a| (udp, a)));
    let ((_http, http), (_udp, udp)) = (http.unwrap(), udp.unwrap());
    for (args, address) in [
        (format!("server --listen {http} --udp 127.0.0.1:0"), http),
        (format!("server --listen 127.0.0.1:0 --udp {udp}"), udp),
    ] {
        let (code, lines) = run(&args);
        assert_eq!(code, Some(1), "{args}");
        assert_eq!(lines.len(), 1, "{lines:?}");
        let Line { error, text } = &lines[0];
        assert!(*error && text.contains(&address.to_string()), "{text}");
        assert!(text.contains("in use") || text.contains("uses this port"), "{text}");
    }
}

#[test]
fn help_has_examples() {
    for (args, example) in [
        ("--help", "rover-rtc server"),
        ("server --help", "rover-rtc server --listen"),
        ("peer --help", "rover-rtc peer --server"),
        ("peer --help", "rover-rtc peer --name rover-2 --to rover-1 --status"),
        ("send --help", "rover-rtc send *.mcap --to station"),
        ("receive --help", "rover-rtc receive . --name station --from"),
        ("key --help", "rover-rtc key --name"),
        ("forget --help", "rover-rtc forget rover-2 --name"),
        ("bench --help", "rover-rtc bench offer"),
        ("bench load --help", "rover-rtc bench load --server 127.0.0.1:3000 --clients 100"),
    ] {
        let (code, lines) = run(args);
        assert_eq!(code, Some(0), "{args}");
        assert!(lines.iter().any(|l| !l.error && l.text.trim().starts_with(example)), "{args}");
    }
    assert!(run("server --help").1.iter().any(|l| l.text == "Examples:"));
    assert!(run("peer --help").1.iter().any(|l| l.text == "Examples:"));
}
