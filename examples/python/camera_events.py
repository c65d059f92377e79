#!/usr/bin/env python3
"""A camera's frames, each one large message, to a viewer: the newest frame wins.

A network that is too slow for all frames gets fewer of them, not older ones. The viewer tells what
it has seen, so that the camera knows how old a frame is there without a common clock.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import time

import numpy as np
import numpy.typing as npt

import rover_rtc
from rover_rtc import ChannelConfig
from shared import connect, parser, positive, run, tell, until_stopped

EXAMPLES = """
  camera_events.py --name viewer
  camera_events.py --name rover-1 --peer viewer --size 1280x720 --fps 20
"""

# A frame of 1280x720 has 2.8 MB: it travels in pieces, and is handed over when it is whole.
CHANNELS = [
    ChannelConfig("frames", mode="latest", priority="low"),
    ChannelConfig("seen", mode="reliable", priority="high"),
]

HEAD = struct.Struct("<QHH")
"""Number, height, width."""

Frame = npt.NDArray[np.uint8]


class Camera:
    """A moving gradient, drawn where it is sent from: no copy between the camera and `send`."""

    def __init__(self, width: int, height: int) -> None:
        self.buffer: Frame = np.zeros(HEAD.size + width * height * 3, np.uint8)
        self.picture = self.buffer[HEAD.size :].reshape(height, width, 3)
        self.row = np.arange(width, dtype=np.uint8)
        self.sent_at: dict[int, float] = {}
        self.ages: list[float] = []

    def shoot(self, number: int) -> Frame:
        height, width, _ = self.picture.shape
        HEAD.pack_into(self.buffer.data, 0, number, height, width)
        self.picture[:] = (self.row + np.uint8(number % 256))[None, :, None]
        return self.buffer

    async def run(self, link: rover_rtc.Link, fps: float) -> None:
        hearing = asyncio.create_task(self.hear(link))
        # A frame that no viewer waits for would only be thrown away later.
        await link.connected()
        frames, due, number = link.channel("frames"), time.monotonic(), 0
        while not hearing.done():
            self.sent_at[number] = time.monotonic()
            frames.try_send(self.shoot(number))
            number += 1
            due = max(due + 1 / fps, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
        print(f"{link.name} is gone")

    async def hear(self, link: rover_rtc.Link) -> None:
        try:
            async for message in link.channel("seen"):
                number = int(message.text)
                self.ages.append(time.monotonic() - self.sent_at[number])
                # Those before it were overtaken.
                for old in [n for n in self.sent_at if n <= number]:
                    del self.sent_at[old]
        except rover_rtc.ConnectionLost as error:
            print(f"{link.name}: {error}")

    def __str__(self) -> str:
        if not self.ages:
            return "no frame was seen"
        p50, p99 = np.percentile(self.ages, [50, 99]) * 1e3
        return (
            f"{len(self.ages)} frames were seen, from shot to the word that it was: "
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        )


class Viewer:
    def __init__(self) -> None:
        self.frames = self.overtaken = self.bad = 0

    async def run(self, peer: rover_rtc.Peer) -> None:
        viewing = set()
        while True:
            task = asyncio.create_task(self.view(await peer.accept()))
            viewing.add(task)
            task.add_done_callback(viewing.discard)

    async def view(self, link: rover_rtc.Link) -> None:
        seen, expected = link.channel("seen"), 0
        since, frames, size = time.monotonic(), 0, 0
        try:
            async for message in link.channel("frames"):
                number, height, width = HEAD.unpack_from(message.data)
                # Not copied: an array of the message's own bytes.
                picture: Frame = np.frombuffer(message.data, np.uint8, offset=HEAD.size)
                picture = picture.reshape(height, width, 3)
                await seen.send(str(number))
                self.bad += int(picture[0, 0, 0] != number % 256)
                # A rover that was restarted begins with 0 again.
                self.overtaken += max(0, number - expected)
                self.frames, expected = self.frames + 1, number + 1
                frames, size = frames + 1, size + len(message)
                if (elapsed := time.monotonic() - since) >= 1:
                    print(
                        f"{link.name}: {width}x{height}, {frames / elapsed:.1f} frames/s, "
                        f"{size / elapsed / 1e6:.1f} MB/s, {self.overtaken} overtaken so far"
                    )
                    since, frames, size = time.monotonic(), 0, 0
        except (rover_rtc.ConnectionLost, rover_rtc.ClosedError) as error:
            print(f"{link.name}: {error}")


async def main(opt: argparse.Namespace) -> None:
    async with connect(opt, opt.name, CHANNELS) as peer:
        telling = asyncio.create_task(tell(peer.events()))
        if opt.peer:
            camera = Camera(*opt.size)
            await until_stopped(camera.run(await peer.call(opt.peer), opt.fps), opt.seconds)
            print(camera)
        else:
            viewer = Viewer()
            await until_stopped(viewer.run(peer), opt.seconds)
            print(f"{viewer.frames} frames, {viewer.overtaken} overtaken, {viewer.bad} damaged")
    await telling


def size(text: str) -> tuple[int, int]:
    width, height = (int(part) for part in text.split("x"))
    if not (0 < width < 1 << 16 and 0 < height < 1 << 16):
        raise ValueError(text)
    return width, height


if __name__ == "__main__":
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--name", required=True, help="this side's name at the hub")
    options.add_argument("--peer", help="the viewer to send to; without it, this is a viewer")
    options.add_argument(
        "--size", type=size, default=(640, 480), metavar="WxH", help="of a frame (default 640x480)"
    )
    options.add_argument(
        "--fps", type=positive, default=30, help="frames a second (default %(default)s)"
    )
    run(main(options.parse_args()))
