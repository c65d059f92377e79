//! What functions return.

use rover_rtc::{DialError, SendError, WebrtcError};

/// What a function returns: `ROVER_RTC_OK`, a positive piece of information, or a negative error.
/// Numbers never change their meaning.
pub type rover_rtc_status = i32;

/// Done.
pub const ROVER_RTC_OK: i32 = 0;
/// Not now: nothing to receive, no room to send, nothing happened in the time given. No error.
pub const ROVER_RTC_AGAIN: i32 = 1;
/// An argument is NULL that must not be, or has a value that it cannot have.
/// `rover_rtc_last_error()` says which.
pub const ROVER_RTC_INVALID: i32 = -1;
/// The handle is none, was freed, or is of another kind.
pub const ROVER_RTC_BAD_HANDLE: i32 = -2;
/// The peer, hub, link or channel has been closed.
pub const ROVER_RTC_CLOSED: i32 = -3;
/// The buffer is too small; nothing was taken, and the size that is needed was written.
pub const ROVER_RTC_TOO_SMALL: i32 = -4;
/// There is no such channel or link.
pub const ROVER_RTC_NOT_FOUND: i32 = -5;
/// The message is larger than the channel takes.
pub const ROVER_RTC_TOO_LARGE: i32 = -6;
/// The message is empty, which a plain channel cannot carry, or its key is too long or not for this
/// channel.
pub const ROVER_RTC_BAD_MESSAGE: i32 = -7;
/// The channel's outbox is full, and its policy is to refuse.
pub const ROVER_RTC_FULL: i32 = -8;
/// The journal could not keep the message, or could not be opened: the disk, or its limit.
pub const ROVER_RTC_NOT_STORED: i32 = -9;
/// The hub could not be reached or refused, or its address is none.
pub const ROVER_RTC_SERVER: i32 = -10;
/// A session description could not be used.
pub const ROVER_RTC_SDP: i32 = -11;
/// A socket, an interface or another thing of this machine's network could not be used.
pub const ROVER_RTC_NETWORK: i32 = -12;
/// The peer's key, the file of known peers or the roster could not be used.
pub const ROVER_RTC_IDENTITY: i32 = -13;
/// Another peer could not be called: this one has no name, or as many links as it may have.
pub const ROVER_RTC_DIAL: i32 = -14;
/// From a callback only the functions can be used that say so.
pub const ROVER_RTC_IN_CALLBACK: i32 = -15;
/// A bug in the library; it goes on, but what the call was to do may be done in part.
pub const ROVER_RTC_PANIC: i32 = -16;
/// Some of the messages will not arrive: they were dropped. The statistics of the channel say why.
pub const ROVER_RTC_DROPPED: i32 = -17;

/// What `status` means, in a few words. Static; never NULL. May be called from callbacks.
#[unsafe(no_mangle)]
pub extern "C" fn rover_rtc_status_str(status: rover_rtc_status) -> *const std::ffi::c_char {
    let text = match status {
        ROVER_RTC_OK => c"done",
        ROVER_RTC_AGAIN => c"not now",
        ROVER_RTC_INVALID => c"invalid argument",
        ROVER_RTC_BAD_HANDLE => c"no such handle",
        ROVER_RTC_CLOSED => c"closed",
        ROVER_RTC_TOO_SMALL => c"the buffer is too small",
        ROVER_RTC_NOT_FOUND => c"not found",
        ROVER_RTC_TOO_LARGE => c"the message is too large",
        ROVER_RTC_BAD_MESSAGE => c"the message cannot be sent",
        ROVER_RTC_FULL => c"the outbox is full",
        ROVER_RTC_NOT_STORED => c"not stored",
        ROVER_RTC_SERVER => c"the hub could not be used",
        ROVER_RTC_SDP => c"unusable session description",
        ROVER_RTC_NETWORK => c"the network could not be used",
        ROVER_RTC_IDENTITY => c"the key or the known peers could not be used",
        ROVER_RTC_DIAL => c"the peer could not be called",
        ROVER_RTC_IN_CALLBACK => c"not from a callback",
        ROVER_RTC_PANIC => c"a bug in the library",
        ROVER_RTC_DROPPED => c"messages were dropped",
        _ => c"unknown status",
    };
    text.as_ptr()
}

/// Why a call failed: a status and a text.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: rover_rtc_status,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(status: rover_rtc_status, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(ROVER_RTC_INVALID, text)
    }
}

impl From<WebrtcError> for Failure {
    fn from(error: WebrtcError) -> Self {
        let status = match &error {
            WebrtcError::Server(_) => ROVER_RTC_SERVER,
            WebrtcError::Sdp(_) => ROVER_RTC_SDP,
            WebrtcError::Network(_) => ROVER_RTC_NETWORK,
            WebrtcError::Send(error) => of_send(error),
            WebrtcError::Dial(DialError::Closed) | WebrtcError::Closed => ROVER_RTC_CLOSED,
            WebrtcError::Dial(DialError::BadName(_) | DialError::Oneself(_)) => ROVER_RTC_INVALID,
            WebrtcError::Dial(_) => ROVER_RTC_DIAL,
            WebrtcError::Identity(_) | WebrtcError::Table(_) => ROVER_RTC_IDENTITY,
            WebrtcError::NoJournal(_) | WebrtcError::Journal(_) => ROVER_RTC_NOT_STORED,
            _ => ROVER_RTC_INVALID,
        };
        Self::new(status, error.to_string())
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        Self::new(of_send(&error), error.to_string())
    }
}

fn of_send(error: &SendError) -> rover_rtc_status {
    match error {
        SendError::Full => ROVER_RTC_FULL,
        SendError::Empty | SendError::Key => ROVER_RTC_BAD_MESSAGE,
        SendError::TooLarge { .. } => ROVER_RTC_TOO_LARGE,
        SendError::NotStored(_) => ROVER_RTC_NOT_STORED,
        SendError::Closed => ROVER_RTC_CLOSED,
        _ => ROVER_RTC_INVALID,
    }
}
