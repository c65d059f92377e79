//! Logging for the command line, and for programs with a log of their own.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Once, PoisonError, RwLock};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, FilterFn};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

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

/// Gives each line of this level or a graver one to a program's own log: level, target (the module)
/// and text, on whichever thread writes it. `None` ends that. `RUST_LOG` has no say, and secrets
/// are left out as in [`init_log`].
///
/// False if somebody else has installed a subscriber in this process already, who gets all lines
/// then.
pub fn log_to(sink: Option<(Level, LogSink)>) -> bool {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let filter = FilterFn::new(|of| keeps_secrets(of) && is_wanted(of));
        let layer = ToSink.with_filter(filter);
        if tracing_subscriber::registry().with(layer).try_init().is_ok() {
            let _ = OURS.set(());
        }
    });
    *SINK.write().unwrap_or_else(PoisonError::into_inner) = sink;
    tracing::callsite::rebuild_interest_cache();
    OURS.get().is_some()
}

/// Takes a line: level, target, text.
pub type LogSink = Arc<dyn Fn(Level, &str, &str) + Send + Sync>;

static SINK: RwLock<Option<(Level, LogSink)>> = RwLock::new(None);

static OURS: std::sync::OnceLock<()> = std::sync::OnceLock::new();

fn is_wanted(of: &Metadata<'_>) -> bool {
    let sink = SINK.read().unwrap_or_else(PoisonError::into_inner);
    sink.as_ref().is_some_and(|(level, _)| of.level() <= level)
}

struct ToSink;

impl<S: Subscriber> Layer<S> for ToSink {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Without the lock: the sink may want to be replaced.
        let sink = SINK.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((_, sink)) = sink else { return };
        let mut text = Text::default();
        event.record(&mut text);
        sink(*event.metadata().level(), event.metadata().target(), &text.0);
    }
}

/// The message, then what goes with it as `name=value`.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if self.0.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{space}{value:?}"),
            name => write!(self.0, "{space}{name}={value:?}"),
        };
    }
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
