//! The C++ header (`cpp/wrapper.cpp`): with exceptions and without, in both compilers, and with
//! every access checked.

use std::process::Command;
use std::time::Duration;

use crate::rig::{compile, has, run, scratch, text};

#[test]
fn works_in_each_way_of_compiling_it() {
    let folder = scratch("wrapper");
    let strict = ["-Wshadow", "-Wconversion", "-O1"];
    let plain = ["-fno-exceptions", "-DROVER_RTC_NO_EXCEPTIONS"];
    let checked = ["-fsanitize=address,undefined"];
    let ways: [(&str, &str, &[&str]); 4] = [
        ("g++", "-std=c++17", &checked),
        ("g++", "-std=c++20", &plain),
        ("clang++", "-std=c++17", &plain),
        ("clang++", "-std=c++20", &[]),
    ];
    for (number, (compiler, standard, more)) in ways.into_iter().enumerate() {
        if !has(compiler) {
            continue;
        }
        let flags: Vec<_> = strict.iter().chain([&standard]).chain(more).copied().collect();
        let program = folder.join(format!("wrapper-{number}"));
        compile(compiler, &flags, "tests/ffi/cpp/wrapper.cpp", &program);
        let output = run(&mut Command::new(&program), Duration::from_secs(60));
        let text = text(&output);
        assert!(output.status.success() && text.ends_with("ok\n"), "{compiler} {flags:?}: {text}");
    }
}

#[test]
fn the_example_builds_and_says_how_it_is_used() {
    let program = scratch("teleop").join("teleop");
    if !has("g++") {
        return;
    }
    compile("g++", &["-std=c++17", "-O1"], "examples/cpp/teleop.cpp", &program);
    let output = run(Command::new(&program).arg("--help"), Duration::from_secs(10));
    assert!(output.status.success() && text(&output).contains("operator"));
    let wrong = run(Command::new(&program).arg("--bogus"), Duration::from_secs(10));
    assert_eq!(wrong.status.code(), Some(2));
}
