"""What the hubs of `rover_rtc` and of `rover_rtc.sync` have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import _native, _process
from ._base import Handle
from .types import ServerConfig


class BaseServer(Handle):
    """A hub in this process."""

    _forks: int

    def __init__(self, native: _native.Server) -> None:
        self._native = native
        self._stopped = False
        self._address, self._udp = native.address, tuple(native.udp)
        _process.opened(self)

    @property
    def address(self) -> str:
        """Where HTTP listens, `address:port`."""
        return self._address

    @property
    def udp(self) -> Sequence[str]:
        """The UDP addresses that clients are told, `address:port`."""
        return self._udp

    @property
    def url(self) -> str:
        """What a peer on this machine connects to."""
        return _url_of(self._address)

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._stopped

    def _stop_now(self) -> None:
        self._stopped = True
        _process.closed(self)
        if not _process.is_parents(self):
            self._native.stop()

    def __del__(self) -> None:
        if not getattr(self, "_stopped", True):
            _process.leaked(self)

    def __repr__(self) -> str:
        state = "closed" if self._stopped else f"at {self.url}"
        return f"<{type(self).__qualname__} {state}>"


def server_config(
    config: ServerConfig | None, listen: str | None, settings: Mapping[str, Any]
) -> ServerConfig:
    """The settings of a hub: all, then single ones."""
    given = dict(settings) if listen is None else {**settings, "listen": listen}
    return replace(config or ServerConfig(), **given)


def _url_of(address: str) -> str:
    """What a peer on this machine connects to, of a hub that listens there."""
    host, _, port = address.rpartition(":")
    local = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    return f"http://{local}:{port}"
