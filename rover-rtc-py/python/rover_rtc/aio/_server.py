"""Hubs, for tasks."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from .._server import BaseServer

if TYPE_CHECKING:
    from typing_extensions import Self


class Server(BaseServer):
    """A hub in this process: `serve` makes it. It has threads of its own."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def status(self) -> dict[str, Any]:
        """How it fares: numbers (clients, connected, relayed, ...) and the names of its registered
        clients, as `GET /v1/status` tells.

        Raises:
            ClosedError: It has ended, or is too busy to say within a second.
        """
        loop = asyncio.get_running_loop()
        status = json.loads(await loop.run_in_executor(None, self._native.status))
        return status  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Says good-bye to the clients and ends. Without effect the second time."""
        if not self._stopped:
            self._stopped = True
            loop = asyncio.get_running_loop()
            await asyncio.shield(loop.run_in_executor(None, self._stop_now))
