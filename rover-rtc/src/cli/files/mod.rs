//! `rover-rtc send` and `rover-rtc receive`: files from rover to rover, which go on where they were
//! when either process, or the network, comes back.

mod hash;
mod protocol;
mod receive;
mod send;
mod show;
mod store;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rover_rtc::identity::valid_name;
use rover_rtc::{Event, Peer, WebrtcError};

use super::peer::ConnectOptions;
pub(crate) use receive::receive;
pub(crate) use send::send;
use show::Show;

/// Sends files to another rover, one after the other, and ends when all are on its disk.
///
/// The other rover is waited for, now and whenever it is away. When this was ended, in whatever
/// way, the same command goes on where it was. A file that has changed meanwhile is sent from its
/// beginning. Exit codes: 0 when all files have arrived, 1 if one cannot, 2 for bad arguments, 130
/// when it was stopped.
#[derive(Debug, Args)]
#[command(mut_arg("name", |name| name.required(true)), after_help = "Examples:
  rover-rtc send map.pcd log.mcap --to station --name rover-1 --server hub.example:3000
  rover-rtc send *.mcap --to station --name rover-1 --interface wlan0
  rover-rtc send map.pcd --to station --name rover-1 --json | jq -r .event
The other side:
  rover-rtc receive /srv/rovers --name station")]
pub(crate) struct SendOptions {
    /// Files to send
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Rover that is to have them
    #[arg(long, value_name = "NAME", value_parser = rover_name)]
    to: String,
    /// Print JSON, one object in each line: begin, progress, done, failed, note
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectOptions,
}

/// Receives files of other rovers, until it is stopped.
///
/// A file that is not complete is called NAME.part. It is checked by its SHA-256 before it gets its
/// name. What is there is never overwritten: if another file has the name, the new one is called
/// "NAME (2)".
#[derive(Debug, Args)]
#[command(mut_arg("name", |name| name.required(true)), after_help = "Examples:
  rover-rtc receive /srv/rovers --name station --server hub.example:3000
  rover-rtc receive . --name station --from rover-1 --count 1
  rover-rtc receive . --name station --roster fleet.txt --json
The other side:
  rover-rtc send log.mcap --to station --name rover-1")]
pub(crate) struct ReceiveOptions {
    /// Directory of the files; made if it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Rover that may send; repeat it for several. Default: all that the roster has, or that the
    /// hub lets in
    #[arg(long, value_name = "NAME", value_parser = rover_name)]
    from: Vec<String>,
    /// End after so many files
    #[arg(long, value_name = "FILES")]
    count: Option<u64>,
    /// Print JSON, one object in each line: begin, progress, done, failed, note
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectOptions,
}

/// Starts the peer of either side.
async fn connect(options: &ConnectOptions, show: &Arc<Show>) -> Result<Peer, WebrtcError> {
    let mut config = options.config().await?;
    config.channels = vec![protocol::channel()];
    let peer = Peer::connect(config)?;
    let (mut events, channel) = (peer.events(), peer.channel(protocol::LABEL));
    let show = show.clone();
    tokio::spawn(async move {
        let mut before = None;
        while let Some(event) = events.recv().await {
            let note = event_note("the hub", &event);
            if let Some(note) = note.filter(|note| before.as_ref() != Some(note)) {
                show.note(&note);
                before = Some(note);
            }
        }
    });
    // Nobody is to send files to all clients of the hub; if somebody does, it is not kept.
    if let Some(channel) = channel {
        tokio::spawn(async move {
            while let Some(message) = channel.recv().await {
                message.ack();
            }
        });
    }
    Ok(peer)
}

/// What people want to know of what happens on a link.
fn event_note(name: &str, event: &Event) -> Option<String> {
    Some(match event {
        Event::Outage => format!("{name} is out of reach: waiting"),
        Event::Recovered { outage, .. } => {
            format!("{name} is back after {:.1} s", outage.as_secs_f64())
        }
        Event::PeerRestarted => format!("{name} was restarted"),
        Event::Trouble(what) => format!("{name}: {}", what.escape_debug()),
        _ => return None,
    })
}

fn rover_name(text: &str) -> Result<String, &'static str> {
    let named = valid_name(text).then(|| text.to_owned());
    named.ok_or("1 to 64 bytes without white space, control characters or / are needed")
}
