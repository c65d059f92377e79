//! The command line: a hub, a peer, a demonstration, and the driver of the benchmarks.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rover_rtc::util::init_log;
use rover_rtc::{peer, server};

/// The link that keeps a robot connected: WebRTC data channels that survive changing networks.
#[derive(Debug, Parser)]
#[command(
    name = "rover-rtc",
    version,
    after_help = "Two terminals show it:
  rover-rtc server
  rover-rtc peer
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
    /// Show what happens when networks die
    Demo(cli::demo::DemoOptions),
    /// Measure: one end of a connection, signaled through files
    Bench(cli::bench::BenchOptions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The demonstration tells its own story.
    init_log(if matches!(cli.command, Command::Demo(_)) { "error" } else { "info" });
    let done = run(cli.command);
    done.unwrap_or_else(|error| {
        eprintln!("rover-rtc: {error}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    if let Command::Bench(options) = command {
        return cli::bench::main(options);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command {
        Command::Server(options) => runtime.block_on(server::main(options))?,
        Command::Peer(options) => runtime.block_on(peer::main(options))?,
        Command::Demo(options) => return runtime.block_on(cli::demo::main(options)),
        Command::Bench(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}
