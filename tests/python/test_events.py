"""Events: who gets which, and in which order."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import fields

import pytest

import rig
import rover_rtc
from rover_rtc import events


async def test_the_first_events_of_a_link(hub: str) -> None:
    async with rig.pair(hub) as pair:
        feed = pair.there.events()
        switch = await rig.event_of(feed, events.PathSwitched)
        assert (switch.path, switch.cause) == ("direct", "first")
        for address in (switch.local, switch.remote):
            host, _, port = address.rpartition(":")
            assert host == rig.LOOPBACK and 0 < int(port) < 65536
        assert (await rig.event_of(feed, events.ChannelOpened)).channel == "log"
        await pair.there.close()
        rest = [event async for event in feed]
        assert isinstance(rest[-1], events.Closed)
        assert all(event.link is pair.there for event in rest)


async def test_calls_are_events_too(hub: str) -> None:
    async with rig.pair(hub) as pair:
        called = await rig.event_of(pair.two.events(), events.Called)
        assert called.link is pair.back


async def test_each_reader_gets_all_from_when_it_begins(hub: str) -> None:
    async with rig.pair(hub) as pair:
        await pair.one.connected(rig.PATIENCE)
        first, second = pair.there.events(), pair.there.events()
        await pair.there.open("more")
        for feed in (first, second):
            while (await rig.event_of(feed, events.ChannelOpened)).channel != "more":
                pass
        third = pair.there.events()
        await pair.there.close()
        ends = []
        for feed in (first, second, third):
            ends.append([event.kind async for event in feed])
        assert ends[0] == ends[1] == ends[2] and ends[0][-1] == "CLOSED"
        # Who comes after the end is not kept waiting.
        assert [event async for event in pair.there.events()] == []


async def test_who_is_too_slow_misses_the_oldest(hub: str) -> None:
    async with rig.pair(hub) as pair:
        feed = pair.there.events()
        for number in range(3000):
            pair.there._feed.push(events.Trouble(pair.there, f"{number}"))
        await pair.there.close()
        rest = [event async for event in feed]
        assert len(rest) == 1024 and isinstance(rest[-1], events.Closed)


async def test_a_reader_that_is_gone_costs_nothing(hub: str) -> None:
    async with rig.connect(hub, "one") as one:
        feeds = [one.events() for _ in range(100)]
        assert len(one._feed._readers) == 100
        feeds.clear()
        gc.collect()
        assert len(one._feed._readers) == 0


async def test_a_cancelled_reader_misses_nothing(hub: str) -> None:
    async with rig.pair(hub) as pair:
        feed = pair.there.events()
        while True:
            try:
                await asyncio.wait_for(feed.__anext__(), 0.2)
            except asyncio.TimeoutError:
                break
        await pair.there.open("late")
        assert (await rig.event_of(feed, events.ChannelOpened)).channel == "late"


def test_sync_readers_wait_and_end(hub: str) -> None:
    with rig.sync_pair(hub) as pair:
        feed = pair.there.events()
        assert rig.sync_event_of(feed, events.ChannelOpened).channel == "log"
        with pytest.raises(rover_rtc.TimeoutError, match="no event"):
            while True:
                feed.get(timeout=0.2)
        pair.there.close()
        assert [event.kind for event in feed][-1] == "CLOSED"
        with pytest.raises(rover_rtc.ClosedError):
            feed.get(timeout=1)


async def test_a_large_message_shows_its_progress(hub: str) -> None:
    async with rig.pair(hub, [rover_rtc.ChannelConfig("log", outbox_bytes=64 << 20)]) as pair:
        log, far = pair.channels("log")
        feed = pair.back.events()
        await log.send(bytes(10 << 20))
        progress = await rig.event_of(feed, events.Progress)
        assert progress.channel == "log" and 0 < progress.received <= progress.total == 10 << 20
        assert len((await rig.soon(far.recv())).data) == 10 << 20


def test_each_event_says_what_it_is() -> None:
    classes = [getattr(events, name) for name in events.__all__ if name != "Event"]
    assert len({event.kind for event in classes}) == len(classes)
    for event in classes:
        assert issubclass(event, events.Event) and event.__doc__ and event.kind
        names = [f.name for f in fields(event)]
        text = repr(event(*range(len(names))))
        assert text.startswith(f"<{event.__name__} hub")
        assert all(f"{name}=" in text for name in names if name != "link")


async def test_who_waits_for_events_is_not_collected(hub: str) -> None:
    """A task that nobody holds but what it waits for."""
    told: asyncio.Queue[events.Event] = asyncio.Queue()

    async def tell(peer: rover_rtc.Peer) -> None:
        async for event in peer.events():
            told.put_nowait(event)

    async with rig.connect(hub, "one") as peer:
        asyncio.ensure_future(tell(peer))
        await peer.connected(rig.PATIENCE)
        while not told.empty():
            told.get_nowait()
        await asyncio.sleep(0)
        gc.collect()
        async with rig.connect(hub, "two") as two:
            await two.call("one")
            while not isinstance(await asyncio.wait_for(told.get(), rig.PATIENCE), events.Called):
                pass
