//! What Python calls the values of the core.

use rover_rtc::LinkState;
use rover_rtc::event::{DisconnectReason, IceConnectionState, PathKind, SwitchCause};

/// The word for whether messages can flow on a link.
pub(crate) fn link_state_name(state: LinkState) -> &'static str {
    match state {
        LinkState::Connecting => "connecting",
        LinkState::Up => "up",
        LinkState::Outage => "outage",
        LinkState::Closed => "closed",
        _ => "unknown",
    }
}

/// The word for why a connection, or a link, is over.
pub(crate) fn reason_name(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::TransportFailed => "failed",
        DisconnectReason::TransportClosed => "closed",
        DisconnectReason::Bye => "bye",
        DisconnectReason::GivenUp => "given_up",
        DisconnectReason::TimedOut => "timed_out",
        DisconnectReason::Distrusted => "distrusted",
        DisconnectReason::NotStored => "not_stored",
        _ => "here",
    }
}

/// The word for the state of a connection.
pub(crate) fn state_name(state: IceConnectionState) -> &'static str {
    match state {
        IceConnectionState::New => "new",
        IceConnectionState::Checking => "checking",
        IceConnectionState::Connected | IceConnectionState::Completed => "connected",
        IceConnectionState::Disconnected => "disconnected",
    }
}

/// The word for a kind of path.
pub(crate) fn path_name(kind: PathKind) -> &'static str {
    match kind {
        PathKind::Direct => "direct",
        PathKind::Reflexive => "reflexive",
        PathKind::Turn => "turn",
        PathKind::Hub => "hub",
        // The core and this crate have one version; a kind that is new there is added here.
        _ => "unknown",
    }
}

pub(crate) fn cause_name(cause: SwitchCause) -> &'static str {
    match cause {
        SwitchCause::First => "first",
        SwitchCause::Died => "died",
        SwitchCause::CameBack => "came_back",
        SwitchCause::Faster => "faster",
        SwitchCause::Direct => "direct",
        _ => "unknown",
    }
}
