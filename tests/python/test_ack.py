"""Acknowledgements by the program."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import rig
import rover_rtc
from rover_rtc import ChannelConfig, events

MANUAL = [ChannelConfig("log", manual_ack=True)]
DURABLE = [ChannelConfig("log", mode="durable", manual_ack=True)]


async def test_the_sender_waits_for_it(hub: str) -> None:
    async with rig.pair(hub, MANUAL) as pair:
        log, far = pair.channels("log")
        assert log.manual_ack and far.manual_ack
        await log.send("1")
        await log.send("2")
        first, second = [await rig.soon(far.recv()) for _ in range(2)]
        acknowledged = asyncio.create_task(log.acknowledged())
        assert not (await asyncio.wait([acknowledged], timeout=0.3))[0]
        assert log.unacknowledged == 2
        first.ack()
        assert not (await asyncio.wait([acknowledged], timeout=0.3))[0]
        assert log.unacknowledged == 1
        second.ack()
        second.ack()
        await rig.soon(acknowledged)
        assert log.unacknowledged == 0 and log.stats().acknowledged == 2


async def test_without_it_to_take_is_to_acknowledge(hub: str) -> None:
    async with rig.pair(hub) as pair:
        log, far = pair.channels("log")
        assert not log.manual_ack
        await log.send("1")
        message = await rig.soon(far.recv())
        await rig.soon(log.acknowledged())
        message.ack()


async def test_what_was_not_acknowledged_comes_again(hub: str, tmp_path: Path) -> None:
    async with rig.connect(hub, "one", channels=DURABLE, state_dir=tmp_path / "1") as one:
        log = (await one.call("two")).channel("log")
        for number in range(5):
            await log.send(f"{number}")
        numbers: dict[str, int] = {}
        for expected, acknowledged in (("01234", 2), ("234", 3)):
            async with rig.connect(hub, "two", channels=DURABLE, state_dir=tmp_path / "2") as two:
                link = await one.call("two")
                far = (await rig.soon(two.accept())).channel("log")
                got = [await rig.soon(far.recv()) for _ in expected]
                assert "".join(m.text for m in got) == expected
                for message in got:
                    # It has the number that it had.
                    assert numbers.setdefault(message.text, message.number) == message.number
                for message in got[:acknowledged]:
                    message.ack()
                log = link.channel("log")
                while log.unacknowledged > len(expected) - acknowledged:
                    await asyncio.sleep(0.01)
            # It has said good-bye, so the next link is another one.
            await rig.event_of(link.events(), events.Closed)
        async with rig.connect(hub, "two", channels=DURABLE, state_dir=tmp_path / "2") as two:
            await (await one.call("two")).channel("log").send("end")
            far = (await rig.soon(two.accept())).channel("log")
            assert (await rig.soon(far.recv())).text == "end"


def test_acknowledged_has_a_time_limit(hub: str) -> None:
    with rig.sync_pair(hub, MANUAL) as pair:
        log, far = pair.channels("log")
        log.send("1")
        message = far.recv(rig.PATIENCE)
        with pytest.raises(rover_rtc.TimeoutError, match="not acknowledged"):
            log.acknowledged(timeout=0.05)
        message.ack()
        log.acknowledged(timeout=rig.PATIENCE)


async def test_a_channel_that_closes_is_told(hub: str) -> None:
    async with rig.pair(hub, MANUAL) as pair:
        log, _ = pair.channels("log")
        await log.send("1")
        acknowledged = asyncio.create_task(log.acknowledged())
        await pair.there.close()
        with pytest.raises(rover_rtc.ClosedError):
            await rig.soon(acknowledged)


@pytest.mark.parametrize("closes", ["link", "peer"])
async def test_who_closes_at_once_has_acknowledged(hub: str, closes: str) -> None:
    async with rig.pair(hub) as pair:
        log, far = pair.channels("log")
        # Nothing else is under way that would take the acknowledgement along.
        await asyncio.sleep(0.3)
        await log.send("1")
        assert (await rig.soon(far.recv())).text == "1"
        await (pair.back if closes == "link" else pair.two).close()
        await rig.soon(log.acknowledged())
        assert log.unacknowledged == 0
