"""The library's log lines, on `logging.getLogger("rover_rtc")` and loggers below it.

The library's threads put lines into a bounded queue and never wait for Python. A thread of Python's
takes them out: it polls their descriptor, and begins with the first peer or hub.
"""

from __future__ import annotations

import atexit
import logging
import os
import select
import threading

from . import _native, _process

_ROOT = logging.getLogger("rover_rtc")
# A library is silent unless the program sets up logging.
_ROOT.addHandler(logging.NullHandler())

_lock = threading.Lock()
_thread: threading.Thread | None = None
_stop: tuple[int, int] | None = None
_level: int | None = None

_CHECK = 1.0
"""Seconds after which another level of the logger is noticed."""


def start() -> None:
    """Begins to log, unless that has begun."""
    global _thread, _stop
    with _lock:
        _set_level()
        if _thread is not None and _thread.is_alive():
            return
        _stop = os.pipe()
        _thread = threading.Thread(
            target=_run, args=(_native.log_fileno(), *_stop), name="rover-rtc-log", daemon=True
        )
        _thread.start()


def _run(lines: int, stop: int, _writer: int) -> None:
    poll = select.poll()
    poll.register(lines, select.POLLIN)
    poll.register(stop, select.POLLIN)
    while True:
        ready = poll.poll(_CHECK * 1000)
        if any(fd == stop for fd, _ in ready):
            return
        _set_level()
        if ready:
            _emit()


def _emit() -> None:
    lines, dropped = _native.take_logs()
    for level, target, text, created in lines:
        logger = logging.getLogger(_name(target))
        if logger.isEnabledFor(level):
            record = logger.makeRecord(logger.name, level, target, 0, text, (), None)
            record.created, record.msecs = created, created % 1 * 1000
            logger.handle(record)
    if dropped:
        _ROOT.warning("%d log lines were dropped: the handlers are too slow", dropped)


def _name(target: str) -> str:
    """`rover_rtc::path` is `rover_rtc.path`; libraries below are `rover_rtc.NAME`."""
    name = target.replace("::", ".")
    return name if name.split(".", 1)[0] == "rover_rtc" else f"rover_rtc.{name}"


def _set_level() -> None:
    """Lets the library write what the logger, or the most talkative one below it, wants."""
    global _level
    level = _ROOT.getEffectiveLevel()
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.startswith("rover_rtc.") and isinstance(logger, logging.Logger) and logger.level:
            level = min(level, logger.level)
    level = min(max(level, 0), 50)
    if level != _level:
        _level = level
        _native.set_log(None if level > logging.ERROR else level)


@atexit.register
def _end() -> None:
    if _thread is None or _stop is None or not _thread.is_alive():
        return
    # What was opened before is closed by now: what that has led to is logged, too.
    os.write(_stop[1], b"x")
    _thread.join(1)
    _emit()


def _in_child() -> None:
    global _lock, _thread, _stop, _level
    _lock, _thread, _stop, _level = threading.Lock(), None, None, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)

# Handlers at exit run in the reverse order of their registration: first the peers, then the log.
atexit.unregister(_process._at_exit)
atexit.register(_process._at_exit)
