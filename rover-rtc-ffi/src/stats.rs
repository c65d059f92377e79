//! Counters and measurements, as C has them.

use std::ffi::c_char;
use std::time::Duration;

use rover_rtc::event::SwitchCause;
use rover_rtc::link::LinkStats;
use rover_rtc::path::PathState;
use rover_rtc::path::PathStats;
use rover_rtc::{LinkState, PathKind};

use crate::config::of_mode;
use crate::status::{Failure, ROVER_RTC_NOT_FOUND};
use crate::text::{Sized32, declared, null, put_text, write_sized};

/// No path carries the messages.
pub const ROVER_RTC_PATH_NONE: i32 = 0;
/// Nothing but routers between both ends.
pub const ROVER_RTC_PATH_DIRECT: i32 = 1;
/// At least one NAT.
pub const ROVER_RTC_PATH_REFLEXIVE: i32 = 2;
/// By a TURN server.
pub const ROVER_RTC_PATH_TURN: i32 = 3;
/// By the hub.
pub const ROVER_RTC_PATH_HUB: i32 = 4;

/// The first path of a connection.
pub const ROVER_RTC_SWITCH_FIRST: i32 = 1;
/// The path before is dead or gone.
pub const ROVER_RTC_SWITCH_DIED: i32 = 2;
/// None lived, and this one came back.
pub const ROVER_RTC_SWITCH_CAME_BACK: i32 = 3;
/// It is clearly faster than the path before.
pub const ROVER_RTC_SWITCH_FASTER: i32 = 4;
/// It needs no relay, and the path before does.
pub const ROVER_RTC_SWITCH_DIRECT: i32 = 5;

/// The link has not been up yet.
pub const ROVER_RTC_HEALTH_CONNECTING: i32 = 0;
/// Messages flow.
pub const ROVER_RTC_HEALTH_UP: i32 = 1;
/// No path lives; messages wait.
pub const ROVER_RTC_HEALTH_OUTAGE: i32 = 2;

/// How a link fares, and what it has counted. Times that are not known are `UINT64_MAX`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rover_rtc_link_statistics {
    /// Set this to the struct's size before use.
    pub struct_size: u32,
    /// A `ROVER_RTC_HEALTH_...`.
    pub health: i32,
    /// What the selected path goes through: a `ROVER_RTC_PATH_...`.
    pub path: i32,
    /// Paths that live.
    pub paths_alive: u32,
    /// Smoothed round-trip time of the selected path, in microseconds.
    pub rtt_us: u64,
    /// Share of the probes of the selected path that are lost, 0 to 1, both directions together.
    pub loss: f64,
    /// How long no message has been able to flow by now, in microseconds; 0 while they flow.
    pub outage_us: u64,
    /// The last outage that has ended, in microseconds.
    pub last_outage_us: u64,
    /// The longest of them that has ended, in microseconds; 0 without one.
    pub longest_outage_us: u64,
    /// Outages, ended or not.
    pub outages: u64,
    /// Times that another path took over.
    pub switches: u64,
    /// Connections that the link has had.
    pub transports: u64,
    /// Messages handed to the connection.
    pub messages_sent: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Messages dropped by full queues.
    pub messages_dropped: u64,
    /// Messages that wait to be sent.
    pub messages_queued: u64,
    /// Bytes sent on the paths of the connection of now.
    pub bytes_sent: u64,
    /// Bytes received on them.
    pub bytes_received: u64,
    /// Probes sent.
    pub probes: u64,
    /// Probes not answered in time.
    pub probes_missed: u64,
    /// Records sent a second time.
    pub duplicates: u64,
    /// Datagrams and frames refused.
    pub refused: u64,
}

/// One path of a link.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rover_rtc_path_statistics {
    /// Set this to the struct's size before use.
    pub struct_size: u32,
    /// What it goes through: a `ROVER_RTC_PATH_...`.
    pub kind: i32,
    /// 1 if it lives, 0 if it has never answered, -1 if it is dead.
    pub alive: i32,
    /// 1 if it carries the messages.
    pub selected: i32,
    /// Smoothed round-trip time in microseconds; `UINT64_MAX` if it is not known.
    pub rtt_us: u64,
    /// Share of probes lost, 0 to 1, both directions together.
    pub loss: f64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// The local address, with port.
    pub local: [c_char; 64],
    /// The remote address, with port.
    pub remote: [c_char; 64],
}

/// What a channel has counted.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rover_rtc_channel_statistics {
    /// Set this to the struct's size before use.
    pub struct_size: u32,
    /// What it promises: a `ROVER_RTC_MODE_...`.
    pub mode: i32,
    /// Messages that wait to be sent.
    pub queued: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Messages sent, at least in part, and not acknowledged.
    pub in_flight: u64,
    /// Messages handed to the connection, replays not counted.
    pub sent: u64,
    /// Messages that the other side has acknowledged.
    pub acknowledged: u64,
    /// Messages sent once more, on a new connection.
    pub replayed: u64,
    /// Messages received.
    pub received: u64,
    /// Datagrams that did not come, or came later than others.
    pub missed: u64,
    /// Messages dropped before they were sent: the outbox was full.
    pub dropped_full: u64,
    /// They had waited for longer than their time to live.
    pub dropped_expired: u64,
    /// They were larger than the other side takes.
    pub dropped_too_large: u64,
    /// The journal could not keep them.
    pub dropped_not_stored: u64,
    /// A newer message of their key took their place, which is no loss.
    pub overtaken: u64,
    /// Half of the messages were acknowledged within so many microseconds; `UINT64_MAX` without
    /// any.
    pub ack_p50_us: u64,
    /// 99 of 100 were.
    pub ack_p99_us: u64,
}

// SAFETY: numbers.
unsafe impl Sized32 for rover_rtc_link_statistics {
    const LEAST: usize = size_of::<Self>();
    const NAME: &'static str = "rover_rtc_link_statistics";
}

// SAFETY: numbers.
unsafe impl Sized32 for rover_rtc_path_statistics {
    const LEAST: usize = size_of::<Self>();
    const NAME: &'static str = "rover_rtc_path_statistics";
}

// SAFETY: numbers.
unsafe impl Sized32 for rover_rtc_channel_statistics {
    const LEAST: usize = size_of::<Self>();
    const NAME: &'static str = "rover_rtc_channel_statistics";
}

/// # Safety
///
/// `place` is NULL, or points to a struct of the size that it says.
pub(crate) unsafe fn write_link(
    stats: &LinkStats,
    place: *mut rover_rtc_link_statistics,
) -> Result<(), Failure> {
    let selected = stats.paths.iter().find(|path| path.selected);
    let alive = stats.paths.iter().filter(|path| path.state == PathState::Alive).count();
    let bytes = |of: fn(&PathStats) -> u64| stats.paths.iter().map(of).sum();
    let health = match stats.state {
        LinkState::Connecting => ROVER_RTC_HEALTH_CONNECTING,
        LinkState::Up => ROVER_RTC_HEALTH_UP,
        // A link that is closed has no statistics any more.
        _ => ROVER_RTC_HEALTH_OUTAGE,
    };
    let shown = rover_rtc_link_statistics {
        struct_size: 0,
        health,
        path: selected.map_or(ROVER_RTC_PATH_NONE, |path| of_kind(path.kind)),
        paths_alive: alive as u32,
        rtt_us: us(selected.and_then(|path| path.rtt)),
        loss: selected.map_or(0.0, |path| path.loss),
        outage_us: us(Some(stats.outage.unwrap_or_default())),
        last_outage_us: us(stats.last_outage),
        longest_outage_us: us(Some(stats.longest_outage)),
        outages: stats.outages,
        switches: stats.switches,
        transports: stats.transports,
        messages_sent: stats.messages_sent,
        messages_received: stats.messages_received,
        messages_dropped: stats.messages_dropped,
        messages_queued: stats.messages_queued as u64,
        bytes_sent: bytes(|path| path.bytes_sent),
        bytes_received: bytes(|path| path.bytes_received),
        probes: stats.stun.probes,
        probes_missed: stats.stun.misses,
        duplicates: stats.stun.duplicates,
        refused: stats.frames_refused + stats.datagrams_refused,
    };
    // SAFETY: as required of the caller.
    unsafe { write_sized(place, shown) }
}

/// # Safety
///
/// `count` is NULL or can be written, and `first` points to as many structs of the size that it
/// says.
pub(crate) unsafe fn write_paths(
    paths: &[PathStats],
    first: *mut rover_rtc_path_statistics,
    count: *mut usize,
) -> Result<(), Failure> {
    if count.is_null() {
        return Err(null("count"));
    }
    // SAFETY: as required of the caller.
    let room = unsafe { count.read() };
    if room > 0 {
        // SAFETY: as required of the caller.
        let stride = unsafe { declared(first) }?;
        for (i, path) in paths.iter().take(room).enumerate() {
            // SAFETY: as required of the caller. The size is set for who set only the first one's.
            unsafe {
                let place = first.byte_add(i * stride);
                (&raw mut (*place).struct_size).write(stride as u32);
                write_sized(place, of_path(path))?;
            }
        }
    }
    // SAFETY: as required of the caller.
    unsafe { count.write(paths.len()) };
    Ok(())
}

/// # Safety
///
/// `place` is NULL, or points to a struct of the size that it says.
pub(crate) unsafe fn write_channel(
    stats: &LinkStats,
    label: &str,
    place: *mut rover_rtc_channel_statistics,
) -> Result<(), Failure> {
    let channel = stats.channels.iter().find(|channel| channel.label == label);
    let channel = channel
        .ok_or_else(|| Failure::new(ROVER_RTC_NOT_FOUND, "nothing is counted of this channel"))?;
    let (counters, drops) = (&channel.counters, channel.drops);
    let shown = rover_rtc_channel_statistics {
        struct_size: 0,
        mode: of_mode(channel.mode),
        queued: channel.queued as u64,
        queued_bytes: channel.queued_bytes as u64,
        in_flight: channel.in_flight as u64,
        sent: counters.sent,
        acknowledged: counters.acked,
        replayed: counters.replayed,
        received: counters.received,
        missed: counters.missed,
        dropped_full: drops.full,
        dropped_expired: drops.expired,
        dropped_too_large: drops.too_large,
        dropped_not_stored: drops.not_stored,
        overtaken: drops.overtaken,
        ack_p50_us: us(counters.ack_latency.quantile(0.5)),
        ack_p99_us: us(counters.ack_latency.quantile(0.99)),
    };
    // SAFETY: as required of the caller.
    unsafe { write_sized(place, shown) }
}

fn of_path(path: &PathStats) -> rover_rtc_path_statistics {
    let mut shown = rover_rtc_path_statistics {
        struct_size: 0,
        kind: of_kind(path.kind),
        alive: match path.state {
            PathState::Alive => 1,
            PathState::Dead => -1,
            _ => 0,
        },
        selected: i32::from(path.selected),
        rtt_us: us(path.rtt),
        loss: path.loss,
        bytes_sent: path.bytes_sent,
        bytes_received: path.bytes_received,
        local: [0; 64],
        remote: [0; 64],
    };
    put_text(&mut shown.local, &path.local.to_string());
    put_text(&mut shown.remote, &path.remote.to_string());
    shown
}

/// The number of a kind of path.
pub(crate) fn of_kind(kind: PathKind) -> i32 {
    match kind {
        PathKind::Direct => ROVER_RTC_PATH_DIRECT,
        PathKind::Reflexive => ROVER_RTC_PATH_REFLEXIVE,
        PathKind::Turn => ROVER_RTC_PATH_TURN,
        PathKind::Hub => ROVER_RTC_PATH_HUB,
        // The core and this crate have one version; a kind that is new there is added here.
        _ => ROVER_RTC_PATH_NONE,
    }
}

/// The number of a cause.
pub(crate) fn of_cause(cause: SwitchCause) -> i32 {
    match cause {
        SwitchCause::First => ROVER_RTC_SWITCH_FIRST,
        SwitchCause::Died => ROVER_RTC_SWITCH_DIED,
        SwitchCause::CameBack => ROVER_RTC_SWITCH_CAME_BACK,
        SwitchCause::Faster => ROVER_RTC_SWITCH_FASTER,
        SwitchCause::Direct => ROVER_RTC_SWITCH_DIRECT,
        _ => 0,
    }
}

fn us(time: Option<Duration>) -> u64 {
    time.map_or(u64::MAX, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}
