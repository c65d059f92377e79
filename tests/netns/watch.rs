//! The watch tells of each change of the rover's interfaces, addresses and routes at once.

use std::time::Duration;

use rover_rtc::net::InterfaceWatch;

use super::lab::{Lab, Side};
use super::process::Program;
use super::role::time;
use super::scene::{pause, say};
use super::support;

#[test]
fn changes_are_reported() {
    if let Some(what) = Lab::lacks() {
        return support::missing(&what);
    }
    let lab = Lab::new(2);
    let watch = Watch::start(&lab);
    // What came before is over, and nothing is made up.
    pause(2000);
    let before = watch.all();
    pause(1000);
    assert_eq!(watch.all(), before, "a report without a change");

    watch.expect("address added", || lab.add_address(1, Side::Rover, ADDRESS));
    watch.expect("address removed", || lab.remove_address(1, Side::Rover, ADDRESS));
    watch.expect("default route added", || lab.set_default_route(1, 100));
    watch.expect("default route replaced", || lab.set_default_route(2, 100));
    let reports = watch.expect("200 routes added", || add_routes(&lab, 200));
    assert!(reports <= 20, "many changes at once make few reports, not {reports}");
    watch.expect("link down", || lab.link_down(1, Side::Rover));
    watch.expect("link up", || lab.link_up(1, Side::Rover));

    // The kernel may drop messages, so there is a report now and then without any.
    pause(2000);
    let last = KINDS.map(|kind| *watch.reports(kind).last().unwrap());
    pause(InterfaceWatch::FALLBACK.as_millis() as u64);
    for (kind, last) in KINDS.into_iter().zip(last) {
        let next = watch.reports(kind).into_iter().find(|t| *t > last);
        let after = Duration::from_micros(next.expect("a report without a change") - last);
        say("watch", &format!("{kind}, no change: after {after:?}"));
        let range = InterfaceWatch::FALLBACK..InterfaceWatch::FALLBACK + LIMIT;
        assert!(range.contains(&after), "{kind}: {after:?}");
    }
}

#[test]
fn what_the_kernel_had_no_room_for_is_reported() {
    if let Some(what) = Lab::lacks() {
        return support::missing(&what);
    }
    let lab = Lab::new(1);
    let watch = start(&lab, BUSY);
    add_routes(&lab, 5000);
    let sockets = lab.output(Side::Rover, &["cat", "/proc/net/netlink"]);
    let dropped = |line: &str| line.split_whitespace().nth(8)?.parse::<u64>().ok();
    let dropped: u64 = sockets.lines().filter_map(dropped).sum();
    assert!(dropped > 0, "the kernel had room: {sockets}");
    // All of it is one report, and the watch goes on.
    assert_eq!(watch.after("reports "), "1");
    let start = time();
    lab.add_address(1, Side::Rover, ADDRESS);
    let changed: u64 = watch.after("changed ").parse().unwrap();
    let after = Duration::from_micros(changed - start);
    say("watch", &format!("{dropped} messages dropped; next change after {after:?}"));
    assert!(after <= LIMIT, "{after:?}");
}

/// The part of these tests that runs in the namespace.
#[test]
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { if role == BUSY { be_busy().await } else { listen().await } });
}

/// Two watches print when they report.
async fn listen() {
    let (mut steady, mut hasty) = (InterfaceWatch::new(), InterfaceWatch::new());
    // The harness may have begun the line.
    println!("\nready");
    let steady = async {
        loop {
            steady.changed().await;
            println!("{STEADY} {}", time());
        }
    };
    let hasty = async {
        loop {
            let call = tokio::time::timeout(Duration::from_millis(2), hasty.changed());
            if call.await.is_ok() {
                println!("{HASTY} {}", time());
            }
        }
    };
    tokio::select! {
        () = steady => {}
        () = hasty => {}
    }
}

/// Does not listen for a second.
async fn be_busy() {
    let mut watch = InterfaceWatch::new();
    println!("\nready");
    pause(1000);
    let mut reports = 0;
    while tokio::time::timeout(Duration::from_millis(500), watch.changed()).await.is_ok() {
        reports += 1;
    }
    println!("reports {reports}");
    watch.changed().await;
    println!("changed {}", time());
}

/// The watches in the rover's namespace, and what they report.
struct Watch(Program);

impl Watch {
    fn start(lab: &Lab) -> Self {
        Self(start(lab, "listen"))
    }

    /// Makes a change, which each watch must report in time; returns the most reports of one.
    fn expect(&self, what: &str, change: impl FnOnce()) -> usize {
        let start = time();
        change();
        let done = time();
        // Long enough for the echoes of the change, so that the next one starts in silence: the
        // kernel may tell the state of a link only a second later.
        pause(1200);
        let reports = KINDS.map(|kind| {
            let mut since = self.reports(kind);
            since.retain(|t| *t >= start);
            let first = since.first().unwrap_or_else(|| panic!("{kind}: no report of: {what}"));
            let after = Duration::from_micros(first.saturating_sub(done));
            say("watch", &format!("{kind}, {what}: after {after:?}, {} reports", since.len()));
            assert!(after <= LIMIT, "{kind}, {what}: {after:?}");
            since.len()
        });
        reports.into_iter().max().unwrap()
    }

    fn all(&self) -> [Vec<u64>; 2] {
        KINDS.map(|kind| self.reports(kind))
    }

    /// When a watch has reported.
    fn reports(&self, kind: &str) -> Vec<u64> {
        let time = |text: &str| text.strip_prefix(kind)?.trim().parse().ok();
        self.0.lines().iter().filter_map(|line| time(&line.text)).collect()
    }
}

fn start(lab: &Lab, role: &str) -> Program {
    let program = std::env::current_exe().unwrap();
    let argv = [program.to_str().unwrap(), "--exact", "watch::role", "--nocapture"];
    let mut program = lab.at(Side::Rover).program(&argv);
    program.env(ROLE, role);
    let program = Program::spawn(program);
    program.after("ready");
    program
}

fn add_routes(lab: &Lab, count: u32) {
    let add = "for i in $(seq $0); do echo route add 192.0.$((i / 250)).$((i % 250)) dev rv1; done \
               | ip -batch -";
    lab.output(Side::Rover, &["sh", "-c", add, &count.to_string()]);
}

/// One watch is waited for, the other one asked again every 2 ms, so that most calls are
/// cancelled.
const KINDS: [&str; 2] = [STEADY, HASTY];
const STEADY: &str = "steady";
const HASTY: &str = "hasty";

/// From a change to its report, at most.
const LIMIT: Duration = Duration::from_millis(100);

const ADDRESS: &str = "10.78.1.77";
const ROLE: &str = "ROVER_WATCH_ROLE";
const BUSY: &str = "busy";
