"""What can go wrong.

Every exception is a `RoverRtcError`, and where a builtin one fits, it is that one, too::

    try:
        await peer.dial("rover-2", timeout=5)
    except ConnectionError as error:     # or rover_rtc.ConnectError
        print(error.kind, error)

`kind` is the name of the status in the C interface (`ROVER_RTC_...`), which never changes its
meaning; the text says what to do.
"""

from __future__ import annotations

import builtins

__all__ = [
    "ClosedError",
    "ConfigError",
    "ConnectError",
    "ConnectionLost",
    "DroppedError",
    "ForkError",
    "FullError",
    "MessageError",
    "NotFoundError",
    "RoverRtcError",
    "StorageError",
    "TimeoutError",
    "TransferError",
]


class RoverRtcError(Exception):
    """What all errors of this library have in common."""

    kind: str = "PANIC"
    """Name of the C interface's status, such as "FULL"."""

    def __init__(self, text: str = "", kind: str | None = None) -> None:
        super().__init__(text)
        if kind is not None:
            self.kind = kind


class ConfigError(RoverRtcError, ValueError):
    """A setting or an argument has a value that it cannot have. Caused by the caller."""

    kind = "INVALID"


class ConnectError(RoverRtcError, ConnectionError):
    """A peer or hub could not be started, or another peer not be called.

    Kinds: SERVER (the hub's address is none), NETWORK (this machine's sockets and interfaces), SDP
    (an unusable offer or answer), IDENTITY (the key, the known peers or the roster), DIAL (no name, or
    too many links; or the other side is not who it should be).
    """

    kind = "SERVER"


class ConnectionLost(RoverRtcError, ConnectionError):
    """The link was given up: the other peer was away for longer than `resume_window_ms`.

    Shorter outages raise nothing. Call the peer again if it may come back.
    """

    kind = "CLOSED"


class ClosedError(RoverRtcError):
    """It was closed, by this side or in an orderly way by the other one."""

    kind = "CLOSED"


class ForkError(ClosedError):
    """It was made before a fork, and this is the child. Connect again here."""

    kind = "BAD_HANDLE"


class TimeoutError(RoverRtcError, builtins.TimeoutError):
    """It did not happen in time. Nothing was lost: try again, or wait for longer."""

    kind = "AGAIN"


class NotFoundError(RoverRtcError, LookupError):
    """There is no such channel or link."""

    kind = "NOT_FOUND"


class MessageError(RoverRtcError, ValueError):
    """A message cannot be sent.

    Kinds: TOO_LARGE (for its channel), BAD_MESSAGE (empty on a plain channel, or a key that is too
    long, or that its channel does not have).
    """

    kind = "BAD_MESSAGE"


class FullError(RoverRtcError):
    """The outbox is full, and the channel's policy is to refuse. Send again when there is room."""

    kind = "FULL"


class DroppedError(RoverRtcError):
    """Some of the messages that were sent will not arrive: they were dropped.

    The channel's statistics (`dropped_...`) say why, and how many.
    """

    kind = "DROPPED"


class StorageError(RoverRtcError, OSError):
    """The journal could not keep a message, or could not be opened: the disk, or its limit."""

    kind = "NOT_STORED"


class TransferError(RoverRtcError, OSError):
    """A file could not be sent or received; the text says why."""

    kind = "FILE"


_CLASSES: dict[str, type[RoverRtcError]] = {
    "AGAIN": TimeoutError,
    "INVALID": ConfigError,
    "BAD_HANDLE": ForkError,
    "CLOSED": ClosedError,
    "NOT_FOUND": NotFoundError,
    "TOO_LARGE": MessageError,
    "BAD_MESSAGE": MessageError,
    "FULL": FullError,
    "NOT_STORED": StorageError,
    "DROPPED": DroppedError,
    "SERVER": ConnectError,
    "SDP": ConnectError,
    "NETWORK": ConnectError,
    "IDENTITY": ConnectError,
    "DIAL": ConnectError,
}


def _of_kind(kind: str, text: str) -> RoverRtcError:
    """The exception for a failure of the native module."""
    return _CLASSES.get(kind, RoverRtcError)(text, kind)
