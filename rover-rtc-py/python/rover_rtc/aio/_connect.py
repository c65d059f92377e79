"""How peers and hubs are started."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .. import _logs, _native
from .._base import Handle, peer_config
from .._server import server_config
from ..types import PeerConfig, ServerConfig, _settings
from ._peer import Peer
from ._server import Server

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..types import PeerSettings, ServerSettings

T = TypeVar("T")


class Connecting(Handle, Generic[T]):
    """What `connect`, `offer`, `answer` and `serve` return: for `async with`, or to be awaited."""

    __slots__ = ("_made", "_make", "_wrap")

    def __init__(self, make: Callable[[], Any], wrap: Callable[[Any], T]) -> None:
        self._make, self._wrap = make, wrap
        self._made: Any = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._start().__await__()

    async def __aenter__(self) -> T:
        self._made = await self._start()
        return self._made  # type: ignore[no-any-return]

    async def __aexit__(self, *_: object) -> None:
        await self._made.close()

    async def _start(self) -> T:
        _logs.start()
        loop = asyncio.get_running_loop()
        # Keys and the journal are on disk.
        making = loop.run_in_executor(None, self._make)
        try:
            made = await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_drop)
            raise
        return self._wrap(made)


def _drop(making: asyncio.Future[Any]) -> None:
    if not making.cancelled() and making.exception() is None:
        made = making.result()
        (made[0] if isinstance(made, tuple) else made).stop()


def connect(
    server: str | None = None,
    *,
    config: PeerConfig | None = None,
    **settings: Unpack[PeerSettings],
) -> Connecting[Peer]:
    """Starts a peer of a hub: `async with connect("http://hub:3000", name="rover-1") as peer`.

    It does not wait for the hub: what is sent meanwhile waits, and `await peer.connected()` tells when
    messages flow.

    Args:
        server: The hub: `host:port` or a URL.
        config: All settings.
        **settings: Single settings: the fields of `PeerConfig`.

    Raises:
        ConfigError: A setting has a value that it cannot have.
        ConnectError: The hub's URL is none, or the key or the known peers cannot be used.
        StorageError: The journal cannot be used.
    """
    config = peer_config(config, server, settings)
    given = _settings(config)
    return Connecting(lambda: _native.Peer.connect(given), _wrap(config.name, with_hub=True))


def offer(
    *, config: PeerConfig | None = None, **settings: Unpack[PeerSettings]
) -> Connecting[Peer]:
    """Starts a peer without a hub that offers: `peer.description` is the offer, for the other side's
    `answer`, and what that says goes to `peer.accept_answer`.

    Args, Raises: As `connect`; ConnectError without a usable address.
    """
    given = _settings(peer_config(config, None, settings))
    return Connecting(lambda: _native.Peer.offer(given), _wrap(None, with_hub=False))


def answer(
    offer: str, *, config: PeerConfig | None = None, **settings: Unpack[PeerSettings]
) -> Connecting[Peer]:
    """Starts a peer without a hub that answers an offer: `peer.description` is the answer.

    Args, Raises: As `connect`; ConnectError if the offer is not usable.
    """
    given = _settings(peer_config(config, None, settings))
    return Connecting(lambda: _native.Peer.answer(given, offer), _wrap(None, with_hub=False))


def _wrap(name: str | None, with_hub: bool) -> Callable[[Any], Peer]:
    def wrap(made: Any) -> Peer:
        native, description = (made, None) if with_hub else made
        return Peer(native, name, description, asyncio.get_running_loop())

    return wrap


def serve(
    listen: str | None = None,
    *,
    config: ServerConfig | None = None,
    **settings: Unpack[ServerSettings],
) -> Connecting[Server]:
    """Starts a hub in this process: `async with serve("127.0.0.1:0") as server`.

    Args:
        listen: Where HTTP listens: `address:port`, port 0 for any.
        config: All settings.
        **settings: Single settings: the fields of `ServerConfig`.

    Raises:
        ConfigError: A setting has a value that it cannot have.
        ConnectError: An address cannot be used.
    """
    given = _settings(server_config(config, listen, settings))
    return Connecting(lambda: _native.Server.start(given), Server)
