"""Cancelled waits: a message is taken by who gets it, and sent or not sent at all."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import rig
import rover_rtc
from rover_rtc import ChannelConfig

SEED = random.SystemRandom().getrandbits(32)


@pytest.fixture
def dice() -> random.Random:
    print(f"seed {SEED}")
    return random.Random(SEED)


async def cut_short(work: Coroutine[Any, Any, Any], dice: random.Random) -> Any:
    """Runs it as a task and cancels it after some turns of the loop, or never. None if cancelled."""
    task = asyncio.ensure_future(work)
    for _ in range(dice.choice([0, 0, 1, 1, 2, 3, 5])):
        await asyncio.sleep(0)
    if dice.random() < 0.8:
        task.cancel()
    try:
        await asyncio.wait([task])
    finally:
        task.cancel()
    return None if task.cancelled() else task.result()


Receive = Callable[[rover_rtc.Channel], Coroutine[Any, Any, Any]]


async def one_by_one(far: rover_rtc.Channel) -> list[rover_rtc.Message]:
    return [await far.recv()]


async def many(far: rover_rtc.Channel) -> list[rover_rtc.Message]:
    return await far.recv_many(7)


@pytest.mark.parametrize("receive", [one_by_one, many])
async def test_cancelled_receivers_lose_nothing(
    hub: str, dice: random.Random, receive: Receive
) -> None:
    total = 5000
    async with rig.pair(hub) as pair:
        log, far = pair.channels("log")

        async def send() -> None:
            for number in range(total):
                await log.send(f"{number}")
                if dice.random() < 0.1:
                    await asyncio.sleep(0)

        sending = asyncio.create_task(send())
        got: list[str] = []
        cancelled = 0
        while len(got) < total:
            messages = await rig.soon(cut_short(receive(far), dice))
            if messages is None:
                cancelled += 1
            else:
                got.extend(message.text for message in messages)
        await sending
        assert got == [f"{number}" for number in range(total)]
        assert far.try_recv() is None and cancelled > 100


async def test_timed_out_receivers_lose_nothing(hub: str, dice: random.Random) -> None:
    total = 300
    async with rig.pair(hub) as pair:
        log, far = pair.channels("log")

        async def send() -> None:
            for number in range(total):
                await asyncio.sleep(dice.uniform(0, 0.004))
                await log.send(f"{number}")

        sending = asyncio.create_task(send())
        got: list[str] = []
        late = 0
        while len(got) < total:
            try:
                got.append((await asyncio.wait_for(far.recv(), dice.uniform(0, 0.004))).text)
            except asyncio.TimeoutError:
                late += 1
                assert late < 100_000
        await sending
        assert got == [f"{number}" for number in range(total)] and late > 10


async def test_several_receivers_share_and_lose_nothing(hub: str, dice: random.Random) -> None:
    total = 3000
    async with rig.pair(hub) as pair:
        log, far = pair.channels("log")
        got: list[int] = []

        async def receive() -> None:
            while True:
                messages = await cut_short(one_by_one(far), dice)
                if messages is not None:
                    got.extend(int(message.text) for message in messages)
                else:
                    await asyncio.sleep(0)

        readers = [asyncio.create_task(receive()) for _ in range(5)]
        for number in range(total):
            await log.send(f"{number}")
        await rig.soon(log.acknowledged())
        while len(got) < total:
            await asyncio.sleep(0.001)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        assert sorted(got) == list(range(total)) and far.try_recv() is None


async def test_a_wake_up_of_who_is_cancelled_goes_to_the_next(hub: str) -> None:
    async with rig.pair(hub) as pair:
        log, far = pair.channels("log")
        first, second = (asyncio.create_task(far.recv()) for _ in range(2))
        assert not (await asyncio.wait([first, second], timeout=0.2))[0]
        await log.send("x")
        # Here the loop does not run, so that the first one is woken and cancelled in one turn.
        woken, end = far._readers._waiting[0], time.monotonic() + rig.PATIENCE
        while not woken.done():
            assert time.monotonic() < end
            pair.two._pull_if_open()
        first.cancel()
        assert (await rig.soon(second)).text == "x"
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_cancelled_senders_do_not_send(hub: str, dice: random.Random) -> None:
    channels = [ChannelConfig("log", outbox_messages=3)]
    async with rig.pair(hub, channels, inbox_bytes=4096) as pair:
        log, far = pair.channels("log")
        sent: list[int] = []
        got: list[int] = []

        async def send(number: int) -> bool:
            await log.send(f"{number}")
            sent.append(number)
            return True

        async def receive() -> None:
            async for message in far:
                if message.text == "end":
                    return
                got.append(int(message.text))
                # Slower than the senders, so that they have to wait.
                if dice.random() < 0.2:
                    await asyncio.sleep(0.0005)

        receiving = asyncio.create_task(receive())
        cancelled = 0
        for number in range(4000):
            if await rig.soon(cut_short(send(number), dice)) is None:
                cancelled += 1
        await log.send("end")
        await rig.soon(receiving)
        assert got == sent and len(sent) + cancelled == 4000 and cancelled > 100


async def test_a_cancelled_iteration_goes_on(hub: str) -> None:
    async with rig.pair(hub) as pair:
        log, far = pair.channels("log")
        got: list[str] = []

        async def iterate() -> None:
            async for message in far:
                got.append(message.text)

        for number in range(20):
            task = asyncio.create_task(iterate())
            await log.send(f"{number}")
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        rest = asyncio.create_task(iterate())
        while len(got) < 20:
            await asyncio.sleep(0.001)
        rest.cancel()
        assert got == [f"{number}" for number in range(20)]
        with pytest.raises(asyncio.CancelledError):
            await rest


async def test_everything_else_can_be_cancelled(hub: str) -> None:
    async with rig.connect(hub, "one", channels=["log"]) as one:
        link = await one.call("nobody")
        await link.channel("log").send("x")
        feed = link.events()
        waits: list[Callable[[], Coroutine[Any, Any, Any]]] = [
            one.accept,
            link.connected,
            link.channel("log").acknowledged,
            lambda: one.dial("nobody", 30),
            lambda: rig.event_of(feed, rover_rtc.events.Recovered),
        ]
        for wait in waits:
            for _ in range(3):
                task = asyncio.create_task(wait())
                await asyncio.wait([task], timeout=0.02)
                assert not task.done()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task


async def test_a_cancelled_close_goes_on(hub: str) -> None:
    peer = await rig.connect(hub, "one")
    closing = asyncio.create_task(peer.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await rig.soon(peer.close())
    assert peer.closed


async def test_a_cancelled_connect_leaves_nothing(hub: str, dice: random.Random) -> None:
    async def connect() -> rover_rtc.Peer:
        peer: rover_rtc.Peer = await rig.connect(hub)
        return peer

    for _ in range(30):
        peer = await rig.soon(cut_short(connect(), dice))
        if peer is not None:
            await peer.close()
    # Those that were made meanwhile are stopped, too.
    while rig.peers_that_run():
        await asyncio.sleep(0.01)
