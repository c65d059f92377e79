"""What happens to a peer and its links.

Each event is a dataclass with the `link` it happened to, and a `kind`, which is the name of the event
in the C interface (`ROVER_RTC_EVENT_...`)::

    async for event in peer.events():
        match event:
            case events.PathSwitched(path=path):
                print("now by", path)
            case events.Recovered(outage_ms=ms):
                print(f"back after {ms:.0f} ms")
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from .types import PathKind

__all__ = [
    "Called",
    "ChannelClosed",
    "ChannelOpened",
    "Closed",
    "Dialing",
    "Disconnected",
    "Dropped",
    "Event",
    "Gap",
    "Outage",
    "PathSwitched",
    "PeerRestarted",
    "Progress",
    "Recovered",
    "Restarting",
    "Resumed",
    "StateChanged",
    "Trouble",
]


@dataclass(frozen=True)
class Event:
    """An event.

    Attributes:
        link: The link that it happened to.
        kind: Name of the event in the C interface.
    """

    link: Any
    kind: ClassVar[str] = ""

    def __repr__(self) -> str:
        mine = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.name != "link")
        told = ", ".join([getattr(self.link, "name", "") or "hub", *mine])
        return f"<{type(self).__name__} {told}>"


@dataclass(frozen=True, repr=False)
class Called(Event):
    """Another peer has called; `link` is new. `accept()` gives it out, too."""

    kind = "CALLED"


@dataclass(frozen=True, repr=False)
class ChannelOpened(Event):
    """A channel is open: for the first time, or on a new connection.

    Attributes:
        channel: Its label.
    """

    kind = "CHANNEL_OPEN"
    channel: str


@dataclass(frozen=True, repr=False)
class ChannelClosed(Event):
    """The other side has closed a channel.

    Attributes:
        channel: Its label.
    """

    kind = "CHANNEL_CLOSED"
    channel: str


@dataclass(frozen=True, repr=False)
class StateChanged(Event):
    """The connection's state is another one.

    Attributes:
        state: Not connected yet, looking for a path, a path lives, no path lives.
    """

    kind = "STATE"
    state: Literal["new", "checking", "connected", "disconnected"]


@dataclass(frozen=True, repr=False)
class PathSwitched(Event):
    """Another path carries the messages.

    Attributes:
        path: What it goes through.
        cause: Why: the first one, the one before died, it came back, it is faster, it needs no
            relay.
        local: Its local address, with port.
        remote: Its remote address, with port.
    """

    kind = "PATH_SWITCH"
    path: PathKind
    cause: Literal["first", "died", "came_back", "faster", "direct"]
    local: str
    remote: str


@dataclass(frozen=True, repr=False)
class Outage(Event):
    """No path lives any more; messages wait."""

    kind = "OUTAGE"


@dataclass(frozen=True, repr=False)
class Recovered(Event):
    """Messages flow again.

    Attributes:
        outage_ms: How long they did not, in milliseconds.
        by: What brought them back: a path of the same connection, or a new connection.
    """

    kind = "RECOVERED"
    outage_ms: float
    by: Literal["path", "transport"]


@dataclass(frozen=True, repr=False)
class Resumed(Event):
    """The link goes on on a new connection.

    Attributes:
        replayed: Messages that are sent once more.
    """

    kind = "RESUMED"
    replayed: int


@dataclass(frozen=True, repr=False)
class PeerRestarted(Event):
    """The process of the other side was restarted."""

    kind = "PEER_RESTARTED"


@dataclass(frozen=True, repr=False)
class Gap(Event):
    """Messages will not come: the other side has dropped them.

    Attributes:
        channel: On this channel.
        lost: Pieces of 4 KiB at most; None if nobody knows.
    """

    kind = "GAP"
    channel: str
    lost: int | None


@dataclass(frozen=True, repr=False)
class Dropped(Event):
    """Messages of this side that `send` had taken were dropped: nobody gets them.

    What makes room in a full outbox, or has waited for too long, is not told like this: the
    channel's statistics count all.

    Attributes:
        channel: On this channel.
        messages: How many.
        text: Why.
    """

    kind = "DROPPED"
    channel: str
    messages: int
    text: str


@dataclass(frozen=True, repr=False)
class Progress(Event):
    """A large message is coming in.

    Attributes:
        channel: On this channel.
        received: Bytes that are here.
        total: Bytes of the message.
    """

    kind = "PROGRESS"
    channel: str
    received: int
    total: int


@dataclass(frozen=True, repr=False)
class Restarting(Event):
    """The connection is being restarted through the hub."""

    kind = "RESTARTING"


@dataclass(frozen=True, repr=False)
class Dialing(Event):
    """A new connection is being made.

    Attributes:
        attempt: For so many times in this outage.
    """

    kind = "DIALING"
    attempt: int


@dataclass(frozen=True, repr=False)
class Trouble(Event):
    """Something failed and will be tried again.

    Attributes:
        text: What.
    """

    kind = "TROUBLE"
    text: str


@dataclass(frozen=True, repr=False)
class Disconnected(Event):
    """The connection is over. A link with the hub, or one that was called here, makes a new one, unless
    the link itself is over: then `Closed` follows.

    Attributes:
        text: Why, for people.
        reason: Why. The link goes on: the connection failed, or was closed by the other side, which is
            being stopped or restarted. The link is over: the other peer has ended it; was away for
            longer than `resume_window_ms`; was not reached in time; is not who it should be; the journal
            cannot be used; for another reason of this side.
    """

    kind = "DISCONNECTED"
    text: str
    reason: Literal[
        "failed", "closed", "bye", "given_up", "timed_out", "distrusted", "not_stored", "here"
    ]


@dataclass(frozen=True, repr=False)
class Closed(Event):
    """The link is closed for good."""

    kind = "CLOSED"


def _of_native(
    link: Any, kind: str, label: str | None, value: int | None, other: int, text: str, more: str
) -> Event | None:
    """An event of a link, of what the native module tells."""
    channel = label or ""
    if kind == "STATE":
        return StateChanged(link, text)  # type: ignore[arg-type]
    if kind == "PATH_SWITCH":
        (local, remote), (path, cause) = text.split(" "), more.split(" ")
        return PathSwitched(link, path, cause, local, remote)  # type: ignore[arg-type]
    if kind == "RECOVERED":
        return Recovered(link, (value or 0) / 1e3, "transport" if other else "path")
    if kind == "RESUMED":
        return Resumed(link, value or 0)
    if kind == "DIALING":
        return Dialing(link, value or 0)
    if kind == "GAP":
        return Gap(link, channel, value)
    if kind == "DROPPED":
        return Dropped(link, channel, value or 0, text)
    if kind == "PROGRESS":
        return Progress(link, channel, value or 0, other)
    if kind in ("CHANNEL_OPEN", "CHANNEL_CLOSED"):
        return (ChannelOpened if kind == "CHANNEL_OPEN" else ChannelClosed)(link, channel)
    if kind == "TROUBLE":
        return Trouble(link, text)
    if kind == "DISCONNECTED":
        return Disconnected(link, text, more)  # type: ignore[arg-type]
    plain = {c.kind: c for c in (Outage, PeerRestarted, Restarting, Closed)}.get(kind)
    return None if plain is None else plain(link)
