//! Rovers that call each other by name.

use crate::output::OPEN;
use crate::process::{Hub, Line, Program};

const ROVER_1: &str = "--name rover-1 --every 50 --no-state";
const ROVER_2: &str = "--name rover-2 --every 50 --no-state --to rover-1";

#[test]
fn a_rover_calls_another_and_payloads_flow_both_ways() {
    let hub = Hub::start();
    let one = hub.peer(ROVER_1);
    let two = hub.peer(ROVER_2);
    let key = one.after("Rover rover-1, key ");
    assert_eq!(two.after("Link with rover-1, key "), key);
    let key = two.after("Rover rover-2, key ");
    assert_eq!(one.after("Link with rover-2, which called, key "), key);
    for (rover, other) in [(&one, "rover-2"), (&two, "rover-1")] {
        let numbers: Vec<u64> = (1..=20)
            .map(|n| {
                let line = rover.nth_after(n, &format!("{other}: Payload: message "));
                line.split_once(' ').unwrap().0.parse().unwrap()
            })
            .collect();
        assert!(numbers.iter().copied().eq(0..20), "lost or reordered: {numbers:?}");
    }
    // The caller tells the hub's clients nothing, and does not print what they tell.
    let by_hub = |l: &Line| l.text.starts_with("Payload: ");
    assert!(!one.lines().iter().chain(&two.lines()).any(by_hub));
}

#[test]
fn several_rovers_at_once() {
    let hub = Hub::start();
    let station = hub.peer("--name station --every 50 --no-state");
    let rovers: Vec<_> = (1..=3)
        .map(|n| hub.peer(&format!("--name rover-{n} --every 50 --no-state --to station")))
        .collect();
    for (n, rover) in rovers.iter().enumerate() {
        rover.nth_after(5, "station: Payload: ");
        station.nth_after(5, &format!("rover-{}: Payload: ", n + 1));
    }
    let two = hub.peer("--name two --every 50 --no-state --to station --to rover-1");
    two.nth_after(5, "station: Payload: ");
    two.nth_after(5, "rover-1: Payload: ");
}

#[test]
fn both_call_and_there_is_one_link() {
    let hub = Hub::start();
    let one = hub.peer(&format!("{ROVER_1} --to rover-2"));
    let two = hub.peer(ROVER_2);
    one.nth_after(20, "rover-2: Payload: ");
    two.nth_after(20, "rover-1: Payload: ");
    for rover in [&one, &two] {
        let links = rover.lines().iter().filter(|l| l.text.starts_with("Link with ")).count();
        assert_eq!(links, 1);
    }
}

#[test]
fn a_rover_that_is_not_there_ends_the_program() {
    let hub = Hub::start();
    let mut rover = hub.peer(&format!("{ROVER_2} --wait 1"));
    let (code, _) = rover.wait();
    assert_eq!(code, Some(1));
    let lines = rover.lines();
    let error = lines.iter().rfind(|l| l.error && l.text.starts_with("rover-rtc: ")).unwrap();
    assert!(error.text.contains("rover-1 was not reached in time"), "{}", error.text);
    assert!(error.text.contains("not at the hub"), "{}", error.text);
}

#[test]
fn a_rover_that_comes_later_is_waited_for() {
    let hub = Hub::start();
    let mut two = hub.peer(&format!("{ROVER_2} --wait 0"));
    two.after(OPEN);
    let one = hub.peer(ROVER_1);
    two.nth_after(3, "rover-1: Payload: ");
    drop(one);
    two.signal("TERM");
    assert_eq!(two.wait().0, Some(0));
}

#[test]
fn a_rover_that_said_good_bye_is_called_again() {
    let hub = Hub::start();
    let state = crate::scratch::Scratch::new();
    let args = format!("--name rover-1 --every 50 --state {}", state.path("one"));
    let mut one = hub.peer(&args);
    let two = hub.peer(ROVER_2);
    two.nth_after(3, "rover-1: Payload: ");
    one.signal("INT");
    assert_eq!(one.wait().0, Some(0));
    two.after("rover-1: Event: Disconnected(\"rover-1 said good-bye\")");
    two.after("The link with rover-1 has ended");
    let _one = hub.peer(&args);
    two.nth_after(2, "Link with rover-1, key ");
    let seen = two.lines().iter().filter(|l| l.text.starts_with("rover-1: Payload: ")).count();
    two.nth_after(seen + 3, "rover-1: Payload: ");
}

#[test]
fn the_hubs_relay_alone_is_enough() {
    let hub = Hub::start();
    for (n, (one, two)) in [("", "--relay-only"), ("--relay-only", "")].into_iter().enumerate() {
        let one = hub.peer(&format!("--name one-{n} --every 50 --no-state {one}"));
        let two =
            hub.peer(&format!("--name two-{n} --every 50 --no-state --to one-{n} --wait 20 {two}"));
        for (rover, other) in [(&one, format!("two-{n}")), (&two, format!("one-{n}"))] {
            rover.nth_after(20, &format!("{other}: Payload: "));
            let start = format!("{other}: Event: PathSwitch ");
            let other_ways = |l: &Line| l.text.starts_with(&start) && !l.text.contains("kind: Hub");
            assert!(!rover.lines().iter().any(other_ways), "{:#?}", rover.lines());
        }
    }
}

#[test]
fn without_any_way_the_call_fails() {
    let hub = Hub::start();
    let _one = hub.peer(&format!("{ROVER_1} --no-relay"));
    let mut two = hub.peer(&format!("{ROVER_2} --wait 2 --relay-only"));
    assert_eq!(two.wait().0, Some(1));
}

#[test]
fn a_token_opens_the_hub_and_is_not_shown() {
    let secret = [("ROVER_RTC_TOKEN", "sesame")];
    let hub = Hub::start_on(std::net::SocketAddr::from(([127, 0, 0, 1], 0)), &secret);
    let args = |rest: &str| format!("peer --bind 127.0.0.1 --server {} {rest}", hub.http);
    let _one = Program::start_with(&args(ROVER_1), &secret);
    let two = Program::start(&args(&format!("{ROVER_2} --token sesame")));
    two.nth_after(3, "rover-1: Payload: ");
    let stranger = Program::start(&args("--name stranger --no-state"));
    stranger.after("Event: Trouble(");
    assert!(two.lines().iter().all(|l| !l.text.contains("sesame")));
    let mut help = Program::start_with("peer --help", &secret);
    assert_eq!(help.wait().0, Some(0));
    assert!(help.lines().iter().all(|l| !l.text.contains("sesame")));
}

#[test]
fn passwords_of_ice_servers_are_not_repeated() {
    let bad = "turn:user:sesame@host:port";
    let variable = [("ROVER_RTC_ICE_SERVERS", bad)];
    for (option, variables) in
        [(format!("--ice-server {bad}"), &[][..]), (String::new(), &variable)]
    {
        let args = format!("peer --bind 127.0.0.1 --server 127.0.0.1:9 {option}");
        let mut peer = Program::start_with(&args, variables);
        assert_eq!(peer.wait().0, Some(1));
        let lines = peer.lines();
        assert!(lines.iter().any(|l| l.error && l.text.contains("port of an ICE server")));
        assert!(lines.iter().all(|l| !l.text.contains("sesame")), "{lines:?}");
    }
    let variable = [("ROVER_RTC_ICE_SERVERS", "stun:127.0.0.1:9 turn:user:sesame@127.0.0.1:9")];
    let hub = Hub::start();
    let args = format!("peer --bind 127.0.0.1 --server {} {ROVER_1}", hub.http);
    let mut peer = Program::start_with(&args, &variable);
    peer.after(OPEN);
    peer.signal("INT");
    assert_eq!(peer.wait().0, Some(0));
    assert!(peer.lines().iter().all(|l| !l.text.contains("sesame")));
}
