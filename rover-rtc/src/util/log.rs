//! Logging for the command line.

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, FilterFn};
use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Installs a subscriber that writes to standard error, filtered by `RUST_LOG`
/// or else by `default`, for example "info". Without effect if there is one already.
///
/// Whatever `RUST_LOG` says, what would show an ICE password is left out.
pub fn init_log(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let filter = filter.and(FilterFn::new(keeps_secrets));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter);
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// str0m's ICE agent hides credentials, but not in the events that it traces.
fn keeps_secrets(of: &Metadata<'_>) -> bool {
    *of.level() != Level::TRACE || !of.target().starts_with("is::agent")
}
