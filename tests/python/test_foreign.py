"""Another WebRTC stack, aiortc, with the hub and with a peer without one: plain channels."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import rig
import rover_rtc
from rover_rtc import ChannelConfig, events

aiortc = pytest.importorskip("aiortc", reason="aiortc is not installed, or not for this Python")

PLAIN = ChannelConfig("test", mode="plain")


@pytest.fixture(autouse=True)
def _on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiortc leaves out loopback otherwise."""
    monkeypatch.setattr(
        "aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [rig.LOOPBACK]
    )


class Foreign:
    """A connection of aiortc with one channel."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.open = asyncio.Event()
        self.channel: Any = None

    def take(self, channel: Any) -> None:
        self.channel = channel
        channel.on("message", self.messages.put_nowait)
        channel.on("open", self.open.set)
        if channel.readyState == "open":
            self.open.set()

    async def offer(self) -> str:
        self.take(self.connection.createDataChannel("test"))
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return str(self.connection.localDescription.sdp)

    async def accept(self, kind: str, sdp: str) -> None:
        await self.connection.setRemoteDescription(aiortc.RTCSessionDescription(sdp, kind))


@asynccontextmanager
async def foreign() -> AsyncIterator[Foreign]:
    connection = aiortc.RTCPeerConnection()
    try:
        yield Foreign(connection)
    finally:
        await connection.close()


def post(url: str, offer: str) -> str:
    """Signaling as browsers do it."""
    body = json.dumps({"type": "offer", "sdp": offer}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=rig.PATIENCE) as answer:
        told = json.load(answer)
    assert told["type"] == "answer"
    return str(told["sdp"])


async def both_ways(there: Foreign, channel: rover_rtc.Channel) -> None:
    await rig.soon(there.open.wait())
    for data in ("from there", b"\x00\xff", "x" * 10_000):
        there.channel.send(data)
        message = await rig.soon(channel.recv())
        assert (message.text if isinstance(data, str) else message.data) == data
        await channel.send(data)
        assert await rig.soon(there.messages.get()) == data
    for number in range(500):
        there.channel.send(f"{number}")
        await channel.send(f"{number}")
    for number in range(500):
        assert (await rig.soon(channel.recv())).text == f"{number}"
        assert await rig.soon(there.messages.get()) == f"{number}"


async def test_through_the_hub() -> None:
    # Without status messages in between.
    with rig.serve(status_interval_ms=3_600_000) as server:
        async with rig.connect(server.url, channels=[PLAIN]) as peer, foreign() as there:
            feed = peer.events()
            await rig.event_of(feed, events.ChannelOpened)
            answer = await asyncio.to_thread(post, server.url, await there.offer())
            await there.accept("answer", answer)
            await both_ways(there, peer.channel("test"))


async def test_a_peer_that_answers() -> None:
    async with foreign() as there:
        offer = await there.offer()
        async with rover_rtc.answer(
            offer, foreign=True, bind=[rig.LOOPBACK], channels=[PLAIN]
        ) as peer:
            assert peer.description
            await there.accept("answer", peer.description)
            feed = peer.events()
            assert (await rig.event_of(feed, events.ChannelOpened)).channel == "test"
            await both_ways(there, peer.channel("test"))


async def test_a_peer_that_offers() -> None:
    async with (
        rover_rtc.offer(foreign=True, bind=[rig.LOOPBACK], channels=[PLAIN]) as peer,
        foreign() as there,
    ):
        there.connection.on("datachannel", there.take)
        assert peer.description
        await there.accept("offer", peer.description)
        await there.connection.setLocalDescription(await there.connection.createAnswer())
        await peer.accept_answer(there.connection.localDescription.sdp)
        await both_ways(there, peer.channel("test"))
