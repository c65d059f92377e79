"""What several tests need: hubs and pairs of peers on loopback, a network to cut, and programs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import rover_rtc
from rover_rtc import ChannelConfig, events, sync

LOOPBACK = "127.0.0.1"

PATIENCE = 30.0
"""Seconds that something may take. Generous: the machine may be busy, and who waits longer than a
moment is about to fail anyhow."""

LIMIT = 50.0
"""Seconds that an asynchronous test may take."""

PYTHON = sys.executable

ROOT = Path(__file__).parents[2]

E = TypeVar("E", bound=events.Event)


def serve(listen: str = f"{LOOPBACK}:0", **settings: Any) -> sync.Server:
    """A hub on loopback."""
    settings.setdefault("udp", [f"{LOOPBACK}:0"])
    return sync.serve(listen, shards=1, **settings)


def connect(hub: str, name: str | None = None, **settings: Any) -> Any:
    """A peer on loopback, for `async with`."""
    return rover_rtc.connect(hub, name=name, bind=[LOOPBACK], **settings)


def sync_connect(hub: str, name: str | None = None, **settings: Any) -> sync.Peer:
    """A peer on loopback."""
    return sync.connect(hub, name=name, bind=[LOOPBACK], **settings)


@dataclass
class Pair:
    """Two peers and both ends of their link. `one` has called."""

    one: rover_rtc.Peer
    two: rover_rtc.Peer
    there: rover_rtc.Link
    back: rover_rtc.Link

    def channels(self, label: str) -> tuple[rover_rtc.Channel, rover_rtc.Channel]:
        """Both ends of a channel."""
        return self.there.channel(label), self.back.channel(label)


@contextlib.asynccontextmanager
async def pair(
    hub: str, channels: Sequence[ChannelConfig | str] = ("log",), **settings: Any
) -> AsyncIterator[Pair]:
    """Two peers that are connected."""
    async with (
        connect(hub, "one", channels=channels, **settings) as one,
        connect(hub, "two", channels=channels, **settings) as two,
    ):
        there = await one.dial("two", timeout=PATIENCE)
        back = await asyncio.wait_for(two.accept(), PATIENCE)
        yield Pair(one, two, there, back)


@dataclass
class SyncPair:
    """As `Pair`, without asyncio."""

    one: sync.Peer
    two: sync.Peer
    there: sync.Link
    back: sync.Link

    def channels(self, label: str) -> tuple[sync.Channel, sync.Channel]:
        """Both ends of a channel."""
        return self.there.channel(label), self.back.channel(label)


@contextlib.contextmanager
def sync_pair(
    hub: str, channels: Sequence[ChannelConfig | str] = ("log",), **settings: Any
) -> Iterator[SyncPair]:
    """Two peers that are connected."""
    with (
        sync_connect(hub, "one", channels=channels, **settings) as one,
        sync_connect(hub, "two", channels=channels, **settings) as two,
    ):
        there = one.dial("two", timeout=PATIENCE)
        yield SyncPair(one, two, there, two.accept(PATIENCE))


def peers_that_run() -> int:
    """Peers of this process that have not ended: each has a thread of the library."""
    names = []
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            names.append((thread / "comm").read_text().strip())
    return names.count("rover-rtc")


async def soon(awaitable: Any) -> Any:
    """Waits for it, but not for ever."""
    return await asyncio.wait_for(awaitable, PATIENCE)


async def event_of(feed: Any, kind: type[E]) -> E:
    """The next event of a class; those before it are passed over."""

    async def find() -> E:
        async for event in feed:
            if isinstance(event, kind):
                return event
        raise AssertionError(f"no {kind.__name__} until the end")

    return await asyncio.wait_for(find(), PATIENCE)


def sync_event_of(feed: sync.Events, kind: type[E]) -> E:
    """As `event_of`, without asyncio."""
    end = time.monotonic() + PATIENCE
    while True:
        event = feed.get(timeout=end - time.monotonic())
        if isinstance(event, kind):
            return event


class Program:
    """A child process, and its lines of both streams. Killed at the end."""

    def __init__(self, arguments: Sequence[object], **environment: str) -> None:
        self.process = subprocess.Popen(
            [str(a) for a in arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **environment},
            text=True,
        )
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._follow, name="lines")
        self._reader.start()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def after(self, start: str, count: int = 1) -> str:
        """Waits for so many lines that begin so; returns what follows in the last of them."""
        with self._more:
            end = time.monotonic() + PATIENCE
            while True:
                found = [line for line in self.lines if line.startswith(start)]
                if len(found) >= count:
                    return found[count - 1][len(start) :]
                left = end - time.monotonic()
                assert left > 0 and not self._ended, f"no {start!r} in:\n{self.text}"
                self._more.wait(left)

    @property
    def text(self) -> str:
        """All lines so far."""
        return "\n".join(self.lines)

    def signal(self, number: int) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Waits for the end; returns the exit code."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.text}") from None
        self._reader.join()
        return code

    def kill(self) -> None:
        """Ends it at once."""
        # Also what is stopped.
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _follow(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()


def script(source: str, *arguments: str) -> Program:
    """A Python program, strict as these tests are."""
    command = [PYTHON, "-X", "dev", "-W", "error", "-c", textwrap.dedent(source)]
    return Program([*command, *arguments])


class HubProcess:
    """A hub in a process of its own, which can be paused, killed and started again.

    Peers with `relay_only` have no way to each other but through it: while it is paused, the network
    is cut.
    """

    def __init__(self) -> None:
        self._program = self._start(f"{LOOPBACK}:0")
        self.url = "http://" + self._program.after("Connect a browser to http://")

    def __enter__(self) -> HubProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._program.kill()

    @staticmethod
    def _start(listen: str) -> Program:
        command = [PYTHON, "-m", "rover_rtc", "server", "--listen", listen]
        return Program([*command, "--udp", f"{LOOPBACK}:0"])

    def pause(self) -> None:
        """From now on nothing passes."""
        self._program.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """All passes again."""
        self._program.signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is gone, without a good-bye."""
        self._program.kill()

    def restart(self) -> None:
        """A new one at the same address."""
        self._program.kill()
        self._program = self._start(self.url.removeprefix("http://"))
        self._program.after("Connect a browser to ")
