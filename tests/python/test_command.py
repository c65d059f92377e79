"""`python -m rover_rtc`: the command line of the program in Rust."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import rig
import rover_rtc


def run(*arguments: str) -> tuple[int, str]:
    with rig.Program([rig.PYTHON, "-X", "dev", "-m", "rover_rtc", *arguments]) as program:
        return program.wait(), program.text


def test_help_and_version() -> None:
    code, text = run("--help")
    assert code == 0 and "Usage: python -m rover_rtc" in text
    for command in ("server", "peer", "send", "receive", "bench", "demo"):
        assert f"\n  {command}" in text, text
        code, help_of = run(command, "--help")
        assert code == 0 and f"Usage: python -m rover_rtc {command}" in help_of
    assert run("--version") == (0, f"rover-rtc {rover_rtc.__version__}")


def test_a_mistake_is_told() -> None:
    code, text = run("nonsense")
    assert code == 2 and "unrecognized subcommand" in text
    code, text = run("peer", "--server", "http://")
    assert code != 0 and text and "Traceback" not in text


def test_a_hub_and_peers() -> None:
    with rig.HubProcess() as hub:
        peer = [rig.PYTHON, "-m", "rover_rtc", "peer", "--server", hub.url, "--every", "20"]
        peer += ["--bind", rig.LOOPBACK, "--no-state"]
        with (
            rig.Program([*peer, "--name", "one"]) as one,
            rig.Program([*peer, "--name", "two", "--to", "one"]) as two,
        ):
            one.after("two: Payload: message ", 10)
            two.after("one: Payload: message ", 10)
            for program in (two, one):
                program.signal(signal.SIGINT)
                assert program.wait() in (0, 130, -signal.SIGINT), program.text
                assert "Traceback" not in program.text


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_hub_ends_in_an_orderly_way(name: str) -> None:
    command = ["server", "--listen", f"{rig.LOOPBACK}:0", "--udp", f"{rig.LOOPBACK}:0"]
    with rig.Program([rig.PYTHON, "-m", "rover_rtc", *command]) as hub:
        hub.after("Connect a browser to ")
        hub.signal(getattr(signal, name))
        assert hub.wait() == 0, hub.text
        assert "shutting down" in hub.text


def test_it_says_what_the_program_says(rust: Path) -> None:
    with rig.Program([rust, "--help"]) as program:
        assert program.wait() == 0
        expected = program.text.replace("Usage: rover-rtc", "Usage: python -m rover_rtc")
    assert run("--help") == (0, expected)
