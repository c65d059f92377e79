"""Runs coroutine functions as tests, and looks after each test for what it has left open."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import rig
from rover_rtc import sync


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """An `async def` test has an event loop of its own, in debug mode.

    A limit that the loop itself keeps ends it in an orderly way, before that of pytest.ini would.
    """
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    given = {name: pyfuncitem.funcargs[name] for name in names}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**given), rig.LIMIT), debug=True)
    return True


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    # What was not closed warns when it is collected, and that fails the test that left it.
    gc.collect()
    left = [t.name for t in threading.enumerate() if t.name != "rover-rtc-log"]
    assert left == ["MainThread"] and rig.peers_that_run() == 0


@pytest.fixture
def hub() -> Iterator[str]:
    """The URL of a hub."""
    with rig.serve() as server:
        yield server.url


@pytest.fixture
def hub_process() -> Iterator[rig.HubProcess]:
    """A hub that can be paused and killed."""
    with rig.HubProcess() as process:
        yield process


@pytest.fixture
def server() -> Iterator[sync.Server]:
    """A hub."""
    with rig.serve() as server:
        yield server


@pytest.fixture
def rust() -> Path:
    """The program `rover-rtc`."""
    return _given("ROVER_RTC_BIN", "the program rover-rtc")


@pytest.fixture
def c_rover() -> Path:
    """The rover of examples/c/telemetry.c."""
    return _given("ROVER_RTC_C_ROVER", "examples/c/telemetry.c, built")


def _given(variable: str, what: str) -> Path:
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} does not name {what}: cargo test --test python builds it")
    return Path(path)
