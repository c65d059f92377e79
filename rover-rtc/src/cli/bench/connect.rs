//! The connection that is measured: signaled by files, or between two rovers that a hub brings
//! together.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use rover_rtc::event::IceConnectionState;
use rover_rtc::link::{ChannelStats, LinkStats};
use rover_rtc::path::PathStats;
use rover_rtc::peer::Events;
use rover_rtc::util::{clock, random};
use rover_rtc::{Channel, Event, Peer, PeerLink};
use serde_json::{Value, json};

use super::RunOptions;
use super::files::{Log, wait_for, write_atomic};

/// A connection, and what keeps it.
pub(super) struct Wire {
    peer: Peer,
    /// The link with the other rover, if a hub was needed.
    link: Option<PeerLink>,
    /// When it was called, with the hub at hand.
    dialed: Option<Instant>,
}

impl Wire {
    /// Connects, and waits until the channels are open.
    pub(super) async fn connect(
        options: &RunOptions,
        dir: &Path,
        offers: bool,
        log: &mut Log,
    ) -> Result<Self, Box<dyn Error>> {
        let wire = match &options.hub {
            Some(hub) => Self::by_hub(options, hub, offers, log).await?,
            None => Self::by_files(options, dir, offers).await?,
        };
        let mut events = wire.events();
        let mut waiting = 1 + usize::from(options.pings);
        while waiting > 0 {
            match events.recv().await.ok_or("the peer ended")? {
                Event::ChannelOpen(..) => waiting -= 1,
                event => log_event(log, &event)?,
            }
        }
        Ok(wire)
    }

    async fn by_files(
        options: &RunOptions,
        dir: &Path,
        offers: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let (offer_file, answer_file) = (dir.join("offer.json"), dir.join("answer.json"));
        let description = |kind: &str, sdp: &str| json!({ "type": kind, "sdp": sdp }).to_string();
        let sdp = |text: &str| -> Result<String, Box<dyn Error>> {
            let value: Value = serde_json::from_str(text)?;
            Ok(value["sdp"].as_str().ok_or("no sdp in the file")?.to_owned())
        };
        let peer = if offers {
            let (peer, offer) = Peer::offer(options.config(dir, offers))?;
            write_atomic(&offer_file, &description("offer", &offer))?;
            peer.accept_answer(&sdp(&wait_for(&answer_file).await?)?).await?;
            peer
        } else {
            let offer = sdp(&wait_for(&offer_file).await?)?;
            let (peer, answer) = Peer::answer(options.config(dir, offers), &offer)?;
            write_atomic(&answer_file, &description("answer", &answer))?;
            peer
        };
        Ok(Self { peer, link: None, dialed: None })
    }

    async fn by_hub(
        options: &RunOptions,
        hub: &str,
        offers: bool,
        log: &mut Log,
    ) -> Result<Self, Box<dyn Error>> {
        let mut config = options.config(&options.dir, offers);
        config.server = hub.to_owned();
        let name = options.name.clone();
        // The caller needs a name, too, but nobody has to know it.
        config.name = name.or_else(|| offers.then(|| format!("bench-{:x}", random::number())));
        let peer = Peer::connect(config)?;
        let mut events = peer.events();
        loop {
            match events.recv().await.ok_or("the peer ended")? {
                Event::ChannelOpen(..) => break,
                Event::Trouble(why) => log.line(format_args!("hub {why}"))?,
                _ => {}
            }
        }
        log.line("hub connected")?;
        let dialed = clock::now();
        let link = match &options.to {
            Some(to) if offers => peer.dial(to).await?,
            _ => peer.accept().await.ok_or("the peer ended")?,
        };
        Ok(Self { peer, link: Some(link), dialed: Some(dialed) })
    }

    pub(super) fn channel(&self, label: &str) -> Option<Channel> {
        match &self.link {
            Some(link) => link.channel(label),
            None => self.peer.channel(label),
        }
    }

    /// Milliseconds since the other rover was called.
    pub(super) fn since_dialed(&self) -> Option<f64> {
        self.dialed.map(|at| at.elapsed().as_secs_f64() * 1e3)
    }

    /// What the paths and the link counted; the lab keeps it with the result.
    pub(super) async fn stats(&self) -> Value {
        let stats = match &self.link {
            Some(link) => link.stats().await,
            None => self.peer.stats().await,
        };
        stats.map_or(Value::Null, |stats| shown(&stats))
    }

    /// Logs what happens, until the connection ends.
    pub(super) async fn follow(&self, log: &mut Log) -> std::io::Result<()> {
        let mut events = self.events();
        while let Some(event) = events.recv().await {
            log_event(log, &event)?;
        }
        Ok(())
    }

    fn events(&self) -> Events {
        self.link.as_ref().map_or_else(|| self.peer.events(), PeerLink::events)
    }
}

fn log_event(log: &mut Log, event: &Event) -> std::io::Result<()> {
    match event {
        Event::IceConnectionStateChange(IceConnectionState::Connected) => log.line("ice connected"),
        Event::IceConnectionStateChange(state) => log.line(format_args!("ice {state:?}")),
        Event::PathSwitch { path, kind, cause } => {
            log.line(format_args!("pair {} {} {kind} {cause:?}", path.0, path.1))
        }
        Event::Recovered { outage, by } => {
            log.line(format_args!("recovered {:.3} {by:?}", outage.as_secs_f64()))
        }
        Event::Disconnected(_) | Event::Closed => log.line("closed"),
        _ => Ok(()),
    }
}

fn shown(stats: &LinkStats) -> Value {
    let bytes = |f: fn(&PathStats) -> u64| stats.paths.iter().map(f).sum::<u64>();
    let selected = stats.paths.iter().find(|p| p.selected);
    json!({
        "bytes_sent": bytes(|p| p.bytes_sent),
        "bytes_received": bytes(|p| p.bytes_received),
        "kind": selected.map(|p| p.kind),
        "rtt_ms": selected.and_then(|p| p.rtt).map(|rtt| rtt.as_secs_f64() * 1e3),
        "probes": stats.stun.probes,
        "copies": stats.stun.duplicates,
        "switches": stats.stun.switches,
        "warps": stats.warps,
        "channels": stats.channels.iter().map(channel_shown).collect::<Vec<_>>(),
    })
}

fn channel_shown(channel: &ChannelStats) -> Value {
    let counters = &channel.counters;
    let latency = |share| {
        let latency = counters.ack_latency.quantile(share);
        latency.map(|latency| (latency.as_secs_f64() * 1e6).round() / 1e3)
    };
    json!({
        "label": channel.label,
        "mode": format!("{:?}", channel.mode).to_lowercase(),
        "sent": counters.sent,
        "acked": counters.acked,
        "replayed": counters.replayed,
        "received": counters.received,
        "missed": counters.missed,
        "dropped": channel.drops.total(),
        "overtaken": channel.drops.overtaken,
        "ack_p50_ms": latency(0.5),
        "ack_p99_ms": latency(0.99),
    })
}
