//! ICE passwords and session ids let their owner into a connection: nobody may read them in the
//! output of a program, however much it logs.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::output::OPEN;
use crate::process::{Hub, Line, Program};

const ALL: [(&str, &str); 1] = [("RUST_LOG", "trace")];

#[test]
fn secrets_stay_out_of_the_output() {
    let mut hub = Hub::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), &ALL);
    let (proxy, heard) = eavesdrop(hub.http);
    let server = format!("peer --bind 127.0.0.1 --every 50 --server http://{proxy}");
    let mut peers = [Program::start_with(&server, &ALL), Program::start_with(&server, &ALL)];
    for peer in &peers {
        peer.after(OPEN);
        peer.nth_after(3, "Payload: ");
    }
    // The end is a part of it: the sessions are deleted.
    for program in peers.iter_mut().chain([&mut hub.program]) {
        program.signal("INT");
        assert_eq!(program.wait().0, Some(0));
    }
    let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
    let passwords = values(&heard, "a=ice-pwd:");
    let sessions = values(&heard, "/v1/sessions/");
    assert!(passwords.len() >= 4 && sessions.len() >= 2, "{passwords:?} {sessions:?}");

    for (who, program) in [("hub", &hub.program), ("peer", &peers[0]), ("peer", &peers[1])] {
        let lines = program.lines();
        assert!(lines.iter().any(|l| l.text.contains("TRACE")), "{who} does not log all");
        let told = |secret: &String| lines.iter().find(|l| l.text.contains(secret)).cloned();
        let told: Vec<Line> = passwords.iter().chain(&sessions).filter_map(told).collect();
        assert!(told.is_empty(), "{who}: {told:#?}");
        let shown = lines.iter().filter_map(|l| l.text.split_once("a=ice-pwd:"));
        for (_, value) in shown {
            assert!(value.starts_with("(hidden)"), "{who}: {value}");
        }
    }
}

/// The words that follow a mark.
fn values(text: &str, mark: &str) -> HashSet<String> {
    let word = |rest: &str| {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+/-_".contains(c)));
        rest[..end.unwrap_or(rest.len())].to_owned()
    };
    text.split(mark).skip(1).map(word).filter(|w| !w.is_empty()).collect()
}

/// Passes connections on to `to` and hears both sides.
fn eavesdrop(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&heard);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(to) else { continue };
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let record = Arc::clone(&record);
                thread::spawn(move || pass(from, to, &record));
            }
        }
    });
    (address, heard)
}

/// What passes is heard as a whole when it has ended: pieces of two connections must not mix.
fn pass(mut from: TcpStream, mut to: TcpStream, record: &Mutex<Vec<u8>>) {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        all.extend_from_slice(&piece[..length]);
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    record.lock().unwrap().extend(all);
}
