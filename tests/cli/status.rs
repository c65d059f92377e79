//! The live view.

use serde_json::Value;

use crate::process::{Hub, Program};

const ROVER_1: &str = "--name rover-1 --every 50 --no-state";
const ROVER_2: &str = "--name rover-2 --every 50 --no-state --to rover-1";

#[test]
fn without_a_terminal_each_link_has_a_line() {
    let hub = Hub::start();
    let one = hub.peer(ROVER_1);
    let mut two = hub.peer(&format!("{ROVER_2} --status=0.2"));
    let up = |name: &str| {
        let start = format!("Link: {name} up, direct 127.0.0.1:");
        let line = two.nth_after(3, &start);
        for part in [" ms, loss ", " %, out ", "B/s, in ", ", sent ", "switches 0 (First)"] {
            assert!(line.contains(part), "{part:?}: {line}");
        }
    };
    up("hub");
    up("rover-1");
    drop(one); // killed
    let down = two.nth_after(2, "Link: rover-1 down ");
    assert!(down.contains(", outages 1"), "{down}");
    two.signal("INT");
    assert_eq!(two.wait().0, Some(0));
}

#[test]
fn json_is_for_programs() {
    let hub = Hub::start();
    let _one = hub.peer(ROVER_1);
    let mut two = hub.peer(&format!("{ROVER_2} --status=0.2 --json"));
    let is_up = |value: &Value| value["name"] == "rover-1" && value["messages_received"] != 0;
    let line = two.wait_for(
        3,
        |l| !l.error && is_up(&serde_json::from_str(&l.text).unwrap_or_default()),
        "a link that is up",
    );
    let link: Value = serde_json::from_str(&line.text).unwrap();
    assert_eq!((&link["state"], &link["hub"]), (&"up".into(), &false.into()));
    assert_eq!((&link["switches"], &link["last_switch"]), (&0.into(), &"first".into()));
    assert!(link["rtt_ms"].as_f64() > Some(0.0) && link["outages"] == 0, "{link}");
    let path = &link["paths"][0];
    assert_eq!((&path["kind"], &path["carrying"]), (&"direct".into(), &true.into()));
    assert!(path["bytes_sent_per_s"].as_f64() > Some(0.0), "{path}");
    two.signal("INT");
    assert_eq!(two.wait().0, Some(0));
    let lines: Vec<_> = two.lines().into_iter().filter(|l| !l.error).collect();
    let all_json = lines.iter().all(|l| serde_json::from_str::<Value>(&l.text).is_ok());
    assert!(all_json, "{lines:#?}");
}

#[cfg(target_os = "linux")]
mod on_a_terminal {
    use std::fs::{File, OpenOptions};
    use std::io::Read as _;
    use std::process::{Child, Command, Stdio};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};

    use super::*;
    use crate::process::PATIENCE;

    /// A program on a terminal of its own.
    struct Terminal {
        child: Child,
        seen: Arc<Mutex<String>>,
        reader: Option<std::thread::JoinHandle<()>>,
    }

    impl Terminal {
        fn start(args: &str, variables: &[(&str, &str)], columns: u16) -> Self {
            let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
            grantpt(&master).unwrap();
            unlockpt(&master).unwrap();
            let size = Winsize { ws_row: 20, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            tcsetwinsize(&master, size).unwrap();
            let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
            let slave = OpenOptions::new().read(true).write(true).open(name).unwrap();
            let child = Command::new(env!("CARGO_BIN_EXE_rover-rtc"))
                .args(args.split_whitespace())
                .env_remove("NO_COLOR")
                .env("TERM", "xterm")
                .envs(variables.iter().copied())
                .stdin(Stdio::null())
                .stdout(slave)
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let seen = Arc::new(Mutex::new(String::new()));
            let shared = seen.clone();
            let reader = std::thread::spawn(move || {
                let (mut master, mut piece) = (File::from(master), [0; 4096]);
                // An error says that nobody has the other end any more.
                while let Ok(length @ 1..) = master.read(&mut piece) {
                    shared.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..length]));
                }
            });
            Self { child, seen, reader: Some(reader) }
        }

        /// Waits for a text on the screen.
        fn shows(&self, text: &str) {
            let until = Instant::now() + PATIENCE;
            while !self.seen.lock().unwrap().contains(text) {
                let seen = self.seen.lock().unwrap().clone();
                assert!(Instant::now() < until, "no {text:?} in {}", seen.escape_debug());
                std::thread::sleep(Duration::from_millis(20));
            }
        }

        /// Ends it; all that was written.
        fn end(mut self, signal: &str) -> String {
            let id = self.child.id().to_string();
            Command::new("sh").args(["-c", "kill -$0 $1", signal, &id]).status().unwrap();
            assert_eq!(self.child.wait().unwrap().code(), Some(0));
            self.reader.take().unwrap().join().unwrap();
            self.seen.lock().unwrap().clone()
        }
    }

    impl Drop for Terminal {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn a_table_is_drawn_in_place_and_the_screen_restored() {
        let hub = Hub::start();
        let _one: Program = hub.peer(ROVER_1);
        let args = |rest: &str| {
            format!("peer --bind 127.0.0.1 --server {} {ROVER_2} --status=0.2 {rest}", hub.http)
        };
        let wide = Terminal::start(&args(""), &[], 200);
        wide.shows("rover-1          up ");
        wide.shows("> 127.0.0.1:");
        wide.shows("by the hub's relay");
        wide.shows("rover-1: Payload: message 3 ");
        let text = wide.end("INT");
        assert!(text.starts_with("\x1b[?1049h\x1b[?25l\x1b[H"), "{}", text.escape_debug());
        assert!(text.ends_with("\x1b[?25h\x1b[?1049l"), "{}", text.escape_debug());
        assert_eq!(text.matches("\x1b[?1049h").count(), 1);
        assert!(text.contains("\x1b[1mhub") && text.contains("\x1b[2mLINK"));

        let narrow = Terminal::start(&args("--quiet"), &[("NO_COLOR", "1")], 30);
        narrow.shows("hub              up ");
        let text = narrow.end("TERM");
        assert!(text.ends_with("\x1b[?25h\x1b[?1049l"));
        assert!(!text.contains("\x1b[1m") && !text.contains("\x1b[2m"));
        let text = text.split_once("\x1b[H").unwrap().1.replace("\x1b[?25h\x1b[?1049l", "");
        let text = ["\x1b[H", "\x1b[K", "\x1b[J"].iter().fold(text, |t, code| t.replace(code, ""));
        let longest = text.split('\n').map(|l| l.trim_end_matches('\r').chars().count()).max();
        // The last line of a screen and the first of the next have no line end between them.
        assert!(longest <= Some(60), "{longest:?} {}", text.escape_debug());
    }
}
