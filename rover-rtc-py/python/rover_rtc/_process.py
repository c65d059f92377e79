"""What has to happen when the process forks or ends: everything that is open is known here."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import warnings
import weakref
from typing import Protocol

from . import _native


class Open(Protocol):
    """Something that has threads of the library."""

    _forks: int
    """`forks()` when it was made."""

    def _stop_now(self) -> None:
        """Ends it in this thread, within two seconds."""


_open: weakref.WeakSet[Open] = weakref.WeakSet()
# Threads may open and close at the same time; reentrant, for what is collected may be closed then.
_lock = threading.RLock()


def opened(thing: Open) -> None:
    """Notes that it is to be stopped when the interpreter ends."""
    thing._forks = _native.forks()
    with _lock:
        _open.add(thing)


def closed(thing: Open) -> None:
    """Notes that it has been stopped."""
    with _lock:
        _open.discard(thing)


def is_parents(thing: Open) -> bool:
    """Whether it was made before a fork, and this is the child: then it is the parent's to close."""
    return thing._forks != _native.forks()


def leaked(thing: Open) -> None:
    """Stops what nobody has closed and nobody can close any more, and warns of that."""
    if sys.is_finalizing() or is_parents(thing):
        # Its threads end with the process, or are not here.
        return
    try:
        warnings.warn(f"unclosed {thing!r}", ResourceWarning, stacklevel=3, source=thing)
    finally:
        thing._stop_now()


@atexit.register
def _at_exit() -> None:
    with _lock:
        things = list(_open)
        _open.clear()
    try:
        for thing in things:
            text = f"unclosed {thing!r} at exit"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=thing)
    finally:
        for thing in things:
            try:
                thing._stop_now()
            except Exception:
                sys.excepthook(*sys.exc_info())


def _in_child() -> None:
    global _lock
    # Another thread may have held it.
    _lock = threading.RLock()
    _native.after_fork()
    # They are of the parent, which has their threads; here they raise ForkError.
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
