"""What can be sent."""

from __future__ import annotations

import array
import mmap
from typing import Any

import pytest

import rig
from rover_rtc import ChannelConfig

GIVEN: list[tuple[Any, bytes]] = [
    (b"bytes", b"bytes"),
    (bytearray(b"bytearray"), b"bytearray"),
    (memoryview(b"memoryview"), b"memoryview"),
    (memoryview(b"0123456789")[2:5], b"234"),
    (array.array("H", [1, 2]), array.array("H", [1, 2]).tobytes()),
    ("text", b"text"),
]


@pytest.mark.parametrize(("data", "expected"), GIVEN, ids=[type(g).__name__ for g, _ in GIVEN])
def test_all_that_has_bytes(hub: str, data: Any, expected: bytes) -> None:
    with rig.sync_pair(hub) as pair:
        log, far = pair.channels("log")
        log.send(data)
        assert log.try_send(data)
        for _ in range(2):
            message = far.recv(rig.PATIENCE)
            assert message.data == bytes(message) == expected and len(message) == len(expected)
            assert type(message.data) is bytes
            assert message.is_text == isinstance(data, str)


def test_it_is_copied_at_once(hub: str) -> None:
    with rig.sync_pair(hub) as pair:
        log, far = pair.channels("log")
        data = bytearray(b"before")
        log.send(data)
        data[:] = b"after."
        # Nothing holds on to it, so it may change its size.
        data.clear()
        mapped = mmap.mmap(-1, 4096)
        mapped[:4] = b"here"
        log.send(memoryview(mapped)[:4])
        mapped.close()
        assert far.recv(rig.PATIENCE).data == b"before"
        assert far.recv(rig.PATIENCE).data == b"here"


def test_numpy_arrays(hub: str) -> None:
    np = pytest.importorskip("numpy", reason="NumPy is not installed")
    with rig.sync_pair(hub) as pair:
        log, far = pair.channels("log")
        for dtype in ("u1", "<f4", "<f8", "?"):
            scan = np.arange(360).astype(dtype).reshape(6, 60)
            log.send(scan)
            got = np.frombuffer(far.recv(rig.PATIENCE).data, dtype).reshape(6, 60)
            assert (got == scan).all()
        # Not as they lie in memory, but in C order, as `tobytes` has it.
        for strided in (np.arange(100)[::3], np.arange(12).reshape(3, 4).T):
            log.send(strided)
            assert far.recv(rig.PATIENCE).data == strided.tobytes()


@pytest.mark.parametrize("data", [None, 5, 1.5, ["list"], {"a": 1}, object()])
async def test_all_else_is_refused(hub: str, data: Any) -> None:
    async with rig.connect(hub, "one", channels=["log"]) as one:
        log = one.channel("log")
        with pytest.raises(TypeError, match=type(data).__name__):
            await log.send(data)
        with pytest.raises(TypeError, match="a message is str, bytes, or anything with a buffer"):
            log.try_send(data)
        assert log.queued == 0


async def test_text_that_is_none(hub: str) -> None:
    async with rig.pair(hub) as pair:
        log, far = pair.channels("log")
        with pytest.raises(UnicodeEncodeError):
            await log.send("\ud800")
        await log.send(b"\xff")
        message = await rig.soon(far.recv())
        with pytest.raises(UnicodeDecodeError):
            message.text  # noqa: B018


async def test_keys(hub: str) -> None:
    async with rig.pair(hub, [ChannelConfig("pose", mode="latest")]) as pair:
        pose, far = pair.channels("pose")
        for key in ("text", b"bytes", bytearray(b"array"), "ü" * 127):
            await pose.send("x", key=key)
            message = await rig.soon(far.recv())
            assert message.key == (key.encode() if isinstance(key, str) else bytes(key))
        wrong: Any = 5
        with pytest.raises(TypeError):
            await pose.send("x", key=wrong)
