//! The command line: a hub, a peer and its key, files from peer to peer, a demonstration, and the
//! driver of the benchmarks.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rover_rtc::util::init_log;
use rover_rtc::{peer, server};
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
    Send(cli::files::SendOptions),
    /// Receive files of other rovers
    Receive(cli::files::ReceiveOptions),
    /// Show the fingerprint of a rover's key
    Key(cli::key::KeyOptions),
    /// Forget the key of another rover
    Forget(cli::key::ForgetOptions),
    /// Show what happens when networks die
    Demo(cli::demo::DemoOptions),
    /// Measure: one end of a connection, signaled through files, or a hub under load
    Bench(cli::bench::BenchOptions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = match &cli.command {
        // These tell their own story, and a table or a bar is spoiled by other lines.
        Command::Demo(_) | Command::Send(_) | Command::Receive(_) => "error",
        Command::Peer(options) if options.takes_screen() => "error",
        Command::Bench(options) if options.tells() => "error",
        _ => "info",
    };
    init_log(level);
    let done = run(cli.command);
    done.unwrap_or_else(|error| {
        eprintln!("rover-rtc: {error}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Server(options) => runtime()?.block_on(server::main(options))?,
        Command::Peer(options) => runtime()?.block_on(peer::main(options))?,
        Command::Send(options) => return runtime()?.block_on(cli::files::send(options)),
        Command::Receive(options) => return runtime()?.block_on(cli::files::receive(options)),
        Command::Key(options) => return cli::key::show(&options),
        Command::Forget(options) => return cli::key::forget(&options),
        Command::Demo(options) => return runtime()?.block_on(cli::demo::main(options)),
        Command::Bench(options) => return cli::bench::main(options),
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
