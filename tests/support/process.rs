//! The real binary as a child: its lines, its signals, its end. Killed when dropped.
#![allow(dead_code, reason = "each suite uses a part")]

use std::io::{BufRead as _, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take. Generous: the machine may be busy, and who waits longer than a
/// moment is about to fail anyhow.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running child.
pub struct Program {
    child: Child,
    lines: Arc<Lines>,
    readers: Vec<thread::JoinHandle<()>>,
}

/// Lines of both streams, in the order in which they came.
#[derive(Default)]
struct Lines {
    list: Mutex<Vec<Line>>,
    more: Condvar,
}

/// One line of output.
#[derive(Debug, Clone)]
pub struct Line {
    /// Whether it is from standard error.
    pub error: bool,
    /// Without its end.
    pub text: String,
}

impl Program {
    /// Starts `rover-rtc` with these arguments, separated by spaces, at the default log level.
    pub fn start(args: &str) -> Self {
        Self::start_with(args, &[])
    }

    /// As [`Program::start`], with these variables.
    pub fn start_with(args: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rover-rtc"));
        command.args(args.split_whitespace());
        // What the user of this machine has set, and kept, is none of the test's business.
        UNSET.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.envs(variables.iter().copied());
        Self::spawn(command)
    }

    /// Starts any command.
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let lines = Arc::new(Lines::default());
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let readers = vec![lines.follow(out, false), lines.follow(err, true)];
        Self { child, lines, readers }
    }

    /// Waits for a line of standard output that starts so; returns what follows the start.
    pub fn after(&self, start: &str) -> String {
        self.nth_after(1, start)
    }

    /// As [`Program::after`], for the n-th such line.
    pub fn nth_after(&self, n: usize, start: &str) -> String {
        let matches = |line: &Line| !line.error && line.text.starts_with(start);
        let line = self.wait_for(n, matches, start);
        line.text[start.len()..].to_owned()
    }

    /// Waits for the n-th line that is as wished.
    pub fn wait_for(&self, n: usize, wish: impl Fn(&Line) -> bool, what: &str) -> Line {
        let until = Instant::now() + PATIENCE;
        let mut list = self.lines.lock();
        loop {
            if let Some(line) = list.iter().filter(|l| wish(l)).nth(n - 1) {
                return line.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what:?} ({n}) in {}", show(&list));
            list = self.lines.more.wait_timeout(list, left).unwrap().0;
        }
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().clone()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, as in `kill -INT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -$0 $1", name, &id]).status();
        assert!(sent.unwrap().success(), "{name} cannot be sent");
    }

    /// Waits for the end, and for the last line; returns the exit code and how long it took.
    pub fn wait(&mut self) -> (Option<i32>, Duration) {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                let after = since.elapsed();
                self.readers.drain(..).for_each(|r| r.join().unwrap());
                return (status.code(), after);
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("it does not end: {}", show(&self.lines.lock()));
    }

    /// Sends SIGKILL and waits.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("{}", show(&self.lines.lock()));
        }
    }
}

impl Lines {
    fn follow(
        self: &Arc<Self>,
        stream: impl Read + Send + 'static,
        error: bool,
    ) -> thread::JoinHandle<()> {
        let lines = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                let text = String::from_utf8_lossy(&line).into_owned();
                lines.lock().push(Line { error, text });
                lines.more.notify_all();
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Line>> {
        // A test that failed while it looked still shows what it saw.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hub of its own process, on loopback only.
pub struct Hub {
    pub program: Program,
    /// Where HTTP listens.
    pub http: SocketAddr,
}

impl Hub {
    /// A hub on a port of the system's choice.
    pub fn start() -> Self {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), &[])
    }

    /// A hub on this address, with these variables.
    pub fn start_on(listen: SocketAddr, variables: &[(&str, &str)]) -> Self {
        let args = format!("server --listen {listen} --udp 127.0.0.1:0");
        let program = Program::start_with(&args, variables);
        let http = program.after("Connect a browser to http://").parse().unwrap();
        Self { program, http }
    }

    /// A peer of this hub, with further arguments.
    pub fn peer(&self, args: &str) -> Program {
        Program::start(&format!("peer --bind 127.0.0.1 --server http://{} {args}", self.http))
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn show(lines: &[Line]) -> String {
    let shown = |l: &Line| format!("{} {}", if l.error { "!" } else { "|" }, l.text);
    let last = lines.iter().skip(lines.len().saturating_sub(SHOWN)).map(shown);
    format!("output:\n{}", last.collect::<Vec<_>>().join("\n"))
}

/// Variables that a program does not get from the test's own environment.
const UNSET: [&str; 7] = [
    "RUST_LOG",
    "ROVER_RTC_SERVER",
    "ROVER_RTC_TOKEN",
    "ROVER_RTC_ICE_SERVERS",
    "HOME",
    "XDG_STATE_HOME",
    "NO_COLOR",
];

/// Lines of a failed program that are shown.
const SHOWN: usize = 80;
