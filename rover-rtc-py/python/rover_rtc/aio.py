"""The asyncio interface; `rover_rtc` has the same names.

An event loop polls the peer's descriptor, as it polls its sockets. Nothing runs on a thread of the
library, and every `await` can be cancelled: a message is taken only by the task that gets it, and sent
or not sent at all.

What belongs to a peer is used in the event loop in which it was connected.
"""

from __future__ import annotations

import asyncio
import json
import os
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

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
from .loop import EventLoop
from .types import Buffer, ChannelConfig, PeerConfig, ServerConfig, _settings

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .types import PeerSettings, ServerSettings

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

Message = _native.Message

T = TypeVar("T")

TURN = 0xFF
"""After so many messages that had not to be waited for, other tasks get their turn."""

RECV_BYTES = 1 << 20
"""Bytes that `recv_many` takes at a time."""


class Waiters:
    """Tasks that wait for the same thing, the first one first."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def wait(self) -> None:
        waiting = self._loop.create_future()
        self._waiting.append(waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                # What it was woken for is there for the next one.
                self.wake_one()
            raise
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def wake_one(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return

    def wake_all(self) -> None:
        while self._waiting:
            self.wake_one()


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


_WAITING: list[Events] = []
"""Events that tasks wait for."""


class Events(Subscription):
    """Events, as an asynchronous iterator that ends when the link, or the peer, is over."""

    __slots__ = ("_readers",)

    def __init__(
        self, first: deque[Event] | None, ended: bool, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(first, ended)
        self._readers = Waiters(loop)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            # A task that only waits here, and that nobody else holds, must not be collected.
            _WAITING.append(self)
            try:
                await self._readers.wait()
            finally:
                _WAITING.remove(self)
        return self._events.popleft()

    def _push(self, event: Event) -> None:
        super()._push(event)
        self._readers.wake_one()

    def _end(self) -> None:
        super()._end()
        self._readers.wake_all()


class Link(BaseLink[Channel]):
    """A link with another peer, or with the hub. It stays the same across path changes, outages and
    new connections.

    As a context manager (`async with await peer.call("rover-2") as link`) it is closed at the end.
    """

    _channel_class = Channel

    def __init__(self, peer: Peer, native: _native.Link) -> None:
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


class Peer(BasePeer[Link]):
    """A peer of a hub: `connect` makes it.

    It keeps itself connected for as long as it lives. Close it, by `async with` or `close()`.
    """

    _link_class = Link

    def __init__(
        self,
        native: _native.Peer,
        name: str | None,
        description: str | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._loop = loop
        self._fd = native.fileno()
        self._accepting = Waiters(loop)
        self._closing: asyncio.Future[None] | None = None
        super().__init__(native, name, description)
        loop.add_reader(self._fd, _reader(self))
        if isinstance(loop, EventLoop):
            loop._adopt(native)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def channel(self, label: str) -> Channel:
        """A channel of the home link; see `Link.channel`."""
        return self._home.channel(label)

    async def open(self, channel: ChannelConfig | str) -> Channel:
        """Opens a further channel on the home link; see `Link.open`."""
        return await self._home.open(channel)

    async def connected(self, timeout: float | None = None) -> None:
        """Waits until messages flow on the home link; see `Link.connected`."""
        await self._home.connected(timeout)

    async def call(self, name: str) -> Link:
        """The link with another peer, by its name. It waits for nothing: the link comes up when the
        other peer is there, and what is sent meanwhile waits.

        Raises:
            ConfigError: The name cannot be one.
            ConnectError: This peer has no name, or too many links.
            ClosedError: The peer is closed.
        """
        return self._link(self._native.call(name))

    async def dial(self, name: str, timeout: float = 30.0) -> Link:
        """Calls another peer as `call` does, and waits until the link is up, for so many seconds at
        most. If it is cancelled, the call is given up.

        Raises:
            TimeoutError: It was not up by then; the text has the last reason that is known.
            ConfigError, ConnectError, ClosedError: As `call`.
        """
        wait = self._native.dial(name, max(0, round(timeout * 1000)))
        await self._wait(wait)
        return self._link(self._native.call(name))

    async def accept(self) -> Link:
        """The next link that another peer has called.

        Raises:
            ClosedError: The peer is closed.
        """
        while not self._calls:
            if self._stopped or self._closing is not None:
                raise ClosedError("the peer is closed")
            await self._accepting.wait()
        return self._calls.popleft()

    def events(self) -> Events:
        """Events of all links from now on; the first reader gets them from the start. A reader that
        falls 1,024 events behind misses the oldest.
        """
        loop = self._loop
        return self._feed.read(lambda first: Events(first, self._stopped, loop))  # type: ignore[no-any-return]

    async def accept_answer(self, answer: str) -> None:
        """Takes the answer to the offer that this peer was made with.

        Raises:
            ConnectError: It is not usable.
        """
        self._native.accept_answer(answer)

    async def close(self) -> None:
        """Sends what is queued, for at most a second, says good-bye and ends. Without effect the second
        time. If it is cancelled, it goes on in the background.
        """
        if self._stopped:
            return
        if _process.is_parents(self):
            self._finish()
            return
        if self._closing is None:
            self._unwatch()
            try:
                self._closing = self._loop.run_in_executor(None, self._native.stop)
            except RuntimeError:
                # The loop has shut down its threads.
                self._stop_now()
                return
            self._closing.add_done_callback(lambda _: self._finish())
            self._accepting.wake_all()
        await asyncio.shield(self._closing)
        self._finish()

    async def _wait(self, wait: _native.Wait) -> None:
        """Waits for something that is no event."""
        if wait.poll():
            return
        done = self._loop.create_future()

        def look() -> None:
            if done.done():
                return
            try:
                if wait.poll():
                    done.set_result(None)
            except Exception as error:
                done.set_exception(error.with_traceback(None))

        fd = wait.fileno()
        self._loop.add_reader(fd, look)
        try:
            await done
        finally:
            self._loop.remove_reader(fd)
            # An error has this frame, and would keep the descriptors until it is collected.
            del done, wait

    def _on_call(self, link: Link) -> None:
        super()._on_call(link)
        self._accepting.wake_one()

    def _pull_if_open(self) -> None:
        if not self._stopped and self._closing is None:
            self._pull()

    def _unwatch(self) -> None:
        if isinstance(self._loop, EventLoop):
            self._loop._release(self._native)
        if not self._loop.is_closed():
            self._loop.remove_reader(self._fd)

    def _stop_now(self) -> None:
        self._unwatch()
        super()._stop_now()

    def _finish(self) -> None:
        if self._loop.is_closed():
            # Nobody waits any more, and nobody can be woken.
            self._stopped = True
            _process.closed(self)
            return
        if self._loop.is_running() and asyncio._get_running_loop() is not self._loop:
            # At exit, or collected in another thread: tasks are woken in theirs.
            _process.closed(self)
            self._loop.call_soon_threadsafe(self._finish)
            return
        super()._finish()
        self._accepting.wake_all()


def _reader(peer: Peer) -> Callable[[], None]:
    """What the loop calls. It does not keep a peer that nobody else has."""
    weak = weakref.ref(peer)

    def pull() -> None:
        peer = weak()
        if peer is not None:
            peer._pull_if_open()

    return pull


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


class Server(Handle):
    """A hub in this process: `serve` makes it. It has threads of its own."""

    _forks: int

    def __init__(self, native: _native.Server) -> None:
        self._native = native
        self._stopped = False
        self._address, self._udp = native.address, tuple(native.udp)
        _process.opened(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

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
