"""The same names as `rover_rtc`, for programs without asyncio.

Each call waits by itself, for `timeout=` seconds at most, and Ctrl-C ends the wait at once. ::

    from rover_rtc import sync

    with sync.connect("http://hub:3000", name="rover-1", channels=["telemetry"]) as peer:
        peer.channel("telemetry").send("hello")
        for message in peer.channel("telemetry"):
            print(message.data)

Threads may share everything here. One of those that wait polls the peer's descriptor, and tells the
others what it is about.
"""

from __future__ import annotations

from .._base import Message
from ._connect import answer, connect, offer, serve
from ._events import Events
from ._link import Channel, Link
from ._peer import Peer
from ._server import Server

__all__ = [
    "Channel",
    "Events",
    "Link",
    "Message",
    "Peer",
    "Server",
    "answer",
    "connect",
    "offer",
    "serve",
]

# Where they are looked for and shown is here; which file has them is nobody's business.
for _made in list(globals().values()):
    if getattr(_made, "__module__", "").startswith(f"{__name__}._"):
        _made.__module__ = __name__
del _made
