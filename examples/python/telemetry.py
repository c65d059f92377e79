#!/usr/bin/env python3
"""Telemetry from rovers to a station, through outages.

Nothing here knows of networks that come and go: what is sent while there is none waits, and the
link mends itself. Stop the hub, the station or a rover for a while, and look at the counts.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import time

import rover_rtc
from rover_rtc import ChannelConfig
from shared import connect, parser, positive, run, tell, until_stopped

EXAMPLES = """
  telemetry.py --name station                                (prints what comes)
  telemetry.py --name rover-1 --peer station --rate 50       (sends)
"""

# The newest pose is all that counts; of the log, each line does.
CHANNELS = [ChannelConfig("pose", mode="latest"), ChannelConfig("log", mode="reliable")]


class Rover:
    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.sent = self.held_back = 0
        self.link: rover_rtc.Link | None = None
        # By this the station knows that another process numbers its lines from 0.
        self.boot = f"{time.time_ns():x}-{os.getpid()}"

    async def run(self, peer: rover_rtc.Peer, station: str) -> None:
        while True:
            # Waits for nothing: what is sent waits until the station is there.
            self.link = await peer.call(station)
            try:
                await self.send(self.link)
            except (rover_rtc.ClosedError, rover_rtc.ConnectionLost) as error:
                print(f"{station}: {error}")
            # The station has said good-bye, or was away for very long.
            await asyncio.sleep(1)

    async def send(self, link: rover_rtc.Link) -> None:
        pose, log = link.channel("pose"), link.channel("log")
        due = time.monotonic()
        while True:
            angle = self.sent / self.rate
            pose.try_send(f"x={math.cos(angle):.3f} y={math.sin(angle):.3f}")
            # The log is full after hours without a network: its oldest lines are the ones to keep.
            if log.try_send(f"{self.boot} {self.sent} battery=97%"):
                self.sent += 1
            else:
                self.held_back += 1
            # After a pause of the machine the samples go on; those missed are not made up.
            due = max(due + 1 / self.rate, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def end(self) -> None:
        """What is on its way gets the time to arrive."""
        if self.link is None or self.link.closed:
            return
        try:
            await asyncio.wait_for(self.link.channel("log").acknowledged(), 2)
            arrived = "all arrived"
        except asyncio.TimeoutError:
            arrived = "not all arrived"
        except (rover_rtc.ClosedError, rover_rtc.ConnectionLost):
            print(f"{self.sent} lines sent, not all arrived, {self.held_back} held back")
            return
        stats = self.link.stats()
        print(
            f"{self.sent} lines sent, {arrived}, {self.held_back} held back; "
            f"outages {stats.outages}, longest {stats.longest_outage_ms / 1e3:.3f} s"
        )


class Station:
    def __init__(self) -> None:
        self.lines = self.poses = self.missing = 0
        # Of each process of a rover, the number of the line that comes next.
        self.expected: dict[str, int] = {}

    async def run(self, peer: rover_rtc.Peer) -> None:
        readers = []
        while True:
            link = await peer.accept()
            readers += [
                asyncio.create_task(self.read_log(link)),
                asyncio.create_task(self.read_poses(link)),
            ]
            readers = [reader for reader in readers if not reader.done()]

    async def read_log(self, link: rover_rtc.Link) -> None:
        try:
            async for message in link.channel("log"):
                boot, number, _ = message.text.split(" ", 2)
                self.lines += 1
                self.missing += max(0, int(number) - self.expected.get(boot, 0))
                self.expected[boot] = int(number) + 1
        except rover_rtc.ConnectionLost as error:
            print(f"{link.name}: {error}")

    async def read_poses(self, link: rover_rtc.Link) -> None:
        shown = 0.0
        try:
            async for message in link.channel("pose"):
                self.poses += 1
                if time.monotonic() >= shown + 1:
                    shown = time.monotonic()
                    print(f"{link.name}: {message.text}, {self.lines} lines so far")
        except rover_rtc.ConnectionLost:
            pass  # As the log has told.


async def main(opt: argparse.Namespace) -> None:
    async with connect(opt, opt.name, CHANNELS) as peer:
        telling = asyncio.create_task(tell(peer.events()))
        if opt.peer:
            rover = Rover(opt.rate)
            await until_stopped(rover.run(peer, opt.peer), opt.seconds)
            await rover.end()
        else:
            station = Station()
            await until_stopped(station.run(peer), opt.seconds)
            print(
                f"{station.lines} lines received, {station.missing} missing, {station.poses} poses"
            )
    # The events end with the peer.
    await telling


if __name__ == "__main__":
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--name", required=True, help="this side's name at the hub")
    options.add_argument("--peer", help="whom to send to; without it, prints what others send")
    options.add_argument(
        "--rate", type=positive, default=10, help="samples a second (default %(default)s)"
    )
    run(main(options.parse_args()))
