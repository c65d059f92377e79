//! For the robot's own processor: the library is built for 64-bit ARM by Debian's cross compiler,
//! and the tests of the C interface run there, in emulation.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::rig::{has, root, run, scratch, text};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const COMPILER: &str = "aarch64-linux-gnu-gcc";
/// Debian's place for the C library of the target.
const SYSROOT: &str = "/usr/aarch64-linux-gnu";

fn rust_has_target() -> bool {
    let mut rustc = Command::new("rustc");
    let rustc = rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let folder = text(&run(rustc, Duration::from_secs(20)));
    let found = Path::new(folder.trim()).is_dir();
    if !found {
        eprintln!("Rust's {TARGET} is not there (rustup target add {TARGET}): skipped");
    }
    found
}

#[test]
fn is_built_for_64_bit_arm_and_works_there() {
    if !rust_has_target() || !has(COMPILER) {
        return;
    }
    let folder = scratch("cross");
    let mut install = Command::new(root().join("install.sh"));
    install
        .args(["--profile", "dev", "--target", TARGET, "--prefix"])
        .arg(&folder)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", COMPILER)
        .env("CC_aarch64_unknown_linux_gnu", COMPILER);
    let output = run(&mut install, Duration::from_secs(1500));
    assert!(output.status.success(), "{}", text(&output));

    let program = folder.join("api");
    let mut compile = Command::new(COMPILER);
    compile
        .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(root().join("tests/ffi/c/api.c"))
        .arg(format!("-I{}", folder.join("include").display()))
        .arg(format!("-L{}", folder.join("lib").display()))
        .args(["-lrover_rtc", "-lpthread"]);
    let output = run(&mut compile, Duration::from_secs(120));
    assert!(output.status.success(), "{}", text(&output));

    if !has("qemu-aarch64") {
        return;
    }
    for test in ["functions", "carried", "misuse", "free_while_waiting", "wake"] {
        let mut emulated = Command::new("qemu-aarch64");
        emulated.args(["-L", SYSROOT, "-E"]);
        emulated.arg(format!("LD_LIBRARY_PATH={}", folder.join("lib").display()));
        let output = run(emulated.arg(&program).arg(test), Duration::from_secs(120));
        let text = text(&output);
        assert!(output.status.success() && text.ends_with("ok\n"), "{test}: {text}");
    }
    let _ = std::fs::remove_dir_all(folder);
}
