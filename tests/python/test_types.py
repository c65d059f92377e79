"""What is declared is what is there."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import rover_rtc
from rover_rtc import sync, types


def test_keyword_arguments_are_the_fields() -> None:
    def names(config: type) -> set[str]:
        return {field.name for field in dataclasses.fields(config)}

    assert types.PeerSettings.__annotations__.keys() == names(types.PeerConfig) - {"server"}
    assert types.ServerSettings.__annotations__.keys() == names(types.ServerConfig) - {"listen"}


def test_secrets_are_not_shown() -> None:
    secret = {"token": "sesame", "ice_servers": ["turn:u:sesame@h"]}
    assert "sesame" not in repr(types.PeerConfig(**secret))
    assert "sesame" not in repr(types.ServerConfig(tokens=["sesame"]))


def test_defaults_are_the_library_s() -> None:
    config = types.PeerConfig()
    assert (config.probe_interval_ms, config.max_links, config.relay) == (50, 64, True)
    assert types.ChannelConfig("x").mode == "reliable"
    assert types.ServerConfig().listen == "0.0.0.0:3000"


def test_both_interfaces_have_the_same_names() -> None:
    for name in ("Channel", "Link", "Peer", "Server"):
        ours = {n for n in dir(getattr(rover_rtc.aio, name)) if not n.startswith("_")}
        theirs = {n for n in dir(getattr(sync, name)) if not n.startswith("_")}
        assert ours == theirs, name


def test_everything_public_has_a_doc() -> None:
    for module in (rover_rtc.aio, sync, types, rover_rtc.errors, rover_rtc.events):
        for name in module.__all__:
            thing = getattr(module, name)
            if not isinstance(thing, type):
                continue
            assert thing.__doc__, name
            for member, value in vars(thing).items():
                if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                    assert value.__doc__, f"{name}.{member}"


def test_stubs() -> None:
    import pytest

    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy.stubtest", "rover_rtc._native"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
