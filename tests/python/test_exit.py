"""How peers end: closed, forgotten, with their loop, with the interpreter, in a child."""

from __future__ import annotations

import asyncio
import gc
import os
import textwrap

import pytest

import rig
import rover_rtc
from rover_rtc import sync

HEAD = """
import asyncio, gc, os, sys, threading, time, warnings
import rover_rtc
from rover_rtc import sync
url = sys.argv[1]
local = dict(name="one", bind=["127.0.0.1"], channels=["log"])
"""


def run(source: str, hub: str, *options: str) -> tuple[int, str]:
    """Runs a program to its end, in development mode; what it prints shows warnings."""
    command = [rig.PYTHON, "-X", "dev", *options, "-c", HEAD + textwrap.dedent(source), hub]
    with rig.Program(command) as program:
        return program.wait(), program.text


async def test_to_close_twice_is_to_close_once(hub: str) -> None:
    peer = await rig.connect(hub, "one")
    link = await peer.call("two")
    await asyncio.gather(link.close(), link.close())
    await link.close()
    await asyncio.gather(peer.close(), peer.close(), peer.close())
    await peer.close()
    assert peer.closed and link.closed
    for use in (peer.call("x"), peer.dial("x"), peer.accept(), peer.open("x"), peer.connected()):
        with pytest.raises(rover_rtc.ClosedError) as caught:
            await use
        assert caught.value.kind == "CLOSED"
    with pytest.raises(rover_rtc.ClosedError):
        peer.stats()


def test_to_close_twice_is_to_close_once_sync(hub: str) -> None:
    peer = rig.sync_connect(hub, "one", channels=["log"])
    log = peer.channel("log")
    peer.close()
    peer.close()
    for use in (peer.accept, peer.stats, log.recv, lambda: log.send("x"), lambda: peer.call("x")):
        with pytest.raises(rover_rtc.ClosedError):
            use()
    assert list(log) == [] and list(peer.events())[-1].kind == "CLOSED"


async def test_who_waits_is_told(hub: str) -> None:
    peer = await rig.connect(hub, "one", channels=["log"])
    link = await peer.call("two")
    waiting = [
        asyncio.create_task(work)
        for work in (peer.accept(), link.channel("log").recv(), link.connected(), peer.dial("x"))
    ]
    ends = asyncio.create_task(rig.event_of(peer.events(), rover_rtc.events.Closed))
    assert not (await asyncio.wait(waiting, timeout=0.05))[0]
    await peer.close()
    for task in waiting:
        with pytest.raises(rover_rtc.ClosedError):
            await rig.soon(task)
    await rig.soon(ends)


async def test_an_exception_closes_too(hub: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with rig.connect(hub, "one") as peer:
            raise ZeroDivisionError
    assert peer.closed
    with pytest.raises(ZeroDivisionError), rig.sync_connect(hub, "one") as other:
        raise ZeroDivisionError
    assert other.closed


async def test_what_is_queued_is_sent_before(hub: str) -> None:
    async with rig.pair(hub) as pair:
        log, far = pair.channels("log")
        for number in range(1000):
            await log.send(f"{number}")
        closing = asyncio.create_task(pair.one.close())
        texts = [message.text async for message in far]
        assert texts == [f"{number}" for number in range(1000)]
        await closing


async def test_what_is_forgotten_warns_and_ends(hub: str) -> None:
    await rig.connect(hub, "one")
    with pytest.warns(ResourceWarning, match="unclosed <Peer 'one'"):
        gc.collect()
    server = rig.serve()
    url = server.url
    with pytest.warns(ResourceWarning, match="unclosed <Server at"):
        del server
        gc.collect()
    # It has ended: the port is free.
    rig.serve(url.removeprefix("http://")).close()


@pytest.mark.parametrize(
    "source",
    [
        'peer = sync.connect(url, **local); peer.connected(30)',
        """
        async def main():
            global peer
            peer = await rover_rtc.connect(url, **local)
            await peer.connected(30)
        asyncio.run(main())
        """,
        # In a cycle.
        """
        peer = sync.connect(url, **local)
        peer.me = peer
        """,
        # With threads that wait, and one that sends for ever.
        """
        peer = sync.connect(url, **local)
        peer.connected(30)
        def wait(work):
            try:
                while True: work()
            except rover_rtc.ClosedError: pass
        log = peer.channel("log")
        for work in (peer.accept, log.recv, lambda: log.send("x"), peer.stats):
            threading.Thread(target=wait, args=(work,), daemon=True).start()
        """,
    ],
    ids=["sync", "asyncio", "cycle", "threads"],
)
def test_exit_without_close_warns_and_is_clean(hub: str, source: str) -> None:
    code, text = run(source, hub)
    assert code == 0, text
    assert "ResourceWarning: unclosed <Peer 'one'" in text
    assert "Traceback" not in text and "Fatal" not in text, text


def test_a_hub_at_exit(hub: str) -> None:
    code, text = run('hub = sync.serve("127.0.0.1:0", udp=["127.0.0.1:0"])', hub)
    assert code == 0 and "ResourceWarning: unclosed <Server at" in text, text
    assert "Traceback" not in text, text


def test_exit_after_close_says_nothing(hub: str) -> None:
    source = """
        with sync.connect(url, **local) as peer: peer.connected(30)
        async def main():
            async with rover_rtc.connect(url, **local) as peer: await peer.connected(30)
        asyncio.run(main())
    """
    assert run(source, hub, "-W", "error") == (0, "")


def test_a_loop_that_is_closed_first(hub: str) -> None:
    source = """
        loop = asyncio.new_event_loop()
        async def main():
            global peer, task
            peer = await rover_rtc.connect(url, **local)
            await peer.connected(30)
            task = asyncio.ensure_future(peer.accept())
            await asyncio.sleep(0)
        loop.run_until_complete(main())
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()
        del task
        print(repr(peer), peer.health.state)
        peer.channel("log").try_send("still")
        del peer
        gc.collect()
        print("done")
    """
    code, text = run(source, hub)
    assert code == 0 and text.endswith("done"), text
    assert "ResourceWarning: unclosed <Peer 'one'" in text and "Traceback" not in text, text


def test_another_loop_can_close_it(hub: str) -> None:
    source = """
        async def connect():
            global peer
            peer = await rover_rtc.connect(url, **local)
        async def close(): await peer.close()
        loop = asyncio.new_event_loop()
        loop.run_until_complete(connect())
        loop.run_until_complete(close())
        loop.close()
        asyncio.run(close())
        print(repr(peer))
    """
    assert run(source, hub, "-W", "error") == (0, "<Peer 'one': closed>")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_after_a_fork_handles_are_dead(hub: str) -> None:
    source = """
        warnings.simplefilter("ignore", DeprecationWarning)
        peer = sync.connect(url, **local)
        hub = sync.serve("127.0.0.1:0", udp=["127.0.0.1:0"])
        forgotten = sync.connect(url, bind=["127.0.0.1"])
        peer.connected(30)
        log, link = peer.channel("log"), peer.call("two")
        child = os.fork()
        if child == 0:
            uses = (
                lambda: log.send("x"), lambda: log.try_send("x"), log.recv, log.try_recv,
                log.acknowledged, peer.stats, peer.accept, lambda: peer.call("x"),
                lambda: peer.dial("x"), lambda: link.open("y"), link.connected, hub.status,
                lambda: peer.health,
            )
            for number, use in enumerate(uses):
                try:
                    use()
                    print("no error of", number)
                except rover_rtc.ForkError as error:
                    assert error.kind == "BAD_HANDLE" and "fork" in str(error)
            print(repr(peer), repr(log), repr(link))
            peer.close()
            hub.close()
            # What the child forgets is not the child's to close.
            del log, link, peer, hub, forgotten
            gc.collect()
            with sync.connect(url, **{**local, "name": "child"}) as own:
                own.connected(30)
                print("child", own.health.state, flush=True)
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        log.send("x")
        assert hub.status()["clients"] == 0
        print("parent", peer.health.state)
        peer.close()
        hub.close()
        forgotten.close()
    """
    code, text = run(source, hub)
    assert code == 0, text
    assert "child up" in text and "parent up" in text and "no error" not in text, text
    assert "Traceback" not in text and "Warning" not in text, text


def test_fork_while_threads_are_busy(hub: str) -> None:
    """Whatever lock is held at that moment, the child neither hangs nor crashes."""
    source = """
        warnings.simplefilter("ignore", DeprecationWarning)
        peer = sync.connect(url, **local)
        peer.connected(30)
        log = peer.channel("log")
        stop = threading.Event()
        def busy():
            while not stop.is_set():
                log.try_send("x"); peer.events(); peer.health
        threads = [threading.Thread(target=busy) for _ in range(3)]
        for thread in threads: thread.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                try: peer.accept(1)
                except rover_rtc.ForkError: os._exit(7)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        stop.set()
        for thread in threads: thread.join()
        peer.close()
        print("done")
    """
    code, text = run(source, hub)
    assert code == 0 and text.endswith("done"), text
    assert "Traceback" not in text, text


def test_a_server_is_closed_twice() -> None:
    server: sync.Server = rig.serve()
    server.close()
    server.close()
    with pytest.raises(rover_rtc.ClosedError):
        server.status()
