//! What has happened to a peer.

use std::ffi::c_char;
use std::sync::Arc;

use rover_rtc::event::{DisconnectReason, Event, IceConnectionState, Recovery};
use rover_rtc::pull;

use crate::object::{ChannelHandle, LinkHandle, PeerHandle, rover_rtc_channel, rover_rtc_link};
use crate::stats::{of_cause, of_kind};
use crate::status::{Failure, ROVER_RTC_AGAIN, ROVER_RTC_CLOSED, ROVER_RTC_OK, rover_rtc_status};
use crate::text::{Sized32, declared, put_text, write_sized};

/// Another peer has called; `link` is new.
pub const ROVER_RTC_EVENT_CALLED: i32 = 1;
/// `channel` has messages, or has ended. Comes once; again after a `rover_rtc_channel_recv()` that
/// left some, and when one comes after a `rover_rtc_channel_recv()` that found none. Another thread
/// may have taken them meanwhile.
pub const ROVER_RTC_EVENT_READABLE: i32 = 2;
/// `channel` has room again, after `ROVER_RTC_AGAIN`.
pub const ROVER_RTC_EVENT_SEND_READY: i32 = 3;
/// `channel` is open: for the first time, or on a new connection.
pub const ROVER_RTC_EVENT_CHANNEL_OPEN: i32 = 4;
/// The other side has closed `channel`.
pub const ROVER_RTC_EVENT_CHANNEL_CLOSED: i32 = 5;
/// The connection's state is `value`: a `ROVER_RTC_STATE_...`.
pub const ROVER_RTC_EVENT_STATE: i32 = 6;
/// Another path carries the messages: of kind `value` (a `ROVER_RTC_PATH_...`), because of `other`
/// (a `ROVER_RTC_SWITCH_...`); `text` has its two addresses.
pub const ROVER_RTC_EVENT_PATH_SWITCH: i32 = 7;
/// No path lives any more; messages wait.
pub const ROVER_RTC_EVENT_OUTAGE: i32 = 8;
/// Messages flow again, after `value` microseconds; `other` is 1 if a new connection was needed.
pub const ROVER_RTC_EVENT_RECOVERED: i32 = 9;
/// The link goes on on a new connection, and `value` messages are sent once more.
pub const ROVER_RTC_EVENT_RESUMED: i32 = 10;
/// The process of the other side was restarted.
pub const ROVER_RTC_EVENT_PEER_RESTARTED: i32 = 11;
/// On `channel`, `value` pieces (of 4 KiB at most) will not come: the other side has dropped them.
/// `UINT64_MAX` if nobody knows how many.
pub const ROVER_RTC_EVENT_GAP: i32 = 12;
/// On `channel`, `value` bytes of a large message of `other` bytes are here.
pub const ROVER_RTC_EVENT_PROGRESS: i32 = 13;
/// The connection is being restarted through the hub.
pub const ROVER_RTC_EVENT_RESTARTING: i32 = 14;
/// A new connection is being made, for the `value`-th time in this outage.
pub const ROVER_RTC_EVENT_DIALING: i32 = 15;
/// Something failed and will be tried again; `text` says what.
pub const ROVER_RTC_EVENT_TROUBLE: i32 = 16;
/// The connection is over; `value` says why, a `ROVER_RTC_DISCONNECT_...`, and so does `text`. A
/// link with the hub, or one that was called here, makes a new one, unless the link itself is over:
/// then `ROVER_RTC_EVENT_CLOSED` follows.
pub const ROVER_RTC_EVENT_DISCONNECTED: i32 = 17;
/// The link is closed for good.
pub const ROVER_RTC_EVENT_CLOSED: i32 = 18;
/// On `channel`, `value` messages of this side were dropped that a `rover_rtc_channel_send...()`
/// had taken, for another reason than a full outbox or their time to live; `text` says why.
pub const ROVER_RTC_EVENT_DROPPED: i32 = 19;

/// Not connected yet.
pub const ROVER_RTC_STATE_NEW: i32 = 0;
/// Looking for a path.
pub const ROVER_RTC_STATE_CHECKING: i32 = 1;
/// A path lives.
pub const ROVER_RTC_STATE_CONNECTED: i32 = 2;
/// No path lives.
pub const ROVER_RTC_STATE_DISCONNECTED: i32 = 3;

/// The connection failed; the link goes on.
pub const ROVER_RTC_DISCONNECT_FAILED: i32 = 0;
/// The other side has closed the connection: it, or the hub, is being stopped or restarted. The
/// link goes on.
pub const ROVER_RTC_DISCONNECT_CLOSED: i32 = 1;
/// The link is over: the other peer has ended it.
pub const ROVER_RTC_DISCONNECT_BYE: i32 = 2;
/// The link is over: the other peer was away for longer than links wait.
pub const ROVER_RTC_DISCONNECT_GIVEN_UP: i32 = 3;
/// The link is over: the other peer was not reached in the time that the call had.
pub const ROVER_RTC_DISCONNECT_TIMED_OUT: i32 = 4;
/// The link is over: what came in the other peer's name was not from it.
pub const ROVER_RTC_DISCONNECT_DISTRUSTED: i32 = 5;
/// The link is over: the journal cannot be read or written.
pub const ROVER_RTC_DISCONNECT_NOT_STORED: i32 = 6;
/// The link is over for another reason of this side: see `text`.
pub const ROVER_RTC_DISCONNECT_HERE: i32 = 7;

/// An event.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rover_rtc_event {
    /// Set this to the struct's size before use.
    pub struct_size: u32,
    /// What has happened: a `ROVER_RTC_EVENT_...`. Ignore those that you do not know.
    pub kind: i32,
    /// The link that it happened to; NULL for events of a channel only.
    pub link: *mut rover_rtc_link,
    /// The channel, or NULL.
    pub channel: *mut rover_rtc_channel,
    /// A number: see the kinds.
    pub value: u64,
    /// Another number.
    pub other: u64,
    /// A text that ends with a NUL; what is longer was cut. Empty for most kinds.
    pub text: [c_char; 256],
}

// SAFETY: integers and pointers, which may be NULL.
unsafe impl Sized32 for rover_rtc_event {
    const LEAST: usize = size_of::<Self>();
    const NAME: &'static str = "rover_rtc_event";
}

/// Writes the next event.
///
/// # Safety
///
/// `place` is NULL, or points to a struct of the size that it says.
pub(crate) unsafe fn next(
    peer: &Arc<PeerHandle>,
    place: *mut rover_rtc_event,
) -> Result<rover_rtc_status, Failure> {
    // SAFETY: as required of the caller.
    unsafe { declared(place) }?;
    while let Some(event) = peer.peer.next() {
        match shown(peer, event) {
            Ok(Some(event)) => {
                // SAFETY: as required of the caller.
                unsafe { write_sized(place, event) }?;
                return Ok(ROVER_RTC_OK);
            }
            Ok(None) => {}
            // Of a link that another thread has just freed.
            Err(failure) if failure.status == ROVER_RTC_CLOSED => {}
            Err(failure) => return Err(failure),
        }
    }
    peer.check()?;
    Ok(ROVER_RTC_AGAIN)
}

/// An event as C sees it; none for what is of no use there.
fn shown(peer: &Arc<PeerHandle>, event: pull::Event) -> Result<Option<rover_rtc_event>, Failure> {
    let mut shown = rover_rtc_event {
        struct_size: 0,
        kind: 0,
        link: std::ptr::null_mut(),
        channel: std::ptr::null_mut(),
        value: 0,
        other: 0,
        text: [0; 256],
    };
    match event {
        pull::Event::Called(link) => {
            shown.kind = ROVER_RTC_EVENT_CALLED;
            shown.link = LinkHandle::of(peer, &link)?;
        }
        pull::Event::Readable(channel) => {
            shown.kind = ROVER_RTC_EVENT_READABLE;
            shown.channel = ChannelHandle::of(peer, &channel)?;
        }
        pull::Event::Room(channel) => {
            shown.kind = ROVER_RTC_EVENT_SEND_READY;
            shown.channel = ChannelHandle::of(peer, &channel)?;
        }
        pull::Event::Link(link, channel, event) => {
            if !of_link(&mut shown, &event) {
                return Ok(None);
            }
            shown.link = LinkHandle::of(peer, &link)?;
            if let Some(channel) = channel {
                shown.channel = ChannelHandle::of(peer, &channel)?;
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(shown))
}

/// Fills in what happened on a link; false for what is of no use in C.
fn of_link(shown: &mut rover_rtc_event, event: &Event) -> bool {
    let mut set =
        |kind, value, other| (shown.kind, shown.value, shown.other) = (kind, value, other);
    match event {
        Event::IceConnectionStateChange(state) => {
            set(ROVER_RTC_EVENT_STATE, of_state(*state), 0);
        }
        Event::ChannelOpen(..) => set(ROVER_RTC_EVENT_CHANNEL_OPEN, 0, 0),
        Event::ChannelClosed(_) => set(ROVER_RTC_EVENT_CHANNEL_CLOSED, 0, 0),
        Event::Progress { bytes, total, .. } => {
            set(ROVER_RTC_EVENT_PROGRESS, *bytes as u64, *total as u64);
        }
        Event::Gap { lost, .. } => set(ROVER_RTC_EVENT_GAP, lost.unwrap_or(u64::MAX), 0),
        Event::Dropped { messages, why, .. } => {
            set(ROVER_RTC_EVENT_DROPPED, *messages, 0);
            put_text(&mut shown.text, why);
        }
        Event::Resumed { replayed } => set(ROVER_RTC_EVENT_RESUMED, *replayed, 0),
        Event::PeerRestarted => set(ROVER_RTC_EVENT_PEER_RESTARTED, 0, 0),
        Event::PathSwitch { path, kind, cause } => {
            set(ROVER_RTC_EVENT_PATH_SWITCH, of_kind(*kind) as u64, of_cause(*cause) as u64);
            put_text(&mut shown.text, &format!("{} {}", path.0, path.1));
        }
        Event::Outage => set(ROVER_RTC_EVENT_OUTAGE, 0, 0),
        Event::Recovered { outage, by } => {
            let new = u64::from(*by == Recovery::Transport);
            set(ROVER_RTC_EVENT_RECOVERED, outage.as_micros() as u64, new);
        }
        Event::Restarting => set(ROVER_RTC_EVENT_RESTARTING, 0, 0),
        Event::Dialing(times) => set(ROVER_RTC_EVENT_DIALING, u64::from(*times), 0),
        Event::Trouble(text) => {
            set(ROVER_RTC_EVENT_TROUBLE, 0, 0);
            put_text(&mut shown.text, text);
        }
        Event::Disconnected(why) => {
            set(ROVER_RTC_EVENT_DISCONNECTED, of_reason(why.reason) as u64, 0);
            put_text(&mut shown.text, &why.text);
        }
        Event::Closed => set(ROVER_RTC_EVENT_CLOSED, 0, 0),
        // Offers and answers are for who debugs signaling.
        _ => return false,
    }
    true
}

fn of_reason(reason: DisconnectReason) -> i32 {
    match reason {
        DisconnectReason::TransportFailed => ROVER_RTC_DISCONNECT_FAILED,
        DisconnectReason::TransportClosed => ROVER_RTC_DISCONNECT_CLOSED,
        DisconnectReason::Bye => ROVER_RTC_DISCONNECT_BYE,
        DisconnectReason::GivenUp => ROVER_RTC_DISCONNECT_GIVEN_UP,
        DisconnectReason::TimedOut => ROVER_RTC_DISCONNECT_TIMED_OUT,
        DisconnectReason::Distrusted => ROVER_RTC_DISCONNECT_DISTRUSTED,
        DisconnectReason::NotStored => ROVER_RTC_DISCONNECT_NOT_STORED,
        _ => ROVER_RTC_DISCONNECT_HERE,
    }
}

fn of_state(state: IceConnectionState) -> u64 {
    let state = match state {
        IceConnectionState::New => ROVER_RTC_STATE_NEW,
        IceConnectionState::Checking => ROVER_RTC_STATE_CHECKING,
        IceConnectionState::Connected | IceConnectionState::Completed => ROVER_RTC_STATE_CONNECTED,
        IceConnectionState::Disconnected => ROVER_RTC_STATE_DISCONNECTED,
    };
    state as u64
}
