//! Settings: from the dictionaries that Python's dataclasses make to those of the core.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rover_rtc::session::Pace;
use rover_rtc::{ChannelConfig, Mode, PeerConfig, Priority, Redundancy, ServerConfig, WhenFull};

use crate::error::Failure;

/// Values of settings, by their names.
struct Given<'a, 'py>(&'a Bound<'py, PyDict>);

impl<'py> Given<'_, 'py> {
    /// What is given; none for `None`.
    fn get<T>(&self, name: &str) -> Result<Option<T>, Failure>
    where
        T: for<'a> FromPyObject<'a, 'py>,
    {
        let value = self.0.get_item(name).map_err(|error| unusable(name, &error))?;
        let Some(value) = value.filter(|value| !value.is_none()) else { return Ok(None) };
        match value.extract::<T>() {
            Ok(value) => Ok(Some(value)),
            // Without the value, which may be secret.
            Err(error) => Err(unusable(name, &error.into())),
        }
    }

    fn set<T>(&self, name: &str, place: &mut T) -> Result<(), Failure>
    where
        T: for<'a> FromPyObject<'a, 'py>,
    {
        if let Some(value) = self.get(name)? {
            *place = value;
        }
        Ok(())
    }

    /// Milliseconds, at least so many.
    fn set_time(&self, name: &str, place: &mut Duration, least: u64) -> Result<(), Failure> {
        if let Some(value) = self.get::<u64>(name)? {
            *place = Duration::from_millis(value.max(least));
        }
        Ok(())
    }

    /// Texts to be parsed, which are shown where they cannot be.
    fn set_all<T: FromStr>(&self, name: &str, place: &mut Vec<T>) -> Result<(), Failure> {
        if let Some(texts) = self.get::<Vec<String>>(name)? {
            *place = texts.iter().map(|text| address(text, name)).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    /// One of some words.
    fn word<T: Copy>(&self, name: &str, place: &mut T, words: &[(&str, T)]) -> Result<(), Failure> {
        let Some(given) = self.get::<String>(name)? else { return Ok(()) };
        let found = words.iter().find(|(word, _)| *word == given);
        *place = found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            Failure::invalid(format!("{name} is {given:?}: choose {}", words.join(", ")))
        })?;
        Ok(())
    }
}

/// Settings of a channel.
pub(crate) fn channel(given: &Bound<'_, PyDict>) -> Result<ChannelConfig, Failure> {
    let given = Given(given);
    let label: String =
        given.get("label")?.ok_or_else(|| Failure::invalid("a channel needs a label"))?;
    let mut mode = Mode::default();
    given.word("mode", &mut mode, &MODES)?;
    let mut config = ChannelConfig::of_mode(label, mode);
    given.word("priority", &mut config.priority, &PRIORITIES)?;
    given.word("when_full", &mut config.outbox.when_full, &WHEN_FULL)?;
    config.ttl = given.get("ttl_ms")?.map(Duration::from_millis);
    config.max_retransmits = given.get("max_retransmits")?;
    given.set("ordered", &mut config.ordered)?;
    given.set("manual_ack", &mut config.manual_ack)?;
    given.set("outbox_messages", &mut config.outbox.max_messages)?;
    given.set("outbox_bytes", &mut config.outbox.max_bytes)?;
    given.set("max_message", &mut config.outbox.max_message)?;
    Ok(config)
}

/// Settings of a peer.
pub(crate) fn peer(given: &Bound<'_, PyDict>) -> Result<PeerConfig, Failure> {
    let given = Given(given);
    let mut config = PeerConfig::default();
    given.set("server", &mut config.server)?;
    config.name = given.get("name")?;
    config.state = given.get::<PathBuf>("state_dir")?;
    config.roster = given.get::<PathBuf>("roster")?;
    config.token = given.get::<String>("token")?.map(|text| secret(&text, "token")).transpose()?;
    for text in given.get::<Vec<String>>("ice_servers")?.unwrap_or_default() {
        // The text may hold a password.
        let server = text.parse().map_err(|e| Failure::invalid(format!("ice_servers: {e}")))?;
        config.ice_servers.push(server);
    }
    if let Some(channels) = given.get::<Vec<Bound<'_, PyDict>>>("channels")? {
        config.channels.clear();
        for given in &channels {
            let channel = channel(given)?;
            if config.channels.iter().any(|known| known.label == channel.label) {
                let text = format!("there are two channels {:?}", channel.label);
                return Err(Failure::invalid(text));
            }
            config.channels.push(channel);
        }
    }
    given.set_all("bind", &mut config.bind)?;
    given.set("interfaces", &mut config.interfaces)?;
    given.set("no_interfaces", &mut config.no_interfaces)?;
    given.set("max_links", &mut config.max_links)?;
    given.set("relay", &mut config.relay)?;
    given.set("relay_only", &mut config.relay_only)?;
    given.word("redundancy", &mut config.path.redundancy, &REDUNDANCIES)?;
    if given.get::<bool>("foreign")?.unwrap_or_default() {
        config.pace = Pace::FOREIGN;
    }
    given.set_time("probe_interval_ms", &mut config.path.probe_interval, 0)?;
    if config.path.probe_interval < Duration::from_millis(MIN_PROBE_MS) {
        return Err(Failure::invalid("probe_interval_ms is at least 10"));
    }
    given.set_time("standby_interval_ms", &mut config.path.standby_interval, MIN_PROBE_MS)?;
    given.set_time("idle_interval_ms", &mut config.path.idle_interval, MIN_PROBE_MS)?;
    given.set("duplicate_budget", &mut config.path.duplicate_budget)?;
    let recovery = &mut config.recovery;
    given.set_time("restart_after_ms", &mut recovery.restart_after, 0)?;
    given.set_time("dial_timeout_ms", &mut recovery.dial_timeout, 0)?;
    given.set_time("max_pause_ms", &mut recovery.max_pause, 0)?;
    recovery.max_pause = recovery.max_pause.max(recovery.min_pause);
    given.set_time("resume_window_ms", &mut recovery.resume_window, 0)?;
    given.set("max_channels", &mut config.max_channels)?;
    given.set("inbox_bytes", &mut config.inbox_bytes)?;
    given.set("max_message", &mut config.max_message)?;
    given.set("journal_bytes", &mut config.journal.max_bytes)?;
    Ok(config)
}

/// Settings of a hub.
pub(crate) fn server(given: &Bound<'_, PyDict>) -> Result<ServerConfig, Failure> {
    let given = Given(given);
    let mut config = ServerConfig::default();
    if let Some(listen) = given.get::<String>("listen")? {
        config.listen = address(&listen, "listen")?;
    }
    given.set_all("udp", &mut config.udp)?;
    given.set_all("advertise", &mut config.advertise)?;
    for token in given.get::<Vec<String>>("tokens")?.unwrap_or_default() {
        config.tokens.push(secret(&token, "tokens")?);
    }
    config.state = given.get::<PathBuf>("state_dir")?;
    config.roster = given.get::<PathBuf>("roster")?;
    given.set("shards", &mut config.shards)?;
    if config.shards > MAX_SHARDS {
        return Err(Failure::invalid(format!("shards is {}: at most 64", config.shards)));
    }
    given.set("relay", &mut config.relay)?;
    given.set("max_clients", &mut config.max_clients)?;
    given.set("relay_rate", &mut config.relay_rate)?;
    given.set_time("status_interval_ms", &mut config.status_interval, MIN_STATUS_MS)?;
    Ok(config)
}

/// Defaults of a channel's settings that are not None.
#[pyfunction]
pub(crate) fn channel_defaults(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let ours = ChannelConfig::new("");
    let all = PyDict::new(py);
    all.set_item("mode", mode_name(ours.mode))?;
    all.set_item("priority", name_of(&PRIORITIES, ours.priority))?;
    all.set_item("when_full", name_of(&WHEN_FULL, ours.outbox.when_full))?;
    all.set_item("ordered", ours.ordered)?;
    all.set_item("manual_ack", ours.manual_ack)?;
    all.set_item("outbox_messages", ours.outbox.max_messages)?;
    all.set_item("outbox_bytes", ours.outbox.max_bytes)?;
    Ok(all)
}

/// Defaults of a peer's settings that are not None.
#[pyfunction]
pub(crate) fn peer_defaults(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let ours = PeerConfig::default();
    let all = PyDict::new(py);
    all.set_item("server", &ours.server)?;
    all.set_item("max_links", ours.max_links)?;
    all.set_item("relay", ours.relay)?;
    all.set_item("relay_only", ours.relay_only)?;
    all.set_item("redundancy", name_of(&REDUNDANCIES, ours.path.redundancy))?;
    all.set_item("probe_interval_ms", ms(ours.path.probe_interval))?;
    all.set_item("standby_interval_ms", ms(ours.path.standby_interval))?;
    all.set_item("idle_interval_ms", ms(ours.path.idle_interval))?;
    all.set_item("duplicate_budget", ours.path.duplicate_budget)?;
    all.set_item("restart_after_ms", ms(ours.recovery.restart_after))?;
    all.set_item("dial_timeout_ms", ms(ours.recovery.dial_timeout))?;
    all.set_item("max_pause_ms", ms(ours.recovery.max_pause))?;
    all.set_item("resume_window_ms", ms(ours.recovery.resume_window))?;
    all.set_item("max_channels", ours.max_channels)?;
    all.set_item("inbox_bytes", ours.inbox_bytes)?;
    all.set_item("max_message", ours.max_message)?;
    all.set_item("journal_bytes", ours.journal.max_bytes)?;
    Ok(all)
}

/// Defaults of a hub's settings that are not None.
#[pyfunction]
pub(crate) fn server_defaults(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let ours = ServerConfig::default();
    let all = PyDict::new(py);
    all.set_item("listen", ours.listen.to_string())?;
    all.set_item("shards", ours.shards)?;
    all.set_item("relay", ours.relay)?;
    all.set_item("max_clients", ours.max_clients)?;
    all.set_item("relay_rate", ours.relay_rate)?;
    all.set_item("status_interval_ms", ms(ours.status_interval))?;
    Ok(all)
}

/// The word for a mode.
pub(crate) fn mode_name(mode: Mode) -> &'static str {
    name_of(&MODES, mode)
}

fn name_of<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("unknown", |(word, _)| word)
}

fn address<T: FromStr>(text: &str, name: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::invalid(format!("{name}: {text:?} is no address")))
}

/// Without the text in an error.
fn secret<T: FromStr>(text: &str, name: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::invalid(format!("{name} cannot be used: is it empty?")))
}

fn unusable(name: &str, error: &PyErr) -> Failure {
    let why = Python::attach(|py| error.value(py).to_string());
    Failure::invalid(format!("{name} cannot be used: {why}"))
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const MODES: [(&str, Mode); 5] = [
    ("reliable", Mode::Reliable),
    ("durable", Mode::Durable),
    ("latest", Mode::Latest),
    ("datagram", Mode::Datagram),
    ("plain", Mode::Plain),
];

const PRIORITIES: [(&str, Priority); 3] =
    [("high", Priority::High), ("normal", Priority::Normal), ("low", Priority::Low)];

const WHEN_FULL: [(&str, WhenFull); 4] = [
    ("wait", WhenFull::Wait),
    ("refuse", WhenFull::Refuse),
    ("drop_oldest", WhenFull::DropOldest),
    ("keep_latest", WhenFull::KeepLatest),
];

const REDUNDANCIES: [(&str, Redundancy); 3] =
    [("auto", Redundancy::Auto), ("off", Redundancy::Off), ("always", Redundancy::Always)];

const MIN_PROBE_MS: u64 = 10;
const MIN_STATUS_MS: u64 = 100;
const MAX_SHARDS: usize = 64;
