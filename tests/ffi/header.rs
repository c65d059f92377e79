//! The header is what the crate says.

use std::fs;
use std::path::Path;

use crate::rig::root;

/// The crate's sources, in the order in which a reader wants them.
const SOURCES: [&str; 10] =
    ["version", "status", "guard", "log", "config", "object", "event", "peer", "link", "channel"];
const MORE: [&str; 2] = ["stats", "server"];

fn generated() -> String {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config).with_header(HEAD);
    for source in SOURCES.into_iter().chain(MORE) {
        builder = builder.with_src(crate_dir.join(format!("src/{source}.rs")));
    }
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    let text = String::from_utf8(text).unwrap();
    // What Rust calls safety is what a C program has to see to.
    text.replace(" * # Safety\n *\n", " * Needs:\n")
}

#[test]
fn the_header_is_up_to_date() {
    let path = root().join("include/rover_rtc.h");
    let now = generated();
    if std::env::var_os("ROVER_RTC_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &now).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    let line = now.lines().zip(committed.lines()).position(|(now, then)| now != then);
    assert!(
        now == committed,
        "include/rover_rtc.h is not what the crate says, from line {:?} on: \
         ROVER_RTC_BLESS=1 cargo test -p rover-rtc-ffi --test ffi header",
        line.map(|line| line + 1),
    );
}

#[test]
fn everything_in_the_header_is_explained() {
    let text = generated();
    let mut before = "";
    for (number, line) in text.lines().enumerate() {
        let is_item = line.starts_with("#define ROVER_RTC_") && line != "#define ROVER_RTC_H"
            || line.starts_with("typedef ")
            || line.starts_with("rover_rtc_status rover_rtc_")
            || line.starts_with("void rover_rtc_")
            || line.starts_with("const char *rover_rtc_")
            || line.starts_with("    ") && line.ends_with(';') && !line.contains(')');
        if is_item {
            assert!(before.ends_with("*/"), "line {}: {line:?} is not explained", number + 1);
        }
        before = line.trim_end();
    }
}

const HEAD: &str = "\
/*
 * rover-rtc for C and C++: the link that keeps a robot connected.
 *
 * Made by cbindgen from the crate rover-rtc-ffi: change it there.
 *
 * Conventions
 * - Functions return a status: ROVER_RTC_OK (0), a positive piece of information (ROVER_RTC_AGAIN), or a
 *   negative error, of which rover_rtc_last_error() of the same thread says more. Results go where a
 *   pointer says, and only if the call succeeded, unless a function says otherwise.
 * - All functions may be called from any thread at any time, even the ones that free. Nothing of the
 *   program's runs on the library's threads but the callbacks for logging and waking, and from those only
 *   the functions may be called that say so.
 * - A handle looks like a pointer, is none, and must not be dereferenced. One that was freed or made up
 *   is refused with ROVER_RTC_BAD_HANDLE.
 * - What is passed in is copied before the call returns. Texts are UTF-8 and end with a NUL.
 * - Structs begin with struct_size, so that fields can be added at their end. The ..._init() functions
 *   set it; set it to the sizeof of the others before each use, with the rest zero.
 * - Nothing blocks but the functions with a time-out, those that free (some seconds at most), _new (which
 *   may read files), those of a server (a second at most), and, for some microseconds, those that ask the
 *   library's thread: _accept_answer, _call, _open, _stats, _paths and _link_fingerprint.
 */";
