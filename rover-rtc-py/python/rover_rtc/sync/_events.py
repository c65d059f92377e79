"""What happens to a link or a peer, for threads."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .._base import Subscription
from ..errors import ClosedError
from ..events import Event
from ._wait import Waiter

if TYPE_CHECKING:
    from typing_extensions import Self


class Events(Subscription):
    """Events, as an iterator that ends when the link, or the peer, is over."""

    __slots__ = ("_peer",)

    def __init__(self, first: deque[Event] | None, ended: bool, peer: Waiter) -> None:
        super().__init__(first, ended)
        self._peer = peer

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        return self._get(None)

    def get(self, timeout: float | None = None) -> Event:
        """The next event, which is waited for if there is none, for `timeout` seconds at most.

        Raises:
            TimeoutError: There was none by then.
            ClosedError: There will be none.
        """
        try:
            return self._get(timeout)
        except StopIteration:
            raise ClosedError("the link is closed") from None

    def _get(self, timeout: float | None) -> Event:
        def take() -> Event | None:
            if self._events:
                return self._events.popleft()
            if self._ended:
                raise StopIteration
            return None

        return self._peer._until(take, timeout, "no event")
