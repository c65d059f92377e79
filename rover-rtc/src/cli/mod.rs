//! The command line: a hub, a peer and its key, files from peer to peer, a demonstration, and the
//! driver of the benchmarks. It only uses what the library has for all; it is here so that not only
//! the program `rover-rtc` has it, but `python -m rover_rtc`, too.

pub(crate) mod bench;
pub(crate) mod demo;
pub(crate) mod files;
pub(crate) mod key;
pub(crate) mod peer;
pub(crate) mod server;

use std::ffi::OsString;

use clap::{CommandFactory as _, Parser, Subcommand};
use rover_rtc::util::init_log;
use tokio::runtime::Runtime;

/// The link that keeps a robot connected: WebRTC data channels that survive changing networks.
#[derive(Debug, Parser)]
#[command(
    name = "rover-rtc",
    version,
    after_help = "Two terminals show it:
  rover-rtc server
  rover-rtc peer
Two rovers, each of which finds the other by its name:
  rover-rtc peer --name rover-1
  rover-rtc peer --name rover-2 --to rover-1
Logging: RUST_LOG=debug, or RUST_LOG=rover_rtc::path=debug,rover_rtc::server=info"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a hub
    Server(server::ServerOptions),
    /// Run a peer of a hub
    Peer(peer::PeerOptions),
    /// Send files to another rover
    Send(files::SendOptions),
    /// Receive files of other rovers
    Receive(files::ReceiveOptions),
    /// Show the fingerprint of a rover's key
    Key(key::KeyOptions),
    /// Forget the key of another rover
    Forget(key::ForgetOptions),
    /// Show what happens when networks die
    Demo(demo::DemoOptions),
    /// Measure: one end of a connection, signaled through files, or a hub under load
    Bench(bench::BenchOptions),
}

/// Runs a command and returns its exit code. `args` begins with the program's name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help, too. There is nobody to tell that it cannot be shown.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(u8::MAX);
        }
    };
    let level = match &cli.command {
        // These tell their own story, and a table or a bar is spoiled by other lines.
        Command::Demo(_) | Command::Send(_) | Command::Receive(_) => "error",
        Command::Peer(options) if options.takes_screen() => "error",
        Command::Bench(options) if options.tells() => "error",
        _ => "info",
    };
    init_log(level);
    let done = run(cli.command);
    let code = done.unwrap_or_else(|error| {
        eprintln!("rover-rtc: {error}");
        ExitCode::FAILURE
    });
    code.0
}

/// All commands and their arguments, for the test that compares the guide with them.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Server(options) => {
            runtime()?.block_on(rover_rtc::server::main(options.config()))?
        }
        Command::Peer(options) => runtime()?.block_on(peer::main(options))?,
        Command::Send(options) => return runtime()?.block_on(files::send(options)),
        Command::Receive(options) => return runtime()?.block_on(files::receive(options)),
        Command::Key(options) => return key::show(&options),
        Command::Forget(options) => return key::forget(&options),
        Command::Demo(options) => return runtime()?.block_on(demo::main(options)),
        Command::Bench(options) => return bench::main(options),
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// What a command ends with: as the standard library's, which cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExitCode(u8);

impl ExitCode {
    pub(crate) const SUCCESS: Self = Self(0);
    pub(crate) const FAILURE: Self = Self(1);
}

impl From<u8> for ExitCode {
    fn from(code: u8) -> Self {
        Self(code)
    }
}
