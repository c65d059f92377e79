"""How peers and hubs are started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _logs, _native
from .._base import peer_config
from .._server import server_config
from ..types import PeerConfig, ServerConfig, _settings
from ._peer import Peer
from ._server import Server

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..types import PeerSettings, ServerSettings


def connect(
    server: str | None = None,
    *,
    config: PeerConfig | None = None,
    **settings: Unpack[PeerSettings],
) -> Peer:
    """Starts a peer of a hub: `with connect("http://hub:3000", name="rover-1") as peer`.

    It does not wait for the hub: what is sent meanwhile waits, and `peer.connected()` waits until
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
    _logs.start()
    config = peer_config(config, server, settings)
    return Peer(_native.Peer.connect(_settings(config)), config.name, None)


def offer(*, config: PeerConfig | None = None, **settings: Unpack[PeerSettings]) -> Peer:
    """Starts a peer without a hub that offers: `peer.description` is the offer, for the other side's
    `answer`, and what that says goes to `peer.accept_answer`.

    Args, Raises: As `connect`; ConnectError without a usable address.
    """
    _logs.start()
    native, description = _native.Peer.offer(_settings(peer_config(config, None, settings)))
    return Peer(native, None, description)


def answer(
    offer: str, *, config: PeerConfig | None = None, **settings: Unpack[PeerSettings]
) -> Peer:
    """Starts a peer without a hub that answers an offer: `peer.description` is the answer.

    Args, Raises: As `connect`; ConnectError if the offer is not usable.
    """
    _logs.start()
    given = _settings(peer_config(config, None, settings))
    native, description = _native.Peer.answer(given, offer)
    return Peer(native, None, description)


def serve(
    listen: str | None = None,
    *,
    config: ServerConfig | None = None,
    **settings: Unpack[ServerSettings],
) -> Server:
    """Starts a hub in this process: `with serve("127.0.0.1:0") as server`.

    Args:
        listen: Where HTTP listens: `address:port`, port 0 for any.
        config: All settings.
        **settings: Single settings: the fields of `ServerConfig`.

    Raises:
        ConfigError: A setting has a value that it cannot have.
        ConnectError: An address cannot be used.
    """
    _logs.start()
    given = _settings(server_config(config, listen, settings))
    return Server(_native.Server.start(given))
