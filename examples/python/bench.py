#!/usr/bin/env python3
"""One end of a measured connection, with asyncio: what `rover-rtc bench` is in Rust, by the same
contract, so that both can be measured side by side, and beside other libraries' shards.

Signaling goes through files in a directory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import struct
import sys
import time
from pathlib import Path
from typing import NoReturn

import rover_rtc
from rover_rtc import ChannelConfig, events
from shared import positive

WARM_UP, AFTER, BEFORE_SENDING, ECHO_PATIENCE = 1.0, 0.7, 0.3, 12.0
HEAD = struct.Struct("<QQ")
"""Number of a message, and when it was sent in Unix nanoseconds."""

EXAMPLES = """examples (two terminals):
  bench.py answer --dir /tmp/run --mode throughput --size 16384 --channel reliable
  bench.py offer  --dir /tmp/run --mode throughput --size 16384 --channel reliable

  bench.py answer --dir /tmp/run --mode latency --rate 1000
  bench.py offer  --dir /tmp/run --mode latency --rate 1000
"""


class Log:
    """Lines with their time, each whole by one write."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)

    def note(self, text: object) -> None:
        os.write(self._fd, f"{time.time_ns()} {text}\n".encode())


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def write_atomic(path: Path, text: str) -> None:
    """Writes a file under another name, then renames it: nobody reads half of it."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.rename(path)


async def read_when_there(path: Path) -> str:
    while not path.exists():
        await asyncio.sleep(0.002)
    sdp = json.loads(path.read_text())["sdp"]
    assert isinstance(sdp, str)
    return sdp


class Bench:
    def __init__(self, opt: argparse.Namespace) -> None:
        self.opt = opt
        self.dir: Path = opt.dir
        self.offers: bool = opt.role == "offer"
        self.log = Log(self.dir / f"state_{opt.role}.log")
        self.watching: list[asyncio.Task[None]] = []

    def settings(self) -> ChannelConfig:
        # The contract: about 1 MiB for bulk, no limit for a stream that must not wait.
        bulk = self.opt.mode == "throughput"
        return ChannelConfig(
            "bench",
            mode=self.opt.channel,
            ordered=not self.opt.unordered,
            outbox_messages=sys.maxsize,
            outbox_bytes=1 << 20 if bulk else sys.maxsize,
        )

    async def connect(self, dir: Path, tag: str = "") -> rover_rtc.Peer:
        """A connection with its channel open; it stays as long as the process."""
        ours, theirs = dir / f"{self.opt.role}.json", dir / "offer.json"
        if self.offers:
            peer = await rover_rtc.offer(channels=[self.settings()])
        else:
            peer = await rover_rtc.answer(await read_when_there(theirs), channels=[self.settings()])
        write_atomic(ours, json.dumps({"type": self.opt.role, "sdp": peer.description}))
        if self.offers:
            await peer.accept_answer(await read_when_there(dir / "answer.json"))
        told = peer.events()
        async for event in told:
            self.tell(event, tag)
            if isinstance(event, events.ChannelOpened):
                break
        self.watching.append(asyncio.create_task(self.watch(told, tag)))
        return peer

    async def watch(self, told: rover_rtc.Events, tag: str) -> None:
        async for event in told:
            self.tell(event, tag)

    def tell(self, event: rover_rtc.Event, tag: str) -> None:
        if isinstance(event, events.StateChanged):
            self.log.note(f"{tag}ice {event.state}")
        elif isinstance(event, events.PathSwitched):
            self.log.note(f"{tag}pair {event.local} {event.remote}")
        elif isinstance(event, events.Closed):
            self.log.note(f"{tag}closed")

    def result(self, values: dict[str, object]) -> None:
        write_atomic(self.dir / f"result_{self.opt.role}.json", json.dumps(values))

    async def run(self) -> NoReturn:
        self.log.note(f"start pid {os.getpid()}")
        if self.opt.mode == "hold":
            kept = await self.hold()
        else:
            started = time.monotonic()
            kept = [await self.connect(self.dir)]
            setup_ms = (time.monotonic() - started) * 1e3
            self.log.note("open")
            channel = kept[0].channel("bench")
            if self.offers:
                values = await self.offer(channel)
                self.result({**values, "setup_ms": setup_ms, "channel": self.opt.channel})
            else:
                await self.answer(channel)
        # Whoever measures ends it; until then the connections stay.
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.gather(*(peer.close() for peer in kept))
        raise AssertionError("nobody sets the event")

    async def hold(self) -> list[rover_rtc.Peer]:
        kept = []
        for i in range(self.opt.num):
            (self.dir / str(i)).mkdir(exist_ok=True)
            kept.append(await self.connect(self.dir / str(i), f"c{i} "))
        self.log.note("allopen")
        return kept

    async def offer(self, channel: rover_rtc.Channel) -> dict[str, object]:
        if self.opt.mode == "throughput":
            return await self.bulk(channel)
        if self.opt.mode in ("latency", "stream"):
            return await self.paced(channel)
        return {}

    async def answer(self, channel: rover_rtc.Channel) -> None:
        if self.opt.mode == "throughput":
            await self.sink(channel)
        elif self.opt.mode == "latency":
            async for message in channel:
                await channel.send(message.data)
        elif self.opt.mode == "stream":
            received = Log(self.dir / "recv.log")
            async for message in channel:
                received.note(HEAD.unpack_from(message.data)[0])

    async def bulk(self, channel: rover_rtc.Channel) -> dict[str, object]:
        data = bytes(self.opt.size)
        begin = time.monotonic()
        sent = await send_until(channel, data, begin + WARM_UP)
        start, cpu = time.monotonic(), cpu_seconds()
        sent += await send_until(channel, data, begin + WARM_UP + self.opt.seconds)
        cpu, window = cpu_seconds() - cpu, time.monotonic() - start
        # The other side's window is to end first.
        await send_until(channel, data, begin + WARM_UP + self.opt.seconds + AFTER)
        return {"cpu_s": cpu, "window_s": window, "sent": sent}

    async def sink(self, channel: rover_rtc.Channel) -> None:
        await channel.recv()
        await self.count(channel, WARM_UP)
        start, cpu = time.monotonic(), cpu_seconds()
        received, size = await self.count(channel, self.opt.seconds)
        cpu, window = cpu_seconds() - cpu, time.monotonic() - start
        self.result({"bytes": size, "msgs": received, "cpu_s": cpu, "window_s": window})
        await self.count(channel, float("inf"))

    async def count(self, channel: rover_rtc.Channel, seconds: float) -> tuple[int, int]:
        """Messages and bytes that come within so many seconds."""
        received = size = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            messages = await channel.recv_many()
            received += len(messages)
            size += sum(map(len, messages))
        return received, size

    async def paced(self, channel: rover_rtc.Channel) -> dict[str, object]:
        """Sends message i at i / rate seconds after the first, and collects what is echoed."""
        total = int(self.opt.seconds * self.opt.rate)
        padding = bytes(max(self.opt.size, HEAD.size) - HEAD.size)
        rtts: list[float] = []
        echoes = asyncio.create_task(collect(channel, rtts, total))
        errors, first_error = 0, ""
        await asyncio.sleep(BEFORE_SENDING)
        self.log.note("sending")
        begin = time.monotonic()
        for number in range(total):
            await asyncio.sleep(begin + number / self.opt.rate - time.monotonic())
            try:
                await channel.send(HEAD.pack(number, time.time_ns()) + padding)
            except rover_rtc.RoverRtcError as error:
                if errors == 0:
                    first_error = str(error)
                    self.log.note(f"senderr seq {number} {first_error}")
                errors += 1
        self.log.note("senddone")
        if self.opt.mode == "latency":
            await asyncio.wait([echoes], timeout=ECHO_PATIENCE)
            write_atomic(self.dir / "rtt.txt", "".join(f"{rtt:.3f}\n" for rtt in rtts))
        return {
            "sent": total,
            "errors": errors,
            "first_error": first_error,
            "echoed": len(rtts),
            "cpu_s": cpu_seconds(),
        }


async def send_until(channel: rover_rtc.Channel, data: bytes, end: float) -> int:
    """Sends as fast as there is room, until a time has come."""
    sent = 0
    while time.monotonic() < end:
        # The clock is looked at now and then only: it would cost as much as a message.
        for _ in range(16):
            if not channel.try_send(data):
                await channel.send(data)
        sent += 16
    return sent


async def collect(channel: rover_rtc.Channel, rtts: list[float], total: int) -> None:
    async for message in channel:
        rtts.append((time.time_ns() - HEAD.unpack_from(message.data, 0)[1]) / 1e3)
        if len(rtts) == total:
            return


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="One end of a measured connection.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("role", choices=["offer", "answer"])
    parser.add_argument("--dir", type=Path, required=True, help="shared by both sides")
    parser.add_argument(
        "--mode", required=True, choices=["setup", "throughput", "latency", "stream", "hold"]
    )
    parser.add_argument("--size", type=int, default=100, help="bytes of a message (default 100)")
    parser.add_argument(
        "--seconds", type=positive, default=5, help="to measure or to send (default 5)"
    )
    parser.add_argument(
        "--rate", type=positive, default=100, help="messages a second (default 100)"
    )
    parser.add_argument("--num", type=int, default=1, help="connections, in mode hold (default 1)")
    parser.add_argument(
        "--channel",
        choices=["plain", "reliable"],
        default="plain",
        help="its mode (default plain); both sides the same",
    )
    parser.add_argument("--unordered", action="store_true", help="plain only")
    opt = parser.parse_args()
    if opt.size < 1 or opt.num < 1:
        parser.error("sizes and numbers begin with 1")
    if opt.channel == "plain" and opt.size > 256 << 10:
        parser.error("a plain channel takes messages of 256 KiB at most: use --channel reliable")
    return opt


if __name__ == "__main__":
    if sys.argv[1:] == ["features"]:
        sys.exit()
    try:
        rover_rtc.run(Bench(parse()).run())
    except KeyboardInterrupt:
        sys.exit(130)
