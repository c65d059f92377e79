"""Links and their channels, for threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _native, _transfer
from .._base import RECV_BYTES, BaseChannel, BaseLink, Message
from .._transfer import Progress, ReceivedFile, SentFile
from ..errors import ClosedError, ConnectionLost, TimeoutError
from ..types import Buffer, ChannelConfig
from ._events import Events
from ._wait import wait_for

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

LOOK = 0.1
"""Seconds after which who transfers a file looks for what another thread has taken."""


class Channel(BaseChannel):
    """A channel of a link.

    It stays the same across path changes, outages and restarts: while there is no connection, what is
    sent waits. Iterate over it for its messages.
    """

    __slots__ = ()

    @property
    def link(self) -> Link:
        """The link that it belongs to."""
        return self._link  # type: ignore[no-any-return]

    def send(
        self,
        data: str | Buffer,
        *,
        key: str | Buffer | None = None,
        timeout: float | None = None,
    ) -> None:
        """Queues a message, and waits for room if there is none, for `timeout` seconds at most.

        When it returns, this side has the message, and the other side does not yet: see
        `acknowledged`. If it raises, the message is not sent.

        Args:
            data: `str` is sent as text, all else (see `Buffer`) as binary. It is copied.
            key: What it is the newest value of, on a channel of mode "latest": 255 bytes at most.
            timeout: None waits for ever.

        Raises:
            TimeoutError: There was no room by then.
            MessageError: It is too large or cannot be sent on this channel.
            FullError: There is no room, and the channel's policy is to refuse.
            ClosedError: The channel is closed.
            ConnectionLost: The same, for the link was given up.
        """
        try:
            if not self._native.send(data, key):
                peer = self._link._peer
                peer._until(lambda: self._native.send(data, key) or None, timeout, "no room")
        except ClosedError as error:
            raise self._over(error) from None

    def recv(self, timeout: float | None = None) -> Message:
        """The next message, which is waited for if there is none, for `timeout` seconds at most.

        Raises:
            TimeoutError: There was none by then.
            ClosedError: The channel or the link was closed in an orderly way.
            ConnectionLost: The link was given up.
        """
        try:
            message = self._take()
            if message is None:
                message = self._link._peer._until(self._take, timeout, "no message")
            return message
        except ClosedError as error:
            raise self._over(error) from None

    def recv_many(self, max_messages: int = 256, timeout: float | None = None) -> list[Message]:
        """The next messages: one at least, which is waited for, and all that are there with it, up to
        so many, and up to 1 MiB.

        Raises:
            TimeoutError, ClosedError, ConnectionLost: As `recv`.
        """

        def take() -> list[Message] | None:
            return self._native.recv_many(max(max_messages, 1), RECV_BYTES) or None

        try:
            return self._link._peer._until(take, timeout, "no message")  # type: ignore[no-any-return]
        except ClosedError as error:
            raise self._over(error) from None

    def __iter__(self) -> Iterator[Message]:
        """Messages, until the channel is closed; outages do not end it.

        Raises:
            ConnectionLost: The link was given up.
        """
        take, until = self._take, self._link._peer._until
        try:
            while True:
                message = take()
                yield message if message is not None else until(take, None, "")
        except ClosedError as error:
            over = self._over(error)
        if isinstance(over, ConnectionLost) or over.kind != "CLOSED":
            raise over

    def stored(self, timeout: float | None = None) -> None:
        """Waits until what was sent so far is on disk, on a durable channel.

        Raises:
            TimeoutError: It was not by then.
            StorageError: It could not be stored.
            ClosedError: The channel was closed before.
        """
        wait_for(self._native.stored(), timeout, "not stored")

    def acknowledged(self, timeout: float | None = None) -> None:
        """Waits until the other side has acknowledged what was sent so far; on channels without
        acknowledgements, until it is on its way.

        Raises:
            DroppedError: Some of what was sent since the last answer was dropped instead.
            TimeoutError: It had not by then.
            ClosedError: The channel was closed before.
        """
        wait_for(self._native.acknowledged(), timeout, "not acknowledged")

    def _on_readable(self) -> None:
        # Who polls tells all.
        pass

    def _on_room(self) -> None:
        pass

    def _on_end(self) -> None:
        pass

    def _over(self, error: ClosedError) -> Any:
        # The news of why may still wait to be pulled.
        if not self._link.closed and error.kind == "CLOSED":
            self._link._peer._await_end(self._link)
        return super()._over(error)


class Link(BaseLink[Channel]):
    """A link with another peer, or with the hub. It stays the same across path changes, outages and
    new connections.

    As a context manager (`with peer.call("rover-2") as link`) it is closed at the end.
    """

    _channel_class = Channel

    def __init__(self, peer: Any, native: _native.Link) -> None:
        super().__init__(peer, native)
        # Of who sends, and of who receives.
        self._transferring = threading.Lock(), threading.Lock()
        self._halves: list[_transfer.Half] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, channel: ChannelConfig | str) -> Channel:
        """Opens a further channel; a text is the label of a reliable one. It can be used at once.

        Raises:
            ConfigError: The label cannot be one, or the channel is open with other settings.
            ClosedError: The link is over.
        """
        return self._open(channel)

    def connected(self, timeout: float | None = None) -> None:
        """Waits until messages flow, for `timeout` seconds at most.

        Raises:
            TimeoutError: They do not by then.
            ClosedError: The link is over.
            ConnectionLost: It was given up.
        """

        def up() -> bool | None:
            health = self.health
            if health.state == "closed":
                raise self._over() or ClosedError("the link is closed")
            return True if health else None

        self._peer._until(up, timeout, f"no connection with {self._name or 'the hub'}")

    def events(self) -> Events:
        """Events of this link from now on; the first reader gets them from the start. A reader that
        falls 1,024 events behind misses the oldest.
        """
        return self._feed.read(lambda first: Events(first, self._closed, self._peer))  # type: ignore[no-any-return]

    def send_file(
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
        return self._run(True, _transfer.sending(path, progress))

    def receive_file(
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
        return self._run(False, _transfer.receiving(directory, progress))

    def receive_files(
        self, directory: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> Iterator[ReceivedFile]:
        """Receives files as `receive_file` does, until the link is closed."""
        while True:
            try:
                received = self.receive_file(directory, progress=progress)
            except ClosedError:
                return
            yield received

    def _run(self, sends: bool, start: Callable[[_transfer.Half], _transfer.Steps[T]]) -> T:
        """Does what a transfer asks for; one after the other each way."""
        with self._transferring[sends]:
            channel = _transfer.channel_of(self)
            half = _transfer.Half(channel, sends, self._halves)
            steps = start(half)
            answer: Any = None
            failed: Exception | None = None
            try:
                while True:
                    try:
                        ask = steps.send(answer) if failed is None else steps.throw(failed)
                    except StopIteration as done:
                        return done.value  # type: ignore[no-any-return]
                    answer = failed = None
                    if isinstance(ask, _transfer.Work):
                        try:
                            answer = ask.work()
                        except Exception as error:
                            failed = error
                    else:
                        answer = self._answer(channel, half, ask)
            except ClosedError as error:
                raise channel._over(error) from None
            finally:
                steps.close()
                half.end()

    def _answer(
        self, channel: Channel, half: _transfer.Half, ask: _transfer.Hear | str | bytes
    ) -> Any:
        if isinstance(ask, _transfer.Hear):
            hear = ask

            def take() -> Any:
                message = half.try_recv()
                return message if message is not None else (hear.is_over(self) or None)

            while True:
                try:
                    heard = self._peer._until(take, LOOK, "")
                except TimeoutError:
                    # The other half may have taken it.
                    continue
                return None if heard is True else heard
        channel.send(ask)
        return None

    def close(self) -> None:
        """Sends what is queued, for at most a second, says good-bye and ends. Without effect the second
        time. The home link ends with its peer, and the peer's other links with it.
        """
        if not self._closed:
            self._hang_up()
            self._peer._until(lambda: self._closed or None, None, "")
