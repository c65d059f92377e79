"""The interface without asyncio."""

from __future__ import annotations

import threading
import time

import pytest
from conftest import LOCAL

import rover_rtc
from rover_rtc import sync

Pair = tuple  # of links


def test_messages(sync_pair: Pair) -> None:
    link, back = sync_pair
    here, there = link.channel("data"), back.channel("data")
    here.send("hello")
    here.send(b"bytes", timeout=1)
    assert there.recv(timeout=5).text == "hello"
    assert there.recv().data == b"bytes"
    assert there.try_recv() is None
    with pytest.raises(TimeoutError, match="no message within 0.05 s"):
        there.recv(timeout=0.05)
    here.acknowledged(timeout=5)
    for n in range(1000):
        here.send(b"%d" % n)
    got: list[bytes] = []
    while len(got) < 1000:
        got += [m.data for m in there.recv_many(timeout=5)]
    assert got == [b"%d" % n for n in range(1000)]
    link.close()
    assert list(there) == []
    with pytest.raises(rover_rtc.ClosedError):
        there.recv()


def test_send_waits_for_room(hub: sync.Server) -> None:
    with sync.connect(hub.url, name="one", **LOCAL) as one:
        link = one.call("two")
        small = link.channel("small")
        while small.try_send(b"x"):
            pass
        begun = time.monotonic()
        with pytest.raises(rover_rtc.TimeoutError):
            small.send(b"y", timeout=0.1)
        assert 0.09 < time.monotonic() - begun < 2
        with sync.connect(hub.url, name="two", **LOCAL) as two:
            small.send(b"y", timeout=10)
            there = two.accept(10).channel("small")
            assert [there.recv(10).data for _ in range(5)] == [b"x"] * 4 + [b"y"]


def test_many_threads_share_a_link(sync_pair: Pair) -> None:
    link, back = sync_pair
    here, there = link.channel("data"), back.channel("data")
    count, each, lock = 8, 500, threading.Lock()
    got: list[bytes] = []

    def read() -> None:
        while True:
            with lock:
                if len(got) >= count * each:
                    return
            try:
                message = there.recv(timeout=0.2)
            except TimeoutError:
                continue
            with lock:
                got.append(message.data)

    def write(who: int) -> None:
        for n in range(each):
            here.send(b"%d %d" % (who, n))

    threads = [threading.Thread(target=read) for _ in range(4)]
    threads += [threading.Thread(target=write, args=(who,)) for who in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(b"%d %d" % (w, n) for w in range(count) for n in range(each))


def test_threads_that_wait_for_different_things(sync_pair: Pair) -> None:
    link, back = sync_pair
    found: dict[str, object] = {}

    def wait(name: str, what: object) -> threading.Thread:
        def run() -> None:
            found[name] = what()  # type: ignore[operator]

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    events = back.events()
    threads = [
        wait("data", lambda: back.channel("data").recv(10).data),
        wait("pose", lambda: back.channel("pose").recv(10).data),
        wait("closed", lambda: [e.kind for e in events][-1]),
    ]
    time.sleep(0.1)
    link.channel("pose").send(b"p")
    threads[1].join(5)
    link.channel("data").send(b"d")
    threads[0].join(5)
    link.close()
    threads[2].join(5)
    assert found == {"data": b"d", "pose": b"p", "closed": "CLOSED"}


def test_closing_wakes_other_threads(hub: sync.Server) -> None:
    peer = sync.connect(hub.url, name="one", **LOCAL)
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            peer.accept()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    peer.close()
    for thread in threads:
        thread.join(5)
    assert [type(e) for e in raised] == [rover_rtc.ClosedError] * 3


def test_offer_and_answer() -> None:
    settings = {"bind": ["127.0.0.1"], "channels": ["data"]}
    with sync.offer(**settings) as one, sync.answer(one.description, **settings) as two:
        one.accept_answer(two.description)
        one.connected(10)
        one.channel("data").send("direct")
        assert two.channel("data").recv(10).text == "direct"


def test_hub(hub: sync.Server) -> None:
    assert hub.status()["clients"] == 0 and hub.url in repr(hub)
    with pytest.raises(ValueError, match="listen"):
        sync.serve("nowhere")
    with pytest.raises(ConnectionError):
        sync.serve(hub.address)
