"""Rovers in Rust and in C, through outages. `cargo test --test python` gives their programs, and has
more of this in rovers.rs."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import rig
from rover_rtc import ChannelConfig, events

CHANNELS = [ChannelConfig("pose", mode="latest"), ChannelConfig("log")]


async def test_payloads_with_the_program_in_rust(
    rust: Path, hub_process: rig.HubProcess
) -> None:
    command = [rust, "peer", "--server", hub_process.url, "--bind", rig.LOOPBACK, "--no-state"]
    command += ["--name", "rover", "--to", "station", "--every", "20"]
    settings = {"relay_only": True, "idle_interval_ms": 100}
    async with rig.connect(hub_process.url, "station", **settings) as station:
        with rig.Program(command) as rover:
            link = await rig.soon(station.accept())
            assert link.name == "rover"
            feed, channel = link.events(), link.channel("test")
            payloads = [(await rig.soon(channel.recv())).data for _ in range(20)]
            hub_process.pause()
            await rig.event_of(feed, events.Outage)
            hub_process.resume()
            await rig.event_of(feed, events.Recovered)
            # The channel is a plain one, which keeps its messages as long as the connection lives.
            payloads += [(await rig.soon(channel.recv())).data for _ in range(50)]
            # Whatever a payload looks like, each has a number.
            numbers = [int(re.findall(rb"message (\d+)", data)[0]) for data in payloads]
            assert numbers == list(range(numbers[0], numbers[0] + 70))
            # What is sent comes out there as it is.
            await channel.send(payloads[0])
            number = await asyncio.to_thread(rover.after, "station: Payload: message ")
            assert number.startswith(f"{numbers[0]} ")


async def test_lines_of_a_rover_in_c(c_rover: Path, hub_process: rig.HubProcess) -> None:
    command = [c_rover, "--name", "rover", "--peer", "station", "--rate", "200", "--seconds", "5"]
    command += ["--bind", rig.LOOPBACK, "--server", hub_process.url]
    settings = {"relay_only": True, "idle_interval_ms": 100}
    async with rig.connect(hub_process.url, "station", channels=CHANNELS, **settings) as station:
        with rig.Program(command) as rover:
            link = await rig.soon(station.accept())
            feed, numbers = link.events(), []

            async def receive() -> None:
                async for message in link.channel("log"):
                    numbers.append(int(message.text.split(" ")[0]))

            receiving = asyncio.create_task(receive())
            while len(numbers) < 100:
                await asyncio.sleep(0.01)
            hub_process.pause()
            await rig.event_of(feed, events.Outage)
            hub_process.resume()
            await rig.event_of(feed, events.Recovered)
            # Until it says good-bye.
            await rig.soon(receiving)
            assert await asyncio.to_thread(rover.wait) == 0, rover.text
    assert numbers == list(range(len(numbers))), "lost, repeated or out of order"
    assert f"{len(numbers)} lines sent, all arrived, 0 held back" in rover.text, rover.text
