//! Starts the programs of a test: the real hub, and peers, each in its namespace.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use super::namespace::Namespace;
use super::{role, scene};

/// Starts a hub with these addresses, the first of them for HTTP too; returns when it serves.
pub fn start_hub(at: &Namespace, addresses: &[String], directory: &Path) -> Child {
    let output = directory.join("hub.out");
    let lines = || {
        let text = std::fs::read_to_string(&output).unwrap_or_default();
        text.matches("Connect a browser").count()
    };
    let before = lines();
    let listen = format!("{}:3000", addresses[0]);
    let udp: Vec<_> = addresses.iter().map(|address| format!("{address}:4000")).collect();
    let mut argv = vec![env!("CARGO_BIN_EXE_rover-rtc"), "server", "--listen", &listen];
    udp.iter().for_each(|address| argv.extend(["--udp", address]));
    let hub = at.spawn(&argv, &[("RUST_LOG", LOG_LEVEL)], &output);
    let limit = Instant::now() + Duration::from_secs(5);
    while lines() == before {
        assert!(Instant::now() < limit, "the hub does not start: see {output:?}");
        scene::pause(5);
    }
    hub
}

/// Starts a peer of the hub at that address. `more` is what [`role`] reads from its environment.
/// Its log is `<name>.log`, its output `<name>.out`.
pub fn start_peer(
    at: &Namespace,
    hub: &str,
    name: &str,
    more: &[(&str, &str)],
    directory: &Path,
) -> Child {
    let program = std::env::current_exe().unwrap();
    let argv = [&[program.to_str().unwrap()][..], &role::ARGUMENTS].concat();
    let log = directory.join(format!("{name}.log"));
    let server = format!("http://{hub}:3000");
    let mut env = vec![
        (role::NAME, name),
        (role::SERVER, &server),
        (role::LOG, log.to_str().unwrap()),
        ("RUST_LOG", LOG_LEVEL),
    ];
    env.extend(more);
    at.spawn(&argv, &env, &directory.join(format!("{name}.out")))
}

const LOG_LEVEL: &str = "rover_rtc=debug";
