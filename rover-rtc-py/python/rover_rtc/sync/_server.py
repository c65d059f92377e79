"""Hubs, for threads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .._server import BaseServer

if TYPE_CHECKING:
    from typing_extensions import Self


class Server(BaseServer):
    """A hub in this process: `serve` makes it. It has threads of its own."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def status(self) -> dict[str, Any]:
        """How it fares: numbers (clients, connected, relayed, ...) and the names of its registered
        clients, as `GET /v1/status` tells.

        Raises:
            ClosedError: It has ended, or is too busy to say within a second.
        """
        return json.loads(self._native.status())  # type: ignore[no-any-return]

    def close(self) -> None:
        """Says good-bye to the clients and ends. Without effect the second time."""
        if not self._stopped:
            self._stop_now()
