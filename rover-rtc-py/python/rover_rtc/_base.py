"""What `rover_rtc` and `rover_rtc.sync` have in common: all that waits for nothing.

The native peer marks what has happened; `BasePeer._pull` takes that and tells the channels and links
that it is about. Who waits, and how, is the matter of the classes above.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Generic, NoReturn, TypeVar

from . import _native, _process, events
from .errors import (
    ClosedError,
    ConnectError,
    ConnectionLost,
    FullError,
    NotFoundError,
    RoverRtcError,
)
from .events import Event
from .types import (
    Buffer,
    ChannelConfig,
    ChannelStats,
    Health,
    LinkStats,
    Mode,
    PeerConfig,
    PeerStats,
    _channel_config,
    _link_stats,
    _settings,
)

Message = _native.Message

C = TypeVar("C", bound="BaseChannel")
L = TypeVar("L", bound="BaseLink[Any]")

BATCH = 256
"""Events that are pulled at a time."""

RECV_BYTES = 1 << 20
"""Bytes that `recv_many` takes at a time."""

EVENTS = 1024
"""Events that wait for a reader; of more the oldest are lost."""


class Handle:
    """A handle of something native: it cannot be copied, or sent to another process."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled or copied: it belongs to this process; "
            "connect in the other one"
        )


class BaseChannel(Handle):
    """A channel of a link."""

    __slots__ = ("__weakref__", "_label", "_link", "_mode", "_native", "_take")

    def __init__(self, link: Any, native: _native.Channel) -> None:
        self._link = link
        self._native = native
        # Each message asks for it.
        self._take = native.recv
        self._label, self._mode = native.label, native.mode

    @property
    def label(self) -> str:
        """Its name within the link."""
        return self._label

    @property
    def mode(self) -> Mode:
        """What it promises."""
        return self._mode

    @property
    def manual_ack(self) -> bool:
        """Whether messages are acknowledged by `Message.ack()`, not by taking them."""
        return self._native.manual_ack

    @property
    def queued(self) -> int:
        """Messages that wait here to be sent."""
        return self._native.queued()[0]

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait here to be sent."""
        return self._native.queued()[1]

    @property
    def unacknowledged(self) -> int:
        """Messages that were sent, at least in part, and that the other side has not acknowledged."""
        return self._native.queued()[2]

    def try_send(self, data: str | Buffer, *, key: str | Buffer | None = None) -> bool:
        """Queues a message if there is room now, and returns whether there was. Never waits.

        Args:
            data: `str` is sent as text, all else (see `Buffer`) as binary. It is copied.
            key: What it is the newest value of, on a channel of mode "latest": 255 bytes at most.

        Raises:
            MessageError: It is too large or cannot be sent on this channel.
            ClosedError: The channel is closed.
        """
        try:
            return self._native.send(data, key)
        except FullError:
            return False
        except ClosedError as error:
            raise self._over(error) from None

    def try_recv(self) -> Message | None:
        """The next message, or None if there is none now. Never waits.

        Raises:
            ClosedError: There will be none any more.
            ConnectionLost: The same, for the link was given up.
        """
        try:
            return self._take()
        except ClosedError as error:
            raise self._over(error) from None

    def stats(self) -> ChannelStats:
        """What it has counted."""
        for channel in self._link.stats().channels:
            if channel.label == self._label:
                return channel  # type: ignore[no-any-return]
        raise NotFoundError(f"nothing is counted of the channel {self._label!r}")

    def __repr__(self) -> str:
        link = self._link.name or "hub"
        return f"<{type(self).__qualname__} {self._label!r} ({self._mode}) with {link}>"

    def _over(self, error: ClosedError) -> RoverRtcError:
        """Why there is nothing more, for who is to be told."""
        if error.kind != "CLOSED":
            return error
        return self._link._over() or ClosedError(f"the channel {self._label!r} is closed")

    def _on_readable(self) -> None:
        """There are messages, or it has ended."""
        raise NotImplementedError

    def _on_room(self) -> None:
        """There is room again."""
        raise NotImplementedError

    def _on_end(self) -> None:
        """Its link is over, or begins anew: who waits looks again."""
        raise NotImplementedError


class Subscription(Handle):
    """Events that wait for a reader."""

    __slots__ = ("__weakref__", "_ended", "_events")

    def __init__(self, first: deque[Event] | None, ended: bool) -> None:
        self._events: deque[Event] = deque(first or (), maxlen=EVENTS)
        self._ended = ended

    def _push(self, event: Event) -> None:
        self._events.append(event)

    def _end(self) -> None:
        self._ended = True


class Feed:
    """Gives each event to all who read; those before the first reader wait for it."""

    __slots__ = ("_first", "_lock", "_readers")

    def __init__(self) -> None:
        self._first: deque[Event] | None = deque(maxlen=EVENTS)
        self._readers: weakref.WeakSet[Subscription] = weakref.WeakSet()
        # One thread may begin to read while another one pulls; reentrant, for readers may be
        # collected at any time.
        self._lock = threading.RLock()

    def read(self, make: Callable[[deque[Event] | None], Any]) -> Any:
        with self._lock:
            first, self._first = self._first, None
            reader = make(first)
            self._readers.add(reader)
            return reader

    def push(self, event: Event) -> None:
        with self._lock:
            if self._first is not None:
                self._first.append(event)
            for reader in self._readers:
                reader._push(event)

    def end(self) -> None:
        with self._lock:
            for reader in self._readers:
                reader._end()


class BaseLink(Handle, Generic[C]):
    """A link with another peer, or with the hub."""

    _channel_class: type[C]

    def __init__(self, peer: Any, native: _native.Link) -> None:
        self._peer = peer
        self._native = native
        self._name = native.name
        self._channels: dict[str, C] = {}
        self._feed = Feed()
        self._closed = False
        # Why it is over, a word and a text, if this side did not want that.
        self._end: tuple[str, str] | None = None
        # This side ends it.
        self._own = False
        # Times that the process of the other side was restarted.
        self._restarts = 0

    @property
    def name(self) -> str:
        """The other peer's name; empty for the hub."""
        return self._name

    @property
    def peer(self) -> Any:
        """The peer that it belongs to."""
        return self._peer

    @property
    def closed(self) -> bool:
        """Whether it is over for good."""
        return self._closed

    @property
    def fingerprint(self) -> str | None:
        """The other peer's key; None for the hub, and as long as it is not known."""
        return self._native.fingerprint()

    @property
    def health(self) -> Health:
        """How it fares now. It is true while messages flow: `if link.health: ...`."""
        if not self._closed:
            try:
                return _link_stats(self._native.stats()).health
            except ClosedError as error:
                if error.kind != "CLOSED":
                    raise
        return Health("closed")

    def stats(self) -> LinkStats:
        """Counters and paths as of now. Asks the library's thread, which answers at once.

        Raises:
            ClosedError: The link is over.
        """
        return _link_stats(self._native.stats())

    def channel(self, label: str) -> C:
        """A channel by its label: one of the settings, or one that either side has opened.

        Raises:
            NotFoundError: There is none. Put it into `channels` on this side, `open` it, or wait for
                the event `ChannelOpened` if the other side opens it.
        """
        known = self._channels.get(label)
        if known is not None:
            return known
        native = self._native.channel(label)
        if native is None:
            raise NotFoundError(
                f"there is no channel {label!r}: put it into channels=..., or open() it"
            )
        return self._known(native)

    def _known(self, native: _native.Channel) -> C:
        with self._peer._registry:
            known = self._channels.get(native.label)
            if known is None or known._native.id != native.id:
                known = self._channels[native.label] = self._channel_class(self, native)
                if not self._closed:
                    self._peer._channels[native.id] = known
            return known

    def _open(self, channel: ChannelConfig | str) -> C:
        return self._known(self._native.open(_settings(_channel_config(channel))))

    def _over(self) -> RoverRtcError | None:
        """Why it is over, if somebody else has ended it."""
        if self._end is None:
            return None
        reason, text = self._end
        if reason == "given_up":
            return ConnectionLost(f"{self._name} was away for too long: call it again")
        if reason == "bye" or self._own:
            return None
        return ConnectError(text, "DIAL")

    def _on_event(self, event: tuple[Any, ...]) -> None:
        _, _, label, value, other, text, more = event
        kind = event[0]
        if kind == "DISCONNECTED" and other:
            self._end = more, text
        told = events._of_native(self, kind, label, value, other, text, more)
        if told is not None:
            self._feed.push(told)
            self._peer._feed.push(told)
        if kind == "PEER_RESTARTED":
            self._restarts += 1
            for channel in list(self._channels.values()):
                channel._on_end()
        if kind == "CLOSED":
            self._finish()
        self._changed()

    def _hang_up(self) -> None:
        """Begins to close it; with the home link all of its peer's."""
        peer = self._peer
        for link in list(peer._links.values()) if self is peer._home else [self]:
            link._own = True
        self._native.close()

    def _finish(self) -> None:
        """It is over."""
        if self._closed:
            return
        self._closed = True
        self._feed.end()
        for channel in list(self._channels.values()):
            channel._on_end()

    def _changed(self) -> None:
        """Something has happened to it."""

    def __repr__(self) -> str:
        name = repr(self._name) if self._name else "the hub"
        try:
            state = self.health.state
        except RoverRtcError:
            state = "closed"
        return f"<{type(self).__qualname__} with {name}: {state}>"


class BasePeer(Handle, Generic[L]):
    """A peer of a hub, or, without a hub, of another peer."""

    _link_class: type[L]
    _forks: int

    def __init__(self, native: _native.Peer, name: str | None, description: str | None) -> None:
        self._native = native
        self._name = name
        self._description = description
        self._registry = threading.RLock()
        self._links: dict[int, L] = {}
        self._channels: dict[int, BaseChannel] = {}
        self._calls: deque[L] = deque()
        self._feed = Feed()
        self._stopped = False
        self._home = self._link(native.home())
        _process.opened(self)

    @property
    def name(self) -> str | None:
        """Its name, under which others find it."""
        return self._name

    @property
    def home(self) -> L:
        """The link with the hub, or, without a hub, with the other peer."""
        return self._home

    @property
    def links(self) -> list[L]:
        """The links with other peers that are not over."""
        links = list(self._links.values())
        return [link for link in links if link is not self._home and not link.closed]

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._stopped

    @property
    def description(self) -> str | None:
        """The offer or answer that it was made with; None for a peer of a hub."""
        return self._description

    @property
    def fingerprint(self) -> str | None:
        """The key by which others know this peer; None without a name."""
        return self._native.fingerprint()

    @property
    def health(self) -> Health:
        """How the home link fares now."""
        return self._home.health

    def stats(self) -> PeerStats:
        """Counters and paths of all links as of now.

        Raises:
            ClosedError: The peer is closed.
        """
        links = {link.name: link.stats() for link in self.links}
        return PeerStats(self._home.stats(), links)

    def _link(self, native: _native.Link) -> L:
        with self._registry:
            known = self._links.get(native.id)
            if known is None:
                known = self._links[native.id] = self._link_class(self, native)
            return known

    def _pull(self) -> None:
        """Tells everybody what has happened. Not by two threads at a time."""
        while True:
            batch = self._native.next_events(BATCH)
            for event in batch:
                kind = event[0]
                if kind == "READABLE":
                    channel = self._channels.get(event[1])
                    if channel is not None:
                        channel._on_readable()
                elif kind == "SEND_READY":
                    channel = self._channels.get(event[1])
                    if channel is not None:
                        channel._on_room()
                elif kind == "CALLED":
                    self._on_call(self._link(event[1]))
                else:
                    self._on_link(event)
            if len(batch) < BATCH:
                return

    def _on_call(self, link: L) -> None:
        self._calls.append(link)
        self._feed.push(events.Called(link))

    def _on_link(self, event: tuple[Any, ...]) -> None:
        link = self._link(event[1])
        link._on_event(event)
        if link.closed and link is not self._home:
            self._forget(link)

    def _forget(self, link: L) -> None:
        """Lets go of a link that is over. Its channels still have what has come."""
        self._native.let_go(link._native)
        with self._registry:
            self._links.pop(link._native.id, None)
            for channel in link._channels.values():
                self._channels.pop(channel._native.id, None)

    def _finish(self) -> None:
        """It is stopped: tells who waits."""
        if self._stopped:
            return
        self._stopped = True
        _process.closed(self)
        for link in list(self._links.values()):
            if not link.closed:
                told = events.Closed(link)
                link._feed.push(told)
                self._feed.push(told)
                link._own = True
                link._finish()
                link._changed()
        self._feed.end()

    def _stop_now(self) -> None:
        try:
            if not _process.is_parents(self):
                self._native.stop()
        finally:
            self._finish()

    def __del__(self) -> None:
        # Without the attribute it has never been made.
        if not getattr(self, "_stopped", True):
            _process.leaked(self)

    def __repr__(self) -> str:
        name = repr(self._name) if self._name else "without a name"
        state = "closed" if self._stopped else "connecting"
        if not self._stopped:
            try:
                state = self.health.state
            except RoverRtcError:
                state = "of another process"
        return f"<{type(self).__qualname__} {name}: {state}>"


def peer_config(
    config: PeerConfig | None, server: str | None, settings: Mapping[str, Any]
) -> PeerConfig:
    """The settings of a peer: all, then single ones."""
    given = dict(settings) if server is None else {**settings, "server": server}
    return replace(config or PeerConfig(), **given)
