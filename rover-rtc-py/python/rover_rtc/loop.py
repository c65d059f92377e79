"""An asyncio event loop on which the library works while it waits.

Any event loop serves `rover_rtc`: it polls a descriptor, which a thread of the library makes readable.
This one goes without that thread while it waits, so what comes wakes one thread instead of two, and what
is sent goes out at once. ::

    rover_rtc.run(main())       # as asyncio.run(main()), with less latency
"""

from __future__ import annotations

import asyncio
import selectors
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from . import _native
from .errors import RoverRtcError

__all__ = ["EventLoop", "run"]

T = TypeVar("T")

if TYPE_CHECKING or hasattr(selectors, "EpollSelector"):
    _Base = selectors.EpollSelector
else:
    _Base = selectors.KqueueSelector


class _Selector(_Base):
    """A selector that leaves the waiting to a peer. Its own descriptor tells the peer when to return."""

    peer: _native.Peer | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        peer = self.peer
        if peer is None or (timeout is not None and timeout <= 0):
            return super().select(timeout)
        try:
            peer.wait_or(self.fileno(), timeout)
        except RoverRtcError:
            # It is over.
            self.peer = None
            return super().select(timeout)
        return super().select(0)


class EventLoop(asyncio.SelectorEventLoop):
    """As `asyncio.SelectorEventLoop`; the first peer that is connected in it works on its thread while it
    waits. Further ones have threads of their own, as everywhere.
    """

    def __init__(self) -> None:
        self._native_selector = _Selector()
        super().__init__(self._native_selector)

    def _adopt(self, peer: _native.Peer) -> None:
        if self._native_selector.peer is None:
            self._native_selector.peer = peer

    def _release(self, peer: _native.Peer) -> None:
        if self._native_selector.peer is peer:
            self._native_selector.peer = None


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Runs a coroutine in an `EventLoop` of its own, as `asyncio.run` does, and returns what it returns."""
    if sys.version_info >= (3, 11):
        with asyncio.Runner(debug=debug, loop_factory=EventLoop) as runner:
            return runner.run(main)
    else:

        class Policy(asyncio.DefaultEventLoopPolicy):
            _loop_factory = EventLoop

        before = asyncio.get_event_loop_policy()
        asyncio.set_event_loop_policy(Policy())
        try:
            return asyncio.run(main, debug=debug)
        finally:
            asyncio.set_event_loop_policy(before)
