//! What a rover keeps between its starts.

use crate::output::OPEN;
use crate::process::{Hub, Line, Program, free_port};
use crate::scratch::Scratch;

fn run(args: &str, variables: &[(&str, &str)]) -> (Option<i32>, Vec<Line>) {
    let mut program = Program::start_with(args, variables);
    let (code, _) = program.wait();
    (code, program.lines())
}

#[test]
fn a_named_rover_keeps_its_key() {
    let dir = Scratch::new();
    let (home, state) = (dir.path("home"), dir.path("state"));
    // No hub: it would hold the name for the first key.
    let args = format!("peer --bind 127.0.0.1 --server {} --name rover-1", free_port());
    let key = |variables: &[(&str, &str)]| {
        let mut rover = Program::start_with(&args, variables);
        let key = rover.after("Rover rover-1, key ");
        rover.after("Event: Trouble(");
        rover.signal("TERM");
        assert_eq!(rover.wait().0, Some(0));
        let told = rover.lines().iter().any(|l| l.text.starts_with("There is no home directory"));
        assert_eq!(told, variables.is_empty());
        key
    };
    let first = key(&[("HOME", &home)]);
    assert_eq!(key(&[("HOME", &home)]), first);
    let file = "home/.local/state/rover-rtc/rover-1/identity.pem";
    assert!(dir.read(file).is_some());
    let second = key(&[("HOME", &home), ("XDG_STATE_HOME", &state)]);
    assert!(second != first && dir.read("state/rover-rtc/rover-1/identity.pem").is_some());
    assert!(key(&[]) != key(&[]));
}

#[test]
fn a_state_directory_in_use_is_an_error() {
    let (hub, dir) = (Hub::start(), Scratch::new());
    let args = format!("--name rover-1 --state {}", dir.path("one"));
    let first = hub.peer(&args);
    first.after(OPEN);
    let mut second = hub.peer(&args);
    assert_eq!(second.wait().0, Some(1));
    let lines = second.lines();
    let error = lines.iter().find(|l| l.error && l.text.starts_with("rover-rtc: ")).unwrap();
    assert!(error.text.contains(&dir.path("one")) && error.text.contains("in use"), "{error:?}");
    let (code, lines) = run(&format!("forget rover-2 --state {}", dir.path("one")), &[]);
    assert_eq!(code, Some(1));
    assert!(lines[0].error && lines[0].text.contains("stop that rover first"), "{lines:?}");
}

#[test]
fn a_key_is_shown_as_a_line_of_a_roster() {
    let (hub, dir) = (Hub::start(), Scratch::new());
    let home = [("HOME", &*dir.path(""))];
    let (code, shown) = run("key --name rover-1", &home);
    assert_eq!((code, shown.len()), (Some(0), 1));
    let (name, key) = shown[0].text.split_once(' ').unwrap();
    assert_eq!(name, "rover-1");
    let state = dir.path(".local/state/rover-rtc/rover-1");
    assert_eq!(run(&format!("key --state {state}"), &[]).1[0].text, key);
    let roster = dir.write("fleet.txt", &format!("{}\n", shown[0].text));

    let one = hub.peer(&format!("--name rover-1 --state {state} --every 50"));
    assert_eq!(one.after("Rover rover-1, key "), key);
    // Also while it is in use.
    assert_eq!(run("key --name rover-1", &home).1[0].text, shown[0].text);
    let two = format!("--name rover-2 --no-state --every 50 --to rover-1 --roster {roster}");
    hub.peer(&two).nth_after(3, "rover-1: Payload: ");

    let (code, lines) = run("key", &[]);
    assert!(code == Some(2) && lines[0].error, "{lines:?}");
    let (code, lines) = run("key --name rover-1", &[]);
    assert!(code == Some(1) && lines[0].text.contains("--state is needed"), "{lines:?}");
    assert_eq!(run("key --name a/b", &home).0, Some(1));
}

#[test]
fn a_changed_key_is_refused_until_the_old_one_is_forgotten() {
    let (hub, dir) = (Hub::start(), Scratch::new());
    let caller = format!("--name rover-2 --state {} --every 50 --to rover-1", dir.path("two"));
    let call = |args: &str| hub.peer(&format!("{caller} {args}"));
    let end = |mut program: Program| {
        program.signal("INT");
        assert_eq!(program.wait().0, Some(0));
    };
    let one = hub.peer("--name rover-1 --no-state --every 50");
    let two = call("");
    two.nth_after(3, "rover-1: Payload: ");
    end(two);
    end(one);
    let _one = hub.peer("--name rover-1 --no-state --every 50");
    let mut two = call("--wait 10");
    assert_eq!(two.wait().0, Some(1));
    let changed = |l: &Line| l.error && l.text.contains("the key of rover-1 is not the one");
    assert!(two.lines().iter().any(changed), "{:#?}", two.lines());

    let forget = format!("forget rover-1 --state {}", dir.path("two"));
    let (code, lines) = run(&forget, &[]);
    assert_eq!((code, &*lines[0].text), (Some(0), "rover-1 is forgotten"));
    let (code, lines) = run(&forget, &[]);
    assert!(code == Some(1) && lines[0].text.contains("rover-1 is not known"), "{lines:?}");
    call("").nth_after(3, "rover-1: Payload: ");
}
