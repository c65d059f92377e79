"""Threads that wait, which signals end."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from .. import _native
from ..errors import TimeoutError

T = TypeVar("T")


class Waiter(Protocol):
    """Something that is told what happens to a peer, and can wait for it: the peer."""

    def _until(self, look: Callable[[], T | None], timeout: float | None, what: str) -> T:
        """What `look` returns as soon as that is not None."""


def readable(fd: int, seconds: float | None) -> bool:
    """Waits until a descriptor is readable; a signal handler that raises ends it."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))


def end_of(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def wait_for(wait: _native.Wait, timeout: float | None, what: str) -> None:
    """Waits for something that is no event."""
    end = end_of(timeout)
    while not wait.poll():
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError(f"{what} within {timeout} s")
        readable(wait.fileno(), left)
