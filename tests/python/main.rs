//! The Python package as its users meet it: installed by pip into an environment of its own, then
//! pytest, mypy, and the examples of the guide there. `pytest tests/python` runs the first part
//! in any environment that has the package.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    unreachable_pub,
    reason = "tests"
)]
#![cfg(target_os = "linux")]

mod environment;
#[path = "../support/docs.rs"]
mod guide;
#[path = "../support/rovers.rs"]
mod peers;
#[path = "../support/process.rs"]
mod process;
#[path = "../ffi/rig.rs"]
#[allow(dead_code, reason = "its suite uses the rest")]
mod rig;
mod rovers;
#[path = "../support/scratch.rs"]
mod scratch;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use environment::environment;
use rig::root;

/// For what does not take longer than a minute on an idle machine.
const MINUTES: Duration = Duration::from_secs(600);

#[test]
fn pytest_passes() {
    let Some(python) = environment() else { return };
    let c_rover = environment::c_rover();
    let mut pytest = python.strict(["-m", "pytest", "-p", "no:cacheprovider", "tests/python"]);
    pytest.env("ROVER_RTC_BIN", env!("CARGO_BIN_EXE_rover-rtc"));
    pytest.env("ROVER_RTC_C_ROVER", c_rover);
    environment::done("pytest", &mut pytest, 2 * MINUTES);
}

#[test]
fn types_are_right() {
    let Some(python) = environment() else { return };
    let mut checked = vec!["tests/python"];
    // What uses the package has to fit its types, too.
    checked.extend(root().join("examples/python").exists().then_some("examples/python"));
    let cache = python.cache();
    let strict = ["-m", "mypy", "--strict", "--cache-dir", &cache];
    let package = ["--package", "rover_rtc"];
    for what in [&package[..], &checked] {
        let mut mypy = python.command(strict.iter().chain(what));
        let tests = root().join("tests/python");
        let paths = [tests.clone(), tests.join("stand_ins")];
        mypy.env("MYPYPATH", std::env::join_paths(paths).unwrap());
        environment::done("mypy", &mut mypy, MINUTES);
    }
    let mut stubtest = python.command(["-m", "mypy.stubtest", "rover_rtc._native"]);
    environment::done("stubtest", &mut stubtest, MINUTES);
}

/// What a reader tries first. Those that need no other machine run as they are; the rest fits the
/// package's types.
#[test]
fn examples_of_the_guide_work() {
    let Some(python) = environment() else { return };
    let mut pages = guide::guide();
    pages.push("rover-rtc-py/README.md".to_owned());
    let folder = rig::scratch("docs");
    let mut files = Vec::new();
    for (number, block) in guide::blocks_in(&pages, &["python"]).iter().enumerate() {
        let file = folder.join(format!("example_{number}.py"));
        std::fs::write(&file, &block.text).unwrap();
        let file = file.to_str().unwrap().to_owned();
        if block.text.contains("rover_rtc.serve(") {
            let mut example = python.strict([&file]);
            environment::done(&block.place, &mut example, MINUTES / 10);
        }
        files.push(file);
    }
    assert!(files.len() > 4, "{files:?}");
    let cache = python.cache();
    let options = ["-m", "mypy", "--check-untyped-defs", "--cache-dir", &cache];
    let mut mypy = python.command(options.into_iter().chain(files.iter().map(String::as_str)));
    environment::done("mypy on the guide", &mut mypy, MINUTES);
}
