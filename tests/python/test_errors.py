"""Errors, texts for people, and what cannot be copied."""

from __future__ import annotations

import builtins
import copy
import inspect
import pickle
import pydoc
import re
from typing import get_args, get_type_hints

import pytest

import rig
import rover_rtc
from rover_rtc import errors, events, sync, types

CLASSES = [getattr(errors, name) for name in errors.__all__]


def test_each_error_has_a_kind_of_the_c_interface() -> None:
    header = (rig.ROOT / "include/rover_rtc.h").read_text()
    statuses = set(re.findall(r"#?define ROVER_RTC_(\w+)|^ *ROVER_RTC_(\w+) = ", header, re.M))
    known = {name for pair in statuses for name in pair if name}
    for error in CLASSES:
        # Files are of the command line, which the C interface has not.
        assert error.kind in known or error is rover_rtc.TransferError, error
    assert set(errors._CLASSES) <= known


def test_each_event_has_a_kind_of_the_c_interface() -> None:
    header = (rig.ROOT / "include/rover_rtc.h").read_text()
    for name in events.__all__:
        if name != "Event":
            assert f"ROVER_RTC_EVENT_{getattr(events, name).kind}" in header, name


def test_reasons_are_those_of_the_c_interface() -> None:
    header = (rig.ROOT / "include/rover_rtc.h").read_text()
    known = re.findall(r"#define ROVER_RTC_DISCONNECT_(\w+)", header)
    mine = get_args(get_type_hints(events.Disconnected)["reason"])
    assert [name.lower() for name in known] == list(mine)


def test_errors_are_builtin_ones_too() -> None:
    pairs: list[tuple[type[Exception], type[Exception]]] = [
        (rover_rtc.ConfigError, ValueError),
        (rover_rtc.ConnectError, ConnectionError),
        (rover_rtc.ConnectionLost, ConnectionError),
        (rover_rtc.TimeoutError, builtins.TimeoutError),
        (rover_rtc.NotFoundError, LookupError),
        (rover_rtc.MessageError, ValueError),
        (rover_rtc.StorageError, OSError),
        (rover_rtc.TransferError, OSError),
        (rover_rtc.ForkError, rover_rtc.ClosedError),
    ]
    for mine, builtin in pairs:
        assert issubclass(mine, builtin)
    for error in CLASSES:
        assert issubclass(error, rover_rtc.RoverRtcError) and error.__doc__
        made = error("some text", "KIND")
        assert str(made) == "some text" and made.kind == "KIND" and error("x").kind == error.kind


async def test_reprs_tell(hub: str) -> None:
    assert repr(rig.connect(hub, "one")).startswith("<")
    async with rig.pair(hub) as pair:
        log, far = pair.channels("log")
        await log.send("text")
        assert repr(await rig.soon(far.recv())) == "<Message 'text' 4 bytes, number 1>"
        await log.send(b"\x00" * 100)
        message = repr(await rig.soon(far.recv()))
        assert message.startswith("<Message b'\\x00") and message.endswith(
            "... 100 bytes, number 2>"
        )
        assert repr(pair.one) == "<Peer 'one': up>"
        assert repr(pair.there) == "<Link with 'two': up>"
        assert repr(pair.one.home) == "<Link with the hub: up>"
        assert repr(log) == "<Channel 'log' (reliable) with two>"
        assert repr(pair.one.channel("log")) == "<Channel 'log' (reliable) with hub>"
    assert repr(pair.one) == "<Peer 'one': closed>"
    assert repr(pair.there) == "<Link with 'two': closed>"


def test_a_hub_has_a_repr(server: sync.Server) -> None:
    assert repr(server) == f"<Server at {server.url}>"
    server.close()
    assert repr(server) == "<Server closed>"


def test_secrets_are_not_shown() -> None:
    with pytest.raises(rover_rtc.ConfigError) as caught:
        rover_rtc.sync.connect(ice_servers=["turn:user:hunter2@host:99999"])
    assert "hunter2" not in str(caught.value)
    config = rover_rtc.PeerConfig(token="hunter2", ice_servers=["turn:u:hunter2@h"])
    assert "hunter2" not in repr(config)
    assert "hunter2" not in repr(rover_rtc.ServerConfig(tokens=["hunter2"]))


async def test_what_belongs_to_this_process_is_not_copied(hub: str) -> None:
    async with rig.pair(hub) as pair:
        log, far = pair.channels("log")
        await log.send("text")
        message = await rig.soon(far.recv())
        things = [pair.one, pair.there, log, pair.one.events(), message, pair.one._native]
        for thing in things:
            for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError):
                    attempt(thing)


def test_a_hub_is_not_copied(server: sync.Server) -> None:
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="Server cannot be pickled"):
            attempt(server)


def test_errors_and_settings_are_copied() -> None:
    error = pickle.loads(pickle.dumps(rover_rtc.ConnectError("text", "DIAL")))
    assert isinstance(error, rover_rtc.ConnectError)
    assert (str(error), error.kind) == ("text", "DIAL")
    config = rover_rtc.ChannelConfig("log", mode="latest")
    assert pickle.loads(pickle.dumps(config)) == config == copy.deepcopy(config)


def test_help_is_complete() -> None:
    for module in (rover_rtc, sync, events, types, errors, rover_rtc.aio):
        assert len(pydoc.render_doc(module)) > 1000
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if isinstance(thing, type) or inspect.isroutine(thing):
                assert thing.__doc__, f"{module.__name__}.{name}"
                for member, value in vars(thing).items():
                    if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                        assert value.__doc__, f"{module.__name__}.{name}.{member}"


def test_names_are_all_there() -> None:
    for module in (rover_rtc, sync, events, errors, types):
        names = list(module.__all__)
        assert sorted(names) == sorted(set(names))
        assert all(hasattr(module, name) for name in names)
    assert re.fullmatch(r"\d+\.\d+\.\d+", rover_rtc.__version__)


async def test_why_a_link_ended_is_told(hub: str) -> None:
    """Another peer of the same name is not the one that was met before."""
    async with rig.connect(hub, "one", channels=["data"]) as one:
        async with rig.connect(hub, "two", channels=["data"]) as two:
            await one.dial("two")
            await two.accept()
        async with rig.connect(hub, "two", channels=["data"]):
            link = await one.call("two")
            feed, data = link.events(), link.channel("data")
            with pytest.raises(rover_rtc.ConnectError, match="key of two") as told:
                await data.recv()
            assert told.value.kind == "DIAL"
            with pytest.raises(rover_rtc.ConnectError, match="key of two"):
                await data.send("x")
            with pytest.raises(rover_rtc.ConnectError, match="key of two"):
                async for _ in data:
                    raise AssertionError("nothing can come")
            over = await rig.event_of(feed, events.Disconnected)
            assert over.reason == "distrusted" and "key of two" in over.text
