"""Peers, for threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .. import _native
from .._base import BasePeer
from ..errors import ClosedError, TimeoutError
from ..types import ChannelConfig
from ._events import Events
from ._link import Channel, Link
from ._wait import end_of, readable, wait_for

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")


class Peer(BasePeer[Link]):
    """A peer of a hub: `connect` makes it.

    It keeps itself connected for as long as it lives. Close it, by `with` or `close()`.
    """

    _link_class = Link

    def __init__(self, native: _native.Peer, name: str | None, description: str | None) -> None:
        self._fd = native.fileno()
        self._news = threading.Condition()
        # A thread polls for all that wait.
        self._polling = False
        super().__init__(native, name, description)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def channel(self, label: str) -> Channel:
        """A channel of the home link; see `Link.channel`."""
        return self._home.channel(label)

    def open(self, channel: ChannelConfig | str) -> Channel:
        """Opens a further channel on the home link; see `Link.open`."""
        return self._home.open(channel)

    def connected(self, timeout: float | None = None) -> None:
        """Waits until messages flow on the home link; see `Link.connected`."""
        self._home.connected(timeout)

    def call(self, name: str) -> Link:
        """The link with another peer, by its name. It waits for nothing: the link comes up when the
        other peer is there, and what is sent meanwhile waits.

        Raises:
            ConfigError: The name cannot be one.
            ConnectError: This peer has no name, or too many links.
            ClosedError: The peer is closed.
        """
        return self._link(self._native.call(name))

    def dial(self, name: str, timeout: float = 30.0) -> Link:
        """Calls another peer as `call` does, and waits until the link is up, for so many seconds at
        most.

        Raises:
            TimeoutError: It was not up by then; the text has the last reason that is known.
            ConfigError, ConnectError, ClosedError: As `call`.
        """
        wait = self._native.dial(name, max(0, round(timeout * 1000)))
        # It ends by itself.
        wait_for(wait, None, "")
        return self._link(self._native.call(name))

    def accept(self, timeout: float | None = None) -> Link:
        """The next link that another peer has called, which is waited for, for `timeout` seconds at
        most.

        Raises:
            TimeoutError: Nobody has called by then.
            ClosedError: The peer is closed.
        """
        return self._until(
            lambda: self._calls.popleft() if self._calls else None, timeout, "no call"
        )

    def events(self) -> Events:
        """Events of all links from now on; the first reader gets them from the start. A reader that
        falls 1,024 events behind misses the oldest.
        """
        return self._feed.read(lambda first: Events(first, self._stopped, self))  # type: ignore[no-any-return]

    def accept_answer(self, answer: str) -> None:
        """Takes the answer to the offer that this peer was made with.

        Raises:
            ConnectError: It is not usable.
        """
        self._native.accept_answer(answer)

    def close(self) -> None:
        """Sends what is queued, for at most a second, says good-bye and ends. Without effect the second
        time.
        """
        if not self._stopped:
            self._stop_now()

    def _until(self, look: Callable[[], T | None], timeout: float | None, what: str) -> T:
        """What `look` returns as soon as that is not None. It is called whenever something happens."""
        end = end_of(timeout)
        with self._news:
            while True:
                found = look()
                if found is not None:
                    return found
                if self._stopped:
                    raise ClosedError("the peer is closed")
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"{what} within {timeout} s")
                if self._polling:
                    self._news.wait(left)
                else:
                    self._poll(left)

    def _poll(self, seconds: float | None) -> None:
        """Polls for all that wait, and tells them. With the lock, which it lets go meanwhile."""
        try:
            self._polling = True
            self._news.release()
            try:
                readable(self._fd, seconds)
            finally:
                self._news.acquire()
            if not self._stopped:
                self._pull()
        finally:
            self._polling = False
            # One of them polls next.
            self._news.notify_all()

    def _await_end(self, link: Link) -> None:
        """Waits for the news that a link is over, which is on its way."""
        try:
            self._until(lambda: link._closed or None, 1.0, "")
        except (TimeoutError, ClosedError):
            pass

    def _finish(self) -> None:
        with self._news:
            super()._finish()
            self._news.notify_all()
