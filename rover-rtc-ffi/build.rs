//! Gives the shared library the name under which programs that link it look for it.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    // A new major version is a new library; `install.sh` makes the links.
    let major = env!("CARGO_PKG_VERSION_MAJOR");
    let name = match os.as_str() {
        "linux" | "freebsd" | "netbsd" | "openbsd" | "dragonfly" => {
            format!("-Wl,-soname,librover_rtc.so.{major}")
        }
        "macos" => format!("-Wl,-install_name,@rpath/librover_rtc.{major}.dylib"),
        // Android's linker knows no versions, and Windows' libraries no such name.
        _ => return,
    };
    println!("cargo::rustc-cdylib-link-arg={name}");
}
