//! CPU time of a process, and messages with number and time.

use std::fs;

use bytes::Bytes;
use rover_rtc::util::clock;

/// Seconds of user and system time so far of this process.
pub(super) fn cpu_seconds() -> f64 {
    cpu_seconds_of("self")
}

/// The same of the process with this id (`/proc/PID/stat`, in ticks of 10 ms).
pub(super) fn cpu_seconds_of(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The program's name may hold spaces; what follows its bracket may not.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// A message of the contract: number and time, little-endian, then zeros.
pub(super) fn message(number: u64, size: usize) -> Bytes {
    let mut data = vec![0; size.max(16)];
    data[..8].copy_from_slice(&number.to_le_bytes());
    data[8..16].copy_from_slice(&clock::unix_nanos().to_le_bytes());
    data.into()
}

/// Number and time of a message.
pub(super) fn parse(data: &[u8]) -> Option<(u64, i64)> {
    let number = u64::from_le_bytes(data.get(..8)?.try_into().ok()?);
    let time = i64::from_le_bytes(data.get(8..16)?.try_into().ok()?);
    Some((number, time))
}

/// `sysconf(_SC_CLK_TCK)`, which is 100 on every Linux of today.
const TICKS_PER_SECOND: f64 = 100.0;
