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

import json
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from . import _logs, _native, _process, _transfer
from ._base import (
    BaseChannel,
    BaseLink,
    BasePeer,
    Handle,
    Subscription,
    peer_config,
    server_config,
    url_of,
)
from ._transfer import Progress, ReceivedFile, SentFile
from .errors import ClosedError, ConnectionLost, TimeoutError
from .events import Event
from .types import Buffer, ChannelConfig, PeerConfig, ServerConfig, _settings

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .types import PeerSettings, ServerSettings

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

Message = _native.Message

T = TypeVar("T")

RECV_BYTES = 1 << 20
"""Bytes that `recv_many` takes at a time."""


def _readable(fd: int, seconds: float | None) -> bool:
    """Waits until a descriptor is readable; a signal handler that raises ends it."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))


def _end_of(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


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
        _wait(self._native.stored(), timeout, "not stored")

    def acknowledged(self, timeout: float | None = None) -> None:
        """Waits until the other side has acknowledged what was sent so far; on channels without
        acknowledgements, until it is on its way.

        Raises:
            TimeoutError: It had not by then.
            ClosedError: The channel was closed before.
        """
        _wait(self._native.acknowledged(), timeout, "not acknowledged")

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


class Events(Subscription):
    """Events, as an iterator that ends when the link, or the peer, is over."""

    __slots__ = ("_peer",)

    def __init__(self, first: deque[Event] | None, ended: bool, peer: Peer) -> None:
        super().__init__(first, ended)
        self._peer = peer

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        return self._get(None)

    def get(self, timeout: float | None = None) -> Event:
        """The next event, which is waited for if there is none, for `timeout` seconds at most.

        Raises:
            TimeoutError: There was none by then.
            ClosedError: There will be none.
        """
        try:
            return self._get(timeout)
        except StopIteration:
            raise ClosedError("the link is closed") from None

    def _get(self, timeout: float | None) -> Event:
        def take() -> Event | None:
            if self._events:
                return self._events.popleft()
            if self._ended:
                raise StopIteration
            return None

        return self._peer._until(take, timeout, "no event")


class Link(BaseLink[Channel]):
    """A link with another peer, or with the hub. It stays the same across path changes, outages and
    new connections.

    As a context manager (`with peer.call("rover-2") as link`) it is closed at the end.
    """

    _channel_class = Channel

    def __init__(self, peer: Peer, native: _native.Link) -> None:
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


class Peer(BasePeer[Link]):
    """A peer of a hub: `connect` makes it.

    It keeps itself connected for as long as it lives. Close it, by `with` or `close()`.
    """

    _link_class = Link

    def __init__(self, native: _native.Peer, name: str | None, description: str | None) -> None:
        self._fd = native.fileno()
        self._news = threading.Condition()
        # A thread polls for all that wait.
        self._polling = False
        super().__init__(native, name, description)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def channel(self, label: str) -> Channel:
        """A channel of the home link; see `Link.channel`."""
        return self._home.channel(label)

    def open(self, channel: ChannelConfig | str) -> Channel:
        """Opens a further channel on the home link; see `Link.open`."""
        return self._home.open(channel)

    def connected(self, timeout: float | None = None) -> None:
        """Waits until messages flow on the home link; see `Link.connected`."""
        self._home.connected(timeout)

    def call(self, name: str) -> Link:
        """The link with another peer, by its name. It waits for nothing: the link comes up when the
        other peer is there, and what is sent meanwhile waits.

        Raises:
            ConfigError: The name cannot be one.
            ConnectError: This peer has no name, or too many links.
            ClosedError: The peer is closed.
        """
        return self._link(self._native.call(name))

    def dial(self, name: str, timeout: float = 30.0) -> Link:
        """Calls another peer as `call` does, and waits until the link is up, for so many seconds at
        most.

        Raises:
            TimeoutError: It was not up by then; the text has the last reason that is known.
            ConfigError, ConnectError, ClosedError: As `call`.
        """
        wait = self._native.dial(name, max(0, round(timeout * 1000)))
        # It ends by itself.
        _wait(wait, None, "")
        return self._link(self._native.call(name))

    def accept(self, timeout: float | None = None) -> Link:
        """The next link that another peer has called, which is waited for, for `timeout` seconds at
        most.

        Raises:
            TimeoutError: Nobody has called by then.
            ClosedError: The peer is closed.
        """
        return self._until(
            lambda: self._calls.popleft() if self._calls else None, timeout, "no call"
        )

    def events(self) -> Events:
        """Events of all links from now on; the first reader gets them from the start. A reader that
        falls 1,024 events behind misses the oldest.
        """
        return self._feed.read(lambda first: Events(first, self._stopped, self))  # type: ignore[no-any-return]

    def accept_answer(self, answer: str) -> None:
        """Takes the answer to the offer that this peer was made with.

        Raises:
            ConnectError: It is not usable.
        """
        self._native.accept_answer(answer)

    def close(self) -> None:
        """Sends what is queued, for at most a second, says good-bye and ends. Without effect the second
        time.
        """
        if not self._stopped:
            self._stop_now()

    def _until(self, look: Callable[[], T | None], timeout: float | None, what: str) -> T:
        """What `look` returns as soon as that is not None. It is called whenever something happens."""
        end = _end_of(timeout)
        with self._news:
            while True:
                found = look()
                if found is not None:
                    return found
                if self._stopped:
                    raise ClosedError("the peer is closed")
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"{what} within {timeout} s")
                if self._polling:
                    self._news.wait(left)
                else:
                    self._poll(left)

    def _poll(self, seconds: float | None) -> None:
        """Polls for all that wait, and tells them. With the lock, which it lets go meanwhile."""
        try:
            self._polling = True
            self._news.release()
            try:
                _readable(self._fd, seconds)
            finally:
                self._news.acquire()
            if not self._stopped:
                self._pull()
        finally:
            self._polling = False
            # One of them polls next.
            self._news.notify_all()

    def _await_end(self, link: Link) -> None:
        """Waits for the news that a link is over, which is on its way."""
        try:
            self._until(lambda: link._closed or None, 1.0, "")
        except (TimeoutError, ClosedError):
            pass

    def _finish(self) -> None:
        with self._news:
            super()._finish()
            self._news.notify_all()


def _wait(wait: _native.Wait, timeout: float | None, what: str) -> None:
    """Waits for something that is no event."""
    end = _end_of(timeout)
    while not wait.poll():
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError(f"{what} within {timeout} s")
        _readable(wait.fileno(), left)


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


class Server(Handle):
    """A hub in this process: `serve` makes it. It has threads of its own."""

    _forks: int

    def __init__(self, native: _native.Server) -> None:
        self._native = native
        self._stopped = False
        self._address, self._udp = native.address, tuple(native.udp)
        _process.opened(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        return url_of(self._address)

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._stopped

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
