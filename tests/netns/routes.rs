//! A socket that is bound to its interface leaves by it, whatever the routes prefer.
//!
//! The rover has two uplinks with a default route each, as with Wi-Fi and a modem, and talks to an
//! address that is in none of its own networks.

use std::net::SocketAddr;
use std::time::Duration;

use rover_rtc::net::{RecvBatch, UdpSocket};

use super::lab::{Lab, Side, address, device};
use super::process::Program;
use super::scene::say;
use super::support;

#[test]
fn bound_sockets_leave_by_their_own_interface() {
    if let Some(what) = Lab::lacks() {
        return support::missing(&what);
    }
    let lab = Lab::new(2);
    lab.output(Side::Hub, &["ip", "addr", "add", &format!("{REMOTE}/32"), "dev", "lo"]);
    for pair in PAIRS {
        lab.set_default_route(pair, 100 * pair);
    }
    lab.loosen_reverse_path();
    let echo = start(&lab, Side::Hub, &[(ROLE, "echo")]);
    let remote = echo.after("listening ");

    for pair in PAIRS {
        let (sent, echoed) = send(&lab, &remote, pair, &device(pair));
        say("routes", &format!("from {pair}, bound: {sent:?} bytes by each, {echoed} echoes"));
        let other = 3 - pair;
        assert!(sent[usize::from(pair - 1)] >= BYTES, "its own interface: {sent:?}");
        assert!(sent[usize::from(other - 1)] < BYTES / 10, "the other interface: {sent:?}");
        // What comes back by the interface that no route prefers arrives too.
        assert_eq!(echoed, COUNT);
    }

    // Left to the routes, the address that a socket is bound to does not matter.
    for pair in PAIRS {
        let (sent, echoed) = send(&lab, &remote, pair, "");
        say("routes", &format!("from {pair}, not bound: {sent:?} bytes by each, {echoed} echoes"));
        assert!(sent[0] >= BYTES, "the preferred interface: {sent:?}");
        assert!(sent[1] < BYTES / 10, "the other interface: {sent:?}");
    }
}

/// The part of this test that runs in the namespaces.
#[test]
fn role() {
    match std::env::var(ROLE).as_deref() {
        Ok("echo") => echo(),
        Ok("send") => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(send_all());
        }
        _ => {}
    }
}

/// Sends from the rover's address on a pair. Returns the bytes that left by each pair, and the
/// number of echoes.
fn send(lab: &Lab, remote: &str, pair: u8, device: &str) -> (Vec<u64>, usize) {
    let before = lab.bytes_sent(Side::Rover);
    let from = address(pair, Side::Rover);
    let env = [(ROLE, "send"), (FROM, &from), (DEVICE, device), (TO, remote)];
    let echoed = start(lab, Side::Rover, &env).after("echoed ").parse().unwrap();
    let after = lab.bytes_sent(Side::Rover);
    (after.iter().zip(before).map(|(after, before)| after - before).collect(), echoed)
}

fn start(lab: &Lab, side: Side, env: &[(&str, &str)]) -> Program {
    let program = std::env::current_exe().unwrap();
    let argv = [program.to_str().unwrap(), "--exact", "routes::role", "--nocapture"];
    let mut program = lab.at(side).program(&argv);
    program.envs(env.iter().copied());
    Program::spawn(program)
}

fn echo() {
    let socket = std::net::UdpSocket::bind((REMOTE, 0)).unwrap();
    // The harness may have begun the line.
    println!("\nlistening {}", socket.local_addr().unwrap());
    let mut buffer = [0; 2048];
    loop {
        let (size, from) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(&buffer[..size], from).unwrap();
    }
}

async fn send_all() {
    let var = |name| std::env::var(name).unwrap();
    let from = SocketAddr::new(var(FROM).parse().unwrap(), 0);
    let device = Some(var(DEVICE)).filter(|device| !device.is_empty());
    let to = var(TO).parse().unwrap();
    let socket = UdpSocket::bind(from, device.as_deref()).unwrap();
    for _ in 0..COUNT {
        socket.try_send(to, &[0; SIZE], None).unwrap();
    }
    let (mut batch, mut echoed) = (RecvBatch::new(), 0);
    let receive = async {
        while echoed < COUNT {
            echoed += std::future::poll_fn(|cx| socket.poll_recv(cx, &mut batch)).await.unwrap();
        }
    };
    let _ = tokio::time::timeout(PATIENCE, receive).await;
    println!("\nechoed {echoed}");
}

const PAIRS: [u8; 2] = [1, 2];

/// An address for documentation (RFC 5737): only a default route leads there.
const REMOTE: &str = "203.0.113.9";

const COUNT: usize = 20;
const SIZE: usize = 1000;
const BYTES: u64 = (COUNT * SIZE) as u64;

/// The first datagram waits for the neighbour's link address.
const PATIENCE: Duration = Duration::from_secs(1);

const ROLE: &str = "ROVER_ROUTES_ROLE";
const FROM: &str = "ROVER_ROUTES_FROM";
const TO: &str = "ROVER_ROUTES_TO";
/// The device to bind to; empty for none.
const DEVICE: &str = "ROVER_ROUTES_DEVICE";
