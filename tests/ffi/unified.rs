//! What the tests build of the libraries for C and Python is made of the same dependencies as the
//! tests, so that nothing is compiled twice: see `tests/unify`.

use std::collections::BTreeSet;
use std::process::Command;

use crate::rig::{root, text};

/// Names, versions and features of all that a build consists of, but for the workspace's own
/// packages.
fn tree(arguments: &[&str]) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--prefix", "none", "--format", "{p} {f}"]);
    let output = cargo.args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
    let own = root().to_str().unwrap().to_owned();
    let lines = lines.map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.contains(&own));
    lines.map(str::to_owned).collect()
}

#[test]
fn no_dependency_is_built_twice() {
    let tests = tree(&["--edges", "normal,build,dev"]);
    let names: BTreeSet<_> = tests.iter().filter_map(|line| line.split(' ').next()).collect();
    for library in [
        ["--package", "rover-rtc-ffi", "--features", "unified"],
        ["--package", "rover-rtc-py", "--features", "abi3,unified"],
    ] {
        let parts = tree(&[&library[..], &["--edges", "normal,build"]].concat());
        let others: Vec<_> = parts
            .difference(&tests)
            .filter(|line| line.split(' ').next().is_some_and(|name| names.contains(name)))
            .collect();
        assert!(
            others.is_empty(),
            "{library:?} has other features than `cargo test`: add what is missing to \
             tests/unify/Cargo.toml: {others:#?}"
        );
        assert!(parts.len() > 100, "{parts:?}");
    }
}
