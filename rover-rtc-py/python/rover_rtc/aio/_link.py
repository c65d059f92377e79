"""Links and their channels, for tasks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _native, _transfer
from .._base import RECV_BYTES, BaseChannel, BaseLink, Message
from .._transfer import Progress, ReceivedFile, SentFile
from ..errors import ClosedError, ConnectionLost, TimeoutError
from ..types import Buffer, ChannelConfig
from ._events import Events
from ._waiters import Waiters

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

TURN = 0xFF
"""After so many messages that had not to be waited for, other tasks get their turn."""


class Channel(BaseChannel):
    """A channel of a link.

    It stays the same across path changes, outages and restarts: while there is no connection, what is
    sent waits. ::

        async for message in channel:
            print(message.data)
    """

    __slots__ = ("_readers", "_senders", "_turn")

    def __init__(self, link: Link, native: _native.Channel) -> None:
        super().__init__(link, native)
        self._readers = Waiters(link._peer._loop)
        self._senders = Waiters(link._peer._loop)
        self._turn = 0

    @property
    def link(self) -> Link:
        """The link that it belongs to."""
        return self._link  # type: ignore[no-any-return]

    async def send(self, data: str | Buffer, *, key: str | Buffer | None = None) -> None:
        """Queues a message, and waits for room if there is none.

        When it returns, this side has the message, and the other side does not yet: see
        `acknowledged`. If it is cancelled, the message is not sent.

        Args:
            data: `str` is sent as text, all else (see `Buffer`) as binary. It is copied.
            key: What it is the newest value of, on a channel of mode "latest": 255 bytes at most.

        Raises:
            MessageError: It is too large or cannot be sent on this channel.
            FullError: There is no room, and the channel's policy is to refuse.
            ClosedError: The channel is closed.
            ConnectionLost: The same, for the link was given up.
        """
        self._turn = turn = self._turn + 1
        if not turn & TURN:
            await asyncio.sleep(0)
        try:
            # Who came before goes first.
            if not self._senders and self._native.send(data, key):
                return
            while True:
                await self._senders.wait()
                if self._native.send(data, key):
                    return
        except ClosedError as error:
            raise self._over(error) from None

    async def recv(self) -> Message:
        """The next message, which is waited for if there is none.

        If it is cancelled, the message stays where it is. Several tasks may wait: each message goes to
        one.

        Raises:
            ClosedError: The channel or the link was closed in an orderly way.
            ConnectionLost: The link was given up.
        """
        self._turn = turn = self._turn + 1
        if not turn & TURN:
            await asyncio.sleep(0)
        try:
            while True:
                message = self._take()
                if message is not None:
                    return message
                await self._readers.wait()
        except ClosedError as error:
            raise self._over(error) from None

    async def recv_many(self, max_messages: int = 256) -> list[Message]:
        """The next messages: one at least, which is waited for, and all that are there with it, up to
        so many, and up to 1 MiB.

        Raises:
            ClosedError, ConnectionLost: As `recv`.
        """
        await asyncio.sleep(0)
        try:
            while True:
                messages = self._native.recv_many(max(max_messages, 1), RECV_BYTES)
                if messages:
                    return messages
                await self._readers.wait()
        except ClosedError as error:
            raise self._over(error) from None

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Messages, until the channel is closed; outages do not end it.

        Raises:
            ConnectionLost: The link was given up.
        """
        # As `recv`, with less to do for each message.
        take, turn = self._take, 0
        try:
            while True:
                message = take()
                if message is None:
                    turn = 0
                    await self._readers.wait()
                    continue
                yield message
                turn += 1
                if not turn & TURN:
                    await asyncio.sleep(0)
        except ClosedError as error:
            over = self._over(error)
        if isinstance(over, ConnectionLost) or over.kind != "CLOSED":
            raise over

    async def stored(self) -> None:
        """Waits until what was sent so far is on disk, on a durable channel.

        Raises:
            StorageError: It could not be stored.
            ClosedError: The channel was closed before.
        """
        await self._link._peer._wait(self._native.stored())

    async def acknowledged(self) -> None:
        """Waits until the other side has acknowledged what was sent so far; on channels without
        acknowledgements, until it is on its way.

        Raises:
            DroppedError: Some of what was sent since the last answer was dropped instead.
            ClosedError: The channel was closed before.
        """
        await self._link._peer._wait(self._native.acknowledged())

    def _on_readable(self) -> None:
        self._readers.wake_one()

    def _on_room(self) -> None:
        self._senders.wake_all()

    def _on_end(self) -> None:
        self._readers.wake_all()
        self._senders.wake_all()

    def _over(self, error: ClosedError) -> Any:
        # The news of why may still wait to be pulled.
        if not self._link.closed and error.kind == "CLOSED":
            self._link._peer._pull_if_open()
        return super()._over(error)


class Link(BaseLink[Channel]):
    """A link with another peer, or with the hub. It stays the same across path changes, outages and
    new connections.

    As a context manager (`async with await peer.call("rover-2") as link`) it is closed at the end.
    """

    _channel_class = Channel

    def __init__(self, peer: Any, native: _native.Link) -> None:
        super().__init__(peer, native)
        self._changes = Waiters(peer._loop)
        # Of who sends, and of who receives.
        self._transferring = asyncio.Lock(), asyncio.Lock()
        self._halves: list[_transfer.Half] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self, channel: ChannelConfig | str) -> Channel:
        """Opens a further channel; a text is the label of a reliable one. It can be used at once.

        Raises:
            ConfigError: The label cannot be one, or the channel is open with other settings.
            ClosedError: The link is over.
        """
        return self._open(channel)

    async def connected(self, timeout: float | None = None) -> None:
        """Waits until messages flow, for so many seconds at most.

        Raises:
            TimeoutError: They do not by then.
            ClosedError: The link is over.
            ConnectionLost: It was given up.
        """
        loop = self._peer._loop
        end = None if timeout is None else loop.time() + timeout
        # Not asyncio.wait_for: before 3.12 it may swallow a cancellation, and with 0 it does not look.
        alarm = None if end is None else loop.call_at(end, self._changed)
        try:
            while not (health := self.health):
                if health.state == "closed":
                    raise self._over() or ClosedError("the link is closed")
                if end is not None and loop.time() >= end:
                    name = self._name or "the hub"
                    raise TimeoutError(f"no connection with {name} within {timeout} s")
                await self._changes.wait()
        finally:
            if alarm is not None:
                alarm.cancel()

    def events(self) -> Events:
        """Events of this link from now on; the first reader gets them from the start. A reader that
        falls 1,024 events behind misses the oldest.
        """
        loop = self._peer._loop
        return self._feed.read(lambda first: Events(first, self._closed, loop))  # type: ignore[no-any-return]

    async def send_file(
        self, path: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> SentFile:
        """Sends a file to a peer that waits in `receive_file`, or in `rover-rtc receive`.

        It goes on where an earlier attempt has ended, and returns when the file is on the other side's
        disk and its hash is right. Both sides need the channel `FILES` in their `channels`.

        Args:
            path: The file.
            progress: Is called with bytes sent and bytes in all, after each part.

        Raises:
            OSError: The file cannot be read.
            TransferError: The other side refuses it, or it changes all the time.
            ClosedError, ConnectionLost: The link is over; send it again on a new one.
        """
        return await self._run(True, _transfer.sending(path, progress))

    async def receive_file(
        self, directory: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> ReceivedFile:
        """Receives the next file that the other peer sends, into a directory that is made if it is not
        there. Nothing there is overwritten: the file may become "NAME (2)".

        Args:
            directory: Where the file is to be; as NAME.part until it is complete.
            progress: Is called with bytes received and bytes in all, after each part.

        Raises:
            OSError: The file cannot be written.
            ClosedError, ConnectionLost: The link is over; what came stays, and is not sent again.
        """
        return await self._run(False, _transfer.receiving(directory, progress))

    async def receive_files(
        self, directory: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> AsyncIterator[ReceivedFile]:
        """Receives files as `receive_file` does, until the link is closed."""
        while True:
            try:
                received = await self.receive_file(directory, progress=progress)
            except ClosedError:
                return
            yield received

    async def _run(self, sends: bool, start: Callable[[_transfer.Half], _transfer.Steps[T]]) -> T:
        """Does what a transfer asks for; one after the other each way."""
        async with self._transferring[sends]:
            channel = _transfer.channel_of(self)
            half = _transfer.Half(channel, sends, self._halves)
            steps = start(half)
            answer: Any = None
            failed: Exception | None = None
            try:
                while True:
                    ask = steps.send(answer) if failed is None else steps.throw(failed)
                    answer = failed = None
                    if isinstance(ask, _transfer.Hear):
                        while (answer := half.try_recv()) is None and not ask.is_over(self):
                            await channel._readers.wait()
                    elif isinstance(ask, _transfer.Work):
                        try:
                            answer = await self._work(ask.work)
                        except Exception as error:
                            failed = error
                    else:
                        await channel.send(ask)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            except ClosedError as error:
                raise channel._over(error) from None
            finally:
                steps.close()
                half.end()

    async def _work(self, work: Callable[[], Any]) -> Any:
        """Works on the disk. If it is cancelled, it ends when the thread has let go of the file."""
        working = self._peer._loop.run_in_executor(None, work)
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait([working])
            if not working.cancelled():
                working.exception()
            raise

    async def close(self) -> None:
        """Sends what is queued, for at most a second, says good-bye and ends. Without effect the second
        time. The home link ends with its peer, and the peer's other links with it.
        """
        if self._closed:
            return
        self._hang_up()
        while not self._closed:
            await self._changes.wait()

    def _changed(self) -> None:
        self._changes.wake_all()
