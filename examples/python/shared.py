"""What the examples have in common: options, an end, and words for events."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import rover_rtc
from rover_rtc import ChannelConfig, events


def parser(description: str | None, examples: str) -> argparse.ArgumentParser:
    """The options that each of them has."""
    made = argparse.ArgumentParser(
        description=description,
        epilog=f"examples, with a hub on this machine (rover-rtc server):\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--server", default="127.0.0.1:3000", help="the hub (default %(default)s)")
    made.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="local address to use, may be repeated (default: those of all interfaces)",
    )
    made.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="where its key is kept, and those of others (default ~/.local/state/rover-rtc/NAME)",
    )
    made.add_argument("--seconds", type=positive, help="end after so long (default: never)")
    return made


def positive(text: str) -> float:
    """A rate or time of the command line."""
    value = float(text)
    if not 0 < value < 1e9:
        raise ValueError(text)
    return value


def connect(
    opt: argparse.Namespace, name: str, channels: Sequence[ChannelConfig]
) -> rover_rtc.Connecting[rover_rtc.Peer]:
    """A peer of this name, with the key that it had before.

    Whoever has met a name once takes no other key for it: without a state, others would not talk
    with this program any more after it was started again.
    """
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return rover_rtc.connect(
        opt.server,
        name=name,
        state_dir=opt.state or Path(home) / "rover-rtc" / name,
        bind=opt.bind,
        channels=channels,
    )


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a program whose lines are seen at once, in a pipe too."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        rover_rtc.run(main)
    except rover_rtc.RoverRtcError as error:
        sys.exit(f"{type(error).__name__}: {error}")


async def until_stopped(work: Coroutine[Any, Any, None], seconds: float | None) -> None:
    """Works until that is done, or so many seconds are over, or Ctrl-C or SIGTERM asks for an end.

    The work is cancelled then, and what follows this call is done in peace: good-byes and counts.
    """
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await asyncio.wait([task], timeout=seconds)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass


async def tell(told: rover_rtc.Events) -> None:
    """Prints what happens to links. None of it has to be handled: links mend themselves."""
    async for event in told:
        text = words(event)
        if text:
            print(f"{event.link.name or 'hub'}: {text}")


def words(event: rover_rtc.Event) -> str:
    """Empty for what is of no interest here."""
    if isinstance(event, events.Called):
        return "calls"
    if isinstance(event, events.PathSwitched):
        return f"carried by {event.local} - {event.remote} ({event.path}, {event.cause})"
    if isinstance(event, events.Outage):
        return "no path lives"
    if isinstance(event, events.Recovered):
        return f"back after {event.outage_ms / 1e3:.3f} s"
    if isinstance(event, events.Resumed):
        return f"{event.replayed} messages sent again"
    if isinstance(event, events.PeerRestarted):
        return "was restarted"
    if isinstance(event, events.Gap):
        lost = "what it had not sent" if event.lost is None else f"{event.lost} pieces"
        return f"{lost} will not come on {event.channel!r}"
    if isinstance(event, (events.Trouble, events.Disconnected)):
        return event.text
    return ""
