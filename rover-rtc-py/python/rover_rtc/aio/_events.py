"""What happens to a link or a peer, for tasks."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from .._base import Subscription
from ..events import Event
from ._waiters import Waiters

if TYPE_CHECKING:
    from typing_extensions import Self

_WAITING: list[Events] = []
"""Events that tasks wait for."""


class Events(Subscription):
    """Events, as an asynchronous iterator that ends when the link, or the peer, is over."""

    __slots__ = ("_readers",)

    def __init__(
        self, first: deque[Event] | None, ended: bool, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(first, ended)
        self._readers = Waiters(loop)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            # A task that only waits here, and that nobody else holds, must not be collected.
            _WAITING.append(self)
            try:
                await self._readers.wait()
            finally:
                _WAITING.remove(self)
        return self._events.popleft()

    def _push(self, event: Event) -> None:
        super()._push(event)
        self._readers.wake_one()

    def _end(self) -> None:
        super()._end()
        self._readers.wake_all()
