"""The asyncio interface; `rover_rtc` has the same names.

An event loop polls the peer's descriptor, as it polls its sockets. Nothing runs on a thread of the
library, and every `await` can be cancelled: a message is taken only by the task that gets it, and sent
or not sent at all.

What belongs to a peer is used in the event loop in which it was connected.
"""

from __future__ import annotations

from .._base import Message
from ._connect import Connecting, answer, connect, offer, serve
from ._events import Events
from ._link import Channel, Link
from ._peer import Peer
from ._server import Server

__all__ = [
    "Channel",
    "Connecting",
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
