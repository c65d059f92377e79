//! What `docs/troubleshooting.md` says that programs print stands in the sources.

use std::path::Path;

use crate::guide::{prose, root};

const PAGE: &str = "docs/troubleshooting.md";

#[test]
fn messages_are_those_of_the_program() {
    let sources = sources();
    let mut seen = 0;
    for message in messages() {
        let parts = parts(&message);
        assert!(!parts.is_empty(), "{message:?} says nothing");
        for part in parts {
            // Behind a colon stands what another place in the sources says.
            let is_there = |text: &str| sources.contains(text) || OF_THE_SYSTEM.contains(&text);
            let found = is_there(&part) || part.split(": ").all(is_there);
            assert!(found, "{PAGE}: {message:?}: no {part:?} in the sources");
        }
        seen += 1;
    }
    assert!(seen > 50, "only {seen} messages");
}

/// The first cells of tables, and code in the text that is a sentence.
fn messages() -> Vec<String> {
    let mut messages = Vec::new();
    for line in prose(PAGE) {
        let is_row = line.starts_with("| `");
        let codes = line.split('`').skip(1).step_by(2);
        for (i, code) in codes.enumerate() {
            let words =
                code.split(' ').filter(|w| w.len() > 1 && w.chars().all(char::is_lowercase));
            if is_row && i == 0 || words.count() >= 4 {
                messages.push(code.to_owned());
            }
        }
    }
    messages
}

/// What is left of a message without what it is about: words in capitals, numbers, and dots.
fn parts(message: &str) -> Vec<String> {
    let is_name = |word: &str| {
        let signals = word.trim_matches(|c: char| !c.is_alphanumeric());
        !signals.is_empty() && signals.chars().all(|c| !c.is_lowercase()) || word == "..."
    };
    let mut parts = vec![Vec::new()];
    for word in message.split(' ') {
        if is_name(word) { parts.push(Vec::new()) } else { parts.last_mut().unwrap().push(word) }
    }
    let parts = parts.into_iter().map(|words| words.join(" "));
    let parts = parts.map(|part| part.trim_matches([' ', ':', ',', '(', ')', ';']).to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

/// The sources in one text without comments, whose strings have no breaks.
fn sources() -> String {
    let mut text = String::new();
    collect(&root().join("rover-rtc/src"), &mut text);
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = code.flat_map(|line| [line, "\n"]).collect::<String>();
    let mut pieces = code.split("\\\n");
    let mut joined = pieces.next().unwrap_or_default().to_owned();
    pieces.for_each(|piece| joined.push_str(piece.trim_start()));
    joined.replace("\\\"", "\"")
}

fn collect(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, text);
        } else if path.extension().is_some_and(|e| e == "rs") {
            *text += &std::fs::read_to_string(path).unwrap();
        }
    }
}

/// Words of the operating system.
const OF_THE_SYSTEM: [&str; 1] = ["Connection refused (os error"];

#[test]
fn a_message_is_what_does_not_change_in_it() {
    let text = "NAME was not reached in time: NAME is not at the hub";
    assert_eq!(parts(text), ["was not reached in time", "is not at the hub"]);
    assert_eq!(parts("FILE, line NUMBER: ..."), ["line"]);
}
