//! A file's worth of bytes from one rover to the other.

use std::time::Duration;

use rover_rtc::util::clock;
use rover_rtc::{Channel, ChannelConfig, Priority};
use tokio::time::timeout;

/// The channel of the commands, which go first.
pub(super) const COMMANDS: &str = "commands";

/// The channel of the transfer.
pub(super) const BULK: &str = "bulk";

/// 50 commands a second.
pub(super) const COMMAND_INTERVAL: Duration = Duration::from_millis(20);

/// Both.
pub(super) fn channels() -> [ChannelConfig; 2] {
    let of = |label, priority| ChannelConfig { priority, ..ChannelConfig::new(label) };
    [of(COMMANDS, Priority::High), of(BULK, Priority::Low)]
}

/// Sends 50 MB; returns million bytes per second, or nothing if not all have arrived.
pub(super) async fn transfer(from: Channel, to: Channel) -> Option<f64> {
    let begin = clock::now();
    let sending = tokio::spawn(async move {
        let data = bytes::Bytes::from(vec![0; MESSAGE]);
        for _ in 0..BYTES / MESSAGE {
            if from.send(data.clone()).await.is_err() {
                return;
            }
        }
    });
    let receiving = async {
        let mut bytes = 0;
        while bytes < BYTES {
            bytes += to.recv().await?.data.len();
        }
        Some(BYTES as f64 / 1e6 / begin.elapsed().as_secs_f64())
    };
    let rate = timeout(PATIENCE, receiving).await.ok().flatten();
    sending.abort();
    rate
}

const BYTES: usize = 50_000_000;

/// Divides the bytes.
const MESSAGE: usize = 50_000;

const PATIENCE: Duration = Duration::from_secs(30);
