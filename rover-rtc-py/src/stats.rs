//! Counters and measurements, as dictionaries of which Python makes dataclasses.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use rover_rtc::link::{ChannelStats, LinkStats};
use rover_rtc::path::PathState;
use rover_rtc::path::PathStats;

use crate::config::mode_name;
use crate::words::{link_state_name, path_name};

/// Those of a link, its paths and its channels.
pub(crate) fn of_link<'py>(py: Python<'py>, stats: &LinkStats) -> PyResult<Bound<'py, PyDict>> {
    let selected = stats.paths.iter().find(|path| path.selected);
    let alive = stats.paths.iter().filter(|path| path.state == PathState::Alive).count();
    let bytes = |of: fn(&PathStats) -> u64| stats.paths.iter().map(of).sum::<u64>();
    let all = PyDict::new(py);
    all.set_item("state", link_state_name(stats.state))?;
    all.set_item("path", selected.map(|path| path_name(path.kind)))?;
    all.set_item("paths_alive", alive)?;
    all.set_item("rtt_ms", ms(selected.and_then(|path| path.rtt)))?;
    all.set_item("loss", selected.map_or(0.0, |path| path.loss))?;
    all.set_item("outage_ms", ms(Some(stats.outage.unwrap_or_default())))?;
    all.set_item("last_outage_ms", ms(stats.last_outage))?;
    all.set_item("longest_outage_ms", ms(Some(stats.longest_outage)))?;
    all.set_item("outages", stats.outages)?;
    all.set_item("switches", stats.switches)?;
    all.set_item("transports", stats.transports)?;
    all.set_item("messages_sent", stats.messages_sent)?;
    all.set_item("messages_received", stats.messages_received)?;
    all.set_item("messages_dropped", stats.messages_dropped)?;
    all.set_item("messages_queued", stats.messages_queued)?;
    all.set_item("bytes_sent", bytes(|path| path.bytes_sent))?;
    all.set_item("bytes_received", bytes(|path| path.bytes_received))?;
    all.set_item("probes", stats.stun.probes)?;
    all.set_item("probes_missed", stats.stun.misses)?;
    all.set_item("duplicates", stats.stun.duplicates)?;
    all.set_item("refused", stats.frames_refused + stats.datagrams_refused)?;
    let paths = stats.paths.iter().map(|path| of_path(py, path)).collect::<PyResult<Vec<_>>>()?;
    all.set_item("paths", PyList::new(py, paths)?)?;
    let channels = stats.channels.iter().map(|channel| of_channel(py, channel));
    all.set_item("channels", PyList::new(py, channels.collect::<PyResult<Vec<_>>>()?)?)?;
    Ok(all)
}

fn of_path<'py>(py: Python<'py>, path: &PathStats) -> PyResult<Bound<'py, PyDict>> {
    let state = match path.state {
        PathState::Alive => "alive",
        PathState::Dead => "dead",
        _ => "unproven",
    };
    let all = PyDict::new(py);
    all.set_item("kind", path_name(path.kind))?;
    all.set_item("state", state)?;
    all.set_item("selected", path.selected)?;
    all.set_item("rtt_ms", ms(path.rtt))?;
    all.set_item("loss", path.loss)?;
    all.set_item("bytes_sent", path.bytes_sent)?;
    all.set_item("bytes_received", path.bytes_received)?;
    all.set_item("local", path.local.to_string())?;
    all.set_item("remote", path.remote.to_string())?;
    Ok(all)
}

fn of_channel<'py>(py: Python<'py>, channel: &ChannelStats) -> PyResult<Bound<'py, PyDict>> {
    let (counters, drops) = (&channel.counters, channel.drops);
    let all = PyDict::new(py);
    all.set_item("label", &channel.label)?;
    all.set_item("mode", mode_name(channel.mode))?;
    all.set_item("queued", channel.queued)?;
    all.set_item("queued_bytes", channel.queued_bytes)?;
    all.set_item("in_flight", channel.in_flight)?;
    all.set_item("sent", counters.sent)?;
    all.set_item("acknowledged", counters.acked)?;
    all.set_item("replayed", counters.replayed)?;
    all.set_item("received", counters.received)?;
    all.set_item("missed", counters.missed)?;
    all.set_item("dropped_full", drops.full)?;
    all.set_item("dropped_expired", drops.expired)?;
    all.set_item("dropped_too_large", drops.too_large)?;
    all.set_item("dropped_not_stored", drops.not_stored)?;
    all.set_item("overtaken", drops.overtaken)?;
    all.set_item("ack_p50_ms", ms(counters.ack_latency.quantile(0.5)))?;
    all.set_item("ack_p99_ms", ms(counters.ack_latency.quantile(0.99)))?;
    Ok(all)
}

fn ms(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64() * 1e3)
}
