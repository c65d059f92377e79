"""Settings: what they can be, and what is said of what they cannot."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

import rig
import rover_rtc
from rover_rtc import ChannelConfig, PeerConfig, ServerConfig, sync, types


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"redundancy": "sometimes"}, "redundancy"),
        ({"probe_interval_ms": 9}, "probe_interval_ms"),
        ({"probe_interval_ms": -1}, "probe_interval_ms"),
        ({"max_links": "many"}, "max_links"),
        ({"max_channels": 1.5}, "max_channels"),
        ({"inbox_bytes": -1}, "inbox_bytes"),
        ({"bind": ["not an address"]}, "bind"),
        ({"bind": "127.0.0.1"}, "bind"),
        ({"token": ""}, "token"),
        ({"ice_servers": ["http://x"]}, "ice_servers"),
        ({"name": 5}, "name"),
        ({"name": ""}, "name"),
        ({"channels": [ChannelConfig("x", mode="best")]}, "mode"),  # type: ignore[arg-type]
        ({"channels": [ChannelConfig("x", priority="top")]}, "priority"),  # type: ignore[arg-type]
        ({"channels": [ChannelConfig("x", when_full="cry")]}, "when_full"),  # type: ignore[arg-type]
        ({"channels": [ChannelConfig("x", ttl_ms=-1)]}, "ttl_ms"),
        ({"channels": [ChannelConfig("x", outbox_messages=-1)]}, "outbox_messages"),
        ({"channels": ["x", "x"]}, "x"),
        ({"channels": [""]}, "label"),
        ({"channels": ["x" * 256]}, "label"),
        ({"channels": ["rover-rtc/mine"]}, "rover-rtc/"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_peer_settings_that_cannot_be(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(rover_rtc.ConfigError) as caught:
        sync.connect("http://127.0.0.1:1", **settings)
    assert caught.value.kind == "INVALID" and isinstance(caught.value, ValueError)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"listen": "nowhere"}, "listen"),
        ({"udp": ["127.0.0.1"]}, "udp"),
        ({"advertise": ["x"]}, "advertise"),
        ({"shards": 65}, "shards"),
        ({"tokens": [""]}, "tokens"),
        ({"max_clients": -1}, "max_clients"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hub_settings_that_cannot_be(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(rover_rtc.ConfigError, match=text) as caught:
        sync.serve(**{"listen": "127.0.0.1:0", **settings})
    assert caught.value.kind == "INVALID"


def test_an_address_in_use(server: sync.Server) -> None:
    with pytest.raises(rover_rtc.ConnectError) as caught:
        rig.serve(server.address)
    assert server.address in str(caught.value) and caught.value.kind in ("NETWORK", "SERVER")


def test_unknown_settings_are_refused_where_they_are_given() -> None:
    calls: list[Any] = [rover_rtc.connect, sync.connect, sync.serve, rover_rtc.serve, sync.offer]
    for call in calls:
        with pytest.raises(TypeError, match="nmae"):
            call(nmae="rover-1")


def test_single_settings_go_before_all(hub: str) -> None:
    config = PeerConfig(server="http://127.0.0.1:1", name="a", bind=[rig.LOOPBACK])
    with sync.connect(hub, config=config, name="b") as peer:
        assert peer.name == "b"
        peer.connected(rig.PATIENCE)
    assert config.name == "a"
    with sync.serve(config=ServerConfig(listen="127.0.0.1:0", udp=["127.0.0.1:0"])) as server:
        assert server.address.startswith("127.0.0.1:")


def test_settings_cannot_be_changed() -> None:
    for config in (PeerConfig(), ServerConfig(), ChannelConfig("x")):
        with pytest.raises(AttributeError):
            config.name = "x"  # type: ignore


def test_keyword_settings_are_those_of_the_classes() -> None:
    for config, keywords, first in (
        (PeerConfig, types.PeerSettings, "server"),
        (ServerConfig, types.ServerSettings, "listen"),
    ):
        assert {f.name for f in fields(config)} == {*keywords.__annotations__, first}


def test_defaults_are_those_of_the_library() -> None:
    header = (rig.ROOT / "include/rover_rtc.h").read_text()
    assert PeerConfig().server == "http://127.0.0.1:3000" and PeerConfig().relay
    assert ServerConfig().listen == "0.0.0.0:3000"
    assert (ChannelConfig("x").mode, ChannelConfig("x").when_full) == ("reliable", "wait")
    # Whatever has a number there has one here.
    for name in ("probe_interval_ms", "resume_window_ms", "max_channels", "inbox_bytes"):
        assert getattr(PeerConfig(), name) > 0 and name in header


def test_paths_can_be_of_any_kind(hub: str, tmp_path: Any) -> None:
    for state in (tmp_path / "a", str(tmp_path / "b")):
        with rig.sync_connect(hub, "one", state_dir=state):
            pass
    assert (tmp_path / "a").is_dir() and (tmp_path / "b").is_dir()
