"""Outages, restarts and the end of links: nothing is lost or repeated, and everybody is told."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

import rig
import rover_rtc
from rover_rtc import events

NUMBERS = 2000

CUT: dict[str, Any] = {"relay_only": True, "idle_interval_ms": 100}
"""Through the hub alone, and an outage is noticed at once also where nothing is sent."""


async def send_numbers(log: rover_rtc.Channel, count: int = NUMBERS) -> None:
    for number in range(count):
        await log.send(f"{number}")
        if number % 10 == 0:
            await asyncio.sleep(0.001)


async def receive_numbers(log: rover_rtc.Channel, count: int = NUMBERS) -> None:
    expected = 0
    async for message in log:
        assert message.text == f"{expected}", "lost, repeated or out of order"
        expected += 1
        if expected == count:
            return


async def test_nothing_is_lost_or_repeated_and_health_tells(hub_process: rig.HubProcess) -> None:
    async with rig.pair(hub_process.url, **CUT) as pair:
        link, back = pair.there, pair.back
        assert link.health and link.health.path == "hub"
        feed, peer_feed, far_feed = link.events(), pair.one.events(), back.events()
        both = asyncio.gather(
            *(send_numbers(channel) for channel in pair.channels("log")),
            *(receive_numbers(channel) for channel in pair.channels("log")),
        )
        for _ in range(2):
            hub_process.pause()
            await rig.event_of(feed, events.Outage)
            await rig.event_of(far_feed, events.Outage)
            health = link.health
            assert not health and health.state == "outage" and health.paths_alive == 0
            await asyncio.sleep(0.2)
            assert link.health.outage_ms >= health.outage_ms + 199
            hub_process.resume()
            recovered = await rig.event_of(feed, events.Recovered)
            assert recovered.outage_ms >= 200 and recovered.by in ("path", "transport")
            assert recovered.link is link
            assert link.health and link.health.outage_ms == 0
        await rig.soon(both)
        stats = link.stats()
        assert stats.outages == 2 and stats.last_outage_ms and stats.last_outage_ms >= 200
        assert stats.longest_outage_ms >= stats.last_outage_ms
        # The peer's events are those of all its links.
        seen = [await rig.event_of(peer_feed, events.Outage) for _ in range(2)]
        assert link in [event.link for event in seen]


async def test_a_hub_that_is_killed_and_started_again(hub_process: rig.HubProcess) -> None:
    async with rig.pair(hub_process.url, **CUT) as pair:
        feed, home = pair.there.events(), pair.one.home.events()
        both = asyncio.gather(
            *(send_numbers(channel) for channel in pair.channels("log")),
            *(receive_numbers(channel) for channel in pair.channels("log")),
        )
        hub_process.kill()
        await rig.event_of(feed, events.Outage)
        await rig.event_of(home, events.Dialing)
        hub_process.restart()
        recovered = await rig.event_of(home, events.Recovered)
        assert recovered.by == "transport"
        await rig.event_of(feed, events.Recovered)
        await rig.soon(both)
        assert pair.one.stats().home.transports == 2


def test_without_asyncio(hub_process: rig.HubProcess) -> None:
    with rig.sync_pair(hub_process.url, **CUT) as pair:
        log, far = pair.channels("log")
        feed = pair.there.events()
        hub_process.pause()
        rig.sync_event_of(feed, events.Outage)
        assert not pair.there.health
        for number in range(NUMBERS):
            log.send(f"{number}", timeout=rig.PATIENCE)
        hub_process.resume()
        for number, message in zip(range(NUMBERS), far):
            assert message.text == f"{number}"
        assert rig.sync_event_of(feed, events.Recovered).link is pair.there
        log.acknowledged(timeout=rig.PATIENCE)


async def test_a_link_is_given_up_in_the_end(hub_process: rig.HubProcess) -> None:
    async with rig.pair(hub_process.url, resume_window_ms=1000, **CUT) as pair:
        link, (log, _) = pair.there, pair.channels("log")
        feed = link.events()
        reading = asyncio.create_task(log.recv())

        async def iterate() -> None:
            async for message in log:
                raise AssertionError(message)

        iterating = asyncio.create_task(iterate())
        hub_process.pause()
        await log.send("lost")
        waiting = asyncio.create_task(log.acknowledged())
        for task in (reading, iterating):
            with pytest.raises(rover_rtc.ConnectionLost) as caught:
                await rig.soon(task)
            assert caught.value.kind == "CLOSED" and isinstance(caught.value, ConnectionError)
            assert "two" in str(caught.value)
        with pytest.raises(rover_rtc.RoverRtcError):
            await rig.soon(waiting)
        # Both say the same to who comes later.
        for late in (log.recv(), log.send("x"), log.recv_many()):
            with pytest.raises(rover_rtc.ConnectionLost):
                await rig.soon(late)
        with pytest.raises(rover_rtc.ConnectionLost):
            log.try_send("x")
        over = await rig.event_of(feed, events.Disconnected)
        assert over.text and over.reason == "given_up"
        assert (await rig.event_of(feed, events.Closed)).link is link
        with pytest.raises(StopAsyncIteration):
            await rig.soon(feed.__anext__())
        assert link.closed and link.health.state == "closed" and link not in pair.one.links
        with pytest.raises(rover_rtc.ConnectionLost):
            await link.connected(1)
        hub_process.resume()
        # The name can be called again, which is a new link.
        again = await pair.one.dial("two", rig.PATIENCE)
        assert again is not link and again.health


def test_a_link_is_given_up_in_the_end_sync(hub_process: rig.HubProcess) -> None:
    with rig.sync_pair(hub_process.url, resume_window_ms=1000, **CUT) as pair:
        log, _ = pair.channels("log")
        hub_process.pause()
        with pytest.raises(rover_rtc.ConnectionLost):
            log.recv(timeout=rig.PATIENCE)
        with pytest.raises(rover_rtc.ConnectionLost):
            log.send("x")
        with pytest.raises(rover_rtc.ConnectionLost):
            next(iter(log))
        hub_process.resume()


async def test_a_good_bye_is_no_loss(hub: str) -> None:
    async with rig.pair(hub) as pair:
        log, far = pair.channels("log")
        feed = pair.back.events()
        await log.send("last words")
        await pair.there.close()
        assert (await rig.event_of(feed, events.Disconnected)).reason == "bye"
        assert [message.text async for message in far] == ["last words"]
        with pytest.raises(rover_rtc.ClosedError) as caught:
            await rig.soon(far.recv())
        assert not isinstance(caught.value, rover_rtc.ConnectionLost)
        with pytest.raises(rover_rtc.ClosedError):
            await log.send("x")
        assert pair.back.closed and pair.there.closed


def test_a_good_bye_is_no_loss_sync(hub: str) -> None:
    with rig.sync_pair(hub) as pair:
        log, far = pair.channels("log")
        log.send("last words")
        pair.there.close()
        assert [message.text for message in far] == ["last words"]
        begin = time.monotonic()
        with pytest.raises(rover_rtc.ClosedError) as caught:
            far.recv(timeout=rig.PATIENCE)
        assert not isinstance(caught.value, rover_rtc.ConnectionLost)
        assert time.monotonic() - begin < rig.PATIENCE / 2


async def test_a_process_that_was_restarted_is_told(hub: str, tmp_path: Path) -> None:
    # A journal is what a peer knows its restart by.
    source = """
        import sys
        from rover_rtc import sync
        with sync.connect(sys.argv[1], name="two", bind=["127.0.0.1"], channels=["log"],
                          state_dir=sys.argv[2]) as two:
            link = two.accept(30)
            for message in link.channel("log"):
                print("got", message.text, flush=True)
                if message.text == "die":
                    os.kill(os.getpid(), 9)
    """
    async with rig.connect(hub, "one", channels=["log"], idle_interval_ms=100) as one:
        link = await one.call("two")
        feed = link.events()
        with rig.script(source, hub, str(tmp_path)) as two:
            await link.channel("log").send("1")
            await asyncio.to_thread(two.after, "got 1")
            await rig.soon(link.channel("log").acknowledged())
        # It was killed.
        with rig.script(source, hub, str(tmp_path)) as two:
            assert (await rig.event_of(feed, events.PeerRestarted)).link is link
            await link.channel("log").send("2")
            await asyncio.to_thread(two.after, "got 2")
