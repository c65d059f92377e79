"""Ctrl-C ends each wait at once."""

from __future__ import annotations

import signal
import time

import pytest

import rig

SYNC = """
    import sys, time
    from rover_rtc import sync
    with sync.connect(sys.argv[1], name="one", bind=["127.0.0.1"], channels=["log"]) as peer:
        peer.connected(30)
        link = peer.call("nobody")
        log = link.channel("log")
        while log.try_send(bytes(100_000)): pass
        print("ready", flush=True)
        try:
            {wait}
        except KeyboardInterrupt:
            print("interrupted", time.monotonic(), flush=True)
"""

AIO = """
    import asyncio, sys, time
    import rover_rtc
    async def main():
        local = dict(name="one", bind=["127.0.0.1"], channels=["log"])
        async with rover_rtc.connect(sys.argv[1], **local) as peer:
            await peer.connected(30)
            link = await peer.call("nobody")
            log = link.channel("log")
            while log.try_send(bytes(100_000)): pass
            print("ready", flush=True)
            try:
                {wait}
            finally:
                print("interrupted", time.monotonic(), flush=True)
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
"""


def interrupted(source: str, hub: str) -> None:
    with rig.script(source, hub) as program:
        program.after("ready")
        # It says so before it waits, which takes no event that could be waited for here.
        time.sleep(0.3)
        begin = time.monotonic()
        program.signal(signal.SIGINT)
        assert program.wait() == 0, program.text
        assert "Traceback" not in program.text, program.text
        # The clock is the system's. A wait that looks around from time to time would be later.
        assert float(program.after("interrupted ")) - begin < 0.5


@pytest.mark.parametrize(
    "wait",
    [
        "log.recv()",
        "log.recv(timeout=60)",
        "next(iter(log))",
        "log.send(bytes(100_000))",
        "log.acknowledged()",
        "peer.accept()",
        "link.connected()",
        "peer.dial('nobody', timeout=60)",
        "[event for event in link.events()]",
        "log.recv_many()",
    ],
)
def test_without_asyncio(hub: str, wait: str) -> None:
    interrupted(SYNC.replace("{wait}", wait), hub)


@pytest.mark.parametrize(
    "wait",
    ["await log.recv()", "await log.send(bytes(100_000))", "await log.acknowledged()"],
)
def test_in_asyncio_run(hub: str, wait: str) -> None:
    interrupted(AIO.replace("{wait}", wait), hub)
