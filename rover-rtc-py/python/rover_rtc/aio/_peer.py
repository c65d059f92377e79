"""Peers, for tasks."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import _native, _process
from .._base import BasePeer
from ..errors import ClosedError
from ..loop import EventLoop
from ..types import ChannelConfig
from ._events import Events
from ._link import Channel, Link
from ._waiters import Waiters

if TYPE_CHECKING:
    from typing_extensions import Self


class Peer(BasePeer[Link]):
    """A peer of a hub: `connect` makes it.

    It keeps itself connected for as long as it lives. Close it, by `async with` or `close()`.
    """

    _link_class = Link

    def __init__(
        self,
        native: _native.Peer,
        name: str | None,
        description: str | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._loop = loop
        self._fd = native.fileno()
        self._accepting = Waiters(loop)
        self._closing: asyncio.Future[None] | None = None
        super().__init__(native, name, description)
        loop.add_reader(self._fd, _reader(self))
        if isinstance(loop, EventLoop):
            loop._adopt(native)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def channel(self, label: str) -> Channel:
        """A channel of the home link; see `Link.channel`."""
        return self._home.channel(label)

    async def open(self, channel: ChannelConfig | str) -> Channel:
        """Opens a further channel on the home link; see `Link.open`."""
        return await self._home.open(channel)

    async def connected(self, timeout: float | None = None) -> None:
        """Waits until messages flow on the home link; see `Link.connected`."""
        await self._home.connected(timeout)

    async def call(self, name: str) -> Link:
        """The link with another peer, by its name. It waits for nothing: the link comes up when the
        other peer is there, and what is sent meanwhile waits.

        Raises:
            ConfigError: The name cannot be one.
            ConnectError: This peer has no name, or too many links.
            ClosedError: The peer is closed.
        """
        return self._link(self._native.call(name))

    async def dial(self, name: str, timeout: float = 30.0) -> Link:
        """Calls another peer as `call` does, and waits until the link is up, for so many seconds at
        most. If it is cancelled, the call is given up.

        Raises:
            TimeoutError: It was not up by then; the text has the last reason that is known.
            ConfigError, ConnectError, ClosedError: As `call`.
        """
        wait = self._native.dial(name, max(0, round(timeout * 1000)))
        await self._wait(wait)
        return self._link(self._native.call(name))

    async def accept(self) -> Link:
        """The next link that another peer has called.

        Raises:
            ClosedError: The peer is closed.
        """
        while not self._calls:
            if self._stopped or self._closing is not None:
                raise ClosedError("the peer is closed")
            await self._accepting.wait()
        return self._calls.popleft()

    def events(self) -> Events:
        """Events of all links from now on; the first reader gets them from the start. A reader that
        falls 1,024 events behind misses the oldest.
        """
        loop = self._loop
        return self._feed.read(lambda first: Events(first, self._stopped, loop))  # type: ignore[no-any-return]

    async def accept_answer(self, answer: str) -> None:
        """Takes the answer to the offer that this peer was made with.

        Raises:
            ConnectError: It is not usable.
        """
        self._native.accept_answer(answer)

    async def close(self) -> None:
        """Sends what is queued, for at most a second, says good-bye and ends. Without effect the second
        time. If it is cancelled, it goes on in the background.
        """
        if self._stopped:
            return
        if _process.is_parents(self):
            self._finish()
            return
        if self._closing is None:
            self._unwatch()
            try:
                self._closing = self._loop.run_in_executor(None, self._native.stop)
            except RuntimeError:
                # The loop has shut down its threads.
                self._stop_now()
                return
            self._closing.add_done_callback(lambda _: self._finish())
            self._accepting.wake_all()
        await asyncio.shield(self._closing)
        self._finish()

    async def _wait(self, wait: _native.Wait) -> None:
        """Waits for something that is no event."""
        if wait.poll():
            return
        done = self._loop.create_future()

        def look() -> None:
            if done.done():
                return
            try:
                if wait.poll():
                    done.set_result(None)
            except Exception as error:
                done.set_exception(error.with_traceback(None))

        fd = wait.fileno()
        self._loop.add_reader(fd, look)
        try:
            await done
        finally:
            self._loop.remove_reader(fd)
            # An error has this frame, and would keep the descriptors until it is collected.
            del done, wait

    def _on_call(self, link: Link) -> None:
        super()._on_call(link)
        self._accepting.wake_one()

    def _pull_if_open(self) -> None:
        if not self._stopped and self._closing is None:
            self._pull()

    def _unwatch(self) -> None:
        if isinstance(self._loop, EventLoop):
            self._loop._release(self._native)
        if not self._loop.is_closed():
            self._loop.remove_reader(self._fd)

    def _stop_now(self) -> None:
        self._unwatch()
        super()._stop_now()

    def _finish(self) -> None:
        if self._loop.is_closed():
            # Nobody waits any more, and nobody can be woken.
            self._stopped = True
            _process.closed(self)
            return
        if self._loop.is_running() and asyncio._get_running_loop() is not self._loop:
            # At exit, or collected in another thread: tasks are woken in theirs.
            _process.closed(self)
            self._loop.call_soon_threadsafe(self._finish)
            return
        super()._finish()
        self._accepting.wake_all()


def _reader(peer: Peer) -> Callable[[], None]:
    """What the loop calls. It does not keep a peer that nobody else has."""
    weak = weakref.ref(peer)

    def pull() -> None:
        peer = weak()
        if peer is not None:
            peer._pull_if_open()

    return pull
