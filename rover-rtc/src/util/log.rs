//! Logging for the command line.

use tracing_subscriber::EnvFilter;

/// Installs a subscriber that writes to standard error, filtered by `RUST_LOG`
/// or else by `default`, for example "info". Without effect if there is one already.
pub fn init_log(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
