"""What channels promise, each mode by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import rig
import rover_rtc
from rover_rtc import ChannelConfig, sync
from rover_rtc.types import Mode

MODES: list[Mode] = ["reliable", "durable", "latest", "datagram", "plain"]


@pytest.mark.parametrize("mode", MODES)
async def test_text_and_bytes_go_both_ways(hub: str, tmp_path: Path, mode: Mode) -> None:
    channels = [ChannelConfig("it", mode=mode)]
    key = b"k" if mode == "latest" else None
    async with (
        rig.connect(hub, "one", channels=channels, state_dir=tmp_path / "1") as one,
        rig.connect(hub, "two", channels=channels, state_dir=tmp_path / "2") as two,
    ):
        there = await one.dial("two", rig.PATIENCE)
        back = await rig.soon(two.accept())
        for link, other in ((there, back), (back, there)):
            channel, far = link.channel("it"), other.channel("it")
            assert channel.mode == mode and channel.label == "it" and channel.link is link
            # With the first one here, the channel is open on both sides.
            for data in ("grüße", b"\x00\xff", bytes(5000)):
                await channel.send(data, key=key)
                message = await rig.soon(far.recv())
                assert message.is_text == isinstance(data, str)
                assert message.data == (data.encode() if isinstance(data, str) else data)
                assert message.key == (key or b"")


@pytest.mark.parametrize("mode", MODES)
def test_text_and_bytes_go_both_ways_sync(hub: str, tmp_path: Path, mode: Mode) -> None:
    channels = [ChannelConfig("it", mode=mode)]
    with (
        rig.sync_connect(hub, "one", channels=channels, state_dir=tmp_path / "1") as one,
        rig.sync_connect(hub, "two", channels=channels, state_dir=tmp_path / "2") as two,
    ):
        there = one.dial("two", rig.PATIENCE)
        back = two.accept(rig.PATIENCE)
        for link, other in ((there, back), (back, there)):
            channel, far = link.channel("it"), other.channel("it")
            assert channel.mode == mode and channel.link is link
            for data in ("grüße", b"\x00\xff"):
                channel.send(data, timeout=rig.PATIENCE)
                message = far.recv(rig.PATIENCE)
                assert message.data == (data.encode() if isinstance(data, str) else data)
                assert message.is_text == isinstance(data, str)


@pytest.mark.parametrize("mode", ["reliable", "durable", "plain"])
async def test_order_is_kept_and_nothing_is_lost(hub: str, tmp_path: Path, mode: Mode) -> None:
    channels = [ChannelConfig("it", mode=mode)]
    async with (
        rig.connect(hub, "one", channels=channels, state_dir=tmp_path / "1") as one,
        rig.connect(hub, "two", channels=channels, state_dir=tmp_path / "2") as two,
    ):
        channel = (await one.dial("two", rig.PATIENCE)).channel("it")
        far = (await rig.soon(two.accept())).channel("it")

        async def send() -> None:
            for number in range(3000):
                await channel.send(b"%d" % number)

        async def receive() -> None:
            last = 0
            async for message in far:
                assert message.data == b"%d" % count.pop()
                if mode != "plain":
                    assert message.number > last
                    last = message.number
                if not count:
                    return

        count = list(range(3000))[::-1]
        await rig.soon(asyncio.gather(send(), receive()))
        await rig.soon(channel.acknowledged())
        assert (channel.queued, channel.queued_bytes, channel.unacknowledged) == (0, 0, 0)


async def test_durable_messages_outlive_the_sender(hub: str, tmp_path: Path) -> None:
    channels = [ChannelConfig("log", mode="durable")]
    async with rig.connect(hub, "one", channels=channels, state_dir=tmp_path / "1") as one:
        log = (await one.call("two")).channel("log")
        for number in range(10):
            await log.send(f"{number}")
        await rig.soon(log.stored())
    async with (
        rig.connect(hub, "two", channels=channels, state_dir=tmp_path / "2") as two,
        rig.connect(hub, "one", channels=channels, state_dir=tmp_path / "1") as one,
    ):
        log = (await one.call("two")).channel("log")
        await log.send("10")
        far = (await rig.soon(two.accept())).channel("log")
        texts = [(await rig.soon(far.recv())).text for _ in range(11)]
        assert texts == [f"{number}" for number in range(11)]
        await rig.soon(log.acknowledged())
        assert far.try_recv() is None


def test_durable_messages_outlive_the_sender_sync(hub: str, tmp_path: Path) -> None:
    channels = [ChannelConfig("log", mode="durable")]
    with rig.sync_connect(hub, "one", channels=channels, state_dir=tmp_path / "1") as one:
        log = one.call("two").channel("log")
        log.send("kept")
        log.stored(timeout=rig.PATIENCE)
        with pytest.raises(rover_rtc.TimeoutError):
            log.acknowledged(timeout=0.01)
    with (
        rig.sync_connect(hub, "two", channels=channels, state_dir=tmp_path / "2") as two,
        rig.sync_connect(hub, "one", channels=channels, state_dir=tmp_path / "1") as one,
    ):
        log = one.call("two").channel("log")
        far = two.accept(rig.PATIENCE).channel("log")
        assert far.recv(rig.PATIENCE).text == "kept"
        log.acknowledged(timeout=rig.PATIENCE)


async def test_durable_needs_a_place(hub: str) -> None:
    with pytest.raises(rover_rtc.StorageError) as caught:
        await rig.connect(hub, "one", channels=[ChannelConfig("log", mode="durable")])
    assert caught.value.kind == "NOT_STORED" and isinstance(caught.value, OSError)


async def test_a_state_is_of_one_peer(hub: str, tmp_path: Path) -> None:
    async with rig.connect(hub, "one", state_dir=tmp_path):
        with pytest.raises(rover_rtc.ConnectError, match="is in use") as caught:
            await rig.connect(hub, "one", state_dir=tmp_path)
        assert caught.value.kind == "IDENTITY"


async def test_the_latest_of_each_key_wins(hub: str) -> None:
    channels = [ChannelConfig("pose", mode="latest"), "log"]
    async with rig.connect(hub, "one", channels=channels) as one:
        link = await one.call("two")
        pose = link.channel("pose")
        # Nobody is there yet, so they overtake each other.
        for number in range(100):
            await pose.send(f"left {number}", key="left")
            await pose.send(f"right {number}", key=b"right")
        assert pose.queued == 2 and pose.stats().overtaken == 198
        async with rig.connect(hub, "two", channels=channels) as two:
            far = (await rig.soon(two.accept())).channel("pose")
            got = [await rig.soon(far.recv()) for _ in range(2)]
            assert {(m.key, m.text) for m in got} == {(b"left", "left 99"), (b"right", "right 99")}
            await pose.send("left 100", key="left")
            assert (await rig.soon(far.recv())).text == "left 100"


async def test_what_waits_too_long_expires(hub: str) -> None:
    channels = [ChannelConfig("pose", mode="latest", ttl_ms=1), "log"]
    async with rig.connect(hub, "one", channels=channels) as one:
        link = await one.call("two")
        pose, log = link.channel("pose"), link.channel("log")
        await pose.send("old")
        await asyncio.sleep(0.05)
        await log.send("after it")
        async with rig.connect(hub, "two", channels=channels) as two:
            back = await rig.soon(two.accept())
            assert (await rig.soon(back.channel("log").recv())).text == "after it"
            assert pose.stats().dropped_expired == 1 and back.channel("pose").try_recv() is None


@pytest.mark.parametrize(
    ("mode", "most"),
    [("reliable", 16 << 20), ("latest", 16 << 20), ("plain", 256 << 10), ("datagram", 32 << 10)],
)
async def test_the_largest_message(hub: str, mode: Mode, most: int) -> None:
    channels = [ChannelConfig("it", mode=mode, outbox_bytes=64 << 20)]
    async with rig.pair(hub, channels) as pair:
        channel, far = pair.channels("it")
        with pytest.raises(rover_rtc.MessageError) as caught:
            await channel.send(bytes(most + 1))
        assert caught.value.kind == "TOO_LARGE" and isinstance(caught.value, ValueError)
        await channel.send("first")
        assert (await rig.soon(far.recv())).text == "first"
        # Of a datagram of many packets one may be lost, even here.
        for _ in range(20):
            await channel.send(bytes(most))
            if mode != "datagram":
                break
        message = await rig.soon(far.recv())
        assert len(message) == most


@pytest.mark.parametrize("mode", ["reliable", "latest", "datagram"])
async def test_an_empty_message_is_one(hub: str, mode: Mode) -> None:
    async with rig.pair(hub, [ChannelConfig("it", mode=mode)]) as pair:
        channel, far = pair.channels("it")
        for data in (b"", ""):
            await channel.send(data)
            message = await rig.soon(far.recv())
            assert message.data == b"" and len(message) == 0 and message
            assert message.is_text == (data == "")


async def test_messages_that_cannot_be_sent(hub: str) -> None:
    channels = [ChannelConfig("plain", mode="plain"), "log", ChannelConfig("pose", mode="latest")]
    async with rig.connect(hub, "one", channels=channels) as one:
        link = await one.call("two")
        for label, data, key in (
            ("plain", b"", None),
            ("log", b"x", "key"),
            ("pose", b"x", b"k" * 256),
        ):
            channel = link.channel(label)
            with pytest.raises(rover_rtc.MessageError) as caught:
                channel.try_send(data, key=key)
            assert caught.value.kind == "BAD_MESSAGE"
            with pytest.raises(rover_rtc.MessageError):
                await channel.send(data, key=key)
            assert channel.queued == 0


def test_sync_iteration_and_batches(hub: str) -> None:
    with rig.sync_pair(hub) as pair:
        log, far = pair.channels("log")
        for number in range(100):
            log.send(f"{number}")
        log.acknowledged(rig.PATIENCE)
        texts = [m.text for m in far.recv_many(10, timeout=rig.PATIENCE)]
        assert texts == [f"{n}" for n in range(10)]
        texts += [m.text for m in far.recv_many(80, timeout=rig.PATIENCE)]
        assert len(texts) == 90
        for message in far:
            texts.append(message.text)
            if message.text == "end":
                break
            if len(texts) == 100:
                log.send("end")
        assert texts == [*(f"{n}" for n in range(100)), "end"]


async def test_batches_have_a_limit(hub: str) -> None:
    async with rig.pair(hub) as pair:
        log, far = pair.channels("log")
        for _ in range(3):
            await log.send(bytes(600_000))
        await rig.soon(log.acknowledged())
        # 1 MiB, but one message at least.
        assert [len(await rig.soon(far.recv_many())) for _ in range(3)] == [1, 1, 1]
        await log.send("a")
        await log.send("b")
        await rig.soon(log.acknowledged())
        assert [m.text for m in await far.recv_many(max_messages=1)] == ["a"]
        assert [m.text for m in await far.recv_many(max_messages=0)] == ["b"]


def test_what_is_public_says_where_it_is_looked_for() -> None:
    for module in (sync, rover_rtc.aio):
        for name in set(module.__all__) - {"Message"}:
            made = getattr(module, name)
            assert made.__module__ == module.__name__ and made.__qualname__ == name


def test_both_interfaces_have_the_same_names() -> None:
    assert set(sync.__all__) == set(rover_rtc.aio.__all__) - {"Connecting"}
    for name in sync.__all__:
        mine, other = getattr(sync, name), getattr(rover_rtc, name)
        if isinstance(mine, type):
            public = {n for n in dir(mine) if not n.startswith("_")}
            # Only synchronous events are waited for with a limit.
            assert public - {"get"} == {n for n in dir(other) if not n.startswith("_")}
