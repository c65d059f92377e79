//! Logging for the command line.

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, FilterFn};
use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Installs a subscriber that writes to standard error, filtered by `RUST_LOG`
/// or else by `default`, for example "info". Without effect if there is one already.
///
/// Whatever `RUST_LOG` says, what would show an ICE password or a TURN key is left out.
pub fn init_log(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let filter = filter.and(FilterFn::new(keeps_secrets));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter);
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// str0m's ICE agent hides credentials, but not in the events that it traces. The TURN client
/// traces the key made of the password, and tells each empty poll at the level "info".
fn keeps_secrets(of: &Metadata<'_>) -> bool {
    let is_of = |names: &[&str]| names.iter().any(|name| of.target().starts_with(name));
    match *of.level() {
        Level::ERROR | Level::WARN => true,
        Level::TRACE if is_of(&["is::agent"]) => false,
        _ => !is_of(&TURN_CLIENT),
    }
}

/// The crates of the TURN client.
const TURN_CLIENT: [&str; 4] = ["turn_client_proto", "turn_types", "stun_proto", "stun_types"];
