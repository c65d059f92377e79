"""A hub in this process."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path

import pytest

import rig
import rover_rtc
from rover_rtc import events, sync


async def test_a_hub_in_an_event_loop() -> None:
    listen = f"{rig.LOOPBACK}:0"
    async with rover_rtc.serve(listen, udp=[listen], shards=1) as hub:
        assert hub.url == f"http://{hub.address}" and not hub.closed
        assert len(hub.udp) == 1 and hub.udp[0].startswith(rig.LOOPBACK)
        async with rig.pair(hub.url):
            status = await hub.status()
            assert status["clients"] == status["connected"] == 2
            assert sorted(status["names"]) == ["one", "two"]
    assert hub.closed
    await hub.close()
    with pytest.raises(rover_rtc.ClosedError):
        await hub.status()


def test_its_status_is_that_of_http(server: sync.Server) -> None:
    with rig.sync_connect(server.url, "one") as one:
        one.connected(rig.PATIENCE)
        with urllib.request.urlopen(f"{server.url}/v1/status", timeout=rig.PATIENCE) as answer:
            told = json.load(answer)
        mine = server.status()
        assert set(told) == set(mine) and told["names"] == mine["names"] == ["one"]


async def test_it_says_good_bye() -> None:
    with rig.serve() as server:
        async with rig.connect(server.url, "one") as one:
            await one.connected(rig.PATIENCE)
            feed = one.events()
            await asyncio.to_thread(server.close)
            assert (await rig.event_of(feed, events.Disconnected)).reason == "closed"


async def test_a_roster_says_who_comes(tmp_path: Path) -> None:
    roster = tmp_path / "roster"
    roster.touch()
    async with rig.connect("http://127.0.0.1:1", "one", state_dir=tmp_path / "one") as one:
        key = one.fingerprint
    roster.write_text(f"one {key}\n")
    with rig.serve(roster=roster) as server:
        async with rig.connect(server.url, "one", state_dir=tmp_path / "one") as one:
            await one.connected(rig.PATIENCE)
        async with rig.connect(server.url, "two") as two:
            trouble = await rig.event_of(two.events(), events.Trouble)
            assert "roster" in trouble.text or "401" in trouble.text or "403" in trouble.text


async def test_its_limit_of_clients() -> None:
    with rig.serve(max_clients=1) as server:
        async with rig.connect(server.url) as first:
            await first.connected(rig.PATIENCE)
            async with rig.connect(server.url) as second:
                trouble = await rig.event_of(second.events(), events.Trouble)
                assert "503" in trouble.text or "429" in trouble.text
