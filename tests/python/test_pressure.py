"""What happens when more is sent than the other side takes."""

from __future__ import annotations

import asyncio
import time

import pytest

import rig
import rover_rtc
from rover_rtc import ChannelConfig, events


def narrow(**settings: object) -> list[ChannelConfig]:
    return [ChannelConfig("log", outbox_messages=4, **settings)]  # type: ignore[arg-type]


async def test_send_waits_and_try_send_says_no(hub: str) -> None:
    async with rig.connect(hub, "one", channels=narrow()) as one:
        log = (await one.call("two")).channel("log")
        for number in range(4):
            assert log.try_send(f"{number}")
        assert not log.try_send("one too many")
        waiting = [asyncio.create_task(log.send(f"{number}")) for number in range(4, 8)]
        done, _ = await asyncio.wait(waiting, timeout=0.1)
        assert not done and log.queued == 4
        async with rig.connect(hub, "two", channels=narrow()) as two:
            far = (await rig.soon(two.accept())).channel("log")
            # Who came first is first.
            texts = [(await rig.soon(far.recv())).text for _ in range(8)]
            assert texts == [f"{number}" for number in range(8)]
            await rig.soon(asyncio.gather(*waiting))
            await rig.soon(log.acknowledged())
            assert log.queued == 0 and log.try_send("there is room again")


def test_send_waits_and_try_send_says_no_sync(hub: str) -> None:
    with rig.sync_connect(hub, "one", channels=narrow()) as one:
        log = one.call("two").channel("log")
        for number in range(4):
            assert log.try_send(f"{number}")
        assert not log.try_send("one too many")
        begin = time.monotonic()
        with pytest.raises(rover_rtc.TimeoutError, match="no room"):
            log.send("one too many", timeout=0.05)
        assert time.monotonic() - begin >= 0.05 and log.queued == 4
        with rig.sync_connect(hub, "two", channels=narrow()) as two:
            log.send("4", timeout=rig.PATIENCE)
            far = two.accept(rig.PATIENCE).channel("log")
            assert [far.recv(rig.PATIENCE).text for _ in range(5)] == list("01234")


async def test_a_limit_of_bytes(hub: str) -> None:
    channels = [ChannelConfig("log", outbox_bytes=10_000, max_message=10_000)]
    async with rig.connect(hub, "one", channels=channels) as one:
        log = (await one.call("two")).channel("log")
        assert log.try_send(bytes(6000)) and not log.try_send(bytes(6000))
        assert log.try_send(bytes(3000)) and log.queued_bytes == 9000


async def test_a_reader_that_does_not_read_stops_the_sender(hub: str) -> None:
    channels = [ChannelConfig("log", outbox_bytes=100_000)]
    async with rig.pair(hub, channels, inbox_bytes=100_000) as pair:
        log, far = pair.channels("log")
        sent = 0
        # It stops for good: no room for so long that what is on its way would have arrived.
        while True:
            try:
                await asyncio.wait_for(log.send(sent.to_bytes(4, "big") + bytes(996)), 1)
                sent += 1
            except asyncio.TimeoutError:
                break
            assert sent < 100_000
        assert far.stats().received < sent
        for number in range(sent):
            assert (await rig.soon(far.recv())).data[:4] == number.to_bytes(4, "big")
        await rig.soon(log.acknowledged())
        # What was cancelled was not sent.
        assert far.try_recv() is None


async def test_to_refuse_is_an_error(hub: str) -> None:
    async with rig.connect(hub, "one", channels=narrow(when_full="refuse")) as one:
        log = (await one.call("two")).channel("log")
        for number in range(4):
            await log.send(f"{number}")
        with pytest.raises(rover_rtc.FullError) as caught:
            await log.send("4")
        assert caught.value.kind == "FULL" and not log.try_send("4") and log.queued == 4


def test_to_refuse_is_an_error_sync(hub: str) -> None:
    with rig.sync_connect(hub, "one", channels=narrow(when_full="refuse")) as one:
        log = one.call("two").channel("log")
        for number in range(4):
            log.send(f"{number}")
        with pytest.raises(rover_rtc.FullError):
            log.send("4", timeout=rig.PATIENCE)
        assert not log.try_send("4")


async def test_what_the_other_side_does_not_take(hub: str) -> None:
    async with rig.connect(hub, "one", channels=["log"]) as one:
        link = await one.call("two")
        log, feed = link.channel("log"), link.events()
        # Before it is known.
        await log.send(bytes(5000))
        await log.send("small")
        async with rig.connect(hub, "two", channels=["log"], max_message=1000) as two:
            there = await rig.soon(two.accept())
            gaps, far = there.events(), there.channel("log")
            dropped = await rig.event_of(feed, events.Dropped)
            assert (dropped.channel, dropped.messages) == ("log", 1) and "1000" in dropped.text
            for _ in range(2):
                with pytest.raises(rover_rtc.DroppedError) as caught:
                    await rig.soon(log.acknowledged())
                assert caught.value.kind == "DROPPED"
            assert (await rig.soon(far.recv())).text == "small"
            assert (await rig.event_of(gaps, events.Gap)).channel == "log"
            with pytest.raises(rover_rtc.MessageError):
                await log.send(bytes(5000))
            await log.send(bytes(1000))
            await rig.soon(log.acknowledged())
            assert log.stats().dropped_too_large == 1


@pytest.mark.parametrize(("policy", "kept"), [("drop_oldest", "6789"), ("keep_latest", "9")])
async def test_policies_that_drop(hub: str, policy: str, kept: str) -> None:
    async with rig.connect(hub, "one", channels=narrow(when_full=policy)) as one:
        log = (await one.call("two")).channel("log")
        for number in range(10):
            await log.send(f"{number}")
        assert log.stats().dropped_full == 10 - log.queued > 0
        async with rig.connect(hub, "two", channels=narrow()) as two:
            far = (await rig.soon(two.accept())).channel("log")
            # All has arrived that was not dropped, and some was.
            with pytest.raises(rover_rtc.DroppedError, match="statistics"):
                await rig.soon(log.acknowledged())
            texts = []
            while (message := far.try_recv()) is not None:
                texts.append(message.text)
            assert "".join(texts).endswith(kept) and len(texts) == 10 - log.stats().dropped_full
