"""Files from peer to peer, in the words of `rover-rtc send` and `rover-rtc receive`.

A transfer is a generator that never waits itself: it yields what it wants to be done and is sent what
came of it, so that the asynchronous and the synchronous interface share it. Texts are JSON; what is
binary is a part of a file: id and offset, 8 bytes each with the lowest first, and the bytes.

    sender                              receiver
    offer: name, size, time
                                        have: how much of it is here, and the hash of that
    from: where it goes on, which is 0 if the hash is of something else
    parts
    end: the hash of all
                                        done: under which name it is kept

Each offer has an id, which all that follows repeats. A receiver that does not know an id says `again`,
which leads to a new offer.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, Union

from ._base import BaseChannel, BaseLink, Message
from ._store import Incoming, Origin
from .errors import NotFoundError, RoverRtcError, TransferError
from .types import FILES

T = TypeVar("T")

Progress = Callable[[int, int], object]
"""Is called with the bytes that are done and those of the whole file."""


@dataclass(frozen=True)
class SentFile:
    """A file that is on the other side's disk."""

    name: str
    """The name that it has there."""
    size: int
    """In bytes."""
    sha256: str
    """In hexadecimal digits."""


@dataclass(frozen=True)
class ReceivedFile:
    """A file that has come, with the right hash."""

    path: Path
    """Where it is."""
    size: int
    """In bytes."""
    sha256: str
    """In hexadecimal digits."""
    sender: str
    """Name of the peer that has sent it."""


@dataclass(frozen=True)
class Work:
    """Something to do that may take its time, on the disk. What it returns, or raises, is the answer."""

    work: Callable[[], Any]


@dataclass(frozen=True)
class Hear:
    """To wait for a message, which is the answer; None if the other side is restarted meanwhile."""

    restarts: int | None = None

    def is_over(self, link: BaseLink[Any]) -> bool:
        return self.restarts is not None and link._restarts != self.restarts


# A text or bytes are to be sent.
Ask = Union[Work, Hear, str, bytes]
Steps = Generator[Ask, Any, T]
C = TypeVar("C", bound=BaseChannel)


class Half:
    """A channel of files as one who uses it sees it: who sends, or who receives. Both may be at work at
    the same time, and what is said to the other one waits for that.
    """

    def __init__(self, channel: BaseChannel, sends: bool, halves: list[Half]) -> None:
        self.link: BaseLink[Any] = channel._link
        self._channel, self._sends, self._halves = channel, sends, halves
        self._waiting: deque[Message] = deque()
        halves.append(self)

    def try_recv(self) -> Message | None:
        while not self._waiting:
            message = self._channel._take()
            if message is None:
                return None
            if _is_for_sender(message) is self._sends:
                return message
            other = next((half for half in self._halves if half is not self), None)
            if other is None or len(other._waiting) == MOST:
                # Nobody is there who could make sense of it.
                message.ack()
            else:
                other._waiting.append(message)
                self._channel._on_readable()
        return self._waiting.popleft()

    def try_send(self, data: str) -> bool:
        return self._channel.try_send(data)

    @property
    def queued_bytes(self) -> int:
        return self._channel.queued_bytes

    def end(self) -> None:
        """It is used no more: what waits for it does not come again."""
        self._halves.remove(self)
        for message in self._waiting:
            message.ack()


def _is_for_sender(message: Message) -> bool:
    said = _read(message)
    return said is not None and said["type"] in ("have", "done", "damaged", "refused", "again")


class _Again(Exception):
    """The other side has lost the thread, or was restarted."""


class _Vain(Exception):
    """It came to nothing, and may again."""


def channel_of(link: BaseLink[C]) -> C:
    """The channel of files."""
    try:
        channel = link.channel(FILES.label)
    except NotFoundError:
        return link._open(FILES)
    if not channel.manual_ack:
        raise TransferError("the channel 'files' has other settings: put FILES into channels=...")
    return channel


def sending(
    path: str | os.PathLike[str], progress: Progress | None
) -> Callable[[Half], Steps[SentFile]]:
    """Sends a file, again and again where it comes to nothing."""

    def steps(channel: Half) -> Steps[SentFile]:
        tries = 0
        while True:
            try:
                return (yield from _Sender(channel, os.fspath(path), progress).run())
            except _Again:
                pass
            except _Vain as vain:
                tries += 1
                if tries > TRIES:
                    raise TransferError(f"{path}: {vain}") from None

    return steps


class _Sender:
    """One offer, and what comes of it."""

    def __init__(self, channel: Half, path: str, progress: Progress | None) -> None:
        self.channel, self.path, self.progress = channel, path, progress
        self.id = random.getrandbits(64)
        self.restarts = channel.link._restarts
        self.hash = hashlib.sha256()
        self.offset = 0
        self.told = 0

    def run(self) -> Steps[SentFile]:
        file = yield Work(lambda: open(self.path, "rb"))
        with file:
            self.file = file
            stat = os.fstat(file.fileno())
            name, size, modified = os.path.basename(self.path), stat.st_size, stat.st_mtime_ns
            yield _say("offer", self.id, name=name, size=size, modified=modified)
            have = yield from self._hear()
            if have["type"] != "have":
                raise _Again
            yield Work(lambda: self._skip(int(have["bytes"]), str(have["sha256"]), size))
            yield _say("from", self.id, offset=self.offset)
            self._tell(size)
            while parts := (yield Work(lambda: self._parts(size))):
                for part in parts:
                    if (message := self.channel.try_recv()) is not None:
                        # Whatever it is, it is of an earlier state of things.
                        if self._said(message) is not None:
                            raise _Again
                    yield part
                self._tell(size)
            now = os.stat(self.path)
            if (now.st_size, now.st_mtime_ns) != (size, modified) or self.offset != size:
                raise _Vain("it changes all the time")
            sha256 = self.hash.hexdigest()
            yield _say("end", self.id, sha256=sha256)
            said = yield from self._hear()
            if said["type"] == "damaged":
                raise _Vain("it comes damaged all the time")
            if said["type"] != "done":
                raise _Again
            if self.progress is not None:
                self.progress(size, size)
            return SentFile(str(said["name"]), size, sha256)

    def _hear(self) -> Steps[dict[str, Any]]:
        """What the other side says of this offer."""
        while True:
            message = yield Hear(self.restarts)
            if message is None:
                raise _Again
            said = self._said(message)
            if said is not None:
                return said

    def _said(self, message: Message) -> dict[str, Any] | None:
        message.ack()
        said = _read(message)
        if said is None or said.get("id") != self.id:
            return None
        if said["type"] == "refused":
            name = self.channel.link.name
            raise TransferError(f"{self.path}: {name} refuses: {said.get('why')!r}")
        if said["type"] == "again":
            raise _Again
        return said

    def _skip(self, have: int, sha256: str, size: int) -> None:
        """Goes behind what the other side has, if that is the beginning of this."""
        if 0 < have <= size:
            left = have
            while left and (data := self.file.read(min(left, BLOCK))):
                self.hash.update(data)
                left -= len(data)
            if not left and self.hash.hexdigest() == sha256:
                self.offset = have
                return
            self.file.seek(0)
            self.hash = hashlib.sha256()

    def _parts(self, size: int) -> list[bytes]:
        """The next parts; none at the end of what was offered, or of the file, if it has shrunk."""
        data = self.file.read(min(size - self.offset, BLOCK))
        self.hash.update(data)
        parts = [
            _HEAD.pack(self.id, self.offset + at) + data[at : at + PART]
            for at in range(0, len(data), PART)
        ]
        self.offset += len(data)
        return parts

    def _tell(self, size: int) -> None:
        if self.progress is not None:
            # What waits here is not there yet. It has more bytes than those of the file.
            sent = self.offset - self.channel.queued_bytes
            self.told = max(self.told, sent)
            self.progress(self.told, size)


def receiving(
    directory: str | os.PathLike[str], progress: Progress | None
) -> Callable[[Half], Steps[ReceivedFile]]:
    """Receives one file."""

    def steps(channel: Half) -> Steps[ReceivedFile]:
        receiver = _Receiver(channel, Path(directory), progress)
        try:
            return (yield from receiver.run())
        finally:
            receiver.end_it()

    return steps


class _Receiver:
    def __init__(self, channel: Half, directory: Path, progress: Progress | None) -> None:
        self.channel, self.directory, self.progress = channel, directory, progress
        self.sender = channel.link.name
        self.id: int | None = None
        self.file: Incoming | None = None
        self.begun = False
        # An offer that was taken, and of which the sender has not heard the end.
        self.offer: Any = None
        self.unknown: int | None = None
        # Parts that are not on disk, and up to where they go.
        self.parts: list[bytes] = []
        self.written: list[Message] = []
        self.end = 0

    def run(self) -> Steps[ReceivedFile]:
        yield Work(lambda: self.directory.mkdir(parents=True, exist_ok=True))
        while True:
            message = yield Hear()
            size = 0
            while message is not None:
                if message.is_text:
                    yield from self._flush()
                    self.written.append(message)
                    done = yield from self._on_say(message)
                    yield from self._flush()
                    if done is not None:
                        return done
                else:
                    size += len(message)
                    yield from self._on_part(message)
                message = self.channel.try_recv() if size < BLOCK else None
            yield from self._flush()

    def _on_part(self, message: Message) -> Steps[None]:
        self.written.append(message)
        data = message.data
        if len(data) < _HEAD.size:
            return
        id, offset = _HEAD.unpack_from(data)
        file, end = self.file, offset + len(data) - _HEAD.size
        fits = file is not None and id == self.id and self.begun and not file.is_whole
        if file is None or not fits or offset != self.end or end > file.origin.size:
            if id == self.id:
                self.drop()
            yield from self._again(id)
            return
        self.parts.append(data[_HEAD.size :])
        self.end = end

    def _flush(self) -> Steps[None]:
        """Writes the parts, and acknowledges them when they are on disk."""
        parts, self.parts = self.parts, []
        file = self.file
        if file is not None and parts:
            yield from self._try(lambda: file.append(parts))
            self._tell()
        written, self.written = self.written, []
        for message in written:
            message.ack()

    def _on_say(self, message: Message) -> Steps[ReceivedFile | None]:
        said = _read(message)
        if said is None:
            return None
        id, kind = said.get("id"), said["type"]
        if kind == "offer":
            self.drop()
            self.offer = id
            self.id = id
            try:
                origin = Origin(self.sender, int(said["size"]), int(said["modified"]))
                name = str(said["name"])
            except (KeyError, TypeError, ValueError):
                yield _say("refused", id, why="the offer makes no sense")
                self.drop()
                self.offer = None
                return None
            new = yield from self._try(lambda: Incoming.open(self.directory, name, origin))
            self.file, self.begun, self.end = new, False, new.bytes
            yield _say("have", id, bytes=new.bytes, sha256=new.sha256())
        elif kind in ("from", "end"):
            file = self.file
            if file is None or id != self.id:
                yield from self._again(id)
            elif kind == "from":
                offset = int(said["offset"])
                if (yield from self._try(lambda: file.start(offset))):
                    self.begun, self.end = True, file.bytes
                    self._tell()
                else:
                    yield from self._again(id)
            elif self.begun:
                return (yield from self._on_end(file, str(said["sha256"])))
            else:
                yield from self._again(id)
        return None

    def _on_end(self, file: Incoming, sha256: str) -> Steps[ReceivedFile | None]:
        id = self.id
        if file.bytes != file.origin.size or file.sha256() != sha256:
            yield from self._try(file.reset)
            self.drop()
            yield _say("damaged", id)
            self.offer = None
            return None
        path = yield from self._try(file.finish)
        self.drop()
        yield _say("done", id, name=path.name)
        self.offer = None
        return ReceivedFile(path, file.origin.size, sha256, self.sender)

    def _try(self, work: Callable[[], T]) -> Steps[T]:
        """Works on the disk; if that fails, the sender is told, too."""
        try:
            return (yield Work(work))  # type: ignore[no-any-return]
        except (OSError, TransferError) as error:
            self.unknown, id = self.id, self.id
            self.drop()
            for message in self.written:
                message.ack()
            yield _say("refused", id, why=str(error))
            self.offer = None
            raise

    def _again(self, id: Any) -> Steps[None]:
        """Tells the sender, once, that what it sends is not known to go with an offer."""
        if self.unknown != id:
            self.unknown = id
            yield _say("again", id)

    def _tell(self) -> None:
        if self.progress is not None and self.file is not None:
            self.progress(self.file.bytes, self.file.origin.size)

    def end_it(self) -> None:
        """However it ends: what was taken does not come again, so it is acknowledged, and the sender
        of what has not come to its end offers it anew, to who receives next."""
        for message in self.written:
            message.ack()
        id = self.offer
        self.drop()
        if id is not None:
            try:
                self.channel.try_send(_say("again", id))
            except RoverRtcError:
                pass

    def drop(self) -> None:
        """Lets go of the file that is coming in."""
        if self.file is not None:
            self.file.close()
        self.file, self.id, self.begun, self.parts = None, None, False, []


def _say(kind: str, id: Any, **more: Any) -> str:
    return json.dumps({"type": kind, "id": id, **more})


def _read(message: Message) -> dict[str, Any] | None:
    """What is said; None if it makes no sense."""
    if not message.is_text:
        return None
    try:
        said = json.loads(message.data)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and isinstance(said.get("type"), str) else None


_HEAD = struct.Struct("<QQ")
"""Id and offset."""

MOST = 256
"""Messages that wait for the other half: what a sender has under way before it hears of anything."""

PART = 64 * 1024 - _HEAD.size
"""Bytes of a part, so that a message with it has 64 KiB."""

BLOCK = 16 * PART
"""Bytes that are read, or written and synced, at a time."""

TRIES = 3
"""Times that a file may change, or come damaged."""
