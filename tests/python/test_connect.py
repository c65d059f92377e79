"""How peers find the hub and each other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import rig
import rover_rtc
from rover_rtc import events, sync


async def test_a_peer_connects_and_is_up(hub: str) -> None:
    async with rig.connect(hub, "rover-1") as peer:
        await peer.connected(timeout=rig.PATIENCE)
        assert peer.name == "rover-1" and peer.health and peer.health.path == "direct"
        # SHA-256 in hexadecimal digits.
        assert peer.fingerprint and len(bytes.fromhex(peer.fingerprint.replace(":", ""))) == 32
        assert peer.home.name == "" and peer.home.peer is peer and not peer.closed
        assert peer.description is None and peer.links == []
    assert peer.closed and peer.home.closed and peer.health.state == "closed"


async def test_connect_can_be_awaited(hub: str) -> None:
    peer = await rig.connect(hub, "rover-1")
    await peer.connected(rig.PATIENCE)
    await peer.close()


async def test_one_peer_calls_and_the_other_accepts(hub: str) -> None:
    async with rig.pair(hub) as pair:
        assert (pair.there.name, pair.back.name) == ("two", "one")
        assert pair.there.fingerprint == pair.two.fingerprint
        assert pair.back.fingerprint == pair.one.fingerprint
        assert pair.one.links == [pair.there] and pair.two.links == [pair.back]
        # One link, whoever calls, and however often.
        assert await pair.two.call("one") is pair.back
        assert await pair.one.dial("two") is pair.there


def test_the_same_without_asyncio(hub: str) -> None:
    with rig.sync_pair(hub) as pair:
        assert (pair.there.name, pair.back.name) == ("two", "one")
        assert pair.there.fingerprint == pair.two.fingerprint
        assert pair.one.links == [pair.there] and pair.two.links == [pair.back]
        assert pair.two.call("one") is pair.back and pair.there.peer is pair.one
        pair.one.connected(rig.PATIENCE)
        assert pair.one.health and pair.there.health
    assert pair.one.closed and pair.there.closed


async def test_what_is_sent_to_who_is_not_there_waits(hub: str) -> None:
    async with rig.connect(hub, "one", channels=["log"]) as one:
        link = await one.call("two")
        await link.channel("log").send("early")
        assert link.health.state == "connecting" and link.channel("log").queued == 1
        async with rig.connect(hub, "two", channels=["log"]) as two:
            back = await rig.soon(two.accept())
            assert (await rig.soon(back.channel("log").recv())).text == "early"


async def test_a_hub_that_comes_later_is_found() -> None:
    with rig.serve() as first:
        url = first.url
    async with rig.connect(url, "rover-1") as peer:
        feed = peer.events()
        trouble = await rig.event_of(feed, events.Trouble)
        assert "no answer from" in trouble.text, trouble
        with pytest.raises(rover_rtc.TimeoutError, match=r"no connection with the hub") as caught:
            await peer.connected(timeout=0.01)
        assert caught.value.kind == "AGAIN" and isinstance(caught.value, TimeoutError)
        with rig.serve(url.removeprefix("http://")):
            await peer.connected(timeout=rig.PATIENCE)


async def test_nobody_of_that_name(hub: str) -> None:
    async with rig.connect(hub, "one") as one:
        with pytest.raises(rover_rtc.TimeoutError) as caught:
            await one.dial("nobody", timeout=0.3)
        assert caught.value.kind == "AGAIN" and "nobody" in str(caught.value)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(one.accept(), 0.01)


def test_sync_waits_have_an_end(hub: str) -> None:
    with rig.sync_connect(hub, "one", channels=["log"]) as one:
        one.connected(rig.PATIENCE)
        for wait in (
            lambda: one.accept(timeout=0.01),
            lambda: one.dial("nobody", timeout=0.1),
            lambda: one.channel("log").recv(timeout=0.01),
            lambda: one.channel("log").recv_many(timeout=0.01),
            lambda: one.call("nobody").connected(timeout=0.01),
        ):
            with pytest.raises(rover_rtc.TimeoutError):
                wait()


async def test_names_that_cannot_be(hub: str) -> None:
    async with rig.connect(hub, "one") as one:
        for name in ("one", "", "with space", "x" * 65):
            with pytest.raises(rover_rtc.ConfigError) as caught:
                await one.call(name)
            assert caught.value.kind == "INVALID"
    with pytest.raises(rover_rtc.ConfigError):
        await rig.connect(hub, "with space")
    async with rig.connect(hub) as nameless:
        assert nameless.name is None and nameless.fingerprint is None
        with pytest.raises(rover_rtc.ConnectError) as refused:
            await nameless.call("one")
        assert refused.value.kind == "DIAL" and isinstance(refused.value, ConnectionError)


async def test_a_link_too_many(hub: str) -> None:
    async with rig.connect(hub, "one", max_links=1) as one:
        await one.call("two")
        with pytest.raises(rover_rtc.ConnectError) as caught:
            await one.call("three")
        assert caught.value.kind == "DIAL"


@pytest.mark.parametrize("url", ["http://", "not a url"])
async def test_a_hub_that_cannot_be(url: str) -> None:
    with pytest.raises(rover_rtc.ConnectError) as caught:
        await rig.connect(url)
    assert caught.value.kind == "SERVER"


async def test_peers_without_a_hub() -> None:
    config = rover_rtc.PeerConfig(bind=[rig.LOOPBACK], channels=["log"])
    async with rover_rtc.offer(config=config) as one:
        assert one.description and one.description.startswith("v=0")
        with pytest.raises(rover_rtc.ConnectError) as caught:
            await one.accept_answer("v=nonsense")
        assert caught.value.kind == "SDP"
        with pytest.raises(rover_rtc.ConnectError):
            await rover_rtc.answer("nonsense", bind=[rig.LOOPBACK])
        async with rover_rtc.answer(one.description, config=config) as two:
            assert two.description
            await one.accept_answer(two.description)
            await asyncio.gather(one.connected(rig.PATIENCE), two.connected(rig.PATIENCE))
            await one.channel("log").send("hello")
            assert (await rig.soon(two.channel("log").recv())).text == "hello"


def test_peers_without_a_hub_or_asyncio() -> None:
    with sync.offer(bind=[rig.LOOPBACK], channels=["log"]) as one:
        assert one.description
        with sync.answer(one.description, bind=[rig.LOOPBACK], channels=["log"]) as two:
            assert two.description
            one.accept_answer(two.description)
            two.channel("log").send(b"hello")
            assert one.channel("log").recv(rig.PATIENCE).data == b"hello"


async def test_a_key_is_kept_with_the_state(hub: str, tmp_path: Path) -> None:
    keys = []
    for state in ("a", "a", "b"):
        # Another key of the same name is refused for a while, so names differ.
        name = f"rover-{state}"
        async with rig.connect(hub, name, state_dir=tmp_path / state) as peer:
            keys.append(peer.fingerprint)
    assert keys[0] == keys[1] != keys[2]


async def test_a_hub_that_wants_a_token() -> None:
    with rig.serve(tokens=["secret-1"]) as server:
        async with rig.connect(server.url, "one") as peer:
            trouble = await rig.event_of(peer.events(), events.Trouble)
            assert "401" in trouble.text, trouble
        async with rig.connect(server.url, "two", token="secret-1") as peer:
            await peer.connected(rig.PATIENCE)


async def test_clients_of_a_hub_hear_each_other(hub: str) -> None:
    async with (
        rig.connect(hub, channels=["chat"]) as one,
        rig.connect(hub, channels=["chat"]) as two,
    ):
        feeds = one.events(), two.events()
        for feed in feeds:
            assert (await rig.event_of(feed, events.ChannelOpened)).channel == "chat"
        await one.channel("chat").send("to all")
        assert (await rig.soon(two.channel("chat").recv())).text == "to all"


async def test_channels_are_opened_later_too(hub: str) -> None:
    async with rig.pair(hub, channels=[]) as pair:
        with pytest.raises(rover_rtc.NotFoundError) as caught:
            pair.there.channel("extra")
        assert caught.value.kind == "NOT_FOUND" and isinstance(caught.value, LookupError)
        feed = pair.back.events()
        extra = await pair.there.open("extra")
        assert extra is pair.there.channel("extra") is await pair.there.open("extra")
        await extra.send("hello")
        opened = await rig.event_of(feed, events.ChannelOpened)
        assert opened.channel == "extra" and opened.link is pair.back
        assert (await rig.soon(pair.back.channel("extra").recv())).text == "hello"
        with pytest.raises(rover_rtc.ConfigError):
            await pair.there.open(rover_rtc.ChannelConfig("extra", manual_ack=True))
