//! Builds the library and C programs against it, and runs them within a time.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::missing;

/// The workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// A folder in which the library is to be found under its own names, for `-L` and at run time.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let cargo = Command::new(env!("CARGO"))
            // As cargo has built the tests, so that little is left to build: see tests/unify.
            .args(["build", "--locked", "--package", "rover-rtc-ffi", "--features", "unified"])
            .current_dir(root())
            .status()
            .unwrap();
        assert!(cargo.success());
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Where cargo puts what it builds is the scratch folder's parent.
        let built = scratch.parent().unwrap().join("debug");
        let library = scratch.join("ffi-lib");
        std::fs::create_dir_all(&library).unwrap();
        for (file, name) in [
            ("librover_rtc_ffi.so", "librover_rtc.so.0"),
            ("librover_rtc_ffi.so", "librover_rtc.so"),
            ("librover_rtc_ffi.a", "librover_rtc.a"),
        ] {
            let link = library.join(name);
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(built.join(file), link).unwrap();
        }
        library
    })
}

/// A folder of a test's own, empty.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ffi-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Whether a program is there.
pub(crate) fn has(program: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    });
    if !found {
        missing(&format!("{program} is not there"));
    }
    found
}

/// Compiles a program of this folder or of the examples against the shared library.
pub(crate) fn compile(compiler: &str, flags: &[&str], source: &str, to: &Path) {
    let root = root();
    let library = library().display();
    let mut command = Command::new(compiler);
    command
        .args(["-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .args(flags)
        .arg(root.join(source))
        .arg("-o")
        .arg(to)
        .arg(format!("-I{}", root.join("include").display()))
        .arg(format!("-L{library}"))
        .arg(format!("-Wl,-rpath,{library}"))
        .args(["-lrover_rtc", "-lpthread", "-lm"]);
    let output = run(&mut command, Duration::from_secs(120));
    assert!(output.status.success(), "{compiler} {source}: {}", text(&output));
}

/// Runs a program to its end, which has to come in time.
pub(crate) fn run(command: &mut Command, patience: Duration) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(child.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}")), patience)
}

/// Waits for the end of a program, which has to come in time.
pub(crate) fn finish(mut child: Child, patience: Duration) -> Output {
    let end = Instant::now() + patience;
    // Read beside, so that a full pipe does not stop it.
    let pipes = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
            scope.spawn(move || {
                let mut bytes = Vec::new();
                if let Some(mut pipe) = pipe {
                    pipe.read_to_end(&mut bytes).unwrap();
                }
                bytes
            })
        };
        let stdout = read(pipes.0.map(|pipe| Box::new(pipe) as _));
        let stderr = read(pipes.1.map(|pipe| Box::new(pipe) as _));
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > end {
                child.kill().unwrap();
                let status = child.wait().unwrap();
                let output = (stdout.join().unwrap(), stderr.join().unwrap());
                let shown = [&output.0, &output.1].map(|bytes| String::from_utf8_lossy(bytes));
                panic!("not done after {patience:?}, {status}: {}{}", shown[0], shown[1]);
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    })
}

/// What a program has printed.
pub(crate) fn text(output: &Output) -> String {
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr))
}
