"""Files that are coming in, in the directory where they are to be.

A file `a.txt` grows as `a.txt.part`, with `a.txt.part.json` beside it that says whose it is, as
`rover-rtc receive` has it. The sender compares the hash of what is there, so that nothing has to be
believed after a crash. In the end it gets its name, or `a (2).txt` if that is taken.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from .errors import TransferError

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Origin:
    """Who sends what."""

    sender: str
    size: int
    modified: int

    def note(self) -> bytes:
        note = asdict(self)
        note["from"] = note.pop("sender")
        return json.dumps(note).encode()

    @classmethod
    def of(cls, note: Path) -> Origin | None:
        try:
            told = json.loads(note.read_bytes())
            return cls(str(told["from"]), int(told["size"]), int(told["modified"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


class Incoming:
    """A file that is coming in."""

    def __init__(self, directory: Path, name: str, origin: Origin) -> None:
        self.directory, self.name, self.origin = directory, name, origin
        self.bytes = 0
        self._hash = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._part = directory
        # What may be the file already, under its own name.
        self._whole: Path | None = None

    @classmethod
    def open(cls, directory: Path, name: str, origin: Origin) -> Incoming:
        """Finds what is there of a file; what the other side calls it may hold anything."""
        incoming = cls(directory, _safe(name), origin)
        # What has begun goes before what looks alike.
        if not incoming._has_begun() and incoming._find_whole():
            return incoming
        incoming._open_part()
        return incoming

    @property
    def is_whole(self) -> bool:
        """Whether it was here under its own name, so that nothing has to be written."""
        return self._whole is not None

    def sha256(self) -> str:
        return self._hash.hexdigest()

    def start(self, offset: int) -> bool:
        """Goes on behind what is here, or from the beginning. False if it cannot go on there."""
        if offset == self.bytes:
            return True
        if offset > 0:
            return False
        if self._whole is not None:
            self._whole = None
            self._open_part()
        self.reset()
        return True

    def append(self, parts: list[bytes]) -> None:
        """Writes what comes next, so that it outlives a power failure."""
        if self._file is None:
            raise TransferError(f"{self.name}: nothing is being received")
        data = b"".join(parts)
        self._file.write(data)
        os.fdatasync(self._file.fileno())
        self._hash.update(data)
        self.bytes += len(data)

    def reset(self) -> None:
        """Begins again with nothing."""
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
        self.bytes, self._hash = 0, hashlib.sha256()

    def finish(self) -> Path:
        """Gives it a name that no other file has; returns that."""
        if self._whole is not None or self._file is None:
            return self._whole or self.directory / self.name
        os.fsync(self._file.fileno())
        for number in range(1, MOST):
            path = self.directory / _numbered(self.name, number)
            if _rename_new(self._part, path):
                _note(self._part).unlink(missing_ok=True)
                _sync(self.directory)
                return path
        raise TransferError(f"there are too many files called {self.name!r}")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _part_path(self, number: int) -> Path:
        return self.directory / (_numbered(self.name, number) + ".part")

    def _has_begun(self) -> bool:
        for number in range(1, MOST):
            part = self._part_path(number)
            if not part.exists():
                return False
            if Origin.of(_note(part)) == self.origin:
                return True
        return False

    def _find_whole(self) -> bool:
        for number in range(1, MOST):
            path = self.directory / _numbered(self.name, number)
            if not os.path.lexists(path):
                return False
            if path.is_symlink() or not path.is_file() or path.stat().st_size != self.origin.size:
                continue
            with open(path, "rb") as file:
                self._read(file)
            self._whole = path
            return True
        return False

    def _open_part(self) -> None:
        """Opens the part, where there is one of this sender, or a new one."""
        for number in range(1, MOST):
            path = self._part_path(number)
            note = Origin.of(_note(path))
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b", 0)
            try:
                if not _lock(file):
                    if note == self.origin:
                        raise TransferError(f"{self.name!r} is coming in already")
                    continue
                length = os.fstat(file.fileno()).st_size
                if length > 0 if note is None else note.sender != self.origin.sender:
                    continue
                self._part, self._file = path, file
                if note == self.origin and length <= self.origin.size:
                    self._read(file)
                else:
                    # Empty before it is said to be of another file.
                    self.reset()
                    os.fsync(file.fileno())
                    _write(_note(path), self.origin.note())
                return
            finally:
                if self._file is not file:
                    file.close()
        raise TransferError(f"there are too many files called {self.name!r}")

    def _read(self, file: IO[bytes]) -> None:
        self.bytes, self._hash = 0, hashlib.sha256()
        while data := file.read(1 << 20):
            self._hash.update(data)
            self.bytes += len(data)


def _safe(name: str) -> str:
    """The last component of a name of the other side, if it can be one here."""
    last = re.split(r"[/\\]", name)[-1]
    control = any(ord(c) < 32 or 127 <= ord(c) < 160 for c in last)
    if last in ("", ".", "..") or len(last.encode(errors="replace")) > LONGEST or control:
        raise TransferError(f"{name[:LONGEST]!r} cannot be the name of a file here")
    return last


def _numbered(name: str, number: int) -> str:
    """`a.txt`, `a (2).txt`, `a (3).txt`."""
    if number < 2:
        return name
    stem, dot, extension = name.rpartition(".")
    return f"{stem} ({number}).{extension}" if stem and dot else f"{name} ({number})"


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _write(path: Path, data: bytes) -> None:
    new = path.with_suffix(".tmp")
    with open(new, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def _lock(file: IO[bytes]) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _rename_new(old: Path, new: Path) -> bool:
    """Renames a file, unless there is one of the new name."""
    try:
        os.link(old, new)
    except FileExistsError:
        return False
    except OSError:
        # Not every file system can do it in one step.
        if os.path.lexists(new):
            return False
        os.rename(old, new)
        return True
    old.unlink()
    return True


def _sync(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


MOST = 1000
"""Files of one name at most."""

LONGEST = 230
"""Bytes of a name: file systems have 255, and a number and an extension are to fit."""
