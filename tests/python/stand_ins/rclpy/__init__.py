"""A stand-in for the few calls of rclpy that the example makes, for machines without ROS.

Topics are between processes: a subscription is a Unix datagram socket in the directory that the
environment variable RCLPY_STAND_IN names, and a publisher sends to those of its topic.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .qos import QoSProfile, ReliabilityPolicy
from .serialization import deserialize_message, serialize_message
from .signals import SignalHandlerOptions

_running = threading.Event()
_numbers = itertools.count()


def init(
    *,
    args: list[str] | None = None,
    signal_handler_options: SignalHandlerOptions = SignalHandlerOptions.ALL,
) -> None:
    assert not _running.is_set(), "rclpy.init() twice"
    # The one of rclpy ends the context at Ctrl-C, before the program has said good-bye.
    assert signal_handler_options == SignalHandlerOptions.NO
    _running.set()


def ok() -> bool:
    return _running.is_set()


def try_shutdown() -> None:
    _running.clear()


def create_node(name: str) -> Node:
    assert ok(), "rclpy.init() comes first"
    return Node()


def _path(topic: str, end: str) -> Path:
    return Path(os.environ["RCLPY_STAND_IN"]) / f"{topic.strip('/').replace('/', '_')}@{end}"


class Publisher:
    def __init__(self, type: Any, topic: str, qos: QoSProfile) -> None:
        self._type, self._topic = type, topic
        self._reliable = qos.reliability == ReliabilityPolicy.RELIABLE
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def publish(self, message: Any) -> None:
        assert isinstance(message, self._type)
        data = serialize_message(message)
        for path in _path(self._topic, "").parent.glob(_path(self._topic, "*").name):
            # As in ROS, a subscription that wants reliable messages does not match others.
            if self._reliable or "reliable" not in path.name:
                try:
                    self._socket.sendto(data, str(path))
                except (ConnectionRefusedError, FileNotFoundError):
                    pass  # It ends just now.

    def get_subscription_count(self) -> int:
        return len(list(_path(self._topic, "").parent.glob(_path(self._topic, "*").name)))


class Subscription:
    def __init__(
        self, type: Any, topic: str, callback: Callable[[Any], None], qos: QoSProfile, raw: bool
    ) -> None:
        self._type, self._callback, self._raw = type, callback, raw
        self._path = _path(topic, f"{os.getpid()}-{next(_numbers)}-{qos.reliability.value}")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self._path))

    def take(self) -> None:
        data = self.socket.recv(1 << 20)
        self._callback(data if self._raw else deserialize_message(data, self._type))

    def close(self) -> None:
        self._path.unlink()
        self.socket.close()


class Node:
    def __init__(self) -> None:
        self.subscriptions: list[Subscription] = []
        self._publishers: list[Publisher] = []

    def create_publisher(self, type: Any, topic: str, qos_profile: QoSProfile) -> Publisher:
        self._publishers.append(Publisher(type, topic, qos_profile))
        return self._publishers[-1]

    def create_subscription(
        self,
        type: Any,
        topic: str,
        callback: Callable[[Any], None],
        qos_profile: QoSProfile,
        *,
        raw: bool = False,
    ) -> Subscription:
        self.subscriptions.append(Subscription(type, topic, callback, qos_profile, raw))
        return self.subscriptions[-1]

    def destroy_node(self) -> None:
        for subscription in self.subscriptions:
            subscription.close()
        for publisher in self._publishers:
            publisher._socket.close()
        self.subscriptions, self._publishers = [], []
