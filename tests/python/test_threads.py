"""Threads share all of the synchronous interface."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import rig
import rover_rtc
from rover_rtc import ChannelConfig, sync


class Threads:
    """Threads that end, and whose errors are the test's."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def start(self, work: Callable[..., Any], *args: Any) -> None:
        def run() -> None:
            try:
                work(*args)
            except BaseException as error:
                self._errors.append(error)

        thread = threading.Thread(target=run, name=getattr(work, "__name__", "work"))
        thread.start()
        self._threads.append(thread)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(rig.PATIENCE)
            assert not thread.is_alive(), thread.name
        assert not self._errors, self._errors


def test_many_threads_on_one_peer(hub: str) -> None:
    writers, readers, each = 6, 4, 500
    channels = [ChannelConfig("log", outbox_messages=50)]
    with rig.sync_pair(hub, channels) as pair:
        log, far = pair.channels("log")
        threads, lock = Threads(), threading.Lock()
        got: list[str] = []
        done = threading.Event()

        def write(who: int) -> None:
            for number in range(each):
                log.send(f"{who} {number}", timeout=rig.PATIENCE)

        def read() -> None:
            mine = []
            while True:
                message = far.recv(timeout=rig.PATIENCE)
                if message.text == "end":
                    break
                mine.append(message.text)
            with lock:
                got.extend(mine)

        def look() -> None:
            while not done.is_set():
                assert pair.one.health and pair.there.stats().state == "up"
                assert pair.one.call("two") is pair.there and repr(pair.two)
                pair.there.events()

        def work() -> None:
            for number in range(readers):
                threads.start(read)
            writing = Threads()
            for who in range(writers):
                writing.start(write, who)
            writing.join()
            for _ in range(readers):
                log.send("end", timeout=rig.PATIENCE)

        watchers = Threads()
        for _ in range(2):
            watchers.start(look)
        work()
        threads.join()
        done.set()
        watchers.join()
        expected = [f"{who} {number}" for who in range(writers) for number in range(each)]
        assert sorted(got) == sorted(expected)


def test_each_waits_for_its_own(hub: str) -> None:
    channels = [f"{number}" for number in range(8)]
    with rig.sync_pair(hub, channels) as pair:
        threads = Threads()
        got: dict[str, str] = {}

        def read(label: str) -> None:
            got[label] = pair.back.channel(label).recv(timeout=rig.PATIENCE).text

        for label in channels:
            threads.start(read, label)
        for label in reversed(channels):
            pair.there.channel(label).send(f"to {label}")
        threads.join()
        assert got == {label: f"to {label}" for label in channels}


def test_closing_wakes_all(hub: str) -> None:
    peer = rig.sync_connect(hub, "one", channels=["log"])
    link = peer.call("two")
    log, feed = link.channel("log"), link.events()
    raised: list[type[BaseException]] = []
    started = threading.Barrier(6)

    def wait(work: Callable[[], Any]) -> None:
        started.wait(rig.PATIENCE)
        try:
            work()
        except rover_rtc.RoverRtcError as error:
            raised.append(type(error))

    def read_all() -> None:
        for _ in feed:
            pass
        raise rover_rtc.ClosedError

    threads = Threads()
    for work in (peer.accept, log.recv, link.connected, log.recv_many, read_all):
        threads.start(wait, work)
    started.wait(rig.PATIENCE)
    peer.close()
    threads.join()
    assert raised == [rover_rtc.ClosedError] * 5


def test_many_close_at_once(hub: str) -> None:
    peers = [rig.sync_connect(hub) for _ in range(4)]
    threads = Threads()
    for peer in peers * 4:
        threads.start(peer.close)
    threads.join()
    assert all(peer.closed for peer in peers)


def test_channels_are_the_same_for_all(hub: str) -> None:
    with rig.sync_connect(hub, "one", channels=[]) as one:
        link = one.call("two")
        found: list[sync.Channel] = []
        threads = Threads()
        for _ in range(8):
            threads.start(lambda: found.append(link.open("log")))
        threads.join()
        assert len(found) == 8 and len(set(map(id, found))) == 1
