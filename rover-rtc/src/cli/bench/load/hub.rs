//! CPU time and memory of the hub's process, as Linux tells them.

use std::fs;

use super::super::measure::cpu_seconds_of;

/// A process on this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process(u32);

impl Process {
    /// `None` if there is none with this id, or this system does not show it.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let process = Self(pid);
        process.memory().map(|_| process)
    }

    /// Seconds of CPU time so far.
    pub(super) fn cpu_seconds(self) -> f64 {
        self.scheduled_seconds().unwrap_or_else(|| cpu_seconds_of(&self.0.to_string()))
    }

    /// KiB in memory.
    pub(super) fn memory(self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    }

    /// To the nanosecond, of the threads that are there: a window of little work has few of the
    /// ticks of 10 ms in which `/proc/PID/stat` counts.
    fn scheduled_seconds(self) -> Option<f64> {
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0)).ok()? {
            let schedstat = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            nanos += schedstat.split_ascii_whitespace().next()?.parse::<u64>().ok()?;
        }
        (nanos > 0).then_some(nanos as f64 / 1e9)
    }
}
