"""The event loop on which the library works while it waits."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import rover_rtc
from rover_rtc import ChannelConfig

CHANNELS = [ChannelConfig("data")]


async def echoes(address: str, number: int) -> None:
    settings = {"bind": ["127.0.0.1"], "channels": CHANNELS}
    async with rover_rtc.connect(address, name="one", **settings) as one:  # type: ignore[arg-type]
        async with rover_rtc.connect(address, name="two", **settings) as two:  # type: ignore[arg-type]
            here = (await one.dial("two", timeout=10)).channel("data")
            there = (await two.accept()).channel("data")
            for value in range(number):
                await here.send(str(value))
                assert (await there.recv()).text == str(value)
                await there.send(b"back")
                assert bytes(await here.recv()) == b"back"


def test_messages_come_and_go(hub: str) -> None:
    async def main() -> str:
        assert isinstance(asyncio.get_running_loop(), rover_rtc.EventLoop)
        # The second time another peer works on this thread.
        for _ in range(2):
            await asyncio.wait_for(echoes(hub, 200), 30)
        return "done"

    assert rover_rtc.run(main()) == "done"


def test_what_else_the_loop_waits_for_is_not_late(hub: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with rover_rtc.connect(hub, name="one", bind=["127.0.0.1"]) as peer:
            await peer.connected(10)
            # A timer.
            begin = time.monotonic()
            await asyncio.sleep(0.02)
            assert 0.019 <= time.monotonic() - begin < 1
            # Another thread.
            called = asyncio.Event()
            threading.Timer(0.05, loop.call_soon_threadsafe, [called.set]).start()
            await asyncio.wait_for(called.wait(), 10)
            # A descriptor.
            reader, writer = os.pipe()
            readable = asyncio.Event()
            loop.add_reader(reader, readable.set)
            threading.Timer(0.05, os.write, [writer, b"x"]).start()
            await asyncio.wait_for(readable.wait(), 10)
            loop.remove_reader(reader)
            os.close(reader)
            os.close(writer)
            # A thread of the loop's.
            assert await loop.run_in_executor(None, lambda: 7) == 7

    rover_rtc.run(main())


INTERRUPTED = """
import asyncio, sys, rover_rtc

async def main():
    async with rover_rtc.connect(sys.argv[1], name="one", bind=["127.0.0.1"], channels=["data"]) as peer:
        await peer.connected(10)
        print("waits", flush=True)
        await peer.channel("data").recv()

try:
    rover_rtc.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_ends_it(hub: str) -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", INTERRUPTED, hub]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        time.sleep(0.3)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert process.wait(10) == 0
        # A good-bye takes its time; a wait that nobody ends would take for ever.
        assert time.monotonic() - begin < 5


def test_a_loop_without_peers_is_a_loop() -> None:
    async def main() -> int:
        await asyncio.sleep(0)
        return 5

    assert rover_rtc.run(main()) == 5

