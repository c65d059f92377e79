//! What is installed and packed: names and links, pkg-config, CMake, symbols, and the Debian
//! packages.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::rig::{finish, has, library, root, run, text};
use crate::scratch::Scratch;
use crate::support::missing;

/// What `install.sh` installs, once for all tests that run at the same time: it is large.
fn installed() -> Arc<Scratch> {
    static INSTALLED: Mutex<Weak<Scratch>> = Mutex::new(Weak::new());
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    installed.upgrade().unwrap_or_else(|| {
        let folder = Arc::new(Scratch::new());
        let prefix = folder.path("");
        // With what is compiled already: see tests/unify.
        let like_tests = ["--profile", "dev", "--features", "unified"];
        done(script("install.sh").args(like_tests).args(["--prefix", &prefix]));
        *installed = Arc::downgrade(&folder);
        folder
    })
}

/// A program that ends in time, and with it all that it has started.
fn program(name: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "5", PATIENCE_S, name]).env_remove("CARGO_BUILD_TARGET");
    command
}

fn script(name: &str) -> Command {
    program(root().join(name).to_str().unwrap())
}

/// What it has printed, both streams together, if all went well.
fn done(command: &mut Command) -> String {
    let output = run(command, PATIENCE);
    let text = text(&output);
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

fn pkg_config(prefix: &Scratch, arguments: &[&str]) -> Vec<String> {
    let mut command = program("pkg-config");
    command.env("PKG_CONFIG_PATH", prefix.path("lib/pkgconfig")).args(arguments).arg("rover-rtc");
    done(&mut command).split_whitespace().map(str::to_owned).collect()
}

fn is_linked_with(program: &str, library: &str) -> bool {
    let dynamic = done(Command::new("readelf").args(["-d", program]));
    dynamic.lines().any(|line| line.contains("(NEEDED)") && line.contains(library))
}

#[test]
fn installed_files_have_their_names_and_links() {
    if !has("readelf") {
        return;
    }
    let prefix = installed();
    let lib = PathBuf::from(prefix.path("lib"));
    let real = format!("librover_rtc.so.{VERSION}");
    let soname = format!("librover_rtc.so.{MAJOR}");
    assert_eq!(fs::read_link(lib.join("librover_rtc.so")).unwrap(), Path::new(&soname));
    assert_eq!(fs::read_link(lib.join(&soname)).unwrap(), Path::new(&real));
    let dynamic = done(Command::new("readelf").arg("-d").arg(lib.join(&real)));
    assert!(dynamic.contains(&format!("soname: [{soname}]")), "{dynamic}");

    let files = [
        "include/rover_rtc.h",
        "lib/librover_rtc.a",
        "lib/pkgconfig/rover-rtc.pc",
        "lib/cmake/RoverRtc/RoverRtcConfig.cmake",
        "lib/cmake/RoverRtc/RoverRtcConfigVersion.cmake",
    ];
    for file in files {
        assert!(Path::new(&prefix.path(file)).is_file(), "{file}");
    }
    for template in ["lib/pkgconfig/rover-rtc.pc", "lib/cmake/RoverRtc/RoverRtcConfig.cmake"] {
        let content = fs::read_to_string(prefix.path(template)).unwrap();
        assert!(!content.contains('@'), "{template} is not filled in: {content}");
    }
}

#[test]
fn mistakes_are_told_before_anything_is_done() {
    let folder = Scratch::new();
    let prefix = folder.path("prefix");
    for (arguments, told) in [
        (vec!["--bogus"], "there is no option --bogus"),
        (vec!["--libdir"], "--libdir needs a value"),
        (vec!["--libdir", "/lib"], "--libdir is below the prefix"),
        (vec!["--profile", "no such"], "--profile is the name of a profile"),
        (vec!["--profile", "fast"], "profile `fast` is not defined"),
        (vec!["--target", "x86_64-pc-windows-msvc"], "this installs on Linux"),
        (vec!["--target", "x86_64-unknown-linux-none"], "native-static-libs has no line"),
        (vec!["--no-build", "--target", "none-unknown-linux-gnu"], "leave out --no-build"),
    ] {
        let output =
            run(script("install.sh").args(["--prefix", &prefix]).args(&arguments), PATIENCE);
        let text = text(&output);
        assert!(!output.status.success() && text.contains(told), "{arguments:?}: {text}");
        assert!(!Path::new(&prefix).exists(), "{arguments:?}");
    }
    for name in ["install.sh", "packaging/debian.sh"] {
        assert!(done(script(name).arg("--help")).contains("examples:"));
    }
}

/// A hub in C with the shared library, and a rover in C that has the library in itself.
#[test]
fn pkg_config_is_enough_to_build() {
    if !has("pkg-config") || !has("cc") || !has("readelf") {
        return;
    }
    let prefix = installed();
    assert_eq!(pkg_config(&prefix, &["--modversion"]), [VERSION]);
    let folder = Scratch::new();
    let build = |source: &str, flags: &[String], to: &str| {
        let mut cc = program("cc");
        cc.args(["-std=c99", "-O2"]).args(STRICT);
        assert_eq!(done(cc.args(["-o", to, source]).args(flags)), "", "no warnings");
    };

    let hub = folder.path("hub");
    let flags = pkg_config(&prefix, &["--cflags", "--libs"]);
    build(&folder.write("hub.c", HUB), &flags, &hub);
    assert!(is_linked_with(&hub, "librover_rtc.so"));

    // The linker would take the shared one, which lies beside.
    let mut flags = pkg_config(&prefix, &["--cflags", "--libs", "--static"]);
    let by_name = flags.iter_mut().find(|flag| *flag == "-lrover_rtc").unwrap();
    *by_name = "-l:librover_rtc.a".into();
    let source = root().join("examples/c/static_min.c");
    let rover = folder.path("rover");
    build(source.to_str().unwrap(), &flags, &rover);
    assert!(!is_linked_with(&rover, "librover_rtc"));
    assert!(done(program(&rover).arg("--help")).contains(VERSION));

    let mut hub = program(&hub);
    hub.env("LD_LIBRARY_PATH", prefix.path("lib")).stdin(Stdio::null());
    let mut hub = hub.stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    // The rest of what it prints is not read.
    BufReader::new(hub.stdout.take().unwrap()).read_line(&mut address).unwrap();
    done(program(&rover).args([address.trim(), "--seconds", "3"]));
    let output = finish(hub, PATIENCE);
    assert!(output.status.success(), "the rover has not come: {}", text(&output));
}

#[test]
fn cmake_builds_the_examples() {
    if !has("cmake") || !has("cc") || !has("c++") || !has("readelf") {
        return;
    }
    let prefix = installed();
    let folder = Scratch::new();
    for language in ["c", "cpp"] {
        let build = folder.path(language);
        let mut cmake = program("cmake");
        cmake.arg("-S").arg(root().join("examples").join(language)).args(["-B", &build]);
        done(cmake.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.path(""))));
        let output = done(program("cmake").args(["--build", &build]));
        assert!(!output.contains("warning"), "{output}");
    }
    let built = [
        ("c/telemetry", "telemetry", false),
        ("c/bench", "bench", false),
        ("c/static_min", "static_min", true),
        ("cpp/teleop", "teleop", false),
    ];
    for (file, name, is_static) in built {
        let built = folder.path(file);
        assert!(done(program(&built).arg("--help")).contains(name), "{name}");
        assert_ne!(is_linked_with(&built, "librover_rtc.so"), is_static, "{name}");
    }
}

/// In another place than it was made for, with another layout, from a project without C.
#[test]
fn the_cmake_package_can_be_moved() {
    if !has("cmake") || !has("c++") || !has("strip") {
        return;
    }
    let folder = Scratch::new();
    library();
    let mut install = script("install.sh");
    install.args(["--no-build", "--profile", "dev", "--strip", "--skip-static"]);
    install.args(["--prefix", "/usr", "--libdir", "lib/some-arch"]);
    done(install.args(["--destdir", &folder.path("made")]));
    fs::rename(folder.path("made"), folder.path("moved")).unwrap();
    let project = |name: &str, find: &str| {
        folder.write(
            &format!("{name}/CMakeLists.txt"),
            &format!(
                "cmake_minimum_required(VERSION 3.16)\n\
                 project(firmware LANGUAGES CXX)\n\
                 find_package(RoverRtc {find})\n\
                 add_executable(firmware main.cpp)\n\
                 target_link_libraries(firmware PRIVATE RoverRtc::shared)\n"
            ),
        );
        folder.write(&format!("{name}/main.cpp"), SHORT);
        let build = folder.path(&format!("{name}/build"));
        let mut cmake = program("cmake");
        cmake.args(["-S", &folder.path(name), "-B", &build]);
        cmake.arg(format!(
            "-DRoverRtc_DIR={}",
            folder.path("moved/usr/lib/some-arch/cmake/RoverRtc")
        ));
        (run(&mut cmake, PATIENCE), build)
    };
    let (output, build) = project("good", "0.1 REQUIRED COMPONENTS shared");
    assert!(output.status.success(), "{}", text(&output));
    done(program("cmake").args(["--build", &build]));
    assert_eq!(done(&mut program(&format!("{build}/firmware"))).trim(), VERSION);

    for (name, find, told) in [
        ("newer", "99.0 REQUIRED", "compatible with requested version \"99.0\""),
        ("none", "REQUIRED COMPONENTS static", "RoverRtc::static is not in"),
    ] {
        let (output, _) = project(name, find);
        let text = text(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(!output.status.success() && text.contains(told), "{find}: {text}");
    }
}

#[test]
fn headers_compile_without_warnings() {
    let include = format!("-I{}", root().join("include").display());
    let folder = Scratch::new();
    let c = folder.write("c.c", "#include <rover_rtc.h>\nextern int not_empty;\n");
    let mut cpp = "#include <rover_rtc.h>\n".to_owned();
    if root().join("include/rover_rtc.hpp").exists() {
        cpp += "#include <rover_rtc.hpp>\n";
    }
    let cpp = folder.write("cpp.cpp", &cpp);
    for (compiler, standard, source) in [
        ("gcc", "-std=c99", &c),
        ("clang", "-std=c99", &c),
        ("g++", "-std=c++17", &cpp),
        ("clang++", "-std=c++17", &cpp),
    ] {
        if has(compiler) {
            let mut command = program(compiler);
            command.args([standard, &include, "-fsyntax-only", source]).args(STRICT);
            assert_eq!(done(&mut command), "", "{compiler}");
        }
    }
}

#[test]
fn nothing_but_the_headers_functions_is_exported() {
    let allowed = fs::read_to_string(root().join("rover-rtc-ffi/symbols.txt")).unwrap();
    let allowed: Vec<_> = allowed.lines().collect();
    assert!(allowed.is_sorted(), "symbols.txt is sorted");
    let allowed: BTreeSet<_> = allowed.into_iter().collect();

    let header = fs::read_to_string(root().join("include/rover_rtc.h")).unwrap();
    let declared: BTreeSet<_> = header
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter(|line| !line.starts_with("typedef "))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("rover_rtc_"))
        .collect();
    assert_eq!(allowed, declared, "symbols.txt, and what the header declares");

    if has("nm") {
        let built = library().join("librover_rtc.so");
        let exported = done(Command::new("nm").args(["-D", "--defined-only"]).arg(built));
        let exported: BTreeSet<_> =
            exported.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
        assert_eq!(allowed, exported, "symbols.txt, and what the library exports");
    }
}

/// Programs with the static library name these; `rustc` knows which they are.
#[test]
fn native_static_libraries_are_the_pinned_ones() {
    let pinned = fs::read_to_string(root().join("packaging/native-static-libs")).unwrap();
    let family = if cfg!(target_env = "musl") { "linux-musl " } else { "linux-gnu " };
    let pinned = pinned.lines().find_map(|line| line.strip_prefix(family)).unwrap();
    let mut cargo = program(env!("CARGO"));
    cargo.current_dir(root()).args([
        "rustc",
        "-p",
        "rover-rtc-ffi",
        "--features",
        "unified",
        "--locked",
    ]);
    cargo.args(["--color", "never", "--crate-type", "staticlib"]);
    let output = done(cargo.args(["--", "--print", "native-static-libs"]));
    let now = output.lines().find_map(|line| line.split_once("native-static-libs: "));
    assert_eq!(now.unwrap_or_else(|| panic!("{output}")).1.trim(), pinned);
}

/// Removes the packages, come what may.
struct Removed;

impl Drop for Removed {
    fn drop(&mut self) {
        let mut dpkg = program("dpkg");
        let output = run(dpkg.args(["--purge", DEV_PACKAGE, &runtime_package()]), PATIENCE);
        if !output.status.success() {
            eprintln!("the packages are not removed: {}", text(&output));
        }
    }
}

#[test]
fn debian_packages_can_be_installed_and_removed() {
    if !has("dpkg-deb") || !has("dpkg") || !has("readelf") || !has("strip") || !has("cc") {
        return;
    }
    library();
    let folder = Scratch::new();
    let mut debian = script("packaging/debian.sh");
    debian.args(["--profile", "dev", "--no-build", "--output", &folder.path("")]);
    done(&mut debian);
    let arch = done(program("dpkg").arg("--print-architecture"));
    let deb = |name: &str| folder.path(&format!("{name}_{VERSION}_{}.deb", arch.trim()));
    let (runtime, dev) = (deb(&runtime_package()), deb(DEV_PACKAGE));

    let info = done(program("dpkg-deb").args(["--info", &runtime]));
    for field in [format!(" Version: {VERSION}"), " Depends: libc6 (>= 2.".into()] {
        assert!(info.contains(&field), "{field}: {info}");
    }
    for part in [" triggers ", " shlibs ", " md5sums "] {
        assert!(info.contains(part), "{part}: {info}");
    }
    let info = done(program("dpkg-deb").args(["--info", &dev]));
    assert!(info.contains(&format!("Depends: {} (= {VERSION}),", runtime_package())), "{info}");

    let contents = |deb: &str| done(program("dpkg-deb").args(["--contents", deb]));
    let (in_runtime, in_dev) = (contents(&runtime), contents(&dev));
    for (list, others, end) in [
        (&in_runtime, &in_dev, format!("/librover_rtc.so.{VERSION}")),
        (&in_runtime, &in_dev, format!("-> librover_rtc.so.{VERSION}")),
        (&in_runtime, &in_dev, format!("/{}/copyright", runtime_package())),
        (&in_dev, &in_runtime, format!("-> librover_rtc.so.{MAJOR}")),
        (&in_dev, &in_runtime, "/usr/include/rover_rtc.h".into()),
        (&in_dev, &in_runtime, "/librover_rtc.a".into()),
        (&in_dev, &in_runtime, "/pkgconfig/rover-rtc.pc".into()),
        (&in_dev, &in_runtime, "/cmake/RoverRtc/RoverRtcConfig.cmake".into()),
        (&in_dev, &in_runtime, format!("/{DEV_PACKAGE}/changelog.gz")),
    ] {
        assert!(list.lines().any(|line| line.ends_with(&end)), "{end}: {list}");
        assert!(!others.lines().any(|line| line.ends_with(&end)), "{end}: {others}");
    }
    assert!(in_dev.lines().all(|line| line.contains(" root/root ")), "{in_dev}");

    if done(program("id").arg("-u")).trim() != "0" {
        missing("only root can install packages");
        return;
    }
    if Path::new("/usr/include/rover_rtc.h").exists() {
        missing("a rover-rtc is installed in this system already");
        return;
    }
    {
        let _removed = Removed;
        done(program("dpkg").args(["--install", &runtime, &dev]));
        let source = folder.write("short.c", SHORT);
        let short = folder.path("short");
        done(program("cc").args(["-o", &short, &source, "-lrover_rtc"]).args(STRICT));
        assert_eq!(done(&mut program(&short)).trim(), VERSION);
        if has("pkg-config") {
            let mut pkg_config = program("pkg-config");
            assert_eq!(done(pkg_config.args(["--libs", "rover-rtc"])).trim(), "-lrover_rtc");
        }
        if has("cmake") {
            let examples = root().join("examples/c");
            let mut cmake = program("cmake");
            done(cmake.args(["-S", examples.to_str().unwrap(), "-B", &folder.path("build")]));
        }
    }
    assert!(!Path::new("/usr/include/rover_rtc.h").exists(), "removed");
    assert!(!done(program("/sbin/ldconfig").arg("-p")).contains("librover_rtc"), "removed");
}

fn runtime_package() -> String {
    format!("librover-rtc{MAJOR}")
}

const DEV_PACKAGE: &str = "librover-rtc-dev";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const MAJOR: &str = env!("CARGO_PKG_VERSION_MAJOR");
const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// Programs get the first; this process waits longer, for the end of all that they have started. It
/// is long because cargo may have to build, and to wait for another cargo.
const PATIENCE_S: &str = "900";
const PATIENCE: Duration = Duration::from_secs(920);

/// C as well as C++.
const SHORT: &str = "\
#include <stdio.h>
#include <rover_rtc.h>

int main(void) {
    return puts(rover_rtc_version()) < 0;
}
";

/// A hub that ends when a rover has come.
const HUB: &str = r#"
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <time.h>
#include <rover_rtc.h>

int main(void) {
    const char *udp[] = {"127.0.0.1:0"};
    const struct timespec pause = {0, 10 * 1000 * 1000};
    char address[64];
    rover_rtc_server_config config;
    rover_rtc_server *server;
    size_t connected = 0;
    int tries;
    rover_rtc_server_config_init(&config, sizeof config);
    config.listen = "127.0.0.1:0";
    config.udp = udp;
    config.udp_count = 1;
    if (rover_rtc_server_new(&config, &server) != ROVER_RTC_OK) {
        fprintf(stderr, "%s\n", rover_rtc_last_error());
        return 1;
    }
    rover_rtc_server_address(server, address, sizeof address, NULL);
    puts(address);
    fflush(stdout);
    for (tries = 0; tries < 1000 && connected == 0; tries++) {
        nanosleep(&pause, NULL);
        rover_rtc_server_count(server, NULL, &connected);
    }
    rover_rtc_server_free(server);
    return connected == 0;
}
"#;
