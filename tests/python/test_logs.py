"""Log lines of the library, on Python's loggers."""

from __future__ import annotations

import asyncio
import logging

import pytest

import rig


async def test_lines_come_at_their_level(hub: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="rover_rtc"):
        async with rig.pair(hub):
            pass
        while not any(record.name.startswith("rover_rtc.peer") for record in caplog.records):
            await asyncio.sleep(0.01)
    for record in caplog.records:
        if record.name.startswith("rover_rtc"):
            assert record.levelno >= logging.INFO and record.getMessage()
            assert abs(record.created - caplog.records[0].created) < 60


async def test_debugging_is_wanted_of_one_part(
    hub: str, caplog: pytest.LogCaptureFixture
) -> None:
    part = logging.getLogger("rover_rtc.peer")
    with caplog.at_level(logging.DEBUG, logger=part.name):
        async with rig.pair(hub):
            pass
        while not any(record.levelno == logging.DEBUG for record in caplog.records):
            await asyncio.sleep(0.01)
    debug = [r for r in caplog.records if r.levelno == logging.DEBUG and "rover" in r.name]
    assert debug and all(record.name.startswith(part.name) for record in debug)


def test_a_program_without_logging_is_silent(hub: str) -> None:
    source = """
        import sys
        from rover_rtc import sync
        with sync.connect(sys.argv[1], name="one", bind=["127.0.0.1"]) as peer:
            peer.connected(30)
            try: peer.dial("nobody", 0.1)
            except TimeoutError: print("late")
    """
    with rig.script(source, hub) as program:
        assert program.wait() == 0 and program.text == "late"


def test_lines_until_the_end_are_logged(hub: str) -> None:
    source = """
        import logging, sys
        from rover_rtc import sync
        logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s: %(message)s")
        with sync.connect(sys.argv[1], name="one", bind=["127.0.0.1"]) as peer:
            peer.connected(30)
    """
    with rig.script(source, hub) as program:
        assert program.wait() == 0
        assert any(line.startswith("DEBUG rover_rtc.") for line in program.lines), program.text
