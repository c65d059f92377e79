"""Calls the callbacks of a node."""

from __future__ import annotations

import select
import threading

from . import Node


class ExternalShutdownException(Exception):
    """The context was shut down meanwhile."""


class SingleThreadedExecutor:
    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._stopped = threading.Event()

    def add_node(self, node: Node) -> None:
        self._nodes.append(node)

    def spin_once(self, timeout_sec: float) -> None:
        if self._stopped.is_set():
            raise ExternalShutdownException
        waiting = {s.socket: s for node in self._nodes for s in node.subscriptions}
        ready, _, _ = select.select(list(waiting), [], [], timeout_sec)
        for one in ready:
            waiting[one].take()

    def shutdown(self) -> None:
        self._stopped.set()
