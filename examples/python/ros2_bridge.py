#!/usr/bin/env python3
"""Carries ROS 2 topics to another machine and back, by WebRTC: through NATs, and through outages.

Each topic has a channel of its own, on both sides with the same mode. On the side where the topic's
publishers are it goes --out, on the other one it comes --in. Nodes on either side need no change.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import rover_rtc
from rover_rtc import ChannelConfig
from shared import connect, parser, run, tell, until_stopped

MODES = """which MODE, and which QoS it has on both sides:
  reliable   every message, in order, once; those of an outage come after it. QoS reliable, keep
             the last 10. For goals, maps, events, commands. It does not hear publishers whose QoS
             is best effort: ROS does not match them.
  latest     the newest message only; those it overtakes are skipped. QoS best effort, keep the last
             one. For states: odometry, battery, joint states, velocities, images. The default.
  datagram   one try for each message, at most 32 KiB, in no order. QoS best effort, keep the last
             10. For what is worth nothing when late but has to be dense: IMU, small scans.
"""
EXAMPLES = """
  on the rover:
    ros2_bridge.py --name rover-1 --out /odom:nav_msgs/msg/Odometry \\
        --out /map:nav_msgs/msg/OccupancyGrid:reliable --in /cmd_vel:geometry_msgs/msg/Twist
  on the desk:
    ros2_bridge.py --name desk --peer rover-1 --in /odom:nav_msgs/msg/Odometry \\
        --in /map:nav_msgs/msg/OccupancyGrid:reliable --out /cmd_vel:geometry_msgs/msg/Twist
"""

Mode = Literal["reliable", "latest", "datagram"]


@dataclass(frozen=True)
class Topic:
    """TOPIC:TYPE[:MODE] of the command line."""

    name: str
    type: str
    mode: Mode = "latest"

    @classmethod
    def parse(cls, text: str) -> Topic:
        name, type, *mode = text.split(":")
        if len(mode) > 1 or (mode and mode[0] not in ("reliable", "latest", "datagram")):
            raise ValueError(text)
        return cls(name, type, cast(Mode, mode[0])) if mode else cls(name, type)

    def channel(self) -> ChannelConfig:
        # What ROS keeps of a topic is its newest messages, so a full outbox drops the oldest ones.
        full: Literal["drop_oldest", "wait"] = "drop_oldest" if self.mode != "latest" else "wait"
        return ChannelConfig(f"ros:{self.name}", mode=self.mode, when_full=full)


class Ros:
    """A node, in a thread of its own: its callbacks come there."""

    def __init__(self, name: str) -> None:
        # Here, so that --help needs no ROS.
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions

        self._rclpy = rclpy
        # Ctrl-C is handled by the event loop, which says good-bye to the other side.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(name)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="ros")

    def __enter__(self) -> Ros:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()
        self._rclpy.try_shutdown()

    def _spin(self) -> None:
        from rclpy.executors import ExternalShutdownException

        try:
            while self._rclpy.ok():
                self._executor.spin_once(timeout_sec=0.2)
        except ExternalShutdownException:
            pass

    def subscribe(self, topic: Topic, take: Callable[[bytes], None]) -> None:
        # Raw: the bytes go on as they are, there is no need to know what they mean.
        self._node.create_subscription(_type(topic), topic.name, take, _qos(topic), raw=True)

    def publisher(self, topic: Topic) -> Callable[[bytes], None]:
        from rclpy.serialization import deserialize_message

        type = _type(topic)
        publisher = self._node.create_publisher(type, topic.name, _qos(topic))

        # Not raw: what comes from another machine is a message of this type, or an error here, not
        # in each node that listens.
        def publish(data: bytes) -> None:
            publisher.publish(deserialize_message(data, type))

        return publish


def _type(topic: Topic) -> Any:
    from rosidl_runtime_py.utilities import get_message

    return get_message(topic.type)


def _qos(topic: Topic) -> Any:
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

    reliable = topic.mode == "reliable"
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1 if topic.mode == "latest" else 10,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
    )


class Bridge:
    def __init__(self, ros: Ros, opt: argparse.Namespace) -> None:
        self.opt = opt
        self.sent: dict[str, int] = dict.fromkeys([topic.name for topic in opt.out], 0)
        self.received: dict[str, int] = dict.fromkeys([topic.name for topic in opt.into], 0)
        self.refused = 0
        self.publish = {topic: ros.publisher(topic) for topic in opt.into}
        self.link: rover_rtc.Link | None = None
        loop = asyncio.get_running_loop()
        for topic in opt.out:
            ros.subscribe(topic, self.taker(loop, topic))

    def taker(self, loop: asyncio.AbstractEventLoop, topic: Topic) -> Callable[[bytes], None]:
        def take(data: bytes) -> None:
            # Called in the node's thread; links are of the event loop's.
            loop.call_soon_threadsafe(self.send, topic, data)

        return take

    def send(self, topic: Topic, data: bytes) -> None:
        if self.link is None or self.link.closed:
            return
        try:
            self.link.channel(topic.channel().label).try_send(data)
            self.sent[topic.name] += 1
        except rover_rtc.MessageError as error:
            self.refuse(f"{topic.name}: {error}")
        except (rover_rtc.ClosedError, rover_rtc.ConnectionLost):
            pass  # The link ends just now.

    def refuse(self, why: str) -> None:
        # Once: the next message of the topic is like the one before.
        if self.refused == 0:
            print(why)
        self.refused += 1

    async def run(self, peer: rover_rtc.Peer) -> None:
        while True:
            self.link = await (peer.call(self.opt.peer) if self.opt.peer else peer.accept())
            await asyncio.gather(*(self.hear(self.link, topic) for topic in self.opt.into))
            while not self.link.closed:
                # With nothing to hear there is still something to send.
                await asyncio.sleep(0.2)
            print(f"{self.link.name} is gone")
            await asyncio.sleep(1 if self.opt.peer else 0)

    async def hear(self, link: rover_rtc.Link, topic: Topic) -> None:
        try:
            async for message in link.channel(topic.channel().label):
                try:
                    self.publish[topic](message.data)
                    self.received[topic.name] += 1
                except Exception as error:  # rclpy has no type of its own for a malformed message.
                    self.refuse(f"{topic.name}: {error}")
        except rover_rtc.ConnectionLost as error:
            print(f"{link.name}: {error}")

    def __str__(self) -> str:
        counts = [f"{name} out {count}" for name, count in self.sent.items()]
        counts += [f"{name} in {count}" for name, count in self.received.items()]
        return ", ".join([*counts, f"refused {self.refused}"])


async def main(opt: argparse.Namespace) -> None:
    with Ros(opt.node) as ros:
        channels = [topic.channel() for topic in (*opt.out, *opt.into)]
        async with connect(opt, opt.name, channels) as peer:
            telling = asyncio.create_task(tell(peer.events()))
            bridge = Bridge(ros, opt)
            await until_stopped(bridge.run(peer), opt.seconds)
            print(bridge)
        await telling


def parse() -> argparse.Namespace:
    options = parser(f"{__doc__}\n{MODES}", EXAMPLES)
    options.add_argument("--name", required=True, help="this side's name at the hub")
    options.add_argument("--peer", help="whom to call; without it, waits to be called")
    options.add_argument("--node", default="rover_rtc_bridge", help="name of the ROS node")
    for flag, to, what in (
        ("--out", "out", "a topic that goes to the other side"),
        ("--in", "into", "a topic that comes from there"),
    ):
        options.add_argument(
            flag,
            dest=to,
            action="append",
            default=[],
            type=Topic.parse,
            metavar="TOPIC:TYPE[:MODE]",
            help=f"{what}; may be repeated",
        )
    opt = options.parse_args()
    if not opt.out and not opt.into:
        options.error("nothing to carry: give --out or --in")
    if both := {topic.name for topic in opt.out} & {topic.name for topic in opt.into}:
        options.error(f"{both.pop()} would go round in circles: it is --out and --in")
    return opt


if __name__ == "__main__":
    run(main(parse()))
