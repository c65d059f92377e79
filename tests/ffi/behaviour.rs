//! What C programs get, well and badly used (`c/api.c`): plainly, and with every access and every
//! allocation checked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::rig::{compile, has, run, scratch, text};

const TESTS: [&str; 9] = [
    "functions",
    "carried",
    "owned",
    "dropped",
    "misuse",
    "free_while_waiting",
    "free_from_log",
    "wake",
    "threads",
];

fn passes(program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("ASAN_OPTIONS", "detect_leaks=1")
        .env("UBSAN_OPTIONS", "halt_on_error=1");
    let output = run(&mut command, Duration::from_secs(120));
    let text = text(&output);
    assert!(output.status.success() && text.ends_with("ok\n"), "{arguments:?}: {text}");
    text
}

fn plain() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = scratch("api").join("api");
        compile("cc", &["-std=gnu11", "-O1"], "tests/ffi/c/api.c", &program);
        program
    })
}

#[test]
fn every_function_does_what_it_says() {
    passes(plain(), &["functions"]);
    passes(plain(), &["carried"]);
    passes(plain(), &["owned"]);
    passes(plain(), &["dropped"]);
    passes(plain(), &["wake"]);
}

#[test]
fn who_waits_needs_little_stack() {
    passes(plain(), &["small_stack"]);
}

#[test]
fn misuse_is_found_out() {
    passes(plain(), &["misuse"]);
}

#[test]
fn what_is_in_use_can_be_freed() {
    passes(plain(), &["free_while_waiting"]);
    passes(plain(), &["free_from_log"]);
}

#[test]
fn eight_threads_share_handles() {
    passes(plain(), &["threads"]);
}

#[test]
fn a_thousand_rounds_leave_nothing() {
    print!("{}", passes(plain(), &["rounds", "1000"]));
}

/// With the sanitizers' allocator: what is leaked, used after it was freed or written beyond is an
/// error, in the library's memory as in the program's.
#[test]
fn nothing_is_leaked_or_used_after_it_was_freed() {
    let program = scratch("asan").join("api");
    let flags = ["-std=gnu11", "-O1", "-fsanitize=address,undefined"];
    if !has("gcc") {
        return;
    }
    compile("gcc", &flags, "tests/ffi/c/api.c", &program);
    for test in TESTS {
        passes(&program, &[test]);
    }
}
