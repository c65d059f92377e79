//! Each command of an example is one: the program's own parser reads those of `rover-rtc`; of
//! cargo's and of the scripts, what they name has to be there.

use std::process::Command;

use crate::guide::{Block, blocks_in, guide, read, root};

#[test]
fn commands_are_understood() {
    let mut pages = guide();
    pages.push("CONTRIBUTING.md".to_owned());
    let mut seen = 0;
    for block in blocks_in(&pages, &["sh", "console"]) {
        for words in commands(&block) {
            check(&words).unwrap_or_else(|why| panic!("{}: {words:?}: {why}", block.place));
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} commands");
}

/// The words of each command of a block.
fn commands(block: &Block) -> Vec<Vec<String>> {
    let text = match &*block.language {
        "console" => {
            let typed = block.text.lines().filter_map(|line| line.strip_prefix("$ "));
            typed.collect::<Vec<_>>().join("\n")
        }
        _ => block.text.clone(),
    };
    shell(&text)
}

/// A small part of a shell's grammar: words, quotes, comments, what ends a command, and files that
/// take its output.
fn shell(text: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words) = (Vec::new(), Vec::new());
    let mut word = None::<String>;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.next_if_eq(&'\n').is_some() => {}
            '\'' | '"' => {
                let quoted = chars.by_ref().take_while(|end| *end != c);
                word.get_or_insert_default().extend(quoted);
            }
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            c if c.is_whitespace() || "&|;>".contains(c) => {
                words.extend(word.take());
                if !(c == ' ' || c == '>') {
                    commands.push(std::mem::take(&mut words));
                }
                if c == '>' {
                    while chars.next_if(|c| "> ".contains(*c)).is_some() {}
                    while chars.next_if(|c| !c.is_whitespace()).is_some() {}
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    commands.push(words);
    // Variables in front of a command, or alone.
    let is_set = |word: &String| {
        let name = word.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
    };
    let bare = |words: Vec<String>| words.into_iter().skip_while(is_set).collect();
    commands.into_iter().map(bare).filter(|words: &Vec<_>| !words.is_empty()).collect()
}

fn check(words: &[String]) -> Result<(), String> {
    let (program, args) = words.split_first().ok_or("nothing")?;
    match (&**program, args) {
        ("rover-rtc" | "target/release/rover-rtc", args) => parse(args),
        ("python", [m, module, args @ ..]) if m == "-m" && module == "rover_rtc" => parse(args),
        ("cargo", [first, args @ ..]) => cargo(first, args),
        (script, args) if script.contains('/') => run_by(script, args),
        (known, _) if FOREIGN.contains(&known) => Ok(()),
        _ => Err("a program that this test does not know".to_owned()),
    }
}

/// As the program itself does it.
fn parse(args: &[String]) -> Result<(), String> {
    // A variable holds a number here.
    let values = args.iter().map(|word| if word.starts_with('$') { "1" } else { word.as_str() });
    let words = std::iter::once("rover-rtc").chain(values);
    match rover_rtc::cli::command().try_get_matches_from(words) {
        Err(error) if error.use_stderr() => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn cargo(command: &str, args: &[String]) -> Result<(), String> {
    if !CARGO.contains(&command) {
        return Err(format!("no command of cargo that this test knows: {command}"));
    }
    let (mut own, mut rest) = (args.iter().peekable(), Vec::new());
    while let Some(word) = own.next() {
        let kind = match &**word {
            "--" => {
                rest.extend(own.by_ref().cloned());
                break;
            }
            "--test" | "--bench" | "--example" => word.trim_start_matches('-'),
            "-p" | "--package" => "package",
            option if option.starts_with('-') => continue,
            _ => {
                rest.push(word.clone());
                // What is behind the program's first word is the program's.
                rest.extend(own.by_ref().filter(|word| *word != "--").cloned());
                break;
            }
        };
        let name = own.next().ok_or("a name is missing")?;
        let manifests = ["rover-rtc", "rover-rtc-ffi", "rover-rtc-py"];
        let manifests = manifests.map(|name| read(&format!("{name}/Cargo.toml")));
        let (one, many) = (format!("[{kind}]"), format!("[[{kind}]]"));
        let wanted = [one, many].map(|head| format!("{head}\nname = \"{name}\""));
        if !manifests.iter().any(|text| wanted.iter().any(|w| text.contains(w))) {
            return Err(format!("there is no {kind} {name}"));
        }
    }
    if command == "run" && !args.iter().any(|word| word == "--example") {
        return parse(&rest);
    }
    Ok(())
}

/// A script of ours: its help names each option.
fn run_by(script: &str, args: &[String]) -> Result<(), String> {
    let path = root().join(script);
    let help = Command::new(&path).arg("--help").output();
    let help = help.map_err(|error| format!("{}: {error}", path.display()))?;
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for option in args.iter().filter(|word| word.starts_with("--")) {
        if !help.split([' ', ',', '\n', '[', ']']).any(|word| word == option) {
            return Err(format!("{script} --help does not name {option}"));
        }
    }
    if script == "scripts/long.sh" {
        let rows = Command::new(&path).arg("--list").output().unwrap();
        let rows = String::from_utf8_lossy(&rows.stdout).into_owned();
        let is_row = |name: &&String| rows.lines().any(|row| row.split(' ').next() == Some(name));
        let named = args.iter().find(|word| !word.starts_with('-') && **word != "ROW");
        if named.is_some_and(|name| !is_row(&name)) {
            return Err(format!("no row {named:?}"));
        }
    }
    Ok(())
}

const CARGO: [&str; 11] = [
    "bench",
    "build",
    "clippy",
    "deny",
    "doc",
    "fmt",
    "package",
    "publish",
    "run",
    "semver-checks",
    "test",
];

/// Programs of others, whose options are their affair.
const FOREIGN: [&str; 11] =
    ["curl", "git", "jq", "maturin", "mypy", "pip", "pytest", "python", "sysctl", "tar", "twine"];

#[test]
fn the_shell_is_understood() {
    let text = "A=1 b 'c d' \\\n  --e > f & hub=$! # g\nh | j -k\n";
    let words = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
    assert_eq!(shell(text), [words(&["b", "c d", "--e"]), words(&["h"]), words(&["j", "-k"])]);
}

/// A check that takes everything is none.
#[test]
fn what_is_wrong_is_found() {
    for wrong in [
        "rover-rtc fly",
        "rover-rtc peer --unknown",
        "rover-rtc peer --to rover-1",
        "rover-rtc send file --to rover-1",
        "rover-rtc server --relay-rate fast",
        "cargo run --release dem",
        "cargo run peer -- --unknown",
        "cargo run --example none",
        "cargo test --test none",
        "./install.sh --unknown",
        "scripts/none.sh",
        "unheard of",
    ] {
        let words = shell(wrong).remove(0);
        assert!(check(&words).is_err(), "{wrong}");
    }
}
