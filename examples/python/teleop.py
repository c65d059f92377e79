#!/usr/bin/env python3
"""Teleoperation: an operator drives a rover by its name, wherever both are.

Three channels, each with the promise that its messages need: "drive" carries the newest wish for
each axis (an old one is worse than none), "command" carries what must arrive, in order and before
all else, and "telemetry" carries the newest state of the rover back.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import sys
import termios
import time
import tty
from collections.abc import AsyncIterator, Iterator

import rover_rtc
from rover_rtc import ChannelConfig, events
from shared import connect, parser, run, tell, until_stopped

KEYS = """keys of the operator: w s faster and slower, a d left and right, space to stop, q to quit;
:TEXT and Enter sends a command, such as ":lights on". They may come from a pipe, too.
"""
EXAMPLES = """
  teleop.py rover
  teleop.py operator
  teleop.py rover --name rover-7 --server https://hub.example.org
  printf 'wwd:lights on\\n' | teleop.py operator --peer rover-7 --server https://hub.example.org
"""

CHANNELS = [
    # A wish that could not be sent for so long is not what the operator wants any more.
    ChannelConfig("drive", mode="latest", ttl_ms=500),
    ChannelConfig("command", mode="reliable", priority="high"),
    ChannelConfig("telemetry", mode="latest", priority="low"),
]

TICK, DEAD_MAN, STEP = 0.1, 0.5, 0.25


class Rover:
    """Stops by itself when nobody drives it: neither a dead link nor a dead operator can say so."""

    def __init__(self) -> None:
        self.speeds = {"linear": 0.0, "angular": 0.0}
        self.wished = 0.0

    async def run(self, peer: rover_rtc.Peer) -> None:
        link, serving = None, None
        while True:
            call = await peer.accept()
            # Who calls last drives: an operator whose own machine has died takes another one.
            if link is not None and serving is not None:
                serving.cancel()
                await link.close()
            link, serving = call, asyncio.create_task(self.serve(call))

    async def serve(self, link: rover_rtc.Link) -> None:
        work = [
            asyncio.create_task(part)
            for part in (self.drive(link), self.obey(link), self.watch(link), self.report(link))
        ]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            print(f"{link.name} is gone")
        finally:
            for part in work:
                part.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            self.stop("nobody drives")

    async def drive(self, link: rover_rtc.Link) -> None:
        async for message in link.channel("drive"):
            axis = message.key.decode()
            if axis in self.speeds:
                self.wished = time.monotonic()
                if self.speeds[axis] != (speed := float(message.text)):
                    self.speeds[axis] = speed
                    print(f"drive {axis} {speed:+.2f}")

    async def obey(self, link: rover_rtc.Link) -> None:
        async for message in link.channel("command"):
            print(f"command {message.text}")
            if message.text == "stop":
                self.stop("as commanded")

    async def watch(self, link: rover_rtc.Link) -> None:
        async for event in link.events():
            if isinstance(event, events.Outage):
                self.stop("no path lives")

    async def report(self, link: rover_rtc.Link) -> None:
        telemetry, begin = link.channel("telemetry"), time.monotonic()
        while True:
            if time.monotonic() > self.wished + DEAD_MAN:
                self.stop("no wish comes")
            elapsed = time.monotonic() - begin
            telemetry.try_send(f"{100 - elapsed / 60:.0f} %", key="battery")
            telemetry.try_send(f"{math.remainder(elapsed, math.tau):+.2f} rad", key="heading")
            await asyncio.sleep(TICK)

    def stop(self, why: str) -> None:
        if any(self.speeds.values()):
            self.speeds = dict.fromkeys(self.speeds, 0.0)
            print(f"the motors stop: {why}")


class Operator:
    def __init__(self) -> None:
        self.wishes = {"linear": 0.0, "angular": 0.0}
        self.state: dict[str, str] = {}

    async def run(self, link: rover_rtc.Link) -> None:
        watching = asyncio.create_task(self.watch(link))
        driving = asyncio.create_task(self.keep_driving(link))
        reading = asyncio.create_task(self.read(link))
        try:
            # The keys end, or the rover is gone.
            first, _ = await asyncio.wait(
                [watching, driving, reading], return_when=asyncio.FIRST_COMPLETED
            )
            for task in first:
                task.result()
        except rover_rtc.RoverRtcError as error:
            print(error)
        finally:
            for task in (watching, driving, reading):
                task.cancel()
            await asyncio.gather(watching, driving, reading, return_exceptions=True)

    async def watch(self, link: rover_rtc.Link) -> None:
        async for message in link.channel("telemetry"):
            before, self.state[message.key.decode()] = dict(self.state), message.text
            if before.get("battery") != self.state.get("battery"):
                print(f"battery {self.state['battery']}")

    async def keep_driving(self, link: rover_rtc.Link) -> None:
        """The wishes are repeated as long as the operator is there: the rover stops without."""
        while True:
            self.wish(link)
            await asyncio.sleep(TICK)

    def wish(self, link: rover_rtc.Link) -> None:
        for axis, speed in self.wishes.items():
            # There is always room: of each axis only the newest waits.
            link.channel("drive").try_send(f"{speed:+.2f}", key=axis)

    def stop(self, link: rover_rtc.Link) -> None:
        # Both: the command arrives before all else, and no wish that comes after it is an old one.
        self.wishes = dict.fromkeys(self.wishes, 0.0)
        self.wish(link)
        link.channel("command").try_send("stop")

    async def read(self, link: rover_rtc.Link) -> None:
        command: str | None = None
        async for key in keys():
            if command is not None:
                if key in "\r\n":
                    await link.channel("command").send(command)
                command = None if key in "\r\n" else command + key
            elif key == "q":
                return
            elif key == ":":
                command = ""
            elif key == " ":
                self.stop(link)
            elif key in "wsad":
                axis = "linear" if key in "ws" else "angular"
                speed = self.wishes[axis] + (STEP if key in "wa" else -STEP)
                self.wishes[axis] = max(-1.0, min(1.0, speed))
                self.wish(link)

    async def end(self, link: rover_rtc.Link) -> None:
        """The rover is not left driving, and what was said is given a second to arrive."""
        if link.closed:
            return
        self.stop(link)
        try:
            await asyncio.wait_for(link.channel("command").acknowledged(), 1)
        except asyncio.TimeoutError:
            print("the rover has not heard the last command")
        except (rover_rtc.ClosedError, rover_rtc.ConnectionLost):
            print("the rover has not heard the last command")
            return
        stats = link.stats()
        print(
            f"sent {stats.messages_sent}, received {stats.messages_received}, "
            f"{stats.outages} outages, {stats.switches} switches"
        )


@contextlib.contextmanager
def single_keys(fd: int) -> Iterator[None]:
    """Keys come as they are pressed, not line by line. Ctrl-C is a signal all the same."""
    if not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


async def keys() -> AsyncIterator[str]:
    """Keys of the terminal, or of a pipe or file, until its end."""
    fd, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    typed: asyncio.Queue[bytes] = asyncio.Queue()
    try:
        # It is read when the loop says that it can be: at any other time that would block the loop.
        loop.add_reader(fd, lambda: typed.put_nowait(os.read(fd, 256)))
    except PermissionError:
        # A file is always readable, and cannot be polled.
        for key in sys.stdin.read():
            yield key
        return
    try:
        with single_keys(fd):
            while text := (await typed.get()).decode(errors="replace"):
                for key in text:
                    yield key
    finally:
        loop.remove_reader(fd)


async def main(opt: argparse.Namespace) -> None:
    async with connect(opt, opt.name or opt.role, CHANNELS) as peer:
        telling = asyncio.create_task(tell(peer.events()))
        if opt.role == "rover":
            await until_stopped(Rover().run(peer), opt.seconds)
        else:
            operator = Operator()
            link = await peer.call(opt.peer)
            await until_stopped(operator.run(link), opt.seconds)
            await operator.end(link)
    await telling


if __name__ == "__main__":
    options = parser(f"{__doc__}\n{KEYS}", EXAMPLES)
    options.add_argument("role", choices=["rover", "operator"])
    options.add_argument("--name", help="own name (default: the role)")
    options.add_argument(
        "--peer", default="rover", help="whom the operator calls (default %(default)s)"
    )
    run(main(options.parse_args()))
