//! A Python environment with the package in it, made once for all tests here.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::rig::{compile, root, run, scratch, text};
use crate::support::missing;

/// An environment of `python -m venv`.
pub(crate) struct Python(PathBuf);

impl Python {
    /// Its Python, at the root of the workspace.
    pub(crate) fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(self.0.join("bin/python"));
        command.args(args).current_dir(root()).env_remove("PYTHONPATH");
        // No trace in the sources.
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
        command
    }

    /// The same, where each warning is an error and Python checks itself.
    pub(crate) fn strict(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = self.command(["-X", "dev", "-W", "error"]);
        command.args(args);
        command
    }

    /// A folder for mypy, and for whoever else keeps something.
    pub(crate) fn cache(&self) -> String {
        self.0.join("cache").to_str().unwrap().to_owned()
    }
}

/// The environment; none where Python or the package index is not to be had, which is said.
pub(crate) fn environment() -> Option<&'static Python> {
    static MADE: OnceLock<Result<Python, String>> = OnceLock::new();
    match MADE.get_or_init(make) {
        Ok(python) => Some(python),
        Err(why) => {
            missing(why);
            None
        }
    }
}

fn make() -> Result<Python, String> {
    let python = python()?;
    let folder = scratch("venv");
    let mut venv = Command::new(&python);
    venv.args(["-m", "venv"]).arg(&folder);
    let made = run(&mut venv, MINUTES);
    if !made.status.success() {
        return Err(format!("{} has no venv: {}", python.display(), text(&made)));
    }
    let python = Python(folder);
    let install = ["-m", "pip", "install", "--disable-pip-version-check", "--quiet"];
    say("installing what the tests need");
    let mut needed = python.command(install.iter().chain(&["-r", "tests/python/requirements.txt"]));
    let needed = run(&mut needed, MINUTES);
    if !needed.status.success() {
        return Err(format!("packages of Python are not to be had: {}", text(&needed)));
    }
    say("building and installing rover-rtc-py");
    let begin = Instant::now();
    let mut package = python.command(install.iter().chain(&["./rover-rtc-py"]));
    // As cargo has built the tests, so that little is left to build: see tests/unify. What is asked
    // for here takes the place of what `pyproject.toml` asks for, so that is asked for, too.
    package.env("MATURIN_PEP517_ARGS", "--profile dev --locked --features abi3,unified");
    package.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap());
    let package = run(&mut package, 2 * MINUTES);
    assert!(package.status.success(), "pip install ./rover-rtc-py: {}", text(&package));
    say(&format!("installed after {:.0?}", begin.elapsed()));
    Ok(python)
}

/// The Python that is to be used: 3.9 at least.
fn python() -> Result<PathBuf, String> {
    let python = std::env::var_os("ROVER_RTC_PYTHON").unwrap_or_else(|| "python3".into());
    let mut asked = Command::new(&python);
    asked.args(["-c", "import sys; print(sys.executable); assert sys.version_info >= (3, 9)"]);
    asked.stdin(Stdio::null());
    let name = Path::new(&python).display();
    match asked.output() {
        Err(error) => Err(format!("{name} is not there: {error}")),
        Ok(output) if !output.status.success() => Err(format!("{name} is older than 3.9")),
        // The program itself, not what stands for it and may look around for it.
        Ok(output) => Ok(String::from_utf8(output.stdout).unwrap().trim_end().into()),
    }
}

/// Builds the example in C, against the library.
pub(crate) fn c_rover() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = scratch("python-c").join("telemetry");
        compile("cc", &["-std=gnu11", "-O2"], "examples/c/telemetry.c", &program);
        program
    })
}

/// Runs a command to its end, which has to come in time and be a good one. What it prints is shown
/// as it comes.
pub(crate) fn done(what: &str, command: &mut Command, patience: Duration) {
    // One at a time, for the sake of what measures times.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    say(what);
    let begin = Instant::now();
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > patience {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{what} is not done after {patience:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{what}: {status}");
    say(&format!("{what}: ok after {:.0?}", begin.elapsed()));
}

/// Says so at once: `println!` would be kept until a test fails.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "python: {what}");
}

const MINUTES: Duration = Duration::from_secs(600);
