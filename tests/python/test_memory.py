"""Memory, descriptors and threads stay what they are, however much comes and goes."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

import rig

HEAD = """
import asyncio, gc, json, os, sys
import rover_rtc
from rover_rtc import ChannelConfig, sync

LOCAL = dict(bind=["127.0.0.1"])

def tell(done):
    gc.collect()
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    kib = pages * os.sysconf("SC_PAGE_SIZE") // 1024
    counts = [len(os.listdir(f"/proc/self/{what}")) for what in ("fd", "task")]
    print(json.dumps([done, kib, *counts]), flush=True)

hub = sync.serve("127.0.0.1:0", udp=["127.0.0.1:0"], shards=1)
"""

MESSAGES = HEAD + """
from rover_rtc import connect
TOTAL, STEP = 1_000_000, 100_000

async def main():
    async with connect(hub.url, name="one", channels=["log"], **LOCAL) as one, \\
            connect(hub.url, name="two", channels=["log"], **LOCAL) as two:
        log = (await one.dial("two")).channel("log")
        far = (await two.accept()).channel("log")

        async def send():
            for number in range(TOTAL):
                await log.send(b"%d" % number)

        sending = asyncio.create_task(send())
        received = 0
        async for message in far:
            assert int(message.data) == received
            received += 1
            if received % STEP == 0:
                tell(received)
                if received == TOTAL:
                    break
        await sending

asyncio.run(main())
hub.close()
"""

OBJECTS = HEAD + """
def peer():
    sync.connect(hub.url, **LOCAL).close()

def link(station):
    with station.call(f"rover-{next(numbers)}") as link:
        channel = link.open("log")
        channel.try_send("x")
        link.events()
        link.stats()

import itertools
numbers = itertools.count()
made = 0
with sync.connect(hub.url, name="station", channels=["log"], **LOCAL) as station:
    station.connected(30)
    for _ in range(20):
        # A link has an end, two channels, a reader, statistics.
        for _ in range(180):
            link(station)
        for _ in range(100):
            peer()
        made += 180 * 5 + 100
        tell(made)
hub.close()
"""


@dataclass
class Told:
    done: int
    kib: int
    fds: int
    threads: int


def told(source: str) -> list[Told]:
    with rig.Program([rig.PYTHON, "-W", "error", "-c", source]) as program:
        code = program.process.wait(240)
        assert code == 0, program.text
        program.wait()
        return [Told(*json.loads(line)) for line in program.lines]


def check(all_told: list[Told], most_kib: int) -> None:
    """The first third is for what is allocated once."""
    print(all_told)
    warm, last = all_told[len(all_told) // 3 - 1], all_told[-1]
    assert last.kib - warm.kib < most_kib, all_told
    assert last.fds <= warm.fds and last.threads <= warm.threads, all_told


@pytest.mark.timeout(300)
def test_a_million_messages() -> None:
    all_told = told(MESSAGES)
    assert all_told[-1].done == 1_000_000
    # Of 700,000 messages; one that stays has 50 bytes at least, which were 34 MiB.
    check(all_told, 4096)


@pytest.mark.timeout(300)
def test_ten_thousand_objects() -> None:
    all_told = told(OBJECTS)
    # More than 10,000 of them after the first third.
    assert all_told[-1].done == 20_000
    check(all_told, 4096)
