"""The asyncio interface."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import pickle
import threading

import pytest
from conftest import LOCAL, Run, pair

import rover_rtc
from rover_rtc import events, sync


def test_messages_of_all_kinds(hub: sync.Server, run: Run) -> None:
    async def test() -> None:
        async with pair(hub) as (link, back):
            here, there = link.channel("data"), back.channel("data")
            numpy = pytest.importorskip("numpy")
            array = numpy.arange(6, dtype="float64").reshape(2, 3)
            sent = [
                "text \N{ROCKET}",
                b"bytes",
                bytearray(b"array"),
                memoryview(b"view"),
                array,
                b"",
            ]
            for data in sent:
                await here.send(data)
            got = [await there.recv() for _ in sent]
            assert [m.is_text for m in got] == [True] + [False] * 5
            assert got[0].text == sent[0] and str(got[0].data, "utf-8") == sent[0]
            assert [bytes(m) for m in got[1:4]] == [b"bytes", b"array", b"view"]
            assert numpy.array_equal(numpy.frombuffer(got[4].data).reshape(2, 3), array)
            assert len(got[5]) == 0 and got[5]
            assert [m.number for m in got] == list(range(1, 7))
            assert repr(got[1]) == "<Message b'bytes' 5 bytes, number 2>"
            await here.acknowledged()
            for bad in [5, [1, 2], None, object()]:
                with pytest.raises(TypeError, match="str, bytes"):
                    await here.send(bad)
            pose = link.channel("pose")
            await pose.send(b"1", key="arm")
            newest = await back.channel("pose").recv()
            assert (newest.data, newest.key) == (b"1", b"arm")
            with pytest.raises(rover_rtc.MessageError) as info:
                await here.send(b"x", key="no keys here")
            assert info.value.kind == "BAD_MESSAGE"

    run(test())


def test_send_waits_for_room(hub: sync.Server, run: Run) -> None:
    async def test() -> None:
        async with rover_rtc.connect(hub.url, name="one", **LOCAL) as one:
            link = await one.call("nobody-yet")
            small = link.channel("small")
            while small.try_send(b"x"):
                pass
            senders = [asyncio.create_task(small.send(bytes([n]))) for n in range(20)]
            await asyncio.sleep(0.05)
            assert not any(task.done() for task in senders)
            for task in senders[::2]:
                task.cancel()
            refusing = link.channel("refusing")
            assert refusing.try_send(b"1") and not refusing.try_send(b"2")
            with pytest.raises(rover_rtc.FullError) as info:
                await refusing.send(b"2")
            assert info.value.kind == "FULL"
            async with rover_rtc.connect(hub.url, name="nobody-yet", **LOCAL) as two:
                back = await two.accept()
                got = [(await back.channel("small").recv()).data for _ in range(14)]
                assert got == [b"x"] * 4 + [bytes([n]) for n in range(1, 20, 2)]
                await asyncio.gather(*senders[1::2])

    run(test())


def test_cancelling_loses_nothing(hub: sync.Server, run: Run) -> None:
    async def test() -> None:
        async with pair(hub) as (link, back):
            here, there = link.channel("data"), back.channel("data")
            got: list[int] = []

            async def reader() -> None:
                while True:
                    message = await there.recv()
                    got.append(int(message.data))

            async def sender() -> None:
                for n in range(2000):
                    await here.send(b"%d" % n)
                    if n % 3 == 0:
                        await asyncio.sleep(0)

            sending = asyncio.create_task(sender())
            while len(got) < 2000:
                readers = [asyncio.create_task(reader()) for _ in range(3)]
                await asyncio.sleep(0.002)
                for task in readers:
                    task.cancel()
                await asyncio.gather(*readers, return_exceptions=True)
            await sending
            assert sorted(got) == list(range(2000))
            # Who has waited for nothing leaves nothing behind.
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(there.recv(), 0.01)
            await here.send(b"after")
            assert (await there.recv()).data == b"after"

    run(test())


def test_a_tight_loop_does_not_starve_others(hub: sync.Server, run: Run) -> None:
    async def test() -> None:
        async with pair(hub) as (link, back):
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.create_task(other())
            channel = link.channel("pose")
            for n in range(5000):
                await channel.send(b"%d" % n)
            assert turns > 10
            task.cancel()

    run(test())


def test_iteration_ends_when_the_other_side_closes(hub: sync.Server, run: Run) -> None:
    async def test() -> None:
        async with pair(hub) as (link, back):
            await link.channel("data").send("last words")
            await link.close()
            assert link.closed and link.health.state == "closed" and not link.health
            assert [m.text async for m in back.channel("data")] == ["last words"]
            with pytest.raises(rover_rtc.ClosedError) as info:
                await back.channel("data").recv()
            assert not isinstance(info.value, ConnectionError)
            with pytest.raises(rover_rtc.ClosedError):
                await back.channel("data").send(b"x")

    run(test())


def test_events_and_health(hub: sync.Server, run: Run) -> None:
    async def test() -> None:
        async with rover_rtc.connect(hub.url, name="one", **LOCAL) as one:
            seen = one.events()
            await one.connected(timeout=10)
            assert one.health and one.health.path == "direct"
            await asyncio.sleep(0.3)
            assert one.health.rtt_ms is not None and one.health.rtt_ms < 1000
            async with rover_rtc.connect(hub.url, name="two", **LOCAL) as two:
                called = two.events()
                link = await one.dial("two")
                async for event in called:
                    if isinstance(event, events.Called):
                        assert event.link.name == "one" and event.kind == "CALLED"
                        break
                stats = one.stats()
                assert stats.links["two"].state == "up" and stats.home.transports == 1
                assert stats.links["two"].paths[0].local.startswith("127.0.0.1:")
                assert {c.label for c in stats.links["two"].channels} >= {"data", "pose"}
                assert link.channel("data").stats().mode == "reliable"
                opened = await link.open(rover_rtc.ChannelConfig("more", priority="high"))
                await opened.send(b"x")
                async for event in called:
                    if isinstance(event, events.ChannelOpened) and event.channel == "more":
                        break
                assert (await two.links[0].channel("more").recv()).data == b"x"
                with pytest.raises(rover_rtc.NotFoundError):
                    link.channel("none")
            kinds = []
            async for event in seen:
                kinds.append(event.kind)
                if event.kind == "CLOSED" and event.link is link:
                    break
            assert "PATH_SWITCH" in kinds and "STATE" in kinds
            await one.close()
            assert [e.kind async for e in seen][-1] == "CLOSED"

    run(test())


def test_manual_ack(hub: sync.Server, run: Run) -> None:
    async def test() -> None:
        async with pair(hub) as (link, back):
            here, there = link.channel("manual"), back.channel("manual")
            assert there.manual_ack
            await here.send(b"1")
            message = await there.recv()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(here.acknowledged(), 0.3)
            message.ack()
            await asyncio.wait_for(here.acknowledged(), 5)

    run(test())


def test_durable_messages_survive_a_restart(hub: sync.Server, run: Run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    async def test() -> None:
        channels = [rover_rtc.ChannelConfig("log", "durable")]

        def connect(name: str) -> rover_rtc.Connecting[rover_rtc.Peer]:
            return rover_rtc.connect(
                hub.url, name=name, state_dir=tmp_path / name, channels=channels, bind=["127.0.0.1"]
            )

        async with connect("one") as one:
            log = (await one.call("two")).channel("log")
            for n in range(10):
                await log.send(b"%d" % n)
            await log.stored()
        async with connect("one") as one, connect("two") as two:
            link = await one.call("two")
            got = [(await (await two.accept()).channel("log").recv()).data]
            there = two.links[0].channel("log")
            got += [(await there.recv()).data for _ in range(9)]
            assert got == [b"%d" % n for n in range(10)]
            await link.channel("log").acknowledged()

    run(test())


def test_offer_and_answer(run: Run) -> None:
    async def test() -> None:
        settings = {"bind": ["127.0.0.1"], "channels": ["data"]}
        async with rover_rtc.offer(**settings) as one:
            assert one.description is not None
            async with rover_rtc.answer(one.description, **settings) as two:
                await one.accept_answer(two.description)
                await one.connected(10)
                await one.channel("data").send("direct")
                assert (await two.channel("data").recv()).text == "direct"
                assert two.description.startswith("v=0")
        with pytest.raises(rover_rtc.ConnectError) as info:
            await rover_rtc.answer("nonsense")
        assert info.value.kind == "SDP"

    run(test())


def test_errors_are_builtin_ones_too(hub: sync.Server, run: Run) -> None:
    async def test() -> None:
        with pytest.raises(ValueError, match="redundancy") as bad:
            await rover_rtc.connect(hub.url, redundancy="sometimes")  # type: ignore[arg-type]
        assert bad.value.kind == "INVALID"  # type: ignore[attr-defined]
        with pytest.raises(TypeError):
            rover_rtc.connect(hub.url, nonsense=1)  # type: ignore[call-arg]
        with pytest.raises(ValueError, match="max_links"):
            await rover_rtc.connect(hub.url, max_links=-1)
        with pytest.raises(ConnectionError):
            await rover_rtc.connect("http://")
        with pytest.raises(OSError) as stored:
            await rover_rtc.connect(
                hub.url, name="x", channels=[rover_rtc.ChannelConfig("log", "durable")]
            )
        assert stored.value.kind == "NOT_STORED"  # type: ignore[attr-defined]
        async with rover_rtc.connect(hub.url, name="one", **LOCAL) as one:
            with pytest.raises(TimeoutError) as late:
                await one.dial("nobody", timeout=0.3)
            assert isinstance(late.value, rover_rtc.TimeoutError)
            with pytest.raises(ValueError):
                await one.call("no name")
            with pytest.raises(rover_rtc.TimeoutError):
                await (await one.call("nobody")).connected(timeout=0.1)
        async with rover_rtc.connect(hub.url) as nameless:
            with pytest.raises(rover_rtc.ConnectError) as no_name:
                await nameless.call("one")
            assert no_name.value.kind == "DIAL"

    run(test())


def test_handles_are_not_copied(hub: sync.Server, run: Run) -> None:
    async def test() -> None:
        async with pair(hub) as (link, back):
            await link.channel("data").send(b"x")
            message = await back.channel("data").recv()
            for thing in (link, link.peer, link.channel("data"), message, link.events()):
                with pytest.raises(TypeError, match="pickled or copied"):
                    pickle.dumps(thing)
                with pytest.raises(TypeError, match="pickled or copied"):
                    copy.copy(thing)

    run(test())


def test_closing_twice_and_with_waiters(hub: sync.Server, run: Run) -> None:
    async def test() -> None:
        one = await rover_rtc.connect(hub.url, name="one", **LOCAL)
        waiting = [
            asyncio.create_task(one.accept()),
            asyncio.create_task((await one.call("x")).channel("data").recv()),
            asyncio.create_task(one.events().__anext__()),
        ]
        await asyncio.sleep(0.05)
        await asyncio.gather(one.close(), one.close())
        await one.close()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(e) for e in done[:2]] == [rover_rtc.ClosedError] * 2
        assert "closed" in repr(one)

    run(test())


def test_a_leak_warns_and_ends(hub: sync.Server, run: Run) -> None:
    async def test() -> None:
        await rover_rtc.connect(hub.url, name="one", **LOCAL)
        with pytest.warns(ResourceWarning, match="unclosed <Peer 'one'"):
            gc.collect()

    before = threading.active_count()
    run(test())
    assert threading.active_count() <= before


def test_logs(hub: sync.Server, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        with caplog.at_level(logging.INFO, logger="rover_rtc"):
            async with pair(hub):
                await asyncio.sleep(0.2)
        names = {record.name for record in caplog.records}
        assert any(name.startswith("rover_rtc.peer") for name in names), names
        assert not any("DEBUG" in record.levelname for record in caplog.records)

    run(test())
