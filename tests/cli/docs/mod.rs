//! The guide says nothing that the program does not do: its examples, tables, messages and links
//! are compared with the code. Examples in Rust are documentation tests, those in C are in
//! `tests/ffi`, those in Python in `tests/python`.

mod commands;
mod links;
mod messages;
mod output;
mod settings;

use crate::guide::{blocks, guide, prose, read};

/// Blocks of other languages would be looked at by nobody.
#[test]
fn every_example_says_what_it_is() {
    for page in guide() {
        for block in blocks(&page) {
            assert!(LANGUAGES.contains(&&*block.language), "{}: {:?}", block.place, block.language);
        }
        // Indented ones have no language, and are Rust to rustdoc.
        let mut before = String::new();
        for line in prose(&page) {
            let code = line.starts_with("    ") && before.is_empty();
            assert!(!code, "{page}: an indented block: {line:?}");
            before = line;
        }
    }
}

/// The pages whose examples in Rust are compiled are named in the library.
#[test]
fn every_example_in_rust_is_compiled() {
    let compiled = read("rover-rtc/src/lib.rs");
    for page in guide() {
        if blocks(&page).iter().any(|block| block.language == "rust") {
            let line = format!("include_str!(\"../../{page}\")");
            assert!(compiled.contains(&line), "{page}: rover-rtc/src/lib.rs has no {line}");
        }
    }
}

/// What is to be read as a whole; the program's own words are JSON.
#[test]
fn json_can_be_read() {
    for page in guide() {
        for block in blocks(&page).iter().filter(|block| block.language == "json") {
            let value = serde_json::from_str::<serde_json::Value>(&block.text);
            assert!(value.is_ok(), "{}: {value:?}", block.place);
        }
    }
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 220, "{lines} lines: move something to docs/");
}

const LANGUAGES: [&str; 10] =
    ["c", "cmake", "console", "cpp", "json", "python", "rust", "sh", "text", "toml"];
