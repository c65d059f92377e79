"""A rover, or a station, as `examples/c/telemetry.c` is one: same channels, same lines."""

from __future__ import annotations

import argparse
import asyncio

import rover_rtc
from rover_rtc import ChannelConfig, events

CHANNELS = [ChannelConfig("pose", mode="latest"), ChannelConfig("log")]


async def tell(peer: rover_rtc.Peer) -> None:
    """Prints what happens to links with others."""
    async for event in peer.events():
        name = event.link.name
        if not name:
            continue
        if isinstance(event, events.Outage):
            print(f"{name}: no path lives")
        elif isinstance(event, events.Recovered):
            print(f"{name}: back after {event.outage_ms / 1e3:.3f} s")
        elif isinstance(event, (events.Gap, events.Disconnected)):
            print(f"{name}: {event!r}")


async def send(link: rover_rtc.Link, rate: float, seconds: float) -> None:
    """Sends lines for so long, and waits until all have arrived."""
    loop = asyncio.get_running_loop()
    log, pose = link.channel("log"), link.channel("pose")
    numbered = held_back = 0
    end = loop.time() + seconds
    while loop.time() < end:
        await pose.send(f"{numbered} x=1.0 y=2.0")
        if log.try_send(f"{numbered} from Python"):
            numbered += 1
            if numbered % 200 == 0:
                print(f"{numbered} lines so far")
        else:
            held_back += 1
        await asyncio.sleep(1 / rate)
    await asyncio.wait_for(log.acknowledged(), 30)
    print(f"{numbered} lines sent, all arrived, {held_back} held back")


async def receive(link: rover_rtc.Link) -> None:
    """Counts lines until the other side says good-bye."""
    received = missing = expected = 0
    async for message in link.channel("log"):
        number = int(message.text.split(" ")[0])
        assert number >= expected, f"{link.name}: {number} was here before"
        missing += number - expected
        received, expected = received + 1, number + 1
    print(f"{link.name}: {received} lines received, {missing} missing")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--bind", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--peer", help="whom to send to; without it, counts what comes")
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rovers", type=int, default=1, help="so many to count for")
    parser.add_argument("--relay-only", action="store_true")
    given = parser.parse_args()
    async with rover_rtc.connect(
        given.server,
        name=given.name,
        bind=[given.bind],
        channels=CHANNELS,
        relay_only=given.relay_only,
    ) as peer:
        telling = asyncio.create_task(tell(peer))
        if given.peer:
            await send(await peer.call(given.peer), given.rate, given.seconds)
        else:
            links = [await peer.accept() for _ in range(given.rovers)]
            await asyncio.gather(*map(receive, links))
    await telling


asyncio.run(main())
