"""A hub and two rovers for each test, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import rover_rtc
from rover_rtc import ChannelConfig, aio, sync

CHANNELS = [
    ChannelConfig("data"),
    ChannelConfig("pose", "latest"),
    ChannelConfig("datagrams", "datagram"),
    ChannelConfig("manual", manual_ack=True),
    ChannelConfig("small", outbox_messages=4),
    ChannelConfig("refusing", outbox_messages=1, when_full="refuse"),
    rover_rtc.FILES,
]

LOCAL: dict[str, Any] = {"bind": ["127.0.0.1"], "channels": CHANNELS}

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def hub() -> Iterator[sync.Server]:
    with sync.serve("127.0.0.1:0", udp=["127.0.0.1:0"]) as hub:
        yield hub


@pytest.fixture
def run() -> Run:
    """Runs a test's coroutine, for 30 s at most."""

    def run(test: Coroutine[Any, Any, None]) -> None:
        asyncio.run(asyncio.wait_for(test, 30), debug=True)

    return run


@asynccontextmanager
async def pair(hub: sync.Server) -> AsyncIterator[tuple[aio.Link, aio.Link]]:
    """A link as its two ends see it."""
    async with rover_rtc.connect(hub.url, name="one", **LOCAL) as one:
        async with rover_rtc.connect(hub.url, name="two", **LOCAL) as two:
            link = await one.dial("two", timeout=10)
            yield link, await two.accept()


@pytest.fixture
def sync_pair(hub: sync.Server) -> Iterator[tuple[sync.Link, sync.Link]]:
    with sync.connect(hub.url, name="one", **LOCAL) as one:
        with sync.connect(hub.url, name="two", **LOCAL) as two:
            yield one.dial("two", timeout=10), two.accept(timeout=10)
