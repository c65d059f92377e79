//! Network namespaces of this process: made, used, and removed again.

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, Once};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A namespace with its loopback up and without IPv6; gone when this is dropped.
pub struct Namespace(String);

/// Leave to run a lab: too many at once would measure the machine, not the library.
pub struct Turn(());

/// What a lab needs and this machine has not; `tools` are what it needs beside the usual ones, and
/// how to ask each for its version.
pub fn lacks(tools: &[(&str, &str)]) -> Option<String> {
    for (tool, version) in [("ip", "-V"), ("nft", "-v"), ("setpriv", "-V")].iter().chain(tools) {
        let found = Command::new(tool).arg(version).output();
        if !found.is_ok_and(|o| o.status.success()) {
            return Some(format!("{tool} (a test in network namespaces needs it)"));
        }
    }
    let name = unique_name();
    let added = command("ip", &["netns", "add", &name], "");
    // Creating one is the only sure sign: a container's root may not be allowed to.
    let _ = command("ip", &["netns", "del", &name], "");
    added.err().map(|e| format!("the right to create network namespaces (root): {e}"))
}

impl Namespace {
    /// New namespaces of one lab, in which interfaces filter by reverse path in this mode (1 is
    /// strict, 2 loose).
    pub fn create<const N: usize>(names: [&str; N], rp_filter: u8) -> [Self; N] {
        static CLEAN: Once = Once::new();
        CLEAN.call_once(remove_stale);
        let lab = unique_name();
        names.map(|name| Self::new(format!("{lab}-{name}"), rp_filter))
    }

    /// One more for the same lab.
    pub fn beside(&self, name: &str, rp_filter: u8) -> Self {
        let (lab, _) = self.0.rsplit_once('-').unwrap();
        Self::new(format!("{lab}-{name}"), rp_filter)
    }

    fn new(name: String, rp_filter: u8) -> Self {
        ip(&["netns", "add", &name]);
        let namespace = Self(name);
        namespace.ip(&["link", "set", "lo", "up"]);
        for set in ["all", "default"] {
            namespace.set(&format!("ipv4/conf/{set}/rp_filter"), rp_filter);
            // A kernel without IPv6 has no such file.
            if Path::new("/proc/sys/net/ipv6").exists() {
                namespace.set(&format!("ipv6/conf/{set}/disable_ipv6"), 1);
            }
        }
        namespace
    }

    /// Joins a device here to one there, both new and down. Nothing appears outside of the two.
    pub fn join(&self, device: &str, other: &Self, far_device: &str) {
        // If both ends have the same index, the kernel takes up to a second to note that they are
        // up (`linkwatch_urgent_event`), unlike with a real interface. So they differ.
        static COUNTER: AtomicU32 = AtomicU32::new(100);
        let [index, far] = [(); 2].map(|()| COUNTER.fetch_add(1, Ordering::Relaxed).to_string());
        let near = ["link", "add", device, "index", &index, "netns", &self.0, "type", "veth"];
        let far = ["peer", "name", far_device, "index", &far, "netns", &other.0];
        ip(&[&near[..], &far].concat());
    }

    /// Runs `ip` here.
    pub fn ip(&self, args: &[&str]) {
        ip(&[&["-n", &self.0], args].concat());
    }

    /// Runs several commands of `ip` here, one a line.
    pub fn ip_batch(&self, lines: &str) {
        command("ip", &["-n", &self.0, "-batch", "-"], lines).unwrap();
    }

    /// Writes a value below `/proc/sys/net`.
    pub fn set(&self, key: &str, value: u8) {
        let file = Path::new("/proc/sys/net").join(key);
        self.enter(|| std::fs::write(file, value.to_string())).unwrap();
    }

    /// Puts these chains in an nftables table of this name, in place of what was there.
    pub fn install(&self, table: &str, chains: &str) {
        // Adding before deleting makes the deletion succeed the first time too.
        let script = format!("table ip {table}\ndelete table ip {table}\n");
        let script = format!("{script}table ip {table} {{\n{chains}\n}}\n");
        inside(&self.0, &["nft", "-f", "-"], &script);
    }

    /// Removes that table.
    pub fn uninstall(&self, table: &str) {
        let script = format!("table ip {table}\ndelete table ip {table}\n");
        inside(&self.0, &["nft", "-f", "-"], &script);
    }

    /// What a command prints that runs here.
    pub fn output(&self, argv: &[&str]) -> String {
        inside(&self.0, argv, "")
    }

    /// A UDP socket of this process, but of this namespace.
    pub fn socket(&self, address: SocketAddr) -> UdpSocket {
        self.enter(|| UdpSocket::bind(address)).unwrap()
    }

    /// Starts a program here, with this environment; its output goes to a file. Its standard input
    /// is a pipe. It is killed with the thread that starts it, even if that is by SIGKILL.
    pub fn spawn(&self, argv: &[&str], env: &[(&str, &str)], output: &Path) -> Child {
        let output = File::options().create(true).append(true).open(output).unwrap();
        self.program(argv)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap()
    }

    /// A program to be started here, that is killed as [`Namespace::spawn`] says.
    pub fn program(&self, argv: &[&str]) -> Command {
        let prefix = self.prefix();
        let mut program = Command::new(&prefix[0]);
        program.args(&prefix[1..]).args(argv);
        program
    }

    /// What to put in front of such a program.
    pub fn prefix(&self) -> Vec<String> {
        let argv = ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", &self.0];
        argv.map(str::to_owned).to_vec()
    }

    /// Waits until that many devices are up, as the kernel tells programs: one that starts before
    /// sees no interface.
    pub fn await_carrier(&self, devices: usize) {
        for _ in 0..1000 {
            let up = self.output(&["ip", "-o", "link", "show", "up"]);
            if up.lines().filter(|l| l.contains("state UP")).count() == devices {
                return;
            }
            thread::sleep(std::time::Duration::from_millis(4));
        }
        panic!("the devices do not come up in {}", self.0);
    }

    /// Acts on a thread of its own, since it is threads that are in namespaces.
    fn enter<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(Path::new("/run/netns").join(&self.0)).unwrap();
        let act = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).unwrap();
            act()
        };
        thread::scope(|scope| scope.spawn(act).join().unwrap())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = command("ip", &["netns", "del", &self.0], "");
    }
}

impl Turn {
    /// Waits while too many others are at work.
    pub fn take() -> Self {
        let free = FREE.0.lock().unwrap();
        let mut free = FREE.1.wait_while(free, |free| *free == 0).unwrap();
        *free -= 1;
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *FREE.0.lock().unwrap() += 1;
        FREE.1.notify_one();
    }
}

static FREE: (Mutex<u32>, Condvar) = (Mutex::new(4), Condvar::new());

fn unique_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}{}-{count}", std::process::id())
}

/// Removes the namespaces of processes that were killed outright.
fn remove_stale() {
    let list = command("ip", &["netns", "list"], "").unwrap_or_default();
    for name in list.lines().filter_map(|l| l.split_whitespace().next()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let gone = |pid: &str| !Path::new("/proc").join(pid).exists();
        if process.is_some_and(gone) {
            let _ = command("ip", &["netns", "del", name], "");
        }
    }
}

fn ip(args: &[&str]) {
    command("ip", args, "").unwrap();
}

fn inside(namespace: &str, argv: &[&str], input: &str) -> String {
    command("ip", &[&["netns", "exec", namespace], argv].concat(), input).unwrap()
}

fn command(program: &str, args: &[&str], input: &str) -> Result<String, String> {
    let failed = |e: &dyn std::fmt::Display| format!("{program} {}: {e}", args.join(" "));
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(&e))?;
    // A program that does not read its input has ended, which its status tells.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().map_err(|e| failed(&e))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(&String::from_utf8_lossy(&output.stderr).trim()))
}

const PREFIX: &str = "roverrtc-";
