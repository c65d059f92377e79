"""The link that keeps a robot connected: WebRTC data channels that survive changing networks.

A hub and a peer in ten lines::

    import asyncio, rover_rtc

    async def main():
        async with rover_rtc.serve("127.0.0.1:0") as hub:
            async with rover_rtc.connect(hub.url, name="rover-1", channels=["telemetry"]) as peer:
                await peer.connected(timeout=10)
                await peer.channel("telemetry").send("hello, hub")
                print(peer.health)

    asyncio.run(main())

- `connect`: a peer of a hub. `offer`, `answer`: peers without one.
- `serve`: a hub in this process.
- `rover_rtc.sync`: the same names for programs without asyncio.
- `rover_rtc.events`: what happens to links. `rover_rtc.types`: settings and statistics.
  `rover_rtc.errors`: what can go wrong.
- `python -m rover_rtc --help`: the command line.

Log lines are on `logging.getLogger("rover_rtc")`.
"""

from __future__ import annotations

from . import errors, events, sync, types
from ._native import __version__
from ._transfer import ReceivedFile, SentFile
from .aio import (
    Channel,
    Connecting,
    Events,
    Link,
    Message,
    Peer,
    Server,
    answer,
    connect,
    offer,
    serve,
)
from .errors import (
    ClosedError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    DroppedError,
    ForkError,
    FullError,
    MessageError,
    NotFoundError,
    RoverRtcError,
    StorageError,
    TimeoutError,
    TransferError,
)
from .events import Event
from .loop import EventLoop, run
from .types import (
    FILES,
    ChannelConfig,
    ChannelStats,
    Health,
    LinkStats,
    PathStats,
    PeerConfig,
    PeerStats,
    ServerConfig,
)

__all__ = [
    "FILES",
    "Channel",
    "ChannelConfig",
    "ChannelStats",
    "ClosedError",
    "ConfigError",
    "ConnectError",
    "Connecting",
    "ConnectionLost",
    "DroppedError",
    "Event",
    "EventLoop",
    "Events",
    "ForkError",
    "FullError",
    "Health",
    "Link",
    "LinkStats",
    "Message",
    "MessageError",
    "NotFoundError",
    "PathStats",
    "Peer",
    "PeerConfig",
    "PeerStats",
    "ReceivedFile",
    "RoverRtcError",
    "SentFile",
    "Server",
    "ServerConfig",
    "StorageError",
    "TimeoutError",
    "TransferError",
    "__version__",
    "answer",
    "connect",
    "errors",
    "events",
    "offer",
    "run",
    "serve",
    "sync",
    "types",
]
