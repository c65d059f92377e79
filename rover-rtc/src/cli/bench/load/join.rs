//! One client of the hub, and its channel.

use std::time::Duration;

use rover_rtc::{Channel, ChannelConfig, Event, OutboxConfig, Peer, PeerConfig};
use tokio::time::timeout;

use super::options::LoadOptions;

/// A client whose channel can be used.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) peer: Peer,
    pub(super) channel: Channel,
}

/// Connects a client. One that will not read gets a small inbox, so that it is soon full.
pub(super) async fn join(
    options: &LoadOptions,
    label: &str,
    reads: bool,
) -> Result<Joined, String> {
    let mut config = PeerConfig::new(&options.server);
    config.bind = vec![options.bind];
    let mut channel = ChannelConfig::of_mode(label, options.channel.promise());
    channel.outbox = OutboxConfig {
        max_messages: usize::MAX,
        max_bytes: usize::MAX,
        max_message: channel.outbox.max_message.max(options.size),
        ..channel.outbox
    };
    config.channels = vec![channel];
    if !reads {
        config.inbox_bytes = SMALL_INBOX;
    }
    let peer = Peer::connect(config).map_err(|e| e.to_string())?;
    let mut events = peer.events();
    let mut trouble = String::new();
    let open = async {
        loop {
            match events.recv().await {
                Some(Event::ChannelOpen(..)) => return true,
                Some(Event::Trouble(why)) => trouble = why,
                Some(_) => {}
                None => return false,
            }
        }
    };
    let is_open = timeout(PATIENCE, open).await == Ok(true);
    let channel = peer.channel(label).filter(|_| is_open);
    let Some(channel) = channel else {
        let why = if trouble.is_empty() { "it does not answer" } else { &trouble };
        return Err(format!(
            "a client got no connection to the hub at {} within {} s: {why}; look whether it \
             runs, has room for all clients (10,000) and can be reached by UDP from {}",
            options.server,
            PATIENCE.as_secs(),
            options.bind
        ));
    };
    Ok(Joined { peer, channel })
}

/// For one connection. It would be there in some milliseconds, but the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Some messages.
const SMALL_INBOX: usize = 4096;
