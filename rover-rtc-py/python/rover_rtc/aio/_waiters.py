"""Tasks that wait."""

from __future__ import annotations

import asyncio
from collections import deque


class Waiters:
    """Tasks that wait for the same thing, the first one first."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def wait(self) -> None:
        waiting = self._loop.create_future()
        self._waiting.append(waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                # What it was woken for is there for the next one.
                self.wake_one()
            raise
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def wake_one(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return

    def wake_all(self) -> None:
        while self._waiting:
            self.wake_one()
