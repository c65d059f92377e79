//! `rover-rtc demo`: a hub and two rovers in one process, each rover with two networks
//! (127.0.0.1 and 127.0.1.1), which are cut and healed while messages flow both ways.

mod acts;
mod bulk;
mod fleet;
mod report;
mod scratch;
mod stream;

use clap::Args;
use rover_rtc::cli::ExitCode;

/// Shows what the link does when networks die: a hub, two rovers, two networks each.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rover-rtc demo
  rover-rtc demo --json | jq '.acts[] | {name, longest_gap_ms, lost}'")]
pub(crate) struct DemoOptions {
    /// Print one JSON object instead of the timeline
    #[arg(long)]
    json: bool,
}

/// Plays all acts. The exit code is 1 when a promise is broken.
pub(crate) async fn main(options: DemoOptions) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let reports = acts::play(!options.json).await?;
    report::print(&reports, options.json);
    let kept = reports.iter().all(|r| r.broken_promises().is_empty());
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
